//! How a request to a token endpoint is spelled: its fields, and how they name the API.

use muster_model::Secret;

use super::credential::App;

/// The fields of a request. All are kept like secrets, since several are.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(&'static str, Secret<String>)>);

impl Form {
    /// A request of this grant type by `app`.
    pub(crate) fn new(grant_type: &str, app: &App) -> Self {
        let mut form = Self::default();
        form.set("grant_type", grant_type);
        form.set("client_id", &app.client_id);
        form
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.0.push((name, Secret::from(value)));
    }

    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.expose().as_str())).collect()
    }

    /// Names the API; with `person`, also asks to know who it is and to go on without them.
    pub(crate) fn name_api(&mut self, naming: ApiNaming, resource: &str, person: bool) {
        match naming {
            ApiNaming::Resource => self.set("resource", resource),
            ApiNaming::Scope => self.set("scope", &scope(resource, person)),
            // What the person consented to holds; asking for more than that would be refused (RFC 6749 section 6).
            ApiNaming::Indicator => self.set("resource", resource),
        }
    }
}

/// How an API is named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiNaming {
    /// v1: `resource`.
    Resource,
    /// v2: `scope=<resource>/.default`.
    Scope,
    /// Elsewhere: `resource` beside OpenID's scopes (RFC 8707).
    Indicator,
}

/// What OpenID calls knowing who it is, and going on without them.
pub(crate) const PERSON_SCOPES: &str = "openid profile offline_access";

/// The API of what [`scope`] takes.
pub(crate) fn api_of(resource: &str) -> &str {
    let Some((first, _)) = resource.split_once(' ') else { return resource };
    first.rsplit_once('/').map_or(first, |(api, _)| api)
}

/// The scope that asks for all that was consented to for an API. A client that everybody shares has nothing consented
/// to beforehand: for it, `resource` names the permissions of one API one by one, with blanks between
/// (`https://api.example/One https://api.example/Two`), and those are asked for.
pub(crate) fn scope(resource: &str, person: bool) -> String {
    if resource.contains(' ') {
        return if person { format!("{resource} {PERSON_SCOPES}") } else { resource.to_owned() };
    }
    // Microsoft: the slash of `https://api.example/` belongs to the resource, so that `//.default` would be right; the
    // APIs read here are all registered without one.
    let default = format!("{}/.default", resource.trim_end_matches('/'));
    if person { format!("{default} {PERSON_SCOPES}") } else { default }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_may_be_asked_for_one_by_one() {
        let one_by_one = "https://api.example/One https://api.example/Two";
        assert_eq!(scope(one_by_one, true), format!("{one_by_one} {PERSON_SCOPES}"));
        assert_eq!(api_of(one_by_one), "https://api.example");
        assert_eq!(scope("https://api.example/", false), "https://api.example/.default");
        assert_eq!(api_of("https://api.example/"), "https://api.example/");
    }
}
