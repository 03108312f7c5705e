//! The APIs that are read, one source per tenant each, and what they are read for. Closed lists: adding one is adding a
//! variant and following the compiler. How a source is read stands in its file in `muster-microsoft/src/sources/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{HuntName, RecordKind};

/// One API read for one tenant, one saved hunting query, or one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// Microsoft Graph `GET /security/alerts_v2`.
    GraphAlerts,
    /// Microsoft Graph `GET /security/incidents?$expand=alerts`.
    GraphIncidents,
    /// Defender for Endpoint `GET /api/alerts?$expand=evidence`.
    EndpointAlerts,
    /// Microsoft Defender XDR `GET /api/incidents`.
    XdrIncidents,
    /// The retired SIEM API of Defender for Endpoint, `GET /api/alerts` at `wdatp-alertexporter-…`.
    SiemFeed,
    /// A saved query, asked by Microsoft Graph `POST /security/runHuntingQuery`.
    GraphHunting(HuntName),
    /// A saved query, asked by Defender XDR `POST /api/advancedhunting/run`.
    XdrHunting(HuntName),
    /// Rows that Defender XDR streams into a storage account, read there.
    Streaming(HuntName),
}

impl Source {
    /// Every source that has no section of its own in the settings, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::GraphAlerts, Self::GraphIncidents, Self::EndpointAlerts, Self::XdrIncidents, Self::SiemFeed];

    /// What a tenant is read for unless its operator names sources. A source that gives the records of another once more,
    /// in the words of another API, does not belong here.
    pub const DEFAULT: [Self; 2] = [Self::GraphAlerts, Self::GraphIncidents];

    /// The name in settings, commands, tables and metrics: that of a saved query or a stream stands behind its kind's, as
    /// in `graph_hunting/encoded-commands`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GraphHunting(name) => name.behind(SourcePattern::GraphHunting.as_str()),
            Self::XdrHunting(name) => name.behind(SourcePattern::XdrHunting.as_str()),
            Self::Streaming(name) => name.behind(SourcePattern::Streaming.as_str()),
            other => other.kind().source_name(),
        }
    }

    /// The saved query that it is, if it is one.
    #[must_use]
    pub fn hunt(self) -> Option<HuntName> {
        match self {
            Self::GraphHunting(name) | Self::XdrHunting(name) => Some(name),
            Self::GraphAlerts
            | Self::GraphIncidents
            | Self::EndpointAlerts
            | Self::XdrIncidents
            | Self::SiemFeed
            | Self::Streaming(_) => None,
        }
    }

    /// The stream that it is, if it is one. Microsoft is not asked for it, and no app needs a permission: its rows lie in
    /// a storage account.
    #[must_use]
    pub fn stream(self) -> Option<HuntName> {
        match self {
            Self::Streaming(name) => Some(name),
            _ => None,
        }
    }

    /// Whether a section of the settings names it, which says also which tenants have it: a saved query or a stream.
    #[must_use]
    pub fn is_named(self) -> bool {
        self.hunt().or(self.stream()).is_some()
    }

    /// What its records are.
    #[must_use]
    pub fn kind(self) -> RecordKind {
        match self {
            Self::GraphAlerts => RecordKind::GraphAlert,
            Self::GraphIncidents => RecordKind::GraphIncident,
            Self::EndpointAlerts => RecordKind::EndpointAlert,
            Self::XdrIncidents => RecordKind::XdrIncident,
            Self::SiemFeed => RecordKind::SiemDetection,
            Self::GraphHunting(_) | Self::XdrHunting(_) | Self::Streaming(_) => RecordKind::HuntingRow,
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
    "`{0}` is not a source{meant}: use {names}, a saved query as graph_hunting/NAME or xdr_hunting/NAME, or a stream as streaming/NAME",
    meant = crate::text::did_you_mean(.0, Source::ALL.map(Source::as_str)),
    names = Source::ALL.map(Source::as_str).join(" or ")
)]
pub struct ParseSourceError(String);

impl FromStr for Source {
    type Err = ParseSourceError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let named = || {
            let (api, name) = value.split_once('/')?;
            let name: HuntName = name.parse().ok()?;
            match SourcePattern::ALL.into_iter().find(|pattern| pattern.as_str() == api)? {
                SourcePattern::GraphHunting => Some(Self::GraphHunting(name)),
                SourcePattern::XdrHunting => Some(Self::XdrHunting(name)),
                SourcePattern::Streaming => Some(Self::Streaming(name)),
                SourcePattern::One(_) => None,
            }
        };
        let known = Self::ALL.into_iter().find(|source| source.as_str() == value);
        known.or_else(named).ok_or_else(|| ParseSourceError(value.to_owned()))
    }
}

