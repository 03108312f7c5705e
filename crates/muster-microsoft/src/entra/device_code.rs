//! The device code flow: a person types a short code on any device.
//!
//! Source: Microsoft "OAuth 2.0 device authorization grant flow"; RFC 8628.

use std::time::Duration;

use jiff::Timestamp;
use muster_http::shown;
use muster_model::{Secret, TenantId};
use serde::Deserialize;
use serde_json::Value;

use super::access_token::NOT_SHOWN;
use super::credential::{App, Endpoint};
use super::delegated::{self, Granted};
use super::error::TokenError;
use super::form::{ApiNaming, Form, PERSON_SCOPES};
use super::platform::Platform;
use super::{aadsts, assertion, token_endpoint};

/// RFC 8628 section 3.4.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 8628 section 3.2: where nothing is said.
const INTERVAL: Duration = Duration::from_secs(5);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
const LIFE_MAX: Duration = Duration::from_secs(3600);

/// A sign-in that waits for a person.
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// What the person types.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The address with the code in it, where the provider gives one.
    pub verification_uri_complete: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How long to wait between two questions.
    pub interval: Duration,
    /// The API whose tokens are wanted.
    pub resource: String,
    /// What we ask with.
    pub device_code: Secret<String>,
}

/// How a sign-in stands.
#[derive(Debug, Clone)]
pub enum DevicePoll {
    /// The person is not done. Ask again after this long.
    Pending {
        /// How long to wait.
        wait: Duration,
    },
    /// Done.
    Granted(Box<Granted>),
    /// The person said no.
    Declined,
    /// It took too long; start again.
    Expired,
}

#[derive(Deserialize)]
struct Started {
    device_code: String,
    user_code: String,
    /// v1 calls it `verification_url`.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    /// Numbers from v2, strings from v1.
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    interval: Option<Value>,
}

/// Starts a sign-in.
pub(crate) async fn start(
    platform: &Platform,
    app: &App,
    tenant: Option<TenantId>,
    resource: &str,
) -> Result<DeviceCode, TokenError> {
    let addresses = platform.addresses(app, tenant).await?;
    let url = addresses.device.ok_or_else(|| TokenError::Provider {
        issuer: app.name.clone(),
        why: "it does not offer sign-in by device code".to_owned(),
    })?;
    let mut form = Form::default();
    form.set("client_id", &app.client_id);
    form.name_api(addresses.naming, resource, true);
    if addresses.naming == ApiNaming::Indicator {
        form.set("scope", PERSON_SCOPES);
        assertion::prove(platform, app, &addresses.token, &mut form).await?;
    }
    let answer = platform.client.send(platform.client.post_form(&url, &form.pairs())).await?;
    if answer.status != 200 {
        return Err(token_endpoint::refusal(&answer));
    }
    let body = Secret::new(answer.body);
    let odd = || TokenError::Odd { status: answer.status, beginning: NOT_SHOWN.to_owned() };
    let started: Started = muster_model::json::from_answer(body.expose()).map_err(|_| odd())?;
    let seconds = |value: Option<&Value>| {
        let seconds = value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        seconds.map(Duration::from_secs)
    };
    let life = seconds(started.expires_in.as_ref()).unwrap_or(Duration::from_secs(900)).min(LIFE_MAX);
    let secure = |link: &str| {
        link.starts_with("https://")
            || link.starts_with("http://127.0.0.1")
            || link.starts_with("http://localhost")
    };
    // A person opens this link: it is not shown when it is no web address.
    if !secure(&started.verification_uri) {
        return Err(odd());
    }
    Ok(DeviceCode {
        user_code: shown(&started.user_code),
        verification_uri: shown(&started.verification_uri),
        verification_uri_complete: started
            .verification_uri_complete
            .filter(|link| secure(link))
            .map(|link| shown(&link)),
        expires_at: platform.now().saturating_add(life).expect("a duration is never out of range"),
        interval: seconds(started.interval.as_ref())
            .unwrap_or(INTERVAL)
            .clamp(Duration::from_secs(1), INTERVAL_MAX),
        resource: resource.to_owned(),
        device_code: Secret::new(started.device_code),
    })
}

/// Asks how a sign-in stands.
pub(crate) async fn poll(
    platform: &Platform,
    app: &App,
    tenant: Option<TenantId>,
    code: &DeviceCode,
) -> Result<DevicePoll, TokenError> {
    if platform.now() >= code.expires_at {
        return Ok(DevicePoll::Expired);
    }
    let addresses = platform.addresses(app, tenant).await?;
    let mut form = Form::new(GRANT_TYPE, app);
    // v1 calls it `code`.
    let name = if app.endpoint == Endpoint::V1 { "code" } else { "device_code" };
    form.set(name, code.device_code.expose());
    form.name_api(addresses.naming, &code.resource, true);
    assertion::prove(platform, app, &addresses.token, &mut form).await?;
    match token_endpoint::post(platform, &addresses.token, &form).await {
        Ok(issued) => {
            let granted = delegated::granted(platform, issued, tenant, &code.resource)?;
            Ok(DevicePoll::Granted(Box::new(granted)))
        }
        Err(TokenError::Refused { error, code: aadsts, suberror, description }) => match error.as_str() {
            "authorization_pending" => Ok(DevicePoll::Pending { wait: code.interval }),
            // RFC 8628 section 3.5: five seconds more, from now on.
            "slow_down" => Ok(DevicePoll::Pending { wait: code.interval + INTERVAL }),
            "authorization_declined" | "access_denied" => Ok(DevicePoll::Declined),
            "expired_token" | "code_expired" => Ok(DevicePoll::Expired),
            // v1 has no word of its own for some of them.
            _ => match aadsts.or_else(|| aadsts::code_in(&description)) {
                Some(70_016) => Ok(DevicePoll::Pending { wait: code.interval }),
                Some(70_019) => Ok(DevicePoll::Expired),
                _ => Err(TokenError::Refused { error, code: aadsts, suberror, description }),
            },
        },
        Err(error) => Err(error),
    }
}
