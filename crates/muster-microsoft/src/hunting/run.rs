//! One query of one tenant.

use muster_http::Client;
use muster_model::{Purpose, TenantId};
use reqwest::Method;

use super::answer::{HuntingAnswer, Unreadable};
use super::api::{HuntingApi, HuntingQuery};
use crate::api::failure::{self, FetchError};
use crate::entra::credential::App;
use crate::microsoft::{Microsoft, Needs};

/// Why a query has no rows to show.
#[derive(Debug, thiserror::Error)]
pub enum HuntError {
    /// Microsoft was not reached, or refuses.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It answered with something else.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Microsoft {
    /// Asks a tenant a hunting query. Waits for the network only: where the budget is used up, it says so at once.
    ///
    /// # Errors
    /// See [`HuntError`].
    pub async fn hunt(
        &self,
        app: &App,
        tenant: TenantId,
        by: HuntingApi,
        query: &HuntingQuery,
    ) -> Result<HuntingAnswer, HuntError> {
        let url = self.platform.cloud.api_address(by.api(), by.path());
        let body = query.body();
        let needs =
            Needs { quota: by.quota(), purpose: Purpose::Live, permissions: by.permissions(), patient: true };
        let request = |client: &Client, token: &str| client.json(Method::POST, &url, token, &body);
        let answer = self.call(app, tenant, needs, request).await?;
        let (partial, request_id) = (failure::left_out(&answer), answer.request_id());
        Ok(HuntingAnswer::read(by, answer.body, answer.held)?.with(partial, request_id))
    }
}