impl TryFrom<String> for Source {
    type Error = ParseSourceError;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.as_str().to_owned()
    }
}

/// The sources that a route means: one, all saved queries of an API, or all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourcePattern {
    /// This one.
    One(Source),
    /// Every saved query that Graph is asked.
    GraphHunting,
    /// Every saved query that Defender XDR is asked.
    XdrHunting,
    /// Every stream.
    Streaming,
}

impl SourcePattern {
    /// All of them together mean every source.
    pub const ALL: [Self; 8] = [
        Self::One(Source::GraphAlerts),
        Self::One(Source::GraphIncidents),
        Self::One(Source::EndpointAlerts),
        Self::One(Source::XdrIncidents),
        Self::One(Source::SiemFeed),
        Self::GraphHunting,
        Self::XdrHunting,
        Self::Streaming,
    ];

    /// The name in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::One(source) => source.as_str(),
            Self::GraphHunting => "graph_hunting",
            Self::XdrHunting => "xdr_hunting",
            Self::Streaming => "streaming",
        }
    }

    /// Whether it means `source`.
    #[must_use]
    pub fn fits(self, source: Source) -> bool {
        match self {
            Self::One(one) => one == source,
            Self::GraphHunting => matches!(source, Source::GraphHunting(_)),
            Self::XdrHunting => matches!(source, Source::XdrHunting(_)),
            Self::Streaming => matches!(source, Source::Streaming(_)),
        }
    }
}

impl From<Source> for SourcePattern {
    fn from(source: Source) -> Self {
        Self::One(source)
    }
}

impl fmt::Display for SourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that means no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a source{meant}: use {names}, or one saved query or stream as graph_hunting/NAME or streaming/NAME",
    meant = crate::text::did_you_mean(.0, SourcePattern::ALL.map(SourcePattern::as_str)),
    names = SourcePattern::ALL.map(SourcePattern::as_str).join(" or ")
)]
pub struct ParsePatternError(String);

impl FromStr for SourcePattern {
    type Err = ParsePatternError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|pattern| pattern.as_str() == value);
        let one = || value.parse().ok().map(Self::One);
        known.or_else(one).ok_or_else(|| ParsePatternError(value.to_owned()))
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

    #[test]
    fn a_stream_is_a_source_with_a_name_and_no_saved_query() {
        let stream = Source::Streaming("defender".parse().expect("a name"));
        assert_eq!((stream.as_str(), "streaming/defender".parse()), ("streaming/defender", Ok(stream)));
        assert_eq!((stream.hunt(), stream.is_named()), (None, true));
        assert_eq!(stream.kind(), RecordKind::HuntingRow);
        assert!(Source::ALL.into_iter().all(|source| !source.is_named()));
        assert!("streaming".parse::<Source>().is_err());
    }

    #[test]
    fn a_saved_query_is_a_source_with_a_name() {
        let name: HuntName = "encoded-commands".parse().expect("a name");
        let (graph, xdr) = (Source::GraphHunting(name), Source::XdrHunting(name));
        for (source, text) in
            [(graph, "graph_hunting/encoded-commands"), (xdr, "xdr_hunting/encoded-commands")]
        {
            assert_eq!((source.as_str(), text.parse()), (text, Ok(source)));
            let json = serde_json::to_string(&source).expect("a word");
            assert_eq!(serde_json::from_str::<Source>(&json).expect("a source"), source);
            assert_eq!((source.hunt(), source.kind()), (Some(name), RecordKind::HuntingRow));
        }
        for wrong in
            ["graph_hunting", "graph_hunting/", "graph_hunting/Up", "graph_alerts/x", "other/x", "/x"]
        {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_patterns_together_mean_every_source_once() {
        let name: HuntName = "one".parse().expect("a name");
        let named = [Source::GraphHunting(name), Source::XdrHunting(name), Source::Streaming(name)];
        let sources = Source::ALL.into_iter().chain(named);
        for source in sources {
            let fitting = SourcePattern::ALL.into_iter().filter(|pattern| pattern.fits(source));
            assert_eq!(fitting.count(), 1, "{source}");
            assert_eq!(source.as_str().parse(), Ok(SourcePattern::One(source)));
        }
        for pattern in SourcePattern::ALL {
            assert_eq!(pattern.as_str().parse(), Ok(pattern));
        }
        assert!(!SourcePattern::One(Source::GraphHunting(name)).fits(Source::XdrHunting(name)));
        let refused = "graph_huntin".parse::<SourcePattern>().expect_err("it is none").to_string();
        assert!(refused.contains("did you mean `graph_hunting`"), "{refused}");
    }
}
