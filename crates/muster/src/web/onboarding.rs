//! The web door to [`crate::access::onboard`]: the page of an invitation, the way to Microsoft and back, and the redirect of the
//! connector. Anybody on the internet may come in here, with anything.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::http::header::{ACCEPT_LANGUAGE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use minijinja::{Value, context};
use muster_microsoft::entra::{aadsts, permissions};
use muster_model::Source;
use muster_store::StoreError;
use tokio::sync::Semaphore;

use super::page::{Frame, Pages};
use crate::access::onboard::{
    Answered, Guest, Notice, Onboarding, Progress, Standing, Start, StepKind, Visit,
};
use crate::access::sign_in::{Returned, SignInError};
use crate::shown::output::plain;
use crate::web::language::Language;

/// Requests at the same time; more are asked to come back.
const SIDE_BY_SIDE: usize = 64;
/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a body: Microsoft posts a code and a state.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a body may take to come.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an address.
const ADDRESS_BYTES_MAX: usize = 32 * 1024;

/// The onboarding that is served: none before the settings name one, another after they were read again.
#[derive(Clone, Default)]
pub struct Door(Arc<RwLock<Option<Arc<Behind>>>>);

/// What a door leads to.
struct Behind {
    onboarding: Arc<Onboarding>,
    pages: Pages,
}

impl Door {
    /// Leads to this onboarding from now on, or nowhere.
    pub fn lead_to(&self, onboarding: Option<Arc<Onboarding>>) {
        let behind = onboarding.map(|onboarding| {
            let login = onboarding.microsoft().cloud().login_origin();
            let pages = Pages::new(onboarding.settings(), &login);
            Arc::new(Behind { onboarding, pages })
        });
        *self.0.write().expect("no panic while the lock is held") = behind;
    }

    fn behind(&self) -> Option<Arc<Behind>> {
        self.0.read().expect("no panic while the lock is held").clone()
    }
}

/// The routes of customers' pages.
pub fn routes(door: Door) -> Router {
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    Router::new()
        .route("/onboard/callback", get(callback).post(callback_form))
        .route("/onboard/{link}", get(page))
        .route("/onboard/{link}/continue", post(go_on).get(go_back))
        .route("/onboard/", any(unknown))
        .route("/onboard/{link}/{elsewhere}", any(unknown))
        .route("/SiemMsspConnector", get(connector).post(connector_form))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state((door.clone(), places), bounded))
        .with_state(door)
}

/// Lets in as many as there is room for, each for a while, and nothing that is too long.
async fn bounded(
    State((door, places)): State<(Door, Arc<Semaphore>)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(behind) = door.behind() else { return StatusCode::NOT_FOUND.into_response() };
    let language = spoken(request.headers(), request.uri().query(), None, &behind);
    let wait = |title| {
        let mut answer = behind.message(
            Frame { status: StatusCode::SERVICE_UNAVAILABLE, picker: false, ..Frame::new(language) },
            title,
        );
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        answer
    };
    let address = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    if address > ADDRESS_BYTES_MAX {
        return behind.message(
            Frame { status: StatusCode::URI_TOO_LONG, picker: false, ..Frame::new(language) },
            "unknown",
        );
    }
    // Before a place is taken: who sends slowly takes none from others.
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let request = Request::from_parts(head, body.into());
    let Ok(_place) = places.try_acquire() else { return wait("busy") };
    match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => wait("trouble"),
    }
}

/// The page of an invitation, whatever it has come to.
async fn page(
    State(door): State<Door>,
    Path(link): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some(behind) = door.behind() else { return StatusCode::NOT_FOUND.into_response() };
    let visit = match behind.onboarding.visit(&link).await {
        Ok(visit) => visit,
        Err(error) => return behind.trouble(&headers, query.as_deref(), &error),
    };
    if let (Visit::Asked(guest), Method::GET) = (&visit, method)
        && let Err(error) = behind.onboarding.opened(guest).await
    {
        return behind.trouble(&headers, query.as_deref(), &error);
    }
    behind.show(&visit, &link, query.as_deref(), &headers)
}

