//! Service principals and the roles that they are given.

use std::collections::BTreeMap;

use hyper::StatusCode;
use hyper::header::LOCATION;
use serde_json::{Value, json};

use crate::graph::service::refusal;
use crate::identity::application::Application;
use crate::identity::directory::principal_object_id;
use crate::identity::platform::State;
use crate::identity::resources::{MICROSOFT_TENANT, RESOURCES, Resource};

use super::request::{APPLICATION_READERS, Answered, Key, Request, bad, many, no_content, not_found, one};

impl Request<'_> {
    /// Every app that has a part in the tenant: those that were consented to, and Microsoft's APIs.
    pub(super) fn principal_ids(&self, state: &mut State) -> Vec<(String, String)> {
        let facts = self.world.facts(self.tenant());
        let directory = state.directory.tenant(self.world, self.tenant());
        let mut ids: Vec<(String, String)> = directory
            .principals
            .iter()
            .map(|principal| (principal.object_id.clone(), principal.app_id.clone()))
            .collect();
        ids.extend(
            RESOURCES
                .iter()
                .filter(|resource| !directory.missing_resources.contains(resource.app_id))
                .map(|resource| (principal_object_id(facts, resource.app_id), resource.app_id.to_owned())),
        );
        ids
    }

    pub(super) fn principal_json(&self, state: &mut State, object_id: &str, app_id: &str) -> Value {
        let app = state.directory.app(app_id).cloned();
        let resource = Resource::of_app(app_id);
        let enabled = state
            .directory
            .tenant(self.world, self.tenant())
            .principal(app_id)
            .is_none_or(|principal| principal.enabled);
        let name = resource.map(|resource| resource.name).or(app.as_ref().map(|app| app.name.as_str()));
        let owner = match (&app, resource) {
            (Some(Application { home: Some(home), .. }), None) => self.world.facts(*home).id.as_str(),
            _ => MICROSOFT_TENANT,
        };
        let permissions = resource.map_or(&[][..], |resource| resource.permissions);
        let roles: Vec<Value> = permissions
            .iter()
            .filter(|permission| !permission.role_id.is_empty())
            .map(|permission| {
                json!({
                    "allowedMemberTypes": ["Application"], "description": permission.allows,
                    "displayName": permission.allows, "id": permission.role_id, "isEnabled": true,
                    "origin": "Application", "value": permission.name,
                })
            })
            .collect();
        let scopes: Vec<Value> = permissions
            .iter()
            .filter(|permission| !permission.scope_id.is_empty())
            .map(|permission| {
                json!({
                    "adminConsentDescription": permission.allows, "adminConsentDisplayName": permission.allows,
                    "id": permission.scope_id, "isEnabled": true,
                    "type": if permission.admin_only { "Admin" } else { "User" },
                    "userConsentDescription": permission.allows, "userConsentDisplayName": permission.allows,
                    "value": permission.name,
                })
            })
            .collect();
        let mut names = vec![app_id.to_owned()];
        names.extend(
            resource.map_or(&[][..], |resource| resource.audiences).iter().map(|name| (*name).to_owned()),
        );
        let redirects: Vec<&str> = app
            .as_ref()
            .map_or_else(Vec::new, |app| app.redirects.iter().map(|own| own.1.as_str()).collect());
        json!({
            "id": object_id,
            "deletedDateTime": null,
            "accountEnabled": enabled,
            "appDisplayName": name,
            "appId": app_id,
            "appOwnerOrganizationId": owner,
            "appRoleAssignmentRequired": false,
            "displayName": name,
            "replyUrls": redirects,
            "servicePrincipalNames": names,
            "servicePrincipalType": "Application",
            "signInAudience": if app.is_none_or(|app| app.multitenant()) { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
            "tags": [],
            "addIns": [],
            "appRoles": roles,
            "keyCredentials": [],
            "oauth2PermissionScopes": scopes,
            "passwordCredentials": [],
        })
    }

    pub(super) fn list_principals(&self) -> Answered {
        self.may(APPLICATION_READERS, &[])?;
        let filter = self.filter()?;
        let state = &mut *self.identity.lock();
        let ids = self.principal_ids(state);
        let values = ids
            .iter()
            .map(|(object, app)| self.principal_json(state, object, app))
            .filter(|value| {
                filter.iter().all(|(field, wanted)| {
                    matches!(field.as_str(), "appId" | "displayName" | "id")
                        && value[field].as_str().is_some_and(|own| own.eq_ignore_ascii_case(wanted))
                })
            })
            .collect();
        Ok(many("servicePrincipals", values))
    }

    pub(super) fn create_principal(&self) -> Answered {
        self.may(
            &["Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"],
            &["Global Administrator", "Application Administrator", "Cloud Application Administrator"],
        )?;
        let body = self.body()?;
        let app_id = body["appId"].as_str().ok_or_else(|| bad("Property appId in payload is missing."))?;
        let state = &mut *self.identity.lock();
        let app = state.directory.app(app_id).filter(|app| app.reaches(self.tenant()));
        let app_id = app.map(|app| app.app_id.clone()).ok_or_else(|| {
            bad(format!(
                "The appId '{app_id}' of the service principal does not reference a valid application object."
            ))
        })?;
        let known = state.directory.tenant(self.world, self.tenant()).principal(&app_id).is_some();
        if known {
            let text = format!(
                "The service principal cannot be created, updated, or restored because the service principal name \
                 {app_id} is already in use."
            );
            return Err(refusal(StatusCode::CONFLICT, "Request_MultipleObjectsWithSameKeyValue", text));
        }
        let object = state.directory.ensure_principal(self.world, self.tenant(), &app_id).object_id.clone();
        let value = self.principal_json(state, &object, &app_id);
        let location = format!("{}/v1.0/servicePrincipals/{object}", self.call.base);
        Ok(one(StatusCode::CREATED, "servicePrincipals", value).with(LOCATION, location))
    }

    pub(super) fn principal(&self, key: &Key<'_>, rest: &[&str]) -> Answered {
        let state = &mut *self.identity.lock();
        let wanted = match key {
            Key::Object(id) => (*id).to_owned(),
            Key::App(id) => id.clone(),
        };
        let found = self.principal_ids(state).into_iter().find(|(object, app)| match key {
            Key::Object(id) => object.eq_ignore_ascii_case(id),
            Key::App(id) => app.eq_ignore_ascii_case(id),
        });
        let (object, app_id) = found.ok_or_else(|| not_found(&wanted))?;
        match (self.call.method.as_str(), rest) {
            ("GET", []) => {
                self.may(APPLICATION_READERS, &[])?;
                Ok(one(StatusCode::OK, "servicePrincipals", self.principal_json(state, &object, &app_id)))
            }
            ("PATCH", []) => {
                self.may_write_applications()?;
                let enabled = self.body()?["accountEnabled"].as_bool();
                let principal = state.directory.tenant(self.world, self.tenant()).principal_mut(&app_id);
                if let (Some(principal), Some(enabled)) = (principal, enabled) {
                    principal.enabled = enabled;
                }
                Ok(no_content())
            }
            ("DELETE", []) => {
                self.may_write_applications()?;
                let directory = state.directory.tenant(self.world, self.tenant());
                directory.principals.retain(|own| own.app_id != app_id);
                Ok(no_content())
            }
            ("GET", ["appRoleAssignedTo" | "appRoleAssignments"]) => {
                self.may(
                    &["Application.ReadWrite.All", "Directory.Read.All", "AppRoleAssignment.ReadWrite.All"],
                    &[],
                )?;
                let of_resource = rest == ["appRoleAssignedTo"];
                let values = self.assignments(
                    state,
                    of_resource.then_some(app_id.as_str()),
                    (!of_resource).then_some(app_id.as_str()),
                );
                Ok(many(&format!("servicePrincipals('{object}')/{}", rest[0]), values))
            }
            ("POST", ["appRoleAssignedTo" | "appRoleAssignments"]) => self.assign_role(state, &object),
            ("DELETE", ["appRoleAssignedTo" | "appRoleAssignments", id]) => {
                self.may_assign("AppRoleAssignment.ReadWrite.All")?;
                let directory = state.directory.tenant(self.world, self.tenant());
                let mut removed = false;
                for principal in &mut directory.principals {
                    let before = principal.roles.len();
                    principal.roles.retain(|grant| grant.id != *id);
                    removed |= principal.roles.len() != before;
                }
                if removed { Ok(no_content()) } else { Err(not_found(id)) }
            }
            ("GET", ["oauth2PermissionGrants"]) => {
                let id = object.clone();
                Ok(many(
                    "oauth2PermissionGrants",
                    self.grants(state, |grant| grant["clientId"] == id.as_str()),
                ))
            }
            _ => Err(self.no_such_call()),
        }
    }

    pub(super) fn assignments(
        &self,
        state: &mut State,
        resource: Option<&str>,
        client: Option<&str>,
    ) -> Vec<Value> {
        let facts = self.world.facts(self.tenant());
        let mut values = Vec::new();
        let names: BTreeMap<String, String> =
            state.directory.apps().map(|app| (app.app_id.clone(), app.name.clone())).collect();
        for principal in &state.directory.tenant(self.world, self.tenant()).principals {
            if client.is_some_and(|client| client != principal.app_id) {
                continue;
            }
            for grant in &principal.roles {
                if resource.is_some_and(|resource| resource != grant.resource) {
                    continue;
                }
                let Some(known) = Resource::of_app(&grant.resource) else { continue };
                let role = known.permission(&grant.role).map_or("", |permission| permission.role_id);
                values.push(json!({
                    "id": grant.id,
                    "deletedDateTime": null,
                    "appRoleId": role,
                    "createdDateTime": grant.created.to_string(),
                    "principalDisplayName": names.get(&principal.app_id),
                    "principalId": principal.object_id,
                    "principalType": "ServicePrincipal",
                    "resourceDisplayName": known.name,
                    "resourceId": principal_object_id(facts, known.app_id),
                }));
            }
        }
        values
    }

    pub(super) fn assign_role(&self, state: &mut State, of: &str) -> Answered {
        self.may_assign("AppRoleAssignment.ReadWrite.All")?;
        let body = self.body()?;
        let text = |name: &str| {
            body[name].as_str().ok_or_else(|| bad(format!("Property {name} in payload is missing.")))
        };
        let (principal_id, resource_id, role_id) =
            (text("principalId")?, text("resourceId")?, text("appRoleId")?);
        if ![principal_id, resource_id].iter().any(|id| id.eq_ignore_ascii_case(of)) {
            return Err(bad(
                "The service principal of the address is neither 'principalId' nor 'resourceId'.",
            ));
        }
        let resource =
            crate::identity::directory::Directory::resource_of_object(self.world, self.tenant(), resource_id)
                .ok_or_else(|| not_found(resource_id))?;
        let role = resource
            .role(role_id)
            .ok_or_else(|| bad("Permission being assigned was not found on application."))?;
        let now = self.world.now();
        let State { directory, dice, .. } = state;
        let principals = &mut directory.tenant(self.world, self.tenant()).principals;
        let principal = principals.iter_mut().find(|own| own.object_id.eq_ignore_ascii_case(principal_id));
        let principal = principal.ok_or_else(|| not_found(principal_id))?;
        if principal.roles_on(resource.app_id).iter().any(|own| own == role.name) {
            return Err(bad("Permission being assigned already exists on the object"));
        }
        principal.grant_role(dice, resource.app_id, role.name, now);
        let client = principal.app_id.clone();
        let value = self
            .assignments(state, Some(resource.app_id), Some(&client))
            .into_iter()
            .find(|value| value["appRoleId"] == role.role_id)
            .unwrap_or_default();
        Ok(one(StatusCode::CREATED, &format!("servicePrincipals('{of}')/appRoleAssignedTo"), value))
    }
}
