//! One page of one source of one tenant: budget, token, request, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_http::{Client, ClientError, ClientOptions, Response, TransportError, shown};
use muster_model::{Clock, DomainName, Question, Source, TenantId};
use url::Url;

use crate::Cloud;
use crate::api::challenge;
use crate::api::error;
use crate::api::throttling::Budgets;
use crate::entra::access_token::AccessToken;
use crate::entra::credential::App;
use crate::entra::discovery::{self, DiscoveryError};
use crate::entra::error::TokenError;
use crate::entra::grant::GrantKeeper;
use crate::entra::managed_identity::MachineTokens;
use crate::entra::permissions;
use crate::entra::platform::Platform;
use crate::entra::token::TokenCache;
use crate::sources;

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
}

impl MicrosoftOptions {
    /// The usual: the documented rate, no grants, no continuous access evaluation.
    #[must_use]
    pub fn new(cloud: Cloud, client: ClientOptions) -> Self {
        Self { cloud, client, requests_per_minute: 150, grants: None, continuous_access: false }
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
    pub(crate) tokens: TokenCache,
    budgets: Budgets,
}

/// What to ask of a source.
#[derive(Debug, Clone)]
pub enum Ask<'a> {
    /// The records that a cursor wants next.
    Question {
        /// From where.
        question: Question,
        /// At most so many records.
        top: u32,
        /// Whether to ask for ascending order; not where the service refused to sort.
        sorted: bool,
    },
    /// The link that the last page named.
    Link(&'a str),
}

/// A page as it came.
#[derive(Debug)]
pub struct FetchedPage {
    /// Its bytes, to be taken apart by [`muster_model::page::split`].
    pub body: Vec<u8>,
    /// The server's clock, or ours.
    pub answered_at: Timestamp,
    /// Part of the answer is missing, says the service, in these words.
    pub partial: Option<String>,
    /// Its place in memory; given back when the page is dropped.
    _place: Option<tokio::sync::OwnedSemaphorePermit>,
}

/// Why a page could not be fetched. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token lacks the permission.
    #[error("the app has no consent for {role} in this tenant; have its administrator open {consent_url}")]
    MissingRole {
        /// The least permission that would do.
        role: &'static str,
        /// Those that the token has. None at all means that the consent as a whole is gone.
        granted: Vec<String>,
        /// Where to consent.
        consent_url: String,
    },
    /// Microsoft asks to wait; other tenants are not affected.
    #[error("throttled by Microsoft for {} s", .wait.as_secs())]
    Throttled {
        /// For how long.
        wait: Duration,
    },
    /// Our own budget for this tenant is used up.
    #[error("the request budget of this tenant is used up for {} ms", .wait.as_millis())]
    OverBudget {
        /// For how long.
        wait: Duration,
    },
    /// The API refuses the caller.
    #[error(
        "Microsoft refuses access (status {status}, {code}): {message}; check consent, roles and licences of this tenant"
    )]
    Denied {
        /// HTTP status: 401 or 403.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The tenant has not bought what is asked for.
    #[error(
        "the tenant has no licence for this API (status {status}, {code}): {message}; have the customer check its Defender licences, or leave this source out"
    )]
    NoLicence {
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The API refuses the request.
    #[error("Microsoft does not take the request (status {status}, {code}): {message}")]
    BadRequest {
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The API has trouble of its own.
    #[error("Microsoft's API is in trouble (status {status}, {code}): {message}; nothing to do but wait")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// A link to somewhere else.
    #[error("the page names a next page at {0}, which is not this API; a token is not sent there")]
    ForeignLink(String),
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl FetchError {
    /// How long Microsoft asks to wait, where it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait } | Self::OverBudget { wait } => Some(*wait),
            Self::Unavailable { retry_after, .. } | Self::Token(TokenError::Busy { retry_after, .. }) => {
                *retry_after
            }
            _ => None,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::MissingRole { .. } => "missing_role",
            Self::Throttled { .. } => "throttled",
            Self::OverBudget { .. } => "budget",
            Self::Denied { .. } => "denied",
            Self::NoLicence { .. } => "no_licence",
            Self::BadRequest { .. } => "bad_request",
            Self::Unavailable { .. } => "unavailable",
            Self::ForeignLink(_) => "foreign_link",
            Self::Transport(_) => "transport",
        }
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
            tokens: TokenCache::default(),
            budgets: Budgets::new(options.requests_per_minute),
        })
    }

    /// The tenant that has verified `domain`.
    ///
    /// # Errors
    /// When none has, or the identity platform does not answer.
    pub async fn tenant_of(&self, domain: &DomainName) -> Result<TenantId, DiscoveryError> {
        discovery::tenant_of(&self.platform.client, &self.platform.cloud, domain).await
    }

    /// Fetches a page. Waits for the network only: where the budget is used up, it says so at once.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(
        &self,
        app: &App,
        tenant: TenantId,
        source: Source,
        ask: Ask<'_>,
    ) -> Result<FetchedPage, FetchError> {
        let Platform { cloud, client, .. } = &self.platform;
        let requirements = sources::requirements(source);
        let url = match ask {
            Ask::Question { question, top, sorted } => {
                cloud.graph(&sources::path_and_query(source, question, top, sorted))
            }
            Ask::Link(link) => {
                let url = Url::parse(link).ok().filter(|url| cloud.is_graph(url));
                url.ok_or_else(|| FetchError::ForeignLink(shown(link)))?.into()
            }
        };
        let resource = cloud.graph_resource();
        self.budgets
            .take(requirements.family, tenant, &app.name, self.platform.now())
            .map_err(|wait| FetchError::OverBudget { wait })?;
        let mut answer = None;
        let mut token = self.tokens.token(&self.platform, app, tenant, resource).await?;
        // A token may have been revoked before its time: the first 401 is answered with a new one.
        for attempt in 0..2 {
            if let Err(error) = self.check_permissions(&token, app, tenant, source) {
                self.tokens.discard(app, tenant, resource, &token).await;
                return Err(error);
            }
            let got = client.send(client.get(&url, Some(token.secret.expose()))).await?;
            if attempt > 0 || got.status != 401 {
                if got.status == 401 || got.status == 403 {
                    self.tokens.discard(app, tenant, resource, &token).await;
                }
                answer = Some(got);
                break;
            }
            let claims = got.www_authenticate().as_deref().and_then(challenge::wanted_claims);
            // The refusal is dropped first: what it holds, such as its place in memory, may be needed for the next.
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
        let now = self.platform.now();
        if answer.status == 429 {
            let wait =
                self.budgets.throttled(requirements.family, tenant, &app.name, answer.retry_after(), now);
            return Err(FetchError::Throttled { wait });
        }
        if answer.status != 200 && answer.status != 206 {
            return Err(failure(&answer));
        }
        let warning = answer.header("warning");
        let partial = (answer.status == 206)
            .then(|| warning.clone().unwrap_or_else(|| "status 206, partial content".to_owned()))
            .or(warning);
        Ok(FetchedPage {
            answered_at: answer.date().map_or(now, |date| date.min(now)),
            body: answer.body,
            partial,
            _place: answer.place,
        })
    }

    /// The cloud that is spoken to.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.platform.cloud
    }

    /// Throws away what is remembered of a tenant.
    pub fn forget(&self, tenant: TenantId) {
        self.tokens.forget(tenant);
        self.budgets.forget(tenant);
    }

    fn check_permissions(
        &self,
        token: &AccessToken,
        app: &App,
        tenant: TenantId,
        source: Source,
    ) -> Result<(), FetchError> {
        // A token that cannot be read is not judged; the API will.
        let Some(granted) = token.permissions(app.access) else { return Ok(()) };
        let mut wanted = permissions::for_source(source).iter().filter_map(|known| known.name(app.access));
        let least = wanted.clone().next().unwrap_or_default();
        if wanted.any(|name| granted.iter().any(|granted| granted == name)) {
            return Ok(());
        }
        let consent_url = self.platform.cloud.admin_consent_url(&tenant.to_string(), &app.client_id);
        Err(FetchError::MissingRole { role: least, granted: granted.to_vec(), consent_url })
    }
}

/// Whether a refusal is about a licence that the tenant lacks. Microsoft has no code for it that all its APIs share.
fn speaks_of_licence(code: &str, message: &str) -> bool {
    const CODES: [&str; 3] = ["servicenotenabled", "tenantnotlicensed", "licenserequired"];
    const WORDS: [&str; 7] = [
        "not licensed",
        "license",
        "licence",
        "no subscription",
        "valid subscription",
        "subscription is required",
        "service is not enabled",
    ];
    let (code, message) = (code.to_ascii_lowercase(), message.to_ascii_lowercase());
    CODES.contains(&code.as_str()) || WORDS.iter().any(|word| message.contains(word))
}

/// What a refusal of Graph means.
fn failure(answer: &Response) -> FetchError {
    let status = answer.status;
    let (code, message) = error::of_graph(answer);
    match status {
        400..=499 if speaks_of_licence(&code, &message) => FetchError::NoLicence { status, code, message },
        401 | 403 => FetchError::Denied { status, code, message },
        400..=499 if status != 408 => FetchError::BadRequest { status, code, message },
        _ => FetchError::Unavailable { status, code, message, retry_after: answer.retry_after() },
    }
}
