//! The web pages of [`crate::access::onboard`]: the page of an invitation, the way to Microsoft and back, and the redirect of the
//! connector. Anybody on the internet may come in here, with anything.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT_LANGUAGE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use minijinja::{Value, context};
use muster_microsoft::entra::aadsts;
use muster_store::StoreError;

use super::gate;
use super::page::{Frame, Pages};
use super::served::{self, Bounded, Handle, Turned};
use super::wording::{acts, asked, notice, shown_step};
use crate::access::onboard::{
    Answered, Connected, Guest, Notice, Onboarding, Progress, Start, StepKind, Visit,
};
use crate::access::sign_in::{Returned, SignInError};
use crate::shown::output::plain;
use crate::web::language::Language;

/// The longest address that is looked at, in bytes.
const ADDRESS_BYTES_MAX: usize = 32 * 1024;

/// The onboarding that is served.
pub type OnboardingHandle = Handle<OnboardingState>;

pub struct OnboardingState {
    onboarding: Arc<Onboarding>,
    pages: Pages,
}

impl OnboardingHandle {
    /// This onboarding is served from now on, or none.
    pub fn set(&self, onboarding: Option<Arc<Onboarding>>) {
        self.replace(onboarding.map(|onboarding| {
            let login = onboarding.microsoft().cloud().login_origin();
            let pages = Pages::new(onboarding.settings(), &login);
            (onboarding.settings().public_url.clone(), OnboardingState { onboarding, pages })
        }));
    }
}

impl Bounded for OnboardingState {
    const SIDE_BY_SIDE: usize = 64;
    /// Microsoft posts a code and a state.
    const BODY_BYTES_MAX: usize = 64 * 1024;
    const ADDRESS_BYTES_MAX: usize = ADDRESS_BYTES_MAX;
    type Asker = Language;

    fn asker(&self, head: &Parts) -> Language {
        spoken(&head.headers, head.uri.query(), None, self)
    }

    fn turn_away(&self, language: &Language, why: Turned) -> Response {
        let (status, what) = match why {
            Turned::LongAddress => (StatusCode::URI_TOO_LONG, "unknown"),
            Turned::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Turned::Slow => (StatusCode::SERVICE_UNAVAILABLE, "trouble"),
        };
        let mut answer = self.message(Frame::once(*language, status), what);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        answer
    }
}

/// Customers' pages, fit for strangers.
pub fn routes(handle: OnboardingHandle) -> Router {
    let router = Router::new()
        .route("/onboard/callback", get(callback).post(callback_form))
        .route("/onboard/{link}", get(page))
        .route("/onboard/{link}/continue", post(go_on).get(go_back))
        .route("/onboard/{link}/sign-in", post(go_to_sign_in).get(go_back))
        .route("/onboard/", any(unknown))
        .route("/onboard/{link}/{elsewhere}", any(unknown))
        .route("/SiemMsspConnector", get(connector).post(connector_form));
    served::bound(router, handle)
}

/// The page of an invitation, whatever it has come to.
async fn page(
    State(handle): State<OnboardingHandle>,
    Path(link): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some(state) = handle.state() else { return StatusCode::NOT_FOUND.into_response() };
    let visit = match state.onboarding.visit(&link).await {
        Ok(visit) => visit,
        Err(error) => return state.trouble(&headers, query.as_deref(), &error),
    };
    if let (Visit::Asked(guest), Method::GET) = (&visit, method)
        && let Err(error) = state.onboarding.opened(guest).await
    {
        return state.trouble(&headers, query.as_deref(), &error);
    }
    state.show(&visit, &link, query.as_deref(), &headers)
}

/// On to Microsoft. A form posts here, so that programs which look at links start nothing; and only from the page that
/// says what is asked, so that no other page sends an administrator on.
async fn go_on(
    State(handle): State<OnboardingHandle>,
    Path(link): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    go(&handle, &link, query.as_deref(), &headers, false).await
}

/// On to Microsoft's page on which a person signs in; in the same way.
async fn go_to_sign_in(
    State(handle): State<OnboardingHandle>,
    Path(link): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    go(&handle, &link, query.as_deref(), &headers, true).await
}

