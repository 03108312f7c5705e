//! The APIs that are read, one source per tenant each, and what they are read for. Closed lists: adding one is adding a
//! variant and following the compiler. How a source is read stands in its file in `muster-microsoft/src/sources/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RecordKind;

/// One API read for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Microsoft Graph `GET /security/alerts_v2`.
    GraphAlerts,
    /// Microsoft Graph `GET /security/incidents?$expand=alerts`.
    GraphIncidents,
    /// Defender for Endpoint `GET /api/alerts?$expand=evidence`.
    EndpointAlerts,
    /// Microsoft Defender XDR `GET /api/incidents`.
    XdrIncidents,
}

impl Source {
    /// Every source, in the order in which they are shown.
    pub const ALL: [Self; 4] =
        [Self::GraphAlerts, Self::GraphIncidents, Self::EndpointAlerts, Self::XdrIncidents];

    /// What a tenant is read for unless its operator names sources. A source that gives the records of another once more,
    /// in the words of another API, does not belong here.
    pub const DEFAULT: [Self; 2] = [Self::GraphAlerts, Self::GraphIncidents];

    /// The name in settings, commands, tables and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.kind().source_name()
    }

    /// What its records are.
    #[must_use]
    pub fn kind(self) -> RecordKind {
        match self {
            Self::GraphAlerts => RecordKind::GraphAlert,
            Self::GraphIncidents => RecordKind::GraphIncident,
            Self::EndpointAlerts => RecordKind::EndpointAlert,
            Self::XdrIncidents => RecordKind::XdrIncident,
        }
    }
}

/// What a source is read for. A tenant's source has a cursor for each purpose that it is read for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// What is new. This never ends.
    Live,
    /// The last day once more, every hour, for what showed late.
    Sweep,
    /// The last seven days once more, every night.
    NightlySweep,
    /// A span that lies behind, because somebody asked for it.
    Backfill,
}

impl Purpose {
    /// Every purpose, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Live, Self::Sweep, Self::NightlySweep, Self::Backfill];

    /// The name in commands, tables and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sweep => "sweep",
            Self::NightlySweep => "nightly",
            Self::Backfill => "backfill",
        }
    }

    /// Whether it begins anew each time it is over.
    #[must_use]
    pub fn is_sweep(self) -> bool {
        matches!(self, Self::Sweep | Self::NightlySweep)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a purpose: use live, sweep, nightly or backfill")]
pub struct ParsePurposeError(String);

impl FromStr for Purpose {
    type Err = ParsePurposeError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == value)
            .ok_or_else(|| ParsePurposeError(value.to_owned()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a source{meant}: use {names}",
    meant = crate::text::did_you_mean(.0, Source::ALL.map(Source::as_str)),
    names = Source::ALL.map(Source::as_str).join(" or ")
)]
pub struct ParseSourceError(String);

impl FromStr for Source {
    type Err = ParseSourceError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == value)
            .ok_or_else(|| ParseSourceError(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_one_name_in_settings_stores_and_messages() {
        let refused = "no_such".parse::<Source>().expect_err("it is none").to_string();
        for source in Source::ALL {
            let name = source.as_str();
            assert_eq!(name.parse(), Ok(source));
            assert_eq!(serde_json::to_string(&source).expect("a word"), format!("\"{name}\""));
            assert!(refused.contains(name), "{refused}");
        }
    }
}
