//! The families of Microsoft's APIs.

use crate::entra::permissions::ResourceApp;

/// A group of calls that share a host, a kind of token and a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// Microsoft Graph security: 150 requests a minute for one app and tenant.
    Graph,
    /// Defender for Endpoint.
    DefenderForEndpoint,
    /// Microsoft Defender XDR (Microsoft 365 Defender).
    DefenderXdr,
}

impl Api {
    /// Every API.
    pub const ALL: [Self; 3] = [Self::Graph, Self::DefenderForEndpoint, Self::DefenderXdr];

    /// Whose permissions its calls need. It also tells the API's host and the audience of its tokens in each cloud.
    #[must_use]
    pub const fn app(self) -> ResourceApp {
        match self {
            Self::Graph => ResourceApp::Graph,
            Self::DefenderForEndpoint => ResourceApp::DefenderForEndpoint,
            Self::DefenderXdr => ResourceApp::DefenderXdr,
        }
    }

    /// Headers that every call carries.
    pub(crate) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Without it, values of enumerations that came later read `unknownFutureValue`.
            Self::Graph => &[("Prefer", "include-unknown-enum-members")],
            Self::DefenderForEndpoint | Self::DefenderXdr => &[],
        }
    }
}
