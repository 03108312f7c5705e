//! The client secrets of an app.

use jiff::Timestamp;
use muster_model::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::calls::{Applications, Call, NEEDS_APPLICATIONS, Patience, read, whole_seconds};
use super::error::DirectoryError;
use super::objects::Application;

/// A client secret that was made a moment ago. Microsoft tells its value this once.
#[derive(Debug, Clone)]
pub struct AddedPassword {
    /// Its id.
    pub key_id: Uuid,
    /// Its value.
    pub secret: Secret<String>,
    /// Until when it works.
    pub not_after: Option<Timestamp>,
}

impl Applications<'_> {
    /// Makes a client secret.
    ///
    /// # Errors
    /// See [`DirectoryError`]. Where one [may have happened](DirectoryError::may_have_happened), a secret may exist
    /// whose value nobody knows; it is found by its name.
    pub async fn add_password(
        &self,
        id: Uuid,
        display_name: &str,
        not_after: Timestamp,
    ) -> Result<AddedPassword, DirectoryError> {
        let call = Call::new("making a client secret", NEEDS_APPLICATIONS).with(Patience::Replication);
        let body = json!({
            "passwordCredential": { "displayName": display_name, "endDateTime": whole_seconds(not_after) }
        });
        let path = format!("/v1.0/applications/{id}/addPassword");
        let answer = self.send(&call, Method::POST, &path, Some(&body)).await?;
        // The answer holds a secret: it is wiped, and errors do not show it.
        let body = Secret::new(answer.body);
        let made: MadePassword =
            muster_model::json::from_answer(body.expose()).map_err(|_| DirectoryError::Unreadable {
                action: call.action,
                detail: "it does not hold the new secret".to_owned(),
            })?;
        Ok(AddedPassword {
            key_id: made.key_id,
            secret: Secret::new(made.secret_text),
            not_after: made.end_date_time,
        })
    }

    /// Removes a client secret. One that is gone already is no mistake.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn remove_password(&self, id: Uuid, key_id: Uuid) -> Result<(), DirectoryError> {
        let call = Call::new("removing a client secret", NEEDS_APPLICATIONS);
        let path = format!("/v1.0/applications/{id}/removePassword");
        match self.send(&call, Method::POST, &path, Some(&json!({ "keyId": key_id }))).await {
            Ok(_) => Ok(()),
            Err(DirectoryError::Refused { status: 400, ref message, .. }) if says_gone(message) => Ok(()),
            Err(DirectoryError::NotFound { .. }) => match self.password_is_gone(id, key_id).await? {
                true => Ok(()),
                false => Err(DirectoryError::NotFound {
                    action: call.action,
                    message: format!("secret {key_id} is still there"),
                }),
            },
            Err(error) => Err(error),
        }
    }

    async fn password_is_gone(&self, id: Uuid, key_id: Uuid) -> Result<bool, DirectoryError> {
        let call = Call::new("reading the app registration", NEEDS_APPLICATIONS);
        match self.send(&call, Method::GET, &format!("/v1.0/applications/{id}"), None).await {
            Ok(answer) => {
                let app: Application = read(&call, &answer)?;
                Ok(app.password_credentials.iter().all(|password| password.key_id != key_id))
            }
            Err(DirectoryError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MadePassword {
    key_id: Uuid,
    secret_text: String,
    #[serde(default)]
    end_date_time: Option<Timestamp>,
}

/// `No password credential found with keyId …`
fn says_gone(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("credential")
        && (message.contains("not found") || message.contains("no password credential"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_made_is_not_shown() {
        let made = AddedPassword { key_id: Uuid::nil(), secret: Secret::from("hunter2"), not_after: None };
        assert!(!format!("{made:?}").contains("hunter2"));
    }
}
