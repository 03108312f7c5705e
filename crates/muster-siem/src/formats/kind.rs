//! What shape a record has: the six kinds of record that Microsoft's APIs give.
//!
//! A record that comes from a source needs no look: its source says the kind. Files handed to `muster format` say
//! nothing, and their top-level keys tell.

use std::fmt;

use jiff::Timestamp;
use muster_model::{ContentHash, RecordError, RecordHead, Severity, Source};

use super::json::{Reader, Text};

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
            Self::SiemDetection => "siem_detections",
            Self::HuntingRow => "hunting",
        }
    }

    /// The kind whose telling keys stand at the top of `body`; `None` when they are those of none, or it is not a
    /// JSON object.
    ///
    /// A query can give its rows any columns; a row without a time, a report id and an action type is not told.
    #[must_use]
    pub fn detect(body: &[u8]) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let mut reader = Reader::new(body);
        if reader.peek().ok()? != b'{' {
            return None;
        }
        let (mut seen, mut streamed) = (Seen(0), false);
        reader
            .object(|key, reader| {
                seen.note(key);
                if key == "category" && reader.peek()? == b'"' {
                    streamed |= reader.text()?.as_written().starts_with("AdvancedHunting-");
                    return Ok(());
                }
                reader.skip()
            })
            .ok()?;
        if streamed { Some(Self::HuntingRow) } else { seen.kind() }
    }

    /// The head of a record of this kind. A hunting row has no id of its own: it gets one from its content.
    ///
    /// # Errors
    /// When it is no JSON object, or nothing that can be an id identifies it.
    pub fn head(self, body: &str) -> Result<RecordHead, RecordError> {
        let (ids, created, updated) = match self {
            Self::GraphAlert | Self::GraphIncident => return RecordHead::read(body),
            Self::EndpointAlert => ("id", "alertCreationTime", "lastUpdateTime"),
            Self::XdrIncident => ("incidentId", "createdTime", "lastUpdateTime"),
            Self::SiemDetection => ("FullId", "AlertTime", "LastProcessedTimeUtc"),
            Self::HuntingRow => ("", "Timestamp", ""),
        };
        let mut reader = Reader::new(body);
        if reader.peek().map_err(|_| RecordError::NotAnObject)? != b'{' {
            return Err(RecordError::NotAnObject);
        }
        let (mut id, mut alert_id, mut severity) = (Text::default(), Text::default(), Text::default());
        let (mut created_at, mut updated_at, mut streamed_at) =
            (Text::default(), Text::default(), Text::default());
        reader
            .object(|key, reader| {
                let place = match key {
                    _ if key == ids => &mut id,
                    _ if key == created => &mut created_at,
                    _ if key == updated => &mut updated_at,
                    "AlertId" => &mut alert_id,
                    "time" | "TimeGenerated" => &mut streamed_at,
                    "severity" | "Severity" => &mut severity,
                    _ => return reader.skip(),
                };
                *place = reader.text()?;
                Ok(())
            })
            .map_err(|_| RecordError::NotAnObject)?;
        let time = |text: Text<'_>| text.as_written().parse::<Timestamp>().ok();
        let hash = ContentHash::of(body.as_bytes());
        let id = match self {
            Self::HuntingRow => hash.0.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => id.or(alert_id).decoded().into_owned(),
        };
        if id.is_empty() {
            return Err(RecordError::NoId);
        }
        if id.len() > RecordHead::ID_BYTES_MAX {
            return Err(RecordError::LongId(id.len()));
        }
        Ok(RecordHead {
            id,
            updated_at: time(updated_at),
            created_at: time(created_at.or(streamed_at)),
            severity: Severity::from_wire(severity.as_written()),
            hash,
        })
    }
}

/// The keys by which kinds are told.
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

impl From<Source> for RecordKind {
    fn from(source: Source) -> Self {
        match source {
            Source::GraphAlerts => Self::GraphAlert,
            Source::GraphIncidents => Self::GraphIncident,
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
    use muster_model::{RecordError, Severity};

    use super::RecordKind;

    #[test]
    fn a_record_is_told_by_its_keys() {
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

    #[test]
    fn every_kind_has_a_head() {
        for (kind, body, id, severity) in [
            (RecordKind::GraphAlert, r#"{"id":"g","severity":"low"}"#, "g", Severity::Low),
            (
                RecordKind::EndpointAlert,
                r#"{"id":"e","severity":"High","alertCreationTime":"2026-01-01T00:00:00Z"}"#,
                "e",
                Severity::High,
            ),
            (
                RecordKind::XdrIncident,
                r#"{"incidentId":7,"createdTime":"2026-01-01T00:00:00Z"}"#,
                "7",
                Severity::Unknown,
            ),
            (
                RecordKind::SiemDetection,
                r#"{"AlertId":"1_2","FullId":"1_2:x","Severity":"Medium"}"#,
                "1_2:x",
                Severity::Medium,
            ),
            (RecordKind::SiemDetection, r#"{"AlertId":"1\u005f2"}"#, "1_2", Severity::Unknown),
        ] {
            let head = kind.head(body).expect("a head");
            assert_eq!((head.id.as_str(), head.severity), (id, severity), "{body}");
        }
        let long = "x".repeat(600);
        let body = format!(r#"{{"id":"{long}","incidentId":"{long}","FullId":"{long}"}}"#);
        for kind in RecordKind::ALL.into_iter().filter(|kind| *kind != RecordKind::HuntingRow) {
            assert_eq!(kind.head(&body), Err(RecordError::LongId(600)), "{kind}");
        }
        let row = RecordKind::HuntingRow.head(r#"{"Timestamp":"2026-01-01T00:00:00Z"}"#).expect("a head");
        assert_eq!(row.id.len(), 32);
        assert_eq!(row.created_at.map(|time| time.to_string()).as_deref(), Some("2026-01-01T00:00:00Z"));
        for kind in RecordKind::ALL {
            assert_eq!(kind.head("[]"), Err(RecordError::NotAnObject), "{kind}");
            if kind != RecordKind::HuntingRow {
                assert_eq!(kind.head("{}"), Err(RecordError::NoId), "{kind}");
            }
        }
    }
}