/// On to Microsoft. A form posts here, so that programs which look at links start nothing.
async fn go_on(
    State(door): State<Door>,
    Path(link): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(behind) = door.behind() else { return StatusCode::NOT_FOUND.into_response() };
    let picked = parameter(query.as_deref(), "lang").and_then(|tag| tag.parse().ok());
    match behind.onboarding.start(&link, picked).await {
        Ok(Start::Go(url)) => behind.pages.redirect(&url),
        Ok(Start::Show(visit)) => match *visit {
            // Its own page says the same, and can be refreshed.
            Visit::Asked(_) | Visit::Answered(..) => behind.back_to(&link, picked),
            visit => behind.show(&visit, &link, query.as_deref(), &headers),
        },
        Ok(Start::TooOften) => {
            let language = spoken(&headers, query.as_deref(), None, &behind);
            let mut answer = behind.message(
                Frame { status: StatusCode::TOO_MANY_REQUESTS, picker: false, ..Frame::new(language) },
                "many",
            );
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("3600"));
            answer
        }
        Ok(Start::Unready) => {
            let language = spoken(&headers, query.as_deref(), None, &behind);
            behind.message(
                Frame { status: StatusCode::SERVICE_UNAVAILABLE, picker: false, ..Frame::new(language) },
                "trouble",
            )
        }
        Err(error) => behind.trouble(&headers, query.as_deref(), &error),
    }
}

/// Somebody came back to an address that only a form leads to.
async fn go_back(State(door): State<Door>, Path(link): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(behind) = door.behind() else { return StatusCode::NOT_FOUND.into_response() };
    behind.back_to(&link, parameter(query.as_deref(), "lang").and_then(|tag| tag.parse().ok()))
}

async fn unknown(State(door): State<Door>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Some(behind) = door.behind() else { return StatusCode::NOT_FOUND.into_response() };
    let language = spoken(&headers, query.as_deref(), None, &behind);
    behind.message(Frame { status: StatusCode::NOT_FOUND, picker: false, ..Frame::new(language) }, "unknown")
}

async fn callback(State(door): State<Door>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let returned = Returned::from_query(query.as_deref().unwrap_or_default());
    answer(&door, returned, &headers).await
}

async fn callback_form(State(door): State<Door>, headers: HeaderMap, body: String) -> Response {
    answer(&door, Returned::from_query(&body), &headers).await
}

async fn answer(door: &Door, returned: Returned, headers: &HeaderMap) -> Response {
    let Some(behind) = door.behind() else { return StatusCode::NOT_FOUND.into_response() };
    match behind.onboarding.answer(returned).await {
        Ok(Answered::Page { path, notice, language }) => {
            let mut to = behind.address(&path);
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            if let Some(language) = language {
                query.append_pair("lang", language.tag());
            }
            if let Some(notice) = notice {
                query.append_pair("notice", &notice.word());
            }
            let query = query.finish();
            if !query.is_empty() {
                to = format!("{to}?{query}");
            }
            behind.pages.redirect(&to)
        }
        Ok(Answered::OtherTenant { guest, found, path, language }) => {
            let language =
                language.or_else(|| guest.language()).unwrap_or_else(|| spoken(headers, None, None, &behind));
            let frame = Frame { status: StatusCode::FORBIDDEN, picker: false, ..Frame::new(language) };
            let values = context! { found_id => found.to_string(), page => behind.address(&path), ..behind.about(&guest) };
            behind.pages.answer(frame, "other_tenant.html", values)
        }
        Ok(Answered::Unknown) => {
            let language = spoken(headers, None, None, &behind);
            let frame = Frame { status: StatusCode::BAD_REQUEST, picker: false, ..Frame::new(language) };
            behind.pages.answer(
                frame,
                "message.html",
                context! { title => "late-title", text => "late-text" },
            )
        }
        Ok(Answered::Stopping) => behind.stopping(spoken(headers, None, None, &behind)),
        Err(error) => behind.trouble(headers, None, &error),
    }
}

async fn connector(State(door): State<Door>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let returned = Returned::from_query(query.as_deref().unwrap_or_default());
    connect(&door, returned, &headers).await
}

async fn connector_form(State(door): State<Door>, headers: HeaderMap, body: String) -> Response {
    connect(&door, Returned::from_query(&body), &headers).await
}

