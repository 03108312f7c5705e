//! How a call around an app registration is sent, tried again and told of.

use std::time::Duration;

use jiff::Timestamp;
use muster_http::{Client, Response, shown};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::error::DirectoryError;
use crate::Cloud;
use crate::api::error;
use crate::entra::access_token::AccessToken;

/// The delegated permissions, or the directory role, that making and changing an app registration needs.
pub(super) const NEEDS_APPLICATIONS: &str = "the permission Application.ReadWrite.All (an app that cares for itself: \
Application.ReadWrite.OwnedBy), and for a person the directory role Application Administrator or Cloud Application \
Administrator";
pub(super) const NEEDS_ROLE_GRANTS: &str = "the permission AppRoleAssignment.ReadWrite.All, and for a person the directory role \
Privileged Role Administrator or Global Administrator";
pub(super) const NEEDS_DELEGATED_GRANTS: &str = "the permission DelegatedPermissionGrant.ReadWrite.All, and for a person the \
directory role Cloud Application Administrator or Global Administrator";

/// Pages of a list that are read at most.
pub(super) const PAGES_MAX: usize = 20;
/// A call is tried again so often while Microsoft throttles it, or while what was made a moment ago is not yet known
/// everywhere.
pub(super) const ATTEMPTS_MAX: u32 = 6;
/// The longest pause between two attempts.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Graph's calls around app registrations, with the token of a person or app that may make them.
#[derive(Debug, Clone, Copy)]
pub struct Applications<'a> {
    client: &'a Client,
    pub(super) cloud: &'a Cloud,
    token: &'a AccessToken,
}

/// What a call does when it is told that something is not there, or is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It says so.
    None,
    /// What was made a moment ago may not be known everywhere yet: it waits and tries again.
    Replication,
}

impl<'a> Applications<'a> {
    /// Calls with this token, which must be for Graph.
    #[must_use]
    pub fn new(client: &'a Client, cloud: &'a Cloud, token: &'a AccessToken) -> Self {
        Self { client, cloud, token }
    }

    pub(super) async fn patch(&self, call: &Call, id: Uuid, body: &Value) -> Result<(), DirectoryError> {
        self.send(call, Method::PATCH, &format!("/v1.0/applications/{id}"), Some(body)).await.map(drop)
    }

    /// All pages of a list, within the bound.
    pub(super) async fn list<T: for<'de> Deserialize<'de>>(
        &self,
        call: &Call,
        path: &str,
    ) -> Result<Vec<T>, DirectoryError> {
        #[derive(Deserialize)]
        struct Page {
            value: Vec<Value>,
            #[serde(rename = "@odata.nextLink")]
            next: Option<String>,
        }
        let unreadable = |detail: String| DirectoryError::Unreadable { action: call.action, detail };
        let mut all = Vec::new();
        let mut address = self.cloud.graph(path);
        for _ in 0..PAGES_MAX {
            let page: Page = read(call, &self.send_to(call, Method::GET, &address, None).await?)?;
            for value in page.value {
                all.push(parse(call, value)?);
            }
            let Some(next) = page.next else { return Ok(all) };
            let link =
                Url::parse(&next).ok().filter(|link| self.cloud.owns(crate::sources::Api::Graph, link));
            let link = link.ok_or_else(|| {
                unreadable(format!("its next page is at {}, to which no token is sent", shown(&next)))
            })?;
            address = link.into();
        }
        Err(unreadable(format!("the list has more than {PAGES_MAX} pages")))
    }