async fn go(
    handle: &OnboardingHandle,
    link: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    to_sign_in: bool,
) -> Response {
    let Some(state) = handle.state() else { return StatusCode::NOT_FOUND.into_response() };
    let picked = parameter(query, "lang").and_then(|tag| tag.parse().ok());
    if !gate::is_from_here(headers, &state.onboarding.settings().public_url) {
        tracing::warn!(
            "another site sent a browser on to a consent; it is shown the page of the invitation first"
        );
        return state.back_to(link, picked);
    }
    let started = match to_sign_in {
        true => state.onboarding.start_sign_in(link, picked).await,
        false => state.onboarding.start(link, picked).await,
    };
    match started {
        Ok(Start::Go(url)) => state.pages.redirect(&url),
        Ok(Start::Show(visit)) => match *visit {
            // Its own page says the same, and can be refreshed.
            Visit::Asked(_) | Visit::Answered(..) => state.back_to(link, picked),
            visit => state.show(&visit, link, query, headers),
        },
        Ok(Start::TooOften) => {
            let language = spoken(headers, query, None, &state);
            let mut answer = state.message(Frame::once(language, StatusCode::TOO_MANY_REQUESTS), "many");
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("3600"));
            answer
        }
        Ok(Start::Unready) => {
            let language = spoken(headers, query, None, &state);
            state.message(Frame::once(language, StatusCode::SERVICE_UNAVAILABLE), "trouble")
        }
        Err(error) => state.trouble(headers, query, &error),
    }
}

/// Somebody came back to an address that only a form leads to.
async fn go_back(
    State(handle): State<OnboardingHandle>,
    Path(link): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(state) = handle.state() else { return StatusCode::NOT_FOUND.into_response() };
    state.back_to(&link, parameter(query.as_deref(), "lang").and_then(|tag| tag.parse().ok()))
}

async fn unknown(
    State(handle): State<OnboardingHandle>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(state) = handle.state() else { return StatusCode::NOT_FOUND.into_response() };
    let language = spoken(&headers, query.as_deref(), None, &state);
    state.message(Frame::once(language, StatusCode::NOT_FOUND), "unknown")
}

async fn callback(
    State(handle): State<OnboardingHandle>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let returned = Returned::from_query(query.as_deref().unwrap_or_default());
    answer(&handle, returned, &headers).await
}

async fn callback_form(State(handle): State<OnboardingHandle>, headers: HeaderMap, body: String) -> Response {
    answer(&handle, Returned::from_query(&body), &headers).await
}

async fn answer(handle: &OnboardingHandle, returned: Returned, headers: &HeaderMap) -> Response {
    let Some(state) = handle.state() else { return StatusCode::NOT_FOUND.into_response() };
    match state.onboarding.answer(returned).await {
        Ok(Answered::Page { path, notice, language }) => state.on_to(&path, notice.as_ref(), language),
        Ok(Answered::OtherTenant { guest, found, path, language }) => {
            let language =
                language.or_else(|| guest.language()).unwrap_or_else(|| spoken(headers, None, None, &state));
            let frame = Frame::once(language, StatusCode::FORBIDDEN);
            let values = context! { found_id => found.to_string(), page => state.address(&path), ..state.about(&guest) };
            state.pages.answer(frame, "other_tenant.html", values)
        }
        Ok(Answered::Unknown) => {
            let language = spoken(headers, None, None, &state);
            let frame = Frame::once(language, StatusCode::BAD_REQUEST);
            state.pages.answer(frame, "message.html", context! { title => "late-title", text => "late-text" })
        }
        Ok(Answered::Stopping) => state.stopping(spoken(headers, None, None, &state)),
        Err(error) => state.trouble(headers, None, &error),
    }
}

async fn connector(
    State(handle): State<OnboardingHandle>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let returned = Returned::from_query(query.as_deref().unwrap_or_default());
    connect(&handle, returned, &headers).await
}

async fn connector_form(
    State(handle): State<OnboardingHandle>,
    headers: HeaderMap,
    body: String,
) -> Response {
    connect(&handle, Returned::from_query(&body), &headers).await
}

