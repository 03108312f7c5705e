//! The retired SIEM API as connectors know it: `GET /api/alerts`, and a token endpoint. Programs of customers and of their
//! providers come in here, and whoever else finds the address.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_model::Clock;
use muster_store::{PullClient, Store, StoreError, TenantKey};
use serde_json::{Value, json};
use uuid::Uuid;

use super::served::{self, Bounded, Handle, Turned};
use crate::config::Settings;
use crate::pull::query::Query;
use crate::pull::{answer, tokens};

/// What the old service's tokens were for, where a client does not say.
const RESOURCE: &str = "https://graph.windows.net";
/// Stands in an answer that does not hold all that there is.
const CUT: HeaderName = HeaderName::from_static("muster-more");

/// The API that is served.
pub type PullHandle = Handle<PullState>;

pub struct PullState {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl PullHandle {
    /// The API is served from now on as these settings want it, or is not.
    pub fn set(&self, settings: &Settings, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) {
        self.replace(settings.pull_api.as_ref().map(|pull_api| {
            let (store, clock) = (Arc::clone(store), Arc::clone(clock));
            (pull_api.public_url.clone(), PullState { store, clock })
        }));
    }
}

impl Bounded for PullState {
    /// Each answer takes up to some tens of megabytes.
    const SIDE_BY_SIDE: usize = 8;
    /// A form with a secret and a token.
    const BODY_BYTES_MAX: usize = 16 * 1024;
    const ADDRESS_BYTES_MAX: usize = 16 * 1024;
    type Asker = ();

    fn asker(&self, _: &Parts) {}

    fn turn_away(&self, (): &(), why: Turned) -> Response {
        match why {
            Turned::LongAddress => StatusCode::URI_TOO_LONG.into_response(),
            Turned::Busy | Turned::Slow => busy(),
        }
    }
}

/// The API, fit for strangers.
pub fn routes(handle: PullHandle) -> Router {
    let router = Router::new()
        .route("/api/alerts", get(alerts))
        .route("/api/alerts/", get(alerts))
        // As one of the old documents' samples calls it.
        .route("/api/alert", get(alerts))
        .route("/{tenant}/oauth2/token", post(token))
        .route("/{tenant}/oauth2/v2.0/token", post(token));
    served::bound(router, handle)
}

fn busy() -> Response {
    let mut answer =
        problem(StatusCode::SERVICE_UNAVAILABLE, "TooManyRequests", "busy; please ask again in a moment");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    answer
}

/// An error as APIs of Microsoft write it.
fn problem(status: StatusCode, code: &'static str, message: &str) -> Response {
    counted(status, code);
    (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
}

fn counted(status: StatusCode, code: &'static str) {
    let status = status.as_u16().to_string();
    metrics::counter!("muster_pull_requests_total", "status" => status, "code" => code).increment(1);
}

/// `GET /api/alerts`
async fn alerts(State(handle): State<PullHandle>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Some(state) = handle.state() else { return busy() };
    let now = state.clock.now();
    let client = match state.authorised(&headers).await {
        Ok(client) => client,
        Err(answer) => return *answer,
    };
    let query = match Query::read(query.as_deref().unwrap_or_default(), now) {
        Ok(query) => query,
        Err(message) => return problem(StatusCode::BAD_REQUEST, "InvalidRequest", &message),
    };
    // Whoever asks again from the time that it asked at, by our clock or by its own, misses nothing.
    let promised = [Some(now), Some(query.after), query.up_to].into_iter().flatten().max().unwrap_or(now);
    let store = state.store.as_ref();
    let answered = async {
        store.nothing_new_before((client.id, client.tenant), promised, now).await?;
        let answer = answer::answer(store, &client, &query, now).await?;
        let pruned = store.pruned_up_to(client.tenant).await?;
        Ok((answer, pruned))
    };
    let (answer, pruned) = match answered.await {
        Ok(answered) => answered,
        Err(error) => return trouble(&client, &error),
    };
    let gone =
        pruned.into_iter().filter(|(source, _)| client.sources.contains(source)).map(|(_, at)| at).max();
    if let Some(gone) = gone.filter(|gone| *gone > query.after) {
        tracing::warn!(
            client = client.name, tenant.id = %client.tenant, asked_from = %query.after, gone_up_to = %gone,
            "a client of the pull API asks for what has left the journal in part: it has missed what it did not fetch before; [store] keep_journal says how long it stays"
        );
    }
    counted(StatusCode::OK, "ok");
    metrics::counter!("muster_pull_detections_total").increment(answer.detections as u64);
    let mut response = ([(CONTENT_TYPE, "application/json; charset=utf-8")], answer.body).into_response();
    if answer.is_cut {
        response.headers_mut().insert(CUT, HeaderValue::from_static("true"));
        tracing::info!(
            client = client.name, tenant.id = %client.tenant, detections = answer.detections,
            "an answer of the pull API is full: it holds the oldest, and the client gets the rest by stepping on"
        );
    }
    response
}

fn trouble(client: &PullClient, error: &StoreError) -> Response {
    match error {
        StoreError::NoTenant(_) | StoreError::Offboarded(_) => {
            problem(StatusCode::FORBIDDEN, "Forbidden", "the tenant is not managed here any more")
        }
        error => {
            // Nothing is answered where not all can be: an empty answer would be taken for all there is.
            tracing::error!(client = client.name, tenant.id = %client.tenant, %error, "cannot answer a client of the pull API");
            let mut answer = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "please ask again in a minute",
            );
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
            answer
        }
    }
}

impl PullState {
    /// The client whose access token a request brings.
    async fn authorised(&self, headers: &HeaderMap) -> Result<PullClient, Box<Response>> {
        let refused = |message: &str| {
            let mut answer = problem(StatusCode::UNAUTHORIZED, "Unauthorized", message);
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            Box::new(answer)
        };
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token else { return Err(refused("there is no bearer token")) };
        let now = self.clock.now();
        let Some(id) = tokens::client_of(self.store.signing_key(), token, now) else {
            return Err(refused("the token is malformed, not of this service, or over"));
        };
        match self.store.pull_client(id).await {
            Ok(Some(client)) if client.works(now) => Ok(client),
            Ok(_) => Err(refused("the client was revoked, or its time is over")),
            Err(error) => {
                tracing::error!(%error, "cannot look a client of the pull API up");
                Err(Box::new(busy()))
            }
        }
    }
}

/// An error of a token endpoint: RFC 6749, 5.2.
fn no_token(status: StatusCode, error: &'static str, description: &str) -> Response {
    counted(status, error);
    let body = json!({ "error": error, "error_description": description });
    (status, not_stored(), Json(body)).into_response()
}

fn not_stored() -> [(HeaderName, &'static str); 1] {
    // `Cache-Control: no-store` is on every answer.
    [(PRAGMA, "no-cache")]
}

/// What a form of a token endpoint says. A field that stands there twice says nothing: RFC 6749, 3.2.
fn field<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let mut values = form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let value = values.next()?;
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// A client's id and secret, in the head (RFC 6749, 2.3.1) or in the form.
fn credentials(headers: &HeaderMap, form: &[(String, String)]) -> Option<(String, String)> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        return scheme.eq_ignore_ascii_case("basic").then(|| (id.to_owned(), secret.to_owned()));
    }
    Some((field(form, "client_id")?.to_owned(), field(form, "client_secret")?.to_owned()))
}

