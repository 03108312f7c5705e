//! The texts of a record that become events of their own.

use std::borrow::Cow;

use muster_model::RecordKind;

/// A text that becomes one event, or several when it is too big: the whole record, or one part of an incident.
#[derive(Clone)]
pub(crate) struct Unit<'a> {
    pub(crate) body: Cow<'a, str>,
    pub(crate) shape: Shape,
}

/// What the text of a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A record of this kind.
    Record(RecordKind),
    /// An incident of this kind, of which the alerts are sent on their own.
    IncidentAlone(RecordKind),
    /// An alert that stands inside an incident of this kind, sent on its own.
    InnerAlert(RecordKind),
}

impl Shape {
    pub(crate) fn is_inner_alert(self) -> bool {
        matches!(self, Self::InnerAlert(_))
    }

    /// The lists that can be taken apart, outermost first.
    pub(crate) fn lists(self) -> &'static [&'static [&'static str]] {
        use RecordKind::{EndpointAlert, GraphAlert, GraphIncident, XdrIncident};
        match self {
            Self::Record(GraphAlert | EndpointAlert) | Self::InnerAlert(GraphIncident) => &[&["evidence"]],
            Self::Record(GraphIncident) => &[&["alerts", "evidence"]],
            Self::Record(XdrIncident) => &[&["alerts", "entities"], &["alerts", "devices"]],
            Self::InnerAlert(XdrIncident) => &[&["entities"], &["devices"]],
            Self::Record(_) | Self::IncidentAlone(_) | Self::InnerAlert(_) => &[],
        }
    }
}
