//! How our app proves itself: each kind of credential, and where it is held.
//!
//! What each is turned into on the wire is told in [`super::assertion`] (certificates, federated tokens) and
//! [`super::managed_identity`]; a person's grant is kept by a [`super::grant::GrantKeeper`].

use std::path::PathBuf;
use std::sync::Arc;

use muster_model::Secret;
use url::Url;

use super::certificate::Certificate;

/// An app registration of ours, as the settings name it.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name in the settings.
    pub name: String,
    /// Its application (client) id.
    pub client_id: String,
    /// How it proves itself.
    pub credential: Credential,
    /// Which endpoints its tokens come from.
    pub endpoint: Endpoint,
    /// Whether it acts as itself or for a person.
    pub access: Access,
}

impl App {
    /// An app that acts as itself, by the v2 endpoints.
    #[must_use]
    pub fn new(name: impl Into<String>, client_id: impl Into<String>, credential: Credential) -> Self {
        Self {
            name: name.into(),
            client_id: client_id.into(),
            credential,
            endpoint: Endpoint::default(),
            access: Access::default(),
        }
    }
}

/// What proves an app.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A client secret.
    Secret(Secret<String>),
    /// A certificate, whose key signs an assertion for each request.
    Certificate(Arc<Certificate>),
    /// A token of another issuer that the app registration trusts.
    Federated(Assertion),
    /// The identity of the machine in Azure. Microsoft holds the key; it reaches the machine's own tenant only.
    ManagedIdentity(ManagedIdentity),
    /// None: a public client, which can sign people in and nothing else.
    None,
}

/// Where a federated token comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Assertion {
    /// A file that something else keeps fresh, such as Kubernetes. It is read anew for each request.
    File(PathBuf),
    /// The managed identity of the machine.
    ManagedIdentity(ManagedIdentity),
}

/// The managed identity of the machine: by Azure's instance metadata service, or by what App Service and Container Apps put
/// beside each program.
#[derive(Debug, Clone)]
pub struct ManagedIdentity {
    /// The token endpoint; see [`ManagedIdentity::default`] for that of a virtual machine.
    pub endpoint: Url,
    /// What proves to the endpoint of App Service or Container Apps that a request is this program's own
    /// (`X-IDENTITY-HEADER`); none: a virtual machine's, which wants none.
    pub header: Option<Secret<String>>,
    /// Which of several user-assigned identities.
    pub client_id: Option<String>,
}

impl PartialEq for ManagedIdentity {
    fn eq(&self, other: &Self) -> bool {
        let header = |identity: &Self| identity.header.as_ref().map(|header| header.expose().clone());
        self.endpoint == other.endpoint && self.client_id == other.client_id && header(self) == header(other)
    }
}

impl Default for ManagedIdentity {
    /// The address that every Azure machine has.
    fn default() -> Self {
        let endpoint = "http://169.254.169.254/metadata/identity/oauth2/token";
        let endpoint = Url::parse(endpoint).expect("a built-in address is a URL");
        Self { endpoint, header: None, client_id: None }
    }
}

/// Which endpoints of an issuer are used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Endpoint {
    /// The identity platform's first generation: `resource`.
    V1,
    /// Its second generation: `scope`.
    #[default]
    V2,
    /// Another OpenID provider, by its issuer address: its discovery document names the endpoints, which must be on
    /// the issuer's own host. Tokens are asked for with `resource` (RFC 8707).
    Discovered(Url),
}

/// Whether an app acts as itself or for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// As itself, with application permissions.
    #[default]
    Application,
    /// For a person who signed in once, with that person's permissions.
    Delegated,
}