async fn connect(door: &Door, returned: Returned, headers: &HeaderMap) -> Response {
    let Some(behind) = door.behind() else { return StatusCode::NOT_FOUND.into_response() };
    let language = spoken(headers, None, None, &behind);
    let frame = Frame { picker: false, ..Frame::new(language) };
    let Some(connected) = behind.onboarding.connect(returned).await else {
        return behind.stopping(language);
    };
    match connected {
        Ok((account, tenant)) => {
            let values = context! {
                title => "connector-good-title", text => "connector-good-text",
                account => plain(&account), customer => plain(&tenant.name),
            };
            behind.pages.answer(frame, "message.html", values)
        }
        Err(SignInError::Unknown) => {
            let frame = Frame { status: StatusCode::BAD_REQUEST, ..frame };
            behind.pages.answer(
                frame,
                "message.html",
                context! { title => "late-title", text => "late-text" },
            )
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
            behind.pages.answer(frame, "message.html", values)
        }
    }
}

impl Behind {
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
            Visit::Asked(guest) => self.landing(frame, guest, link, notice(query)),
            Visit::Answered(guest, progress) => self.status(frame, guest, progress, link, notice(query)),
        }
    }

    fn landing(&self, frame: Frame, guest: &Guest, link: &str, notice: Option<Value>) -> Response {
        let until = self.pages.words().date_time(frame.language, guest.invitation.expires_at);
        let values = context! {
            page => self.page(link),
            notice,
            permissions => asked(guest),
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
            (false, false) => Some(3),
            (false, true) => Some(30),
        };
        let checked_at =
            progress.checked_at.and_then(|at| self.pages.words().date_time(frame.language, at).ok());
        let values = context! {
            page => self.page(link),
            // After success, what was refused before is over.
            notice => notice.filter(|_| !progress.is_good() && trouble),
            title, lead, steps, checked_at,
            banner => context! { class, mark },
            again => progress.wants_consent(),
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
        let frame = Frame { status: StatusCode::SERVICE_UNAVAILABLE, picker: false, ..Frame::new(language) };
        let mut answer = self.message(frame, "trouble");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        answer
    }

    fn trouble(&self, headers: &HeaderMap, query: Option<&str>, error: &StoreError) -> Response {
        tracing::error!(error = %error, "a customer's page cannot be shown");
        let language = spoken(headers, query, None, self);
        let frame = Frame { status: StatusCode::SERVICE_UNAVAILABLE, picker: false, ..Frame::new(language) };
        self.message(frame, "trouble")
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

/// The permissions that are asked for, the least for each source, each once.
fn asked(guest: &Guest) -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    let mut asked = Vec::new();
    for source in &guest.tenant.sources {
        let Some(permission) = permissions::for_source(*source).first() else { continue };
        let named = if guest.delegated { permission.scope } else { permission.role };
        let Some((name, _)) = named.or(permission.role).or(permission.scope) else { continue };
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        let kind = if guest.delegated { "permission-of-person" } else { "permission-of" };
        asked.push(context! { name, kind, key => permission_key(name), api => permission.resource.name() });
    }
    asked
}

/// The message that explains a permission.
fn permission_key(name: &str) -> &'static str {
    match name {
        "SecurityAlert.Read.All" => "permission-security-alert",
        "SecurityIncident.Read.All" => "permission-security-incident",
        "ThreatHunting.Read.All" => "permission-threat-hunting",
        _ => "permission-other",
    }
}

/// The least permission that a source needs, by Microsoft's name.
fn least_permission(source: Source) -> Option<&'static str> {
    let permission = permissions::for_source(source).first()?;
    permission.role.or(permission.scope).map(|(name, _)| name)
}

fn shown_step(what: StepKind, standing: &Standing) -> Value {
    let (class, mark, word) = match standing {
        Standing::Good => ("good", "✓", "state-good"),
        Standing::Waiting => ("waiting", "", "state-waiting"),
        Standing::Checking => ("checking", "", "state-checking"),
        Standing::Attention { .. } => ("attention", "!", "state-attention"),
    };
    let fix = match standing {
        Standing::Attention { code } => Some(fix(code)),
        _ => None,
    };
    let source = match what {
        StepKind::Consent => None,
        StepKind::Source(source) => Some(source),
    };
    context! {
        key => step_key(what), class, mark, word, fix,
        source => source.map(Source::as_str),
        permission => source.and_then(least_permission),
    }
}

fn step_key(what: StepKind) -> &'static str {
    match what {
        StepKind::Consent => "step-consent",
        StepKind::Source(Source::GraphAlerts) => "step-graph-alerts",
        StepKind::Source(Source::GraphIncidents) => "step-graph-incidents",
    }
}