    pub(super) async fn send(
        &self,
        call: &Call,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, DirectoryError> {
        self.send_to(call, method, &self.cloud.graph(path), body).await
    }

    /// Sends a call. A throttled one was not carried out and is sent again; so is one that meets what another of
    /// Microsoft's servers does not know yet.
    async fn send_to(
        &self,
        call: &Call,
        method: Method,
        address: &str,
        body: Option<&Value>,
    ) -> Result<Response, DirectoryError> {
        let bearer = self.token.secret.expose();
        for attempt in 1.. {
            let request = match body {
                Some(body) => self.client.json(method.clone(), address, bearer, body),
                None if method == Method::DELETE => self.client.delete(address, bearer),
                None => self.client.get(address, Some(bearer)),
            };
            let answer = self.client.send(request).await;
            let answer = answer.map_err(|error| DirectoryError::Transport { action: call.action, error })?;
            if (200..300).contains(&answer.status) {
                return Ok(answer);
            }
            let error = failure(call, &answer);
            let again = match &error {
                DirectoryError::Unavailable { status, .. } => {
                    *status == 429 || (*status == 503 && method == Method::GET)
                }
                DirectoryError::NotFound { .. } => call.patience == Patience::Replication,
                DirectoryError::Refused { code, message, .. } => {
                    call.patience == Patience::Replication && says_not_known_yet(code, message)
                }
                _ => false,
            };
            if !again || attempt >= ATTEMPTS_MAX {
                return Err(error);
            }
            let pause = answer.retry_after().unwrap_or(Duration::from_millis(500 << attempt));
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
        unreachable!("the loop is left by returning")
    }
}

/// What a call is, for its errors.
pub(super) struct Call {
    pub(super) action: &'static str,
    needs: &'static str,
    patience: Patience,
}

impl Call {
    pub(super) fn new(action: &'static str, needs: &'static str) -> Self {
        Self { action, needs, patience: Patience::None }
    }

    pub(super) fn with(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

pub(super) fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs);
    // OData reads `+` in a filter as it stands.
    format!("{path}?{}", text.finish().replace('+', "%20"))
}

/// Graph takes times without a fraction everywhere.
pub(super) fn whole_seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(
    call: &Call,
    answer: &Response,
) -> Result<T, DirectoryError> {
    muster_model::json::from_answer(&answer.body).map_err(|error| DirectoryError::Unreadable {
        action: call.action,
        detail: shown(&error.to_string()),
    })
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(call: &Call, value: Value) -> Result<T, DirectoryError> {
    serde_json::from_value(value).map_err(|error| DirectoryError::Unreadable {
        action: call.action,
        detail: shown(&error.to_string()),
    })
}

/// What Graph says of something that another of its servers made a moment ago.
fn says_not_known_yet(code: &str, message: &str) -> bool {
    code == "NoBackingApplicationObject"
        || message.contains("does not reference a valid application object")
        || message.contains("does not exist or one of its queried reference-property objects are not present")
}

/// What can be done where an app-management policy forbids something.
///
/// Source: Microsoft "Microsoft Entra application management policies API overview"; the codes are those of Graph's refusals.
fn around_the_policy(code: &str) -> Option<&'static str> {
    Some(match code {
        "CredentialTypeNotAllowedAsPerAppPolicy" => {
            "it allows no secrets: use a certificate (`--credential certificate`, `muster app rotate-certificate`), a federated credential or a managed identity, or have an administrator exempt the app in the policy"
        }
        "CredentialInvalidLifetimeAsPerAppPolicy" => {
            "it allows none that lives so long: ask for less, such as `--lifetime 90d`, or use a federated credential, which has no end"
        }
        "SignInAudienceNotAllowedAsPerAppPolicy" => {
            "it allows no app for other tenants, which all customers need: have an administrator exempt the app in the policy, or make an app in each customer's own directory (`--connector-for`)"
        }
        _ => return None,
    })
}

/// What a refusal of Graph means for a call.
fn failure(call: &Call, answer: &Response) -> DirectoryError {
    let (action, needs, status) = (call.action, call.needs, answer.status);
    let (code, message) = error::of_graph(answer);
    if let (400..=499, Some(remedy)) = (status, around_the_policy(&code)) {
        return DirectoryError::Policy { action, code, message, remedy };
    }
    match status {
        401 => DirectoryError::Unauthorised { action, code, message },
        403 => DirectoryError::Denied { action, needs, code, message },
        404 => DirectoryError::NotFound { action, message },
        429 => DirectoryError::Unavailable { action, status, code, message },
        400..=499 if status != 408 => DirectoryError::Refused { action, status, code, message },
        _ => DirectoryError::Unavailable { action, status, code, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response { status, body: body.as_bytes().to_vec(), ..Response::default() }
    }

    #[test]
    fn a_refusal_says_what_is_needed() {
        let call = Call::new("granting an application permission", NEEDS_ROLE_GRANTS);
        let body = r#"{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges to complete the operation."}}"#;
        let error = failure(&call, &answer(403, body)).to_string();
        assert!(error.contains("AppRoleAssignment.ReadWrite.All"), "{error}");
        assert!(error.contains("Privileged Role Administrator"), "{error}");
        assert!(failure(&call, &answer(503, "<html>")).may_have_happened());
        assert!(!failure(&call, &answer(429, "")).may_have_happened());
        assert!(!failure(&call, &answer(400, "{}")).may_have_happened());
    }

    #[test]
    fn what_is_asked_cannot_leave_its_filter() {
        let path = query("/v1.0/applications", &[("$filter", "displayName eq 'Muster & O''Neil + x'")]);
        assert_eq!(
            path,
            "/v1.0/applications?%24filter=displayName%20eq%20%27Muster%20%26%20O%27%27Neil%20%2B%20x%27"
        );
    }
}
