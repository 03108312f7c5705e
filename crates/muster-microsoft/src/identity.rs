//! What the product asks of the identity platform: tokens, sign-ins, consent pages, and whether a token is genuine.

use muster_model::{Secret, Source, TenantId};
use url::Url;

use crate::entra::consent::ConsentForm;
use crate::entra::credential::App;
use crate::entra::delegated::{AuthorizeRequest, Granted};
use crate::entra::device_code::{DeviceCode, DevicePoll};
use crate::entra::token::{AccessToken, TokenError};
use crate::entra::verify::{Expected, Verification};
use crate::microsoft::{FetchError, Microsoft};

#[expect(clippy::todo, clippy::unused_async, reason = "signatures first")]
#[expect(unused_variables, reason = "signatures first")]
impl Microsoft {
    /// A token of `app` for `resource` in `tenant`: the one in hand, or a new one.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn access_token(
        &self,
        app: &App,
        tenant: TenantId,
        resource: &str,
    ) -> Result<AccessToken, TokenError> {
        todo!()
    }

    /// A token that was just issued: what was in hand is thrown away. Proves that the credential and the consent work now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn fresh_access_token(
        &self,
        app: &App,
        tenant: TenantId,
        resource: &str,
    ) -> Result<AccessToken, TokenError> {
        todo!()
    }

    /// The sign-in page to send a browser to.
    ///
    /// # Errors
    /// When the app's endpoints must be discovered first and cannot be.
    pub async fn authorize_url(&self, request: &AuthorizeRequest<'_>) -> Result<Url, TokenError> {
        todo!()
    }

    /// Redeems the code that a sign-in brought. `tenant` as in the [`AuthorizeRequest`].
    ///
    /// # Errors
    /// See [`TokenError`]; also when the token is for another tenant than `tenant`.
    pub async fn redeem_code(
        &self,
        app: &App,
        tenant: impl Into<Option<TenantId>>,
        code: &Secret<String>,
        redirect_uri: &str,
        verifier: &Secret<String>,
        resource: &str,
    ) -> Result<Granted, TokenError> {
        todo!()
    }

    /// Starts a sign-in in which a person types a code on any device.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn start_device_code(
        &self,
        app: &App,
        tenant: impl Into<Option<TenantId>>,
        resource: &str,
    ) -> Result<DeviceCode, TokenError> {
        todo!()
    }

    /// Asks how such a sign-in stands. Wait [`DeviceCode::interval`] before the first question.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn poll_device_code(
        &self,
        app: &App,
        tenant: impl Into<Option<TenantId>>,
        code: &DeviceCode,
    ) -> Result<DevicePoll, TokenError> {
        todo!()
    }

    /// The page on which an administrator of `tenant` consents to `app`.
    #[must_use]
    pub fn consent_url(
        &self,
        form: ConsentForm,
        app: &App,
        tenant: TenantId,
        redirect_uri: &str,
        state: &str,
        resource: &str,
    ) -> Url {
        todo!()
    }

    /// Checks a token against the issuer's keys and against what is expected of it.
    pub async fn verify_token(&self, token: &str, expected: &Expected) -> Verification {
        todo!()
    }

    /// Asks `source` for one record with the token in hand, to see whether it can be read at all.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn check_source(&self, app: &App, tenant: TenantId, source: Source) -> Result<(), FetchError> {
        todo!()
    }
}