async fn connect(handle: &OnboardingHandle, returned: Returned, headers: &HeaderMap) -> Response {
    let Some(state) = handle.state() else { return StatusCode::NOT_FOUND.into_response() };
    let language = spoken(headers, None, None, &state);
    let frame = Frame { picker: false, ..Frame::new(language) };
    let Some(connected) = state.onboarding.connect(returned).await else {
        return state.stopping(language);
    };
    match connected {
        Ok(Connected::Page { path, notice, language }) => state.on_to(&path, notice.as_ref(), language),
        Ok(Connected::Done { account, tenant }) => {
            let values = context! {
                title => "connector-good-title", text => "connector-good-text",
                account => plain(&account), customer => plain(&tenant.name),
            };
            state.pages.answer(frame, "message.html", values)
        }
        Err(SignInError::Unknown) => {
            let frame = Frame { status: StatusCode::BAD_REQUEST, ..frame };
            state.pages.answer(frame, "message.html", context! { title => "late-title", text => "late-text" })
        }
        Err(error) => {
            let code = match &error {
                SignInError::Declined { description, .. } => aadsts::code_in(description),
                _ => None,
            };
            let frame = Frame { status: StatusCode::BAD_REQUEST, ..frame };
            let values = context! {
                title => "connector-failed-title", text => "connector-failed-text",
                code => code.map(|code| format!("AADSTS{code}")),
            };
            state.pages.answer(frame, "message.html", values)
        }
    }
}

impl OnboardingState {
    fn show(&self, visit: &Visit, link: &str, query: Option<&str>, headers: &HeaderMap) -> Response {
        let guest = match visit {
            Visit::Asked(guest) | Visit::Answered(guest, _) => Some(guest),
            _ => None,
        };
        let language = spoken(headers, query, guest.and_then(Guest::language), self);
        let frame = Frame::new(language);
        let gone = |status, what| self.message(Frame { status, ..frame }, what);
        match visit {
            Visit::Unknown => gone(StatusCode::NOT_FOUND, "unknown"),
            Visit::Expired => gone(StatusCode::GONE, "expired"),
            Visit::Revoked => gone(StatusCode::GONE, "revoked"),
            Visit::Asked(guest) => self.landing(frame, guest, link, notice_in(query)),
            Visit::Answered(guest, progress) => self.status(frame, guest, progress, link, notice_in(query)),
        }
    }

    fn landing(&self, frame: Frame, guest: &Guest, link: &str, notice: Option<Value>) -> Response {
        let until = self.pages.words().date_time(frame.language, guest.invitation.expires_at);
        let values = context! {
            page => self.page(link),
            notice,
            permissions => asked(guest),
            acts => acts(guest),
            delegated => guest.delegated,
            login_host => self.onboarding.microsoft().cloud().login_origin(),
            until => until.unwrap_or_default(),
            ..self.about(guest)
        };
        self.pages.answer(frame, "landing.html", values)
    }

    fn status(
        &self,
        frame: Frame,
        guest: &Guest,
        progress: &Progress,
        link: &str,
        notice: Option<Value>,
    ) -> Response {
        let trouble = progress.trouble().next().is_some();
        let (title, lead, class, mark) = match (progress.is_good(), trouble) {
            (true, _) => ("status-good-title", "status-good-lead", "good", "✓"),
            (false, false) if progress.is_our_guests_turn() => {
                ("status-sign-in-title", "status-sign-in-lead", "attention", "→")
            }
            (false, false) => ("status-checking-title", "status-checking-lead", "checking", ""),
            (false, true) => {
                let consent = progress.trouble().any(|(step, _)| step.what == StepKind::Consent);
                let lead = if consent { "status-attention-consent-lead" } else { "status-attention-lead" };
                ("status-attention-title", lead, "attention", "!")
            }
        };
        let steps: Vec<Value> =
            progress.steps.iter().map(|step| shown_step(step.what, &step.standing)).collect();
        let refresh = match (progress.is_good(), trouble) {
            (true, _) => None,
            (false, false) if progress.is_our_guests_turn() => Some(30),
            (false, false) => Some(3),
            (false, true) => Some(30),
        };
        let checked_at =
            progress.checked_at.and_then(|at| self.pages.words().date_time(frame.language, at).ok());
        let values = context! {
            page => self.page(link),
            // After success, what was refused before is over.
            notice => notice.filter(|_| !progress.is_good() && (trouble || progress.is_our_guests_turn())),
            title, lead, steps, checked_at,
            banner => context! { class, mark },
            again => progress.wants_consent(),
            sign_in => guest.delegated && progress.wants_sign_in(),
            ..self.about(guest)
        };
        self.pages.answer(Frame { refresh, ..frame }, "status.html", values)
    }

