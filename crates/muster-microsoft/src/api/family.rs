//! The families of Microsoft's APIs.

use crate::entra::permissions::ResourceApp;

/// How many requests may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// In a minute.
    pub per_minute: u32,
    /// In an hour; none: only the minute counts.
    pub per_hour: Option<u32>,
}

/// A group of calls that share a host, a kind of token and a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// Microsoft Graph security.
    Graph,
    /// Defender for Endpoint.
    DefenderForEndpoint,
    /// Microsoft Defender XDR (Microsoft 365 Defender).
    DefenderXdr,
    /// The retired SIEM API of Defender for Endpoint.
    SiemFeed,
}

impl Api {
    /// Every API.
    pub const ALL: [Self; 4] = [Self::Graph, Self::DefenderForEndpoint, Self::DefenderXdr, Self::SiemFeed];

    /// Whose permissions its calls need. It also tells the API's host and the audience of its tokens in each cloud.
    #[must_use]
    pub const fn app(self) -> ResourceApp {
        match self {
            Self::Graph => ResourceApp::Graph,
            Self::DefenderForEndpoint => ResourceApp::DefenderForEndpoint,
            Self::DefenderXdr => ResourceApp::DefenderXdr,
            Self::SiemFeed => ResourceApp::AzureAdGraph,
        }
    }

    /// How many requests the API documents for one tenant and app.
    ///
    /// Source: Microsoft Graph "throttling limits" (security); Defender for Endpoint "List alerts API"; Defender XDR "List
    /// incidents API". Of the SIEM API none is documented: it is asked as sparingly as Defender XDR.
    #[must_use]
    pub const fn rates(self) -> Rates {
        match self {
            Self::Graph => Rates { per_minute: 150, per_hour: None },
            Self::DefenderForEndpoint => Rates { per_minute: 100, per_hour: Some(1_500) },
            Self::DefenderXdr | Self::SiemFeed => Rates { per_minute: 50, per_hour: Some(1_500) },
        }
    }

    /// How many hunting queries it documents for one tenant.
    ///
    /// Source: Microsoft "Advanced hunting API" of Defender XDR and of Defender for Endpoint; Graph says the same.
    #[must_use]
    pub const fn hunting_rates(self) -> Rates {
        match self {
            Self::Graph | Self::DefenderXdr | Self::SiemFeed => Rates { per_minute: 45, per_hour: None },
            Self::DefenderForEndpoint => Rates { per_minute: 45, per_hour: Some(1_500) },
        }
    }

    /// Headers that every call carries.
    pub(crate) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Without it, values of enumerations that came later read `unknownFutureValue`.
            Self::Graph => &[("Prefer", "include-unknown-enum-members")],
            Self::DefenderForEndpoint | Self::DefenderXdr | Self::SiemFeed => &[],
        }
    }
}

/// What a request is counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quota {
    /// The API's lists and records.
    Records(Api),
    /// Its hunting queries.
    Hunting(Api),
}

impl Quota {
    /// Whose it is.
    #[must_use]
    pub const fn api(self) -> Api {
        match self {
            Self::Records(api) | Self::Hunting(api) => api,
        }
    }

    /// How many requests the API documents.
    #[must_use]
    pub const fn rates(self) -> Rates {
        match self {
            Self::Records(api) => api.rates(),
            Self::Hunting(api) => api.hunting_rates(),
        }
    }
}

impl From<Api> for Quota {
    fn from(api: Api) -> Self {
        Self::Records(api)
    }
}
