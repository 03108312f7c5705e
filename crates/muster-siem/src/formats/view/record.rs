//! A record of any kind, through one view.

use muster_model::RecordKind;
use muster_model::json::Tape;

use super::alert::{Alert, Incident};
use super::hunting::HuntingRow;

/// A record of any kind.
#[derive(Debug)]
pub(crate) enum View<'a> {
    /// Of Graph, Defender for Endpoint or the retired SIEM API.
    Alert(Box<Alert<'a>>),
    /// Of Graph or Defender XDR.
    Incident(Box<Incident<'a>>),
    /// Of advanced hunting or the streaming API.
    HuntingRow(HuntingRow<'a>),
}

impl<'a> View<'a> {
    /// The record that is the whole of `tape`.
    pub(crate) fn of(kind: RecordKind, tape: &'a Tape<'a>) -> Self {
        let record = tape.root();
        match kind {
            RecordKind::GraphAlert => Self::Alert(Box::new(Alert::graph(record))),
            RecordKind::GraphIncident => Self::Incident(Box::new(Incident::graph(record))),
            RecordKind::EndpointAlert => Self::Alert(Box::new(Alert::endpoint(record))),
            RecordKind::XdrIncident => Self::Incident(Box::new(Incident::xdr(record))),
            RecordKind::SiemDetection => Self::Alert(Box::new(Alert::siem(record))),
            RecordKind::HuntingRow => Self::HuntingRow(HuntingRow::read(record)),
        }
    }
}
