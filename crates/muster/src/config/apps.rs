//! `[apps.NAME]`: our app registrations.

use std::path::Path;

use muster_microsoft::entra::credential::{App, Credential};
use serde::Deserialize;

use super::{SecretReference, SecretReferenceError};

/// `[apps.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    /// The application (client) id.
    pub client_id: uuid::Uuid,
    /// The client secret.
    pub secret: SecretReference,
}

impl AppSettings {
    /// The app with its credential read.
    ///
    /// # Errors
    /// When the secret cannot be had.
    pub fn app(&self, name: &str, folder: &Path) -> Result<App, SecretReferenceError> {
        let credential = Credential::Secret(self.secret.read(folder)?);
        Ok(App::new(name, self.client_id.to_string(), credential))
    }
}
