//! The addresses of Graph's calls about the directory.

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::faults::kind::FaultKind;
use crate::graph::service::{Caller, Graph};
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::identity::platform::Identity;
use crate::world::tenants::World;

use super::request::{Answered, CONTEXT, Key, Request, bad, many, not_found, one};

/// The segments of a path about the directory; `None` when it is about something else.
pub(crate) fn segments(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix(crate::graph::service::PREFIX)?.split('/').collect();
    let name = segments.first()?.split('(').next().unwrap_or("");
    matches!(name, "applications" | "servicePrincipals" | "oauth2PermissionGrants" | "organization" | "me")
        .then_some(segments)
}

/// Answers a request about the directory.
pub(crate) fn answer(
    graph: &Graph,
    world: &World,
    identity: &Identity,
    call: &Call<'_>,
    caller: &Caller,
    segments: &[&str],
    fault: Option<&FaultKind>,
) -> Answer {
    if let Some(answer) = graph.fault_answer(world, call, fault) {
        return answer;
    }
    let request = Request { world, identity, call, caller };
    match request.answer(segments) {
        Ok(answer) => graph.stamp(call, answer).0,
        Err(refusal) => graph.refuse(world, call, refusal),
    }
}

impl Request<'_> {
    fn answer(&self, segments: &[&str]) -> Answered {
        let method = self.call.method;
        let (collection, key) = match segments[0].split_once('(') {
            Some((collection, key)) => {
                let id = key.strip_prefix("appId='").and_then(|key| key.strip_suffix("')"));
                let id = id.ok_or_else(|| bad("The key of the entity is not understood."))?;
                (collection, Some(Key::App(id.to_owned())))
            }
            None => (segments[0], None),
        };
        let (key, rest) = match (key, segments.len()) {
            (Some(key), _) => (Some(key), &segments[1..]),
            (None, 1) => (None, &segments[1..]),
            (None, _) => (Some(Key::Object(segments[1])), &segments[2..]),
        };
        match (collection, key, rest) {
            ("me", None, []) => self.me(),
            ("me", Some(Key::Object("revokeSignInSessions")), []) if method == Method::POST => {
                self.revoke_sessions()
            }
            ("organization", None, []) if method == Method::GET => self.organization(),
            ("applications", None, []) if method == Method::GET => self.list_applications(),
            ("applications", None, []) if method == Method::POST => self.create_application(),
            ("applications", Some(key), rest) => self.application(&key, rest),
            ("servicePrincipals", None, []) if method == Method::GET => self.list_principals(),
            ("servicePrincipals", None, []) if method == Method::POST => self.create_principal(),
            ("servicePrincipals", Some(key), rest) => self.principal(&key, rest),
            ("oauth2PermissionGrants", None, []) if method == Method::GET => self.list_grants(None),
            ("oauth2PermissionGrants", None, []) if method == Method::POST => self.create_grant(),
            ("oauth2PermissionGrants", Some(Key::Object(id)), []) => self.grant(id),
            _ => Err(self.no_such_call()),
        }
    }

    pub(super) fn me(&self) -> Answered {
        let claims = self.caller.claims();
        if claims.scp.is_none() {
            return Err(bad("/me request is only valid with delegated authentication flow."));
        }
        self.may(&["User.Read", "User.Read.All", "Directory.Read.All"], &[])?;
        let state = &mut *self.identity.lock();
        let user = state.directory.tenant(self.world, self.tenant()).user_of(&claims.oid);
        let user = user.ok_or_else(|| not_found(&claims.oid))?;
        let value = json!({
            "businessPhones": [], "displayName": user.name, "givenName": null, "id": user.object_id,
            "jobTitle": null, "mail": user.account, "mobilePhone": null, "officeLocation": null,
            "preferredLanguage": null, "surname": null, "userPrincipalName": user.account,
        });
        Ok(one(StatusCode::OK, "users", value))
    }

    pub(super) fn revoke_sessions(&self) -> Answered {
        let claims = self.caller.claims();
        let now = self.world.now();
        let state = &mut *self.identity.lock();
        let directory = state.directory.tenant(self.world, self.tenant());
        let user = directory.users.iter_mut().find(|user| user.object_id == claims.oid);
        user.ok_or_else(|| not_found(&claims.oid))?.sessions_from = now;
        let body = json!({"@odata.context": format!("{CONTEXT}Edm.Boolean"), "value": true});
        Ok(Answer::json(StatusCode::OK, body.to_string()))
    }

    pub(super) fn organization(&self) -> Answered {
        self.may(&["User.Read", "Directory.Read.All", "Organization.Read.All"], &[])?;
        let facts = self.world.facts(self.tenant());
        let value = json!({
            "id": facts.id, "displayName": facts.name, "tenantType": "AAD", "countryLetterCode": "SE",
            "verifiedDomains": [{"capabilities": "Email, OfficeCommunicationsOnline", "isDefault": true,
                "isInitial": true, "name": facts.domain, "type": "Managed"}],
        });
        Ok(many("organization", vec![value]))
    }
}
