//! A request for a token, and what is to be issued.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::application::Application;
use super::claims::Version;
use super::client::{Credentials, Proof};
use super::error::{AadError, missing};
use super::flow::{Person, RequestedAccess};
use super::platform::Scene;
use super::resources::Resource;

/// A token request, read.
pub(crate) struct Request<'a> {
    pub(crate) scene: &'a Scene<'a>,
    /// As the address has it.
    pub(crate) tenant_name: &'a str,
    /// `None`: whatever tenant the person is of.
    pub(crate) tenant: Option<u32>,
    pub(crate) version: Version,
    pub(crate) form: HashMap<String, String>,
    pub(crate) credentials: Credentials,
    pub(crate) app: Application,
    pub(crate) claims: Option<Value>,
}

impl Request<'_> {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.form.get(name).map(String::as_str)
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, AadError> {
        self.field(name).ok_or_else(|| missing(name))
    }

    pub(crate) fn directory(&self) -> &str {
        let tenant = self.tenant.unwrap_or_else(|| self.scene.world.provider());
        &self.scene.world.facts(tenant).name
    }

    /// What of the `claims` parameter a token has to satisfy beyond the client's capabilities.
    pub(crate) fn asked_claims(&self) -> Option<Value> {
        let mut asked = self.claims.as_ref()?.get("access_token")?.clone();
        asked.as_object_mut()?.remove("xms_cc");
        asked.as_object().is_some_and(|asked| !asked.is_empty()).then_some(asked)
    }

    /// Whether the client says that it understands claims challenges.
    pub(crate) fn is_capable(&self) -> bool {
        let values = self.claims.as_ref().map(|claims| &claims["access_token"]["xms_cc"]["values"]);
        values.and_then(Value::as_array).is_some_and(|values| {
            values.iter().any(|value| value.as_str().is_some_and(|value| value.eq_ignore_ascii_case("cp1")))
        })
    }
}

/// Who a token is for.
pub(crate) enum Subject {
    App,
    Person(Person),
}

/// What a token answer is made of.
pub(crate) struct Grant {
    pub(crate) tenant: u32,
    pub(crate) subject: Subject,
    pub(crate) resource: String,
    pub(crate) known: Option<&'static Resource>,
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) oidc: BTreeSet<String>,
    pub(crate) proof: Proof,
    pub(crate) nonce: Option<String>,
    pub(crate) wanted: Option<RequestedAccess>,
}
