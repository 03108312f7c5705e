//! Through which API the world's records are seen.

use crate::receivers::RecordKind;
use crate::world::query::List;

/// An API, as far as it matters for what records look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum View {
    /// Microsoft Graph.
    Graph,
    /// Defender for Endpoint: its own alerts only.
    Endpoint,
    /// Defender XDR: incidents, each with its alerts.
    Xdr,
    /// The retired SIEM API: detections of Defender for Endpoint.
    Siem,
}

/// The service whose alerts Defender for Endpoint shows.
pub(crate) const ENDPOINT_SERVICE: &str = "microsoftDefenderForEndpoint";

impl View {
    /// The largest `$top`.
    pub(crate) fn page_limit(self, list: List) -> usize {
        match self {
            Self::Graph => list.page_limit(),
            Self::Endpoint => 10_000,
            Self::Xdr => 100,
            Self::Siem => usize::MAX,
        }
    }

    /// How many records a page holds when `$top` says nothing.
    pub(crate) fn page_default(self, list: List) -> usize {
        match self {
            Self::Graph => list.page_default(),
            Self::Endpoint => 10_000,
            Self::Xdr => 100,
            Self::Siem => usize::MAX,
        }
    }
}

impl RecordKind {
    /// The API in which records are of this kind.
    pub(crate) fn view(self) -> View {
        match self {
            Self::Alert | Self::Incident => View::Graph,
            Self::EndpointAlert => View::Endpoint,
            Self::XdrIncident => View::Xdr,
            Self::SiemDetection => View::Siem,
        }
    }

    /// What it is, whichever API shows it.
    pub(crate) fn family(self) -> Self {
        match self {
            Self::Alert | Self::EndpointAlert | Self::SiemDetection => Self::Alert,
            Self::Incident | Self::XdrIncident => Self::Incident,
        }
    }

    /// The kinds under which other APIs show records of a kind of Graph's.
    pub(crate) fn elsewhere(self) -> &'static [Self] {
        match self.family() {
            Self::Incident | Self::XdrIncident => &[Self::XdrIncident],
            Self::Alert | Self::EndpointAlert | Self::SiemDetection => {
                &[Self::EndpointAlert, Self::SiemDetection]
            }
        }
    }
}
