//! OCSF, the Open Cybersecurity Schema Framework: an alert becomes a Detection Finding (2004), an incident an
//! Incident Finding (2005) and a Detection Finding for each alert in it, a row of advanced hunting the event that it
//! tells of, where OCSF has a class for that. `docs/formats/ocsf.md` lists it field by field.
//!
//! Nothing is lost: evidence is in `evidences[].data` as Microsoft wrote it, and in `unmapped`, under Microsoft's own
//! names, whatever of a record has no place in OCSF or is coarser there: OCSF's times have milliseconds, its enums
//! fewer words. JSON is escaped as JSON; a text that is not right there is written anew (`writer`).

mod base;
pub(crate) mod columns;
mod evidence;
mod fields;
mod finding;
mod hunting;
mod objects;
mod options;
mod places;
mod record;
mod writer;

pub(super) use fields::FIELDS;
pub use options::{IncidentAlerts, OcsfOptions, OcsfVersion};
pub(super) use record::{units, write, write_unit};