/// `POST /{tenant}/oauth2/token`
async fn token(
    State(handle): State<PullHandle>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some(state) = handle.state() else { return busy() };
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    match state.token(&tenant, &headers, &form).await {
        Ok(granted) => {
            counted(StatusCode::OK, "token");
            (not_stored(), Json(granted)).into_response()
        }
        Err(Refused::Request(error, description)) => no_token(StatusCode::BAD_REQUEST, error, description),
        // Whether there is such a client is nobody's business.
        Err(Refused::Client) => {
            let mut answer = no_token(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "the client is not known here, its secret is wrong, it was revoked, or it is another tenant's",
            );
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"muster\""));
            answer
        }
        Err(Refused::Store(error)) => {
            tracing::error!(%error, "cannot answer at the pull API's token endpoint");
            busy()
        }
    }
}

/// Why there is no token.
enum Refused {
    Request(&'static str, &'static str),
    Client,
    Store(StoreError),
}

impl PullState {
    async fn token(
        &self,
        tenant: &str,
        headers: &HeaderMap,
        form: &[(String, String)],
    ) -> Result<Value, Refused> {
        let grant =
            field(form, "grant_type").ok_or(Refused::Request("invalid_request", "there is no grant_type"))?;
        let (id, secret) = credentials(headers, form).ok_or(Refused::Client)?;
        let id = Uuid::try_parse(&id).map_err(|_| Refused::Client)?;
        let now = self.clock.now();
        let client = self.store.pull_client(id).await.map_err(Refused::Store)?;
        let client = client.filter(|client| client.works(now) && tokens::is_of(&secret, client.secret));
        let client = client.ok_or(Refused::Client)?;
        match self.store.tenant(TenantKey::Name(tenant)).await {
            Ok(named) if named.id == client.tenant => {}
            Ok(_) | Err(StoreError::NoTenant(_)) => return Err(Refused::Client),
            Err(error) => return Err(Refused::Store(error)),
        }
        let refresh_token = match grant {
            "client_credentials" => None,
            "refresh_token" => {
                let sent =
                    field(form, "refresh_token").filter(|sent| tokens::is_of(sent, client.refresh_token));
                let wrong = "the refresh token is not this client's: paste the one that `muster client add` printed, or add the client anew";
                Some(sent.ok_or(Refused::Request("invalid_grant", wrong))?)
            }
            _ => {
                let known = "use client_credentials or refresh_token: nobody signs in here";
                return Err(Refused::Request("unsupported_grant_type", known));
            }
        };
        let seconds = now.as_second();
        let mut granted = json!({
            "token_type": "Bearer",
            "expires_in": tokens::LIFETIME_SECONDS,
            "ext_expires_in": 0,
            "expires_on": seconds + tokens::LIFETIME_SECONDS,
            "not_before": seconds,
            "resource": field(form, "resource").unwrap_or(RESOURCE),
            "access_token": tokens::issue(self.store.signing_key(), &client, now),
        });
        if let Some(refresh_token) = refresh_token {
            // It stays as it is: a connector whose machine stops before it has kept another would be locked out.
            granted["refresh_token"] = refresh_token.into();
        }
        Ok(granted)
    }
}
