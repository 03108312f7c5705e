//! What shape a record has: the six kinds of record that Microsoft's APIs give.
//!
//! A record that comes from a source needs no look: its source says the kind. Files handed to `muster format` say
//! nothing, and their top-level keys tell.

use std::fmt;

use crate::json::{self, skim};

/// The shape of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// Microsoft Graph `microsoft.graph.security.alert` (`alerts_v2`).
    GraphAlert,
    /// Microsoft Graph `microsoft.graph.security.incident`, with or without its alerts.
    GraphIncident,
    /// An alert of the Defender for Endpoint API (`api.securitycenter.microsoft.com/api/alerts`).
    EndpointAlert,
    /// An incident of the Defender XDR API (`api.security.microsoft.com/api/incidents`), with its alerts.
    XdrIncident,
    /// A detection of the retired SIEM API (`wdatp-alertexporter-…/api/alerts`).
    SiemDetection,
    /// A row of an advanced hunting query, or of the streaming API.
    HuntingRow,
}

impl RecordKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::GraphAlert,
        Self::GraphIncident,
        Self::EndpointAlert,
        Self::XdrIncident,
        Self::SiemDetection,
        Self::HuntingRow,
    ];

    /// The name in documents and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GraphAlert => "graph_alert",
            Self::GraphIncident => "graph_incident",
            Self::EndpointAlert => "endpoint_alert",
            Self::XdrIncident => "xdr_incident",
            Self::SiemDetection => "siem_detection",
            Self::HuntingRow => "hunting_row",
        }
    }

    /// The name of the source that gives records of this kind.
    #[must_use]
    pub fn source_name(self) -> &'static str {
        match self {
            Self::GraphAlert => "graph_alerts",
            Self::GraphIncident => "graph_incidents",
            Self::EndpointAlert => "endpoint_alerts",
            Self::XdrIncident => "xdr_incidents",
            Self::SiemDetection => "siem_feed",
            Self::HuntingRow => "hunting",
        }
    }

    /// What belongs to a record of this kind and is not always given with it; `None` where all of a record always comes.
    #[must_use]
    pub fn belongings(self) -> Option<Belongings> {
        match self {
            Self::GraphIncident | Self::XdrIncident => {
                Some(Belongings { key: "alerts", empty_is_none: false })
            }
            Self::EndpointAlert => Some(Belongings { key: "evidence", empty_is_none: true }),
            Self::GraphAlert | Self::SiemDetection | Self::HuntingRow => None,
        }
    }

    /// The names of the fields that every record has something of, in records of this kind.
    pub(crate) fn head_names(self) -> &'static HeadNames {
        match self {
            Self::GraphAlert | Self::GraphIncident => &HeadNames {
                id: &["id"],
                created_at: &["createdDateTime"],
                updated_at: "lastUpdateDateTime",
                severity: "severity",
                wrapper: "",
            },
            Self::EndpointAlert => &HeadNames {
                id: &["id"],
                created_at: &["alertCreationTime"],
                updated_at: "lastUpdateTime",
                severity: "severity",
                wrapper: "",
            },
            Self::XdrIncident => &HeadNames {
                id: &["incidentId"],
                created_at: &["createdTime"],
                updated_at: "lastUpdateTime",
                severity: "severity",
                wrapper: "",
            },
            Self::SiemDetection => &HeadNames {
                id: &["FullId", "AlertId"],
                created_at: &["AlertTime"],
                updated_at: "LastProcessedTimeUtc",
                severity: "Severity",
                wrapper: "",
            },
            Self::HuntingRow => &HeadNames {
                id: &[],
                created_at: &["Timestamp", "TimeGenerated", "time"],
                updated_at: "",
                severity: "Severity",
                wrapper: "properties",
            },
        }
    }

    /// The kind whose telling keys stand at the top of `body`; `None` when they are those of none, or it is not a
    /// JSON object. For files: what comes from a source has that source's kind.
    ///
    /// A query can give its rows any columns; a row without a time, a report id and an action type is not recognised.
    #[must_use]
    pub fn detect(body: &[u8]) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let (mut seen, mut streamed) = (Seen(0), false);
        let skimmed = skim::fields(body, |key, value| {
            seen.note(key);
            streamed |= key == "category"
                && json::text(value).is_some_and(|category| category.starts_with("AdvancedHunting-"));
        });
        // What nests too deeply has a kind, by the fields before it, so that it can be told what is wrong with it.
        if matches!(skimmed, Err(json::Error::Malformed { .. })) {
            return None;
        }
        if streamed { Some(Self::HuntingRow) } else { seen.kind() }
    }
}

/// A list in a record that is there only where it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belongings {
    /// The field.
    pub key: &'static str,
    /// Whether an empty list, too, stands there where it was not asked for: then it says nothing.
    pub empty_is_none: bool,
}

