//! What a request asks for: the API and the permissions on it, as v1 and v2 write them.

use std::collections::BTreeSet;

use crate::http::call::Call;

use super::application::Application;
use super::error::{AadError, aad};
use super::flow::RequestedAccess;
use super::resources::{AAD_GRAPH_APP_ID, GRAPH_APP_ID, Resource};

/// The scopes that are about the sign-in itself.
const OIDC: &[&str] = &["openid", "profile", "email", "offline_access"];

/// A `scope` parameter, taken apart.
pub(crate) struct Scope {
    pub(crate) oidc: BTreeSet<String>,
    pub(crate) wanted: Option<RequestedAccess>,
}

fn invalid(scope: &str) -> AadError {
    aad(70_011).text(format!(
        "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid."
    ))
}

/// The refusal where an API is unknown.
pub(crate) fn unknown_resource(resource: &str, directory: &str) -> AadError {
    aad(500_011).text(format!(
        "The resource principal named {resource} was not found in the tenant named {directory}. This can happen if the \
         application has not been installed by the administrator of the tenant or consented to by any user in the \
         tenant. You might have sent your authentication request to the wrong tenant."
    ))
}

/// Reads the `scope` of a request on behalf of a person (v2).
pub(crate) fn delegated_scope(scope: &str, directory: &str, call: &Call<'_>) -> Result<Scope, AadError> {
    let mut oidc = BTreeSet::new();
    let mut wanted: Option<RequestedAccess> = None;
    let mut default = false;
    for word in scope.split_ascii_whitespace() {
        if OIDC.contains(&word) {
            oidc.insert(word.to_owned());
            continue;
        }
        let (audience, name) = match word.rsplit_once('/') {
            Some((audience, name)) if !audience.is_empty() && !name.is_empty() => (audience, name),
            Some(_) => return Err(invalid(word)),
            None => ("https://graph.microsoft.com", word),
        };
        let resource =
            Resource::named(audience, call).ok_or_else(|| unknown_resource(audience, directory))?;
        if wanted.as_ref().is_some_and(|wanted| wanted.resource.app_id != resource.app_id) {
            return Err(aad(700_022));
        }
        let wanted = wanted.get_or_insert_with(|| RequestedAccess {
            resource,
            audience: audience.to_owned(),
            scopes: BTreeSet::new(),
            oidc: BTreeSet::new(),
        });
        if name == ".default" {
            default = true;
            continue;
        }
        let permission = resource.permission(name).filter(|permission| !permission.scope_id.is_empty());
        let permission = permission.ok_or_else(|| {
            aad(650_053).text(format!(
                "The application asked for scope '{name}' that doesn't exist on the resource '{}'. Contact the app \
                 vendor.",
                resource.app_id
            ))
        })?;
        wanted.scopes.insert(permission.name.to_owned());
    }
    if default && wanted.as_ref().is_some_and(|wanted| !wanted.scopes.is_empty()) {
        return Err(aad(70_011).text(format!(
            "The provided value for the input parameter 'scope' is not valid. .default scope can't be combined with \
             resource-specific scopes. The scope {scope} isn't valid."
        )));
    }
    if oidc.is_empty() && wanted.is_none() {
        return Err(invalid(scope));
    }
    if let Some(wanted) = &mut wanted {
        wanted.oidc.clone_from(&oidc);
    }
    Ok(Scope { oidc, wanted })
}

/// Reads the `scope` of an app's own request (v2): one API with `/.default`, and nothing else. Gives the API as written.
pub(crate) fn application_scope(scope: &str) -> Result<String, AadError> {
    let mut words = scope.split_ascii_whitespace();
    let (Some(word), None) = (words.next(), words.next()) else {
        let audiences: BTreeSet<&str> =
            scope.split_ascii_whitespace().filter_map(|word| word.strip_suffix("/.default")).collect();
        return Err(if audiences.len() > 1 { aad(700_022) } else { invalid(scope) });
    };
    word.strip_suffix("/.default")
        .filter(|audience| !audience.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| invalid(scope))
}

/// Reads the `resource` of a v1 request on behalf of a person.
pub(crate) fn delegated_resource(
    resource: Option<&str>,
    app: &Application,
    directory: &str,
    call: &Call<'_>,
) -> Result<RequestedAccess, AadError> {
    let audience = resource.unwrap_or("https://graph.windows.net");
    let found = match resource {
        Some(name) => Resource::named(name, call).ok_or_else(|| unknown_resource(name, directory))?,
        None => Resource::of_app(AAD_GRAPH_APP_ID).expect("Microsoft's APIs are all listed"),
    };
    if resource.is_some() && !app.required.contains_key(found.app_id) {
        return Err(aad(650_057).text(format!(
            "Invalid resource. The client has requested access to a resource which is not listed in the requested \
             permissions in the client's application registration. Client app ID: {}({}). Resource value from request: \
             {audience}. Resource app ID: {}. List of valid resources from app registration: {}.",
            app.app_id,
            app.name,
            found.app_id,
            app.required.keys().cloned().collect::<Vec<_>>().join(", "),
        )));
    }
    let oidc = ["openid", "profile", "offline_access"].into_iter().map(str::to_owned).collect();
    Ok(RequestedAccess { resource: found, audience: audience.to_owned(), scopes: BTreeSet::new(), oidc })
}

/// What a request that names no API gets its access token for: Graph, to read the person's own profile.
pub(crate) fn profile_only(oidc: &BTreeSet<String>) -> RequestedAccess {
    RequestedAccess {
        resource: Resource::of_app(GRAPH_APP_ID).expect("Microsoft's APIs are all listed"),
        audience: GRAPH_APP_ID.to_owned(),
        scopes: ["User.Read".to_owned()].into(),
        oidc: oidc.clone(),
    }
}

/// The names of the permissions that a request is after.
pub(crate) fn names_of(wanted: &RequestedAccess, app: &Application) -> BTreeSet<String> {
    if wanted.scopes.is_empty() {
        let required = app.required_scopes(wanted.resource).into_iter();
        return required.filter(|name| !OIDC.contains(name)).map(str::to_owned).collect();
    }
    wanted.scopes.clone()
}
