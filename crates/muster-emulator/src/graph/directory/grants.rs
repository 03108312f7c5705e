//! Delegated permissions that were granted.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::graph::service::{Refusal, refusal};
use crate::identity::directory::principal_object_id;
use crate::identity::platform::State;
use crate::identity::resources::Resource;

use super::request::{Answered, Request, bad, many, no_content, not_found, one};

impl Request<'_> {
    pub(super) fn grants(&self, state: &mut State, keep: impl Fn(&Value) -> bool) -> Vec<Value> {
        let facts = self.world.facts(self.tenant());
        let directory = state.directory.tenant(self.world, self.tenant());
        let all = directory.principals.iter().flat_map(|principal| {
            principal.grants.iter().map(|grant| {
                json!({
                    "clientId": principal.object_id,
                    "consentType": if grant.user.is_some() { "Principal" } else { "AllPrincipals" },
                    "id": grant.id,
                    "principalId": grant.user,
                    "resourceId": principal_object_id(facts, &grant.resource),
                    "scope": grant.scopes.iter().cloned().collect::<Vec<_>>().join(" "),
                })
            })
        });
        all.filter(keep).collect()
    }

    pub(super) fn list_grants(&self, client: Option<&str>) -> Answered {
        self.may(&["DelegatedPermissionGrant.ReadWrite.All", "Directory.Read.All"], &[])?;
        let filter = self.filter()?;
        let state = &mut *self.identity.lock();
        let values = self.grants(state, |grant| {
            client.is_none_or(|client| grant["clientId"] == client)
                && filter.iter().all(|(field, value)| grant[field].as_str() == Some(value))
        });
        Ok(many("oauth2PermissionGrants", values))
    }

    pub(super) fn create_grant(&self) -> Answered {
        self.may_assign("DelegatedPermissionGrant.ReadWrite.All")?;
        let body = self.body()?;
        let text = |name: &str| {
            body[name].as_str().ok_or_else(|| bad(format!("Property {name} in payload is missing.")))
        };
        let (client, resource_id, scope) = (text("clientId")?, text("resourceId")?, text("scope")?);
        let person = match (text("consentType")?, body["principalId"].as_str()) {
            ("AllPrincipals", None) => None,
            ("Principal", Some(person)) => Some(person.to_owned()),
            _ => return Err(bad("The consentType does not fit the principalId.")),
        };
        let resource =
            crate::identity::directory::Directory::resource_of_object(self.world, self.tenant(), resource_id)
                .ok_or_else(|| not_found(resource_id))?;
        let scopes = scopes_of(resource, scope)?;
        let state = &mut *self.identity.lock();
        let State { directory, dice, .. } = state;
        let principals = &mut directory.tenant(self.world, self.tenant()).principals;
        let principal = principals.iter_mut().find(|own| own.object_id.eq_ignore_ascii_case(client));
        let principal = principal.ok_or_else(|| not_found(client))?;
        if principal.grants.iter().any(|own| own.resource == resource.app_id && own.user == person) {
            let text = "Permission entry already exists.";
            return Err(refusal(StatusCode::CONFLICT, "Request_MultipleObjectsWithSameKeyValue", text));
        }
        principal.grant_scopes(dice, resource.app_id, person.as_deref(), scopes);
        let id = principal.grants.last().map(|grant| grant.id.clone()).unwrap_or_default();
        let value = self.grants(state, |grant| grant["id"] == id.as_str()).pop().unwrap_or_default();
        Ok(one(StatusCode::CREATED, "oauth2PermissionGrants", value))
    }

    pub(super) fn grant(&self, id: &str) -> Answered {
        self.may_assign("DelegatedPermissionGrant.ReadWrite.All")?;
        let state = &mut *self.identity.lock();
        if self.call.method == Method::GET {
            let value = self.grants(state, |grant| grant["id"] == id).pop();
            return Ok(one(StatusCode::OK, "oauth2PermissionGrants", value.ok_or_else(|| not_found(id))?));
        }
        let body = if self.call.method == Method::PATCH { self.body()? } else { Value::Null };
        let directory = state.directory.tenant(self.world, self.tenant());
        let principal =
            directory.principals.iter_mut().find(|own| own.grants.iter().any(|grant| grant.id == id));
        let principal = principal.ok_or_else(|| not_found(id))?;
        match *self.call.method {
            Method::DELETE => principal.grants.retain(|grant| grant.id != id),
            Method::PATCH => {
                let scope =
                    body["scope"].as_str().ok_or_else(|| bad("Property scope in payload is missing."))?;
                for grant in principal.grants.iter_mut().filter(|grant| grant.id == id) {
                    let resource = Resource::of_app(&grant.resource).ok_or_else(|| not_found(id))?;
                    grant.scopes = scopes_of(resource, scope)?.into_iter().collect();
                }
            }
            _ => return Err(self.no_such_call()),
        }
        Ok(no_content())
    }
}

pub(super) fn scopes_of(resource: &Resource, scope: &str) -> Result<Vec<String>, Refusal> {
    scope
        .split_ascii_whitespace()
        .map(|name| {
            let known = resource.permission(name).filter(|permission| !permission.scope_id.is_empty());
            known
                .map(|permission| permission.name.to_owned())
                .ok_or_else(|| bad(format!("The scope '{name}' is not one of '{}'.", resource.name)))
        })
        .collect()
}