impl Belongings {
    /// Whether a field of a record, as written, holds them.
    #[must_use]
    pub fn are_in(self, key: &str, value: &str) -> bool {
        let says_nothing = || self.empty_is_none && is_empty_list(value);
        key == self.key && !says_nothing()
    }
}

/// Whether a value as written is a list without items.
pub(crate) fn is_empty_list(value: &str) -> bool {
    let inner = value.trim().strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

/// Where the facts of a head stand in a record; the first of several names that has one.
pub(crate) struct HeadNames {
    /// Its id. A record without any, such as a hunting row, is identified by its content.
    pub(crate) id: &'static [&'static str],
    pub(crate) created_at: &'static [&'static str],
    pub(crate) updated_at: &'static str,
    pub(crate) severity: &'static str,
    /// The object that holds them where the record is wrapped: the streaming API puts a row into `properties`. Empty
    /// for kinds that never are.
    pub(crate) wrapper: &'static str,
}

/// The keys by which kinds are recognised.
const TELLING: [&str; 22] = [
    "id",
    "title",
    "createdDateTime",
    "alertWebUrl",
    "providerAlertId",
    "firstActivityDateTime",
    "displayName",
    "incidentWebUrl",
    "alerts",
    "alertCreationTime",
    "machineId",
    "incidentId",
    "incidentName",
    "createdTime",
    "AlertTitle",
    "AlertId",
    "LinkToWDATP",
    "IoaDefinitionId",
    "Timestamp",
    "TimeGenerated",
    "ReportId",
    "ActionType",
];

/// Which of the telling keys a record has: a bit each.
struct Seen(u32);

impl Seen {
    fn note(&mut self, key: &str) {
        if let Some(position) = TELLING.iter().position(|telling| *telling == key) {
            self.0 |= 1 << position;
        }
    }

    fn any(&self, keys: &[&str]) -> bool {
        TELLING.iter().enumerate().any(|(position, key)| self.0 >> position & 1 == 1 && keys.contains(key))
    }

    fn all(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| self.any(&[*key]))
    }

    fn kind(&self) -> Option<RecordKind> {
        if self.any(&["AlertTitle", "LinkToWDATP"])
            && self.any(&["AlertId", "LinkToWDATP", "IoaDefinitionId"])
        {
            Some(RecordKind::SiemDetection)
        } else if self.any(&["incidentName"]) || self.all(&["incidentId", "createdTime"]) {
            Some(RecordKind::XdrIncident)
        } else if self.any(&["alertCreationTime"]) || self.all(&["machineId", "title"]) {
            Some(RecordKind::EndpointAlert)
        } else if self.any(&["alertWebUrl", "providerAlertId", "firstActivityDateTime"])
            || self.all(&["id", "title", "createdDateTime"])
        {
            Some(RecordKind::GraphAlert)
        } else if self.all(&["id", "displayName"])
            && self.any(&["incidentWebUrl", "createdDateTime", "alerts"])
        {
            Some(RecordKind::GraphIncident)
        } else if self.any(&["Timestamp", "TimeGenerated", "ReportId", "ActionType"]) {
            Some(RecordKind::HuntingRow)
        } else {
            None
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::RecordKind;

    #[test]
    fn a_record_is_recognised_by_its_keys() {
        for (body, kind) in [
            (
                r#"{"id":"1","title":"x","createdDateTime":"2026-01-01T00:00:00Z","serviceSource":"a","alertWebUrl":"","incidentWebUrl":""}"#,
                Some(RecordKind::GraphAlert),
            ),
            (
                "\u{feff} {\"id\":\"1\",\"displayName\":\"x\",\"createdDateTime\":\"\",\"incidentWebUrl\":\"\"}",
                Some(RecordKind::GraphIncident),
            ),
            (
                r#"{"id":"1","incidentId":7,"alertCreationTime":"","machineId":"","title":"","evidence":[]}"#,
                Some(RecordKind::EndpointAlert),
            ),
            (
                r#"{"incidentId":7,"incidentName":"x","createdTime":"","alerts":[]}"#,
                Some(RecordKind::XdrIncident),
            ),
            (
                r#"{"AlertTime":"","AlertTitle":"x","LinkToWDATP":"","AlertId":"1"}"#,
                Some(RecordKind::SiemDetection),
            ),
            (r#"{"Timestamp":"","DeviceName":"x","ReportId":1}"#, Some(RecordKind::HuntingRow)),
            (
                r#"{"time":"","tenantId":"","category":"AdvancedHunting-DeviceInfo","properties":{}}"#,
                Some(RecordKind::HuntingRow),
            ),
            (r#"{"id":"1"}"#, None),
            (r#"{"category":{"AdvancedHunting-":1}}"#, None),
            ("[]", None),
            ("{\"Timestamp\":1", None),
            ("", None),
        ] {
            assert_eq!(RecordKind::detect(body.as_bytes()), kind, "{body}");
        }
        assert_eq!(RecordKind::detect(b"{\"Timestamp\":\"\xff\"}"), None);
    }
}
