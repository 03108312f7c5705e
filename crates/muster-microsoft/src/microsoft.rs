//! One page of one source of one tenant: budget, token, request, and what came of it.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use muster_http::{Client, ClientError, ClientOptions, Held, Response, shown};
use muster_model::page::Body;
use muster_model::{Clock, DomainName, Purpose, Source, TenantId, TenantReference};
use reqwest::{Method, RequestBuilder};
use url::Url;

use crate::Cloud;
use crate::api::answers::TOKENS_MAX;
use crate::api::challenge;
use crate::api::failure::{self, FetchError};
use crate::api::family::Quota;
use crate::api::throttling::Budgets;
use crate::entra::access_token::AccessToken;
use crate::entra::credential::App;
use crate::entra::discovery::{self, DiscoveryError, FoundTenant};
use crate::entra::grant::GrantKeeper;
use crate::entra::managed_identity::MachineTokens;
use crate::entra::permissions::Permission;
use crate::entra::platform::Platform;
use crate::entra::token::TokenCache;
use crate::hunting::{self, HuntingApi, HuntingQuery};
use crate::sources::{self, Api, SiemFeed, Target};

/// How Microsoft is spoken to.
#[derive(Clone)]
pub struct MicrosoftOptions {
    /// Which cloud.
    pub cloud: Cloud,
    /// The HTTP client.
    pub client: ClientOptions,
    /// Requests a minute per API family, tenant and app.
    pub requests_per_minute: u32,
    /// Who keeps people's grants; without it no app can act for a person.
    pub grants: Option<Arc<dyn GrantKeeper>>,
    /// Whether tokens are asked for that live long and may be revoked at any time (continuous access evaluation).
    pub continuous_access: bool,
    /// How the retired SIEM feed is asked.
    pub siem_feed: SiemFeed,
}

impl MicrosoftOptions {
    /// The usual: the documented rate, no grants, no continuous access evaluation.
    #[must_use]
    pub fn new(cloud: Cloud, client: ClientOptions) -> Self {
        Self {
            cloud,
            client,
            requests_per_minute: 150,
            grants: None,
            continuous_access: false,
            siem_feed: SiemFeed::default(),
        }
    }
}

impl MicrosoftOptions {
    /// The same with time and room for hunting: a query runs for minutes before a byte comes, and brings a great deal.
    #[must_use]
    pub fn for_hunting(self) -> Self {
        Self { client: hunting::roomy(&self.client), ..self }
    }
}

impl std::fmt::Debug for MicrosoftOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MicrosoftOptions")
            .field("cloud", &self.cloud)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// The way to Microsoft for all tenants. Shared by all workers.
pub struct Microsoft {
    pub(crate) platform: Platform,
    pub(crate) tokens: Arc<TokenCache>,
    budgets: Budgets,
    siem_feed: SiemFeed,
    /// For hunting queries, which run for minutes before a byte comes.
    patient: Client,
}

/// What a call needs, whatever it asks.
#[derive(Clone, Copy)]
pub(crate) struct Needs {
    /// What it is counted with. It also tells whose tokens it takes.
    pub(crate) quota: Quota,
    pub(crate) purpose: Purpose,
    /// Any one of these will do, the first is the least.
    pub(crate) permissions: &'static [&'static Permission],
    /// Whether its answer may take minutes.
    pub(crate) patient: bool,
}

/// A page as it came.
#[derive(Debug)]
pub struct FetchedPage {
    /// Its bytes, to be taken apart by [`muster_model::page::split`].
    pub body: Body,
    /// The server's clock, where it tells the time.
    pub server_time: Option<Timestamp>,
    /// Part of the answer is missing, says the service, in these words.
    pub partial: Option<String>,
    /// The id under which Microsoft's support finds the request: Microsoft's own, or else the one that was sent with it. At
    /// most 300 characters, fit for a message.
    pub request_id: Option<String>,
    /// Whether there may be more that the answer says nothing of.
    pub cut: bool,
    /// What it holds of the pool of memory; given back when the page is dropped.
    pub(crate) held: Held,
}

impl From<Response> for FetchedPage {
    fn from(answer: Response) -> Self {
        Self {
            server_time: answer.date(),
            partial: failure::left_out(&answer),
            request_id: answer.request_id(),
            body: answer.body.into(),
            cut: false,
            held: answer.held,
        }
    }
}