    /// A page that is a title and a text: `<what>-title` and `<what>-text`.
    fn message(&self, frame: Frame, what: &str) -> Response {
        let values = context! { title => format!("{what}-title"), text => format!("{what}-text") };
        self.pages.answer(frame, "message.html", values)
    }

    /// The program is stopping, and another one will be there soon.
    fn stopping(&self, language: Language) -> Response {
        let frame = Frame::once(language, StatusCode::SERVICE_UNAVAILABLE);
        let mut answer = self.message(frame, "trouble");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        answer
    }

    fn trouble(&self, headers: &HeaderMap, query: Option<&str>, error: &StoreError) -> Response {
        tracing::error!(error = %error, "a customer's page cannot be shown");
        let language = spoken(headers, query, None, self);
        let frame = Frame::once(language, StatusCode::SERVICE_UNAVAILABLE);
        self.message(frame, "trouble")
    }

    /// On to the page of an invitation.
    fn on_to(&self, path: &str, notice: Option<&Notice>, language: Option<Language>) -> Response {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(language) = language {
            query.append_pair("lang", language.tag());
        }
        if let Some(notice) = notice {
            query.append_pair("notice", &notice.word());
        }
        let (to, query) = (self.address(path), query.finish());
        self.pages.redirect(&if query.is_empty() { to } else { format!("{to}?{query}") })
    }

    fn back_to(&self, link: &str, language: Option<Language>) -> Response {
        let page = self.page(link);
        match language {
            Some(language) => self.pages.redirect(&format!("{page}?lang={language}")),
            None => self.pages.redirect(&page),
        }
    }

    /// The path of a link's page, as browsers see it. The link is not one of ours until it was opened, so it is encoded.
    fn page(&self, link: &str) -> String {
        let link: String = url::form_urlencoded::byte_serialize(link.as_bytes()).collect();
        self.address(&format!("/onboard/{link}"))
    }

    /// A path of ours below the path of the public address.
    fn address(&self, path: &str) -> String {
        let base = self.onboarding.settings().public_url.path().trim_end_matches('/');
        format!("{base}{path}")
    }

    /// What a page says of a tenant and the app.
    fn about(&self, guest: &Guest) -> Value {
        let cloud = self.onboarding.microsoft().cloud();
        context! {
            customer => plain(&guest.tenant.name),
            domain => guest.tenant.domain.as_ref().map(ToString::to_string),
            tenant_id => guest.tenant.id.to_string(),
            app_id => guest.client_id.clone(),
            app_link => guest.client_id.as_deref().map(|client_id| cloud.enterprise_application(client_id)),
        }
    }
}

/// The language of a page: what was picked, what the invitation says, what the browser likes, what the settings say.
fn spoken(
    headers: &HeaderMap,
    query: Option<&str>,
    invitation: Option<Language>,
    state: &OnboardingState,
) -> Language {
    let picked = parameter(query, "lang").and_then(|tag| tag.parse().ok());
    let accepted = || {
        let header = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
        Language::accepted(header)
    };
    picked.or(invitation).or_else(accepted).unwrap_or(state.onboarding.settings().language)
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let query = query.filter(|query| query.len() <= ADDRESS_BYTES_MAX)?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

fn notice_in(query: Option<&str>) -> Option<Value> {
    parameter(query, "notice").and_then(|word| notice(&word))
}
