//! How our app proves itself.

use muster_model::Secret;

/// An app registration of ours, as the settings name it.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name in the settings.
    pub name: String,
    /// Its application (client) id.
    pub client_id: String,
    /// How it proves itself.
    pub credential: Credential,
}

/// What proves an app.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A client secret.
    Secret(Secret<String>),
}
