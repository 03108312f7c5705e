//! The door to bearer tokens, for sinks whose receiver wants Entra's: the product opens it with an app of the settings, so that
//! nothing here needs to know how a token is got.

use std::sync::Arc;

use muster_http::TokenSource;
use muster_model::TenantId;
use url::Url;

/// What a sink's tokens are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenApi {
    /// Azure Monitor's Logs Ingestion API.
    LogIngestion,
}

/// Whose tokens a sink wants, and where it will send them.
#[derive(Debug, Clone, Copy)]
pub struct WantedTokens<'a> {
    /// What they are for.
    pub api: TokenApi,
    /// The app, by its name in the settings.
    pub app: &'a str,
    /// The Entra tenant that issues them; the app's own where the sink says nothing.
    pub tenant: Option<TenantId>,
    /// Where they go. Elsewhere than to a host of the API they are not given.
    pub receiver: &'a Url,
}

/// The way to tokens.
#[derive(Debug, Clone)]
pub struct BearerTokens {
    /// Whoever has them.
    pub source: Arc<dyn TokenSource>,
    /// What they are asked for by, in this cloud.
    pub resource: String,
}

/// Opens the way to tokens, or says why there is none and what to do. Nobody is asked for a token yet.
pub type OpenTokens<'a> = Box<dyn Fn(&WantedTokens<'_>) -> Result<BearerTokens, String> + Send + Sync + 'a>;
