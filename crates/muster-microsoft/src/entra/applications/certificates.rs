//! The certificates of an app. Graph replaces their list as a whole.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use muster_model::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::calls::{
    ATTEMPTS_MAX, Applications, Call, NEEDS_APPLICATIONS, PAUSE_MAX, Patience, parse, query, read,
    whole_seconds,
};
use super::error::DirectoryError;
use super::objects::KeyCredential;

/// A certificate to be added to an app: its public part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The id it gets. Chosen by us, so that it is known before it is there.
    pub key_id: Uuid,
    /// The name shown in the portal.
    pub display_name: String,
    /// The certificate in DER form.
    pub der: Vec<u8>,
    /// From when it works.
    pub not_before: Timestamp,
    /// Until when it works.
    pub not_after: Timestamp,
}

impl Applications<'_> {
    /// The certificates of an app, with their public keys.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn certificates(&self, id: Uuid) -> Result<Vec<KeyCredential>, DirectoryError> {
        let call = Call::new("reading the app's certificates", NEEDS_APPLICATIONS);
        let keys = self.raw_certificates(&call, id).await?;
        keys.into_iter().map(|key| parse(&call, key)).collect()
    }

    /// Adds a certificate beside those that are there. One that is there already is no mistake.
    ///
    /// The ids of `keep` are certificates that the app needs and that may be so new that not all of Microsoft's servers
    /// list them: they are waited for, and nothing is changed without them.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn add_certificate(
        &self,
        id: Uuid,
        new: &NewCertificate,
        keep: &[Uuid],
    ) -> Result<(), DirectoryError> {
        let call = Call::new("adding a certificate", NEEDS_APPLICATIONS).with(Patience::Replication);
        let (mut keys, missing) = self.certificates_with(&call, id, keep).await?;
        if keys.iter().any(|key| has_id(key, new.key_id)) {
            return Ok(());
        }
        if let Some(missing) = missing {
            return Err(DirectoryError::NotListed { action: call.action, missing });
        }
        keys.push(json!({
            "keyId": new.key_id,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "key": STANDARD.encode(&new.der),
            "displayName": new.display_name,
            "startDateTime": whole_seconds(new.not_before),
            "endDateTime": whole_seconds(new.not_after),
        }));
        self.put_certificates(&call, id, keys, keep, None).await
    }

    /// Removes a certificate. One that is gone already is no mistake.
    ///
    /// The ids of `keep` are certificates that the app needs and that may be so new that not all of Microsoft's servers
    /// list them: they are waited for, and nothing is changed without them.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn remove_certificate(
        &self,
        id: Uuid,
        key_id: Uuid,
        keep: &[Uuid],
    ) -> Result<(), DirectoryError> {
        let call = Call::new("removing a certificate", NEEDS_APPLICATIONS);
        let (mut keys, missing) = self.certificates_with(&call, id, keep).await?;
        let count = keys.len();
        keys.retain(|key| !has_id(key, key_id));
        if keys.len() == count {
            return Ok(());
        }
        if let Some(missing) = missing {
            return Err(DirectoryError::NotListed { action: call.action, missing });
        }
        self.put_certificates(&call, id, keys, keep, Some(key_id)).await
    }

    /// Replaces the list, in which all of `keep` are, and sees to it that they are in it afterwards: what another writer
    /// lost at the same moment is put back once.
    async fn put_certificates(
        &self,
        call: &Call,
        id: Uuid,
        keys: Vec<Value>,
        keep: &[Uuid],
        removed: Option<Uuid>,
    ) -> Result<(), DirectoryError> {
        self.patch(call, id, &json!({ "keyCredentials": keys })).await?;
        let (mut now, missing) = self.certificates_with(call, id, keep).await?;
        if missing.is_none() {
            return Ok(());
        }
        now.retain(|key| removed.is_none_or(|removed| !has_id(key, removed)));
        let lost: Vec<Value> = keys
            .into_iter()
            .filter(|key| keep.iter().any(|kept| has_id(key, *kept)))
            .filter(|key| !now.iter().any(|there| there["keyId"] == key["keyId"]))
            .collect();
        now.extend(lost);
        self.patch(call, id, &json!({ "keyCredentials": now })).await?;
        match self.certificates_with(call, id, keep).await? {
            (_, None) => Ok(()),
            (_, Some(missing)) => Err(DirectoryError::Lost { action: call.action, missing }),
        }
    }

    /// The certificates as Graph lists them, read again for a while as long as one of `keep` is not among them: one of
    /// Microsoft's servers may not know yet what was added at another. With the one that is missing in the end.
    async fn certificates_with(
        &self,
        call: &Call,
        id: Uuid,
        keep: &[Uuid],
    ) -> Result<(Vec<Value>, Option<Uuid>), DirectoryError> {
        for attempt in 0.. {
            let keys = self.raw_certificates(call, id).await?;
            let missing = keep.iter().copied().find(|kept| !keys.iter().any(|key| has_id(key, *kept)));
            if missing.is_none() || attempt + 1 >= ATTEMPTS_MAX {
                return Ok((keys, missing));
            }
            tokio::time::sleep(Duration::from_millis(500 << attempt).min(PAUSE_MAX)).await;
        }
        unreachable!("the loop is left by returning")
    }

    /// Graph replaces the whole list, so it is read with everything in it and written back with everything in it.
    async fn raw_certificates(&self, call: &Call, id: Uuid) -> Result<Vec<Value>, DirectoryError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Keys {
            #[serde(default)]
            key_credentials: Vec<Value>,
        }
        let path = query(&format!("/v1.0/applications/{id}"), &[("$select", "id,keyCredentials")]);
        let keys: Keys = read(call, &self.send(call, Method::GET, &path, None).await?)?;
        Ok(keys.key_credentials)
    }

    /// Adds a certificate with a proof instead of a permission: a short-lived token signed by a certificate that the
    /// app has already. See [`key_proof_claims`].
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn add_key(
        &self,
        id: Uuid,
        der: &[u8],
        proof: &Secret<String>,
    ) -> Result<KeyCredential, DirectoryError> {
        let call = Call::new("adding a certificate by proof", NEEDS_APPLICATIONS);
        let body = json!({
            "keyCredential": { "type": "AsymmetricX509Cert", "usage": "Verify", "key": STANDARD.encode(der) },
            "passwordCredential": null,
            "proof": proof.expose(),
        });
        let path = format!("/v1.0/applications/{id}/addKey");
        read(&call, &self.send(&call, Method::POST, &path, Some(&body)).await?)
    }
}

/// The claims of a proof for [`Applications::add_key`]: signed with `RS256` and `x5t` by a certificate of the app.
/// Source: Microsoft Graph "Generating proof of possession tokens for rolling keys".
#[must_use]
pub fn key_proof_claims(object_id: Uuid, now: Timestamp) -> Value {
    let now = now.as_second();
    json!({
        "aud": "00000002-0000-0000-c000-000000000000",
        "iss": object_id,
        "nbf": now,
        "exp": now + 600,
    })
}

/// Whether a raw `keyCredential` has this id.
fn has_id(key: &Value, id: Uuid) -> bool {
    key["keyId"].as_str().and_then(|text| text.parse().ok()) == Some(id)
}
