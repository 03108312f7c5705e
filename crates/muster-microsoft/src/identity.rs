//! What the product asks of the identity platform: tokens, sign-ins, consent pages, whether a token is genuine,
//! app registrations and Key Vaults.

use std::time::Duration;

use muster_model::{Purpose, Secret, Source, TenantId};
use url::Url;

use crate::FetchError;
use crate::access::TenantAccess;
use crate::api::answers::Case;
use crate::entra::access_token::AccessToken;
use crate::entra::applications::Applications;
use crate::entra::consent::{self, ConsentForm};
use crate::entra::credential::{Access, App, Credential};
use crate::entra::delegated::{self, AuthorizeRequest, Granted};
use crate::entra::device_code::{self, DeviceCode, DevicePoll};
use crate::entra::error::TokenError;
use crate::entra::verify::{self, Expected, Verification};
use crate::key_vault::{KeyVault, KeyVaultError, VaultAddress};
use crate::microsoft::Microsoft;
use crate::sources;

/// How long is waited before a refusal that is not the API's own is asked about again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

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
        self.tokens.token(&self.platform, app, tenant, resource).await
    }

    /// A token that was just issued, which takes the place of the one in hand. Proves that the credential and the consent work now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn fresh_access_token(
        &self,
        app: &App,
        tenant: TenantId,
        resource: &str,
    ) -> Result<AccessToken, TokenError> {
        self.tokens.fresh(&self.platform, app, tenant, resource).await
    }

    /// A receiver refused a token of `app` before its time: it is forgotten, unless another has taken its place already.
    pub async fn forget_token(&self, app: &App, tenant: TenantId, resource: &str, token: &Secret<String>) {
        if matches!(app.credential, Credential::ManagedIdentity(_)) {
            self.platform.machine.forget();
        }
        self.tokens.discard_secret(app, tenant, resource, token).await;
    }

    /// The sign-in page to send a browser to.
    ///
    /// # Errors
    /// When the app's endpoints must be discovered first and cannot be.
    pub async fn authorize_url(&self, request: &AuthorizeRequest<'_>) -> Result<Url, TokenError> {
        delegated::authorize_url(&self.platform, request).await
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
        let tenant = tenant.into();
        let granted =
            delegated::redeem_code(&self.platform, app, tenant, code, redirect_uri, verifier, resource)
                .await?;
        self.forget_person(app, &granted);
        Ok(granted)
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
        device_code::start(&self.platform, app, tenant.into(), resource).await
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
        let poll = device_code::poll(&self.platform, app, tenant.into(), code).await?;
        if let DevicePoll::Granted(granted) = &poll {
            self.forget_person(app, granted);
        }
        Ok(poll)
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
        consent::consent_url(&self.platform.cloud, form, app, tenant, redirect_uri, state, resource)
    }

    /// Checks a token against the issuer's keys and against what is expected of it.
    pub async fn verify_token(&self, token: &str, expected: &Expected) -> Verification {
        verify::verify(&self.platform, token, expected).await
    }

    /// Graph's calls around app registrations, with a token of somebody who may make them.
    #[must_use]
    pub fn applications<'a>(&'a self, token: &'a AccessToken) -> Applications<'a> {
        Applications::new(&self.platform.client, &self.platform.cloud, token)
    }

    /// The way to Key Vaults.
    #[must_use]
    pub fn key_vault(&self) -> KeyVault<'_> {
        KeyVault::new(&self.platform.client, &self.platform.cloud)
    }

    /// Reads the secret at `address` in a Key Vault that trusts `tenant`, as `app`: the version that the address
    /// names, or the newest.
    ///
    /// # Errors
    /// See [`KeyVaultError`].
    pub async fn vault_secret(
        &self,
        app: &App,
        tenant: TenantId,
        address: &Url,
    ) -> Result<Secret<String>, KeyVaultError> {
        let address = VaultAddress::parse(address.as_str(), self.cloud())?;
        let token = self.access_token(app, tenant, self.cloud().key_vault_resource()).await?;
        self.key_vault().secret(&address, &token).await
    }

    /// Sets a new version of the secret at `address` in a Key Vault that trusts `tenant`, as `app`.
    ///
    /// # Errors
    /// See [`KeyVaultError`].
    pub async fn set_vault_secret(
        &self,
        app: &App,
        tenant: TenantId,
        address: &Url,
        value: &Secret<String>,
    ) -> Result<(), KeyVaultError> {
        let address = VaultAddress::parse(address.as_str(), self.cloud())?;
        let token = self.access_token(app, tenant, self.cloud().key_vault_resource()).await?;
        self.key_vault().set_secret(&address, value, &token).await
    }

    /// Whether Microsoft issues `app` a token for `resource` in `tenant`: one that was just issued, which takes the place
    /// of the one in hand.
    pub async fn probe_token(&self, app: &App, tenant: TenantId, resource: &str) -> TenantAccess {
        let token = self.fresh_access_token(app, tenant, resource).await;
        TenantAccess::by_token(token.as_ref().err())
    }

    /// The API that a tenant with these sources is asked about first: that of its first source, or Graph.
    #[must_use]
    pub fn first_resource(&self, sources: impl IntoIterator<Item = Source>) -> &str {
        let first = sources.into_iter().find_map(|source| sources::declaration(source).api);
        first.map_or(self.cloud().graph_resource(), |api| self.cloud().api_resource(api))
    }

    /// Whether `source` of `tenant` can be read: asks for one record with the token in hand.
    ///
    /// A refusal that is not the API's own, such as a web page of Microsoft's front, may pass. It is asked again before
    /// anything is said of the access.
    pub async fn probe_source(&self, app: &App, tenant: TenantId, source: Source) -> TenantAccess {
        let mut found = self.check_source(app, tenant, source).await;
        if found.as_ref().is_err_and(|error| error.case() == Case::Blocked) {
            tokio::time::sleep(ASKED_AGAIN_AFTER).await;
            found = self.check_source(app, tenant, source).await;
        }
        TenantAccess::by_page(found.as_ref().err())
    }

    /// Asks `source` for one record with the token in hand, to see whether it can be read at all.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn check_source(&self, app: &App, tenant: TenantId, source: Source) -> Result<(), FetchError> {
        let hour = Duration::from_secs(3600);
        let from = self.platform.now().saturating_sub(hour).expect("a duration is never out of range");
        self.fetch(app, tenant, source, Purpose::Live, &sources::glance(source, from)).await.map(drop)
    }

    /// Another person may have signed in: what was got for the former one is not used any more.
    fn forget_person(&self, app: &App, granted: &Granted) {
        if let (Access::Delegated, Some(tenant)) = (app.access, granted.tenant) {
            self.tokens.forget_app(tenant, &app.name);
        }
    }
}