/// What the customer can do about a kind of trouble. What is not theirs says so; the details stay in our own log.
fn fix(code: &str) -> &'static str {
    match code {
        "lost_consent" | "app_unknown" => "fix-consent",
        "missing_role" => "fix-permission",
        "app_disabled" => "fix-app-disabled",
        "conditional_access" => "fix-conditional-access",
        "no_licence" => "fix-licence",
        "throttled" | "api_down" | "unreachable" => "fix-microsoft",
        "wrong_secret"
        | "secret_expired"
        | "certificate_rejected"
        | "misconfigured"
        | "tenant_unknown"
        | "grant_expired"
        | "grant_revoked"
        | "multifactor_needed" => "fix-provider",
        _ => "fix-other",
    }
}

fn notice(query: Option<&str>) -> Option<Value> {
    let word = parameter(query, "notice")?;
    let (key, code) = match Notice::read(&word)? {
        Notice::Declined => ("notice-declined", None),
        Notice::NotAdministrator => ("notice-not-administrator", None),
        Notice::WrongAccount => ("notice-wrong-account", None),
        Notice::Blocked => ("notice-blocked", None),
        Notice::Late => ("notice-late", None),
        Notice::Failed(code) => ("notice-failed", Some(code)),
    };
    Some(context! { key, code })
}

/// The language of a page: what was picked, what the invitation says, what the browser likes, what the settings say.
fn spoken(
    headers: &HeaderMap,
    query: Option<&str>,
    invitation: Option<Language>,
    behind: &Behind,
) -> Language {
    let picked = parameter(query, "lang").and_then(|tag| tag.parse().ok());
    let accepted = || {
        let header = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
        Language::accepted(header)
    };
    picked.or(invitation).or_else(accepted).unwrap_or(behind.onboarding.settings().language)
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let query = query.filter(|query| query.len() <= ADDRESS_BYTES_MAX)?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use muster_microsoft::Fault;

    use super::*;
    use crate::web::page::keys_in_templates;

    /// Every key that is named in this file.
    fn keys_in_code() -> BTreeSet<String> {
        let source = include_str!("onboarding.rs");
        let code = source.split("#[cfg(test)]").next().expect("the code");
        let mut keys: BTreeSet<String> = code
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|text| text.contains('-') || ["busy", "many", "trouble"].contains(text))
            .map(str::to_owned)
            .collect();
        for what in ["unknown", "expired", "revoked", "busy", "many", "trouble"] {
            keys.extend([format!("{what}-title"), format!("{what}-text")]);
        }
        keys
    }

    #[test]
    fn no_message_is_unused_and_none_is_missing() {
        let words = include_str!("../../locales/en/onboarding.ftl");
        let there: BTreeSet<&str> = words
            .lines()
            .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
            .filter_map(|line| line.split_once(" =").map(|(key, _)| key))
            .collect();
        let mut used = keys_in_templates();
        used.extend(keys_in_code());
        used.insert("date-time".to_owned());
        for key in &there {
            assert!(used.contains(*key), "`{key}` is used nowhere");
        }
        for key in keys_in_templates() {
            assert!(there.contains(key.as_str()), "`{key}` is in no language");
        }
        let codes = Fault::ALL.iter().map(|fault| fix(fault.as_str()));
        let permissions =
            Source::ALL.iter().filter_map(|source| least_permission(*source)).map(permission_key);
        let steps = Source::ALL.iter().map(|source| step_key(StepKind::Source(*source)));
        for key in codes.chain(permissions).chain(steps) {
            assert!(there.contains(key), "`{key}` is in no language");
        }
    }

    #[test]
    fn every_fault_has_words_that_fit_who_can_end_it() {
        for fault in Fault::ALL {
            let key = fix(fault.as_str());
            let waits = matches!(fault, Fault::Throttled | Fault::ApiDown | Fault::Unreachable);
            assert_eq!(key == "fix-microsoft", waits, "{fault}");
            assert_eq!(
                key == "fix-other",
                fault == Fault::Other,
                "{fault}: the list of codes is not complete"
            );
        }
    }

    #[test]
    fn every_source_s_permission_is_explained_in_words_of_its_own() {
        for source in Source::ALL {
            let name = least_permission(source).expect("a source needs a permission");
            assert_ne!(permission_key(name), "permission-other", "{source} needs {name}");
        }
    }
}