#[cfg(test)]
impl FetchedPage {
    /// A page of this body that says nothing else.
    pub(crate) fn of(body: Vec<u8>) -> Self {
        Response { status: 200, body, ..Response::default() }.into()
    }
}

impl Microsoft {
    /// Sets the way up. Asks nothing yet.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(options: MicrosoftOptions, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let through = ClientOptions { request_id_header: Some("client-request-id"), ..options.client };
        let client = Client::new(&through)?;
        let patient = Client::new(&hunting::patient(&through))?;
        let direct = match through.proxy {
            None => client.clone(),
            Some(_) => Client::new(&ClientOptions { proxy: None, ..through })?,
        };
        Ok(Self {
            platform: Platform::new(
                client,
                MachineTokens::new(direct, Arc::clone(&clock)),
                options.cloud,
                clock,
                options.grants,
                options.continuous_access,
            ),
            tokens: Arc::default(),
            budgets: Budgets::new(options.requests_per_minute),
            siem_feed: options.siem_feed,
            patient,
        })
    }

    /// The same with the tokens that `before` has in hand, for settings whose apps and cloud are the same.
    #[must_use]
    pub fn with_tokens_of(self, before: &Self) -> Self {
        Self { tokens: Arc::clone(&before.tokens), ..self }
    }

    /// The tenant that has verified `domain`.
    ///
    /// # Errors
    /// When none has, or the identity platform does not answer.
    pub async fn tenant_of(&self, domain: &DomainName) -> Result<TenantId, DiscoveryError> {
        self.find_tenant(&TenantReference::Domain(domain.clone())).await.map(|found| found.id)
    }

    /// The tenant of this id or domain, and the national cloud that it belongs to.
    ///
    /// # Errors
    /// When there is none, or the identity platform does not answer.
    pub async fn find_tenant(&self, reference: &TenantReference) -> Result<FoundTenant, DiscoveryError> {
        discovery::find_tenant(&self.platform.client, &self.platform.cloud, reference).await
    }

    /// Fetches a page, for `purpose`. Waits for the network only: where the budget is used up, it says so at once.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(
        &self,
        app: &App,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
        target: &Target,
    ) -> Result<FetchedPage, FetchError> {
        let cloud = &self.platform.cloud;
        let api = sources::api(source);
        let url = match target {
            Target::Hunt(by, query) => return self.hunt_page(app, tenant, source, purpose, *by, query).await,
            Target::Path(path) if api == Api::SiemFeed => self.siem_feed.address(cloud, tenant, path),
            Target::Path(path) => cloud.api_address(api, path),
            Target::Link(link) => {
                let url = Url::parse(link).ok().filter(|url| cloud.owns(api, url));
                url.ok_or_else(|| FetchError::ForeignLink(shown(link)))?.into()
            }
        };
        let permissions = sources::in_tokens(source);
        let needs = Needs { quota: api.into(), purpose, permissions, patient: false };
        let request = |client: &Client, token: &str| client.get(&url, Some(token));
        let answer = self.call(app, tenant, needs, request).await?;
        // Another Muster's pull API, which stands in for the feed, says so where an answer is full before its time.
        let cut = api == Api::SiemFeed && answer.header("muster-more").is_some();
        Ok(FetchedPage { cut, ..answer.into() })
    }

    /// The rows of a window of a saved query, as they came.
    async fn hunt_page(
        &self,
        app: &App,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
        by: HuntingApi,
        query: &HuntingQuery,
    ) -> Result<FetchedPage, FetchError> {
        let (url, body) = (self.platform.cloud.api_address(by.api(), by.path()), query.body());
        let permissions = sources::permissions(source);
        let needs = Needs { quota: by.quota(), purpose, permissions, patient: true };
        let request = |client: &Client, token: &str| client.json(Method::POST, &url, token, &body);
        Ok(self.call(app, tenant, needs, request).await?.into())
    }

    /// Whether a link that an answer named may be followed with the tokens of this source.
    #[must_use]
    pub fn owns(&self, source: Source, link: &str) -> bool {
        let api = sources::api(source);
        Url::parse(link).is_ok_and(|url| self.platform.cloud.owns(api, &url))
    }

    /// One call with the right token, counted in the right budget. `request` makes it with a token.
    pub(crate) async fn call(
        &self,
        app: &App,
        tenant: TenantId,
        needs: Needs,
        request: impl Fn(&Client, &str) -> RequestBuilder,
    ) -> Result<Response, FetchError> {
        let Platform { cloud, client, .. } = &self.platform;
        let client = if needs.patient { &self.patient } else { client };
        let Needs { quota, purpose, .. } = needs;
        let api = quota.api();
        let resource = cloud.api_resource(api);
        let (mut answer, mut permitted) = (None, false);
        let mut token = self.tokens.token(&self.platform, app, tenant, resource).await?;
        // A token may have been revoked before its time: the first 401 is answered with a new one.
        for attempt in 1..=TOKENS_MAX {
            permitted = match self.check_permissions(&token, app, tenant, needs.permissions) {
                Ok(permitted) => permitted,
                Err(error) => {
                    self.tokens.discard(app, tenant, resource, &token).await;
                    return Err(error);
                }
            };
            let mut request = request(client, token.secret.expose());
            for (name, value) in api.headers() {
                request = request.header(*name, *value);
            }
            // Each that goes out is counted; one that is refused for want of a token or a permission never goes out.
            let now = self.platform.now();
            self.budgets.take(quota, tenant, &app.name, purpose, now).map_err(|wait| {
                FetchError::OverBudget {
                    wait,
                    throttled: self.budgets.is_throttled(quota, tenant, &app.name, now),
                }
            })?;
            let got = client.send(request).await?;
            if attempt == TOKENS_MAX || got.status != 401 {
                if got.status == 401 || failure::is_denied(&got) {
                    self.tokens.discard(app, tenant, resource, &token).await;
                }
                answer = Some(got);
                break;
            }
            let claims = got.www_authenticate().as_deref().and_then(challenge::wanted_claims);
            // The refusal is dropped first: what it holds of the memory may be needed for the next.
            drop(got);
            token = match claims {
                Some(claims) => {
                    self.tokens.challenged(&self.platform, app, tenant, resource, &token, &claims).await?
                }
                None => {
                    self.tokens.discard(app, tenant, resource, &token).await;
                    self.tokens.token(&self.platform, app, tenant, resource).await?
                }
            };
        }
        let answer = answer.expect("the loop runs at least once");
        match answer.status {
            200 | 206 => Ok(answer),
            429 => {
                let now = self.platform.now();
                let told = answer.retry_after();
                let wait = self.budgets.throttled(quota, tenant, &app.name, told, now);
                Err(FetchError::Throttled { wait, told: told.is_some() })
            }
            _ if api == Api::SiemFeed => Err(failure::of_feed(&answer)),
            _ if permitted => Err(failure::of(&answer).for_permitted(app.access)),
            _ => Err(failure::of(&answer)),
        }
    }

    /// The cloud that is spoken to.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.platform.cloud
    }

    /// Throws away what is remembered of a tenant.
    pub fn forget(&self, tenant: TenantId) {
        self.forget_all(&HashSet::from([tenant]));
    }

    /// Throws away what is remembered of these tenants, in one pass over all.
    pub fn forget_all(&self, tenants: &HashSet<TenantId>) {
        self.tokens.forget(tenants);
        self.budgets.forget(tenants);
    }

    /// Whether the token is known to have what the call needs.
    fn check_permissions(
        &self,
        token: &AccessToken,
        app: &App,
        tenant: TenantId,
        needed: &[&'static Permission],
    ) -> Result<bool, FetchError> {
        // A token that cannot be read is not judged; the API will.
        let Some(granted) = token.permissions(app.access) else { return Ok(false) };
        if needed.is_empty() {
            return Ok(false);
        }
        let mut wanted = needed.iter().filter_map(|known| known.name(app.access));
        let least = wanted.clone().next().unwrap_or_default();
        if wanted.any(|name| granted.iter().any(|granted| granted == name)) {
            return Ok(true);
        }
        let consent_url = self.platform.cloud.admin_consent_url(&tenant.to_string(), &app.client_id);
        Err(FetchError::MissingRole { role: least, granted: granted.to_vec(), consent_url })
    }
}
