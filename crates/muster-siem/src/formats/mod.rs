//! How a record is written: one file per format, each a pure function from a record to the bytes of its events.
//!
//! To add a format: copy the file of the one that is most like it, add a variant to [`Format`], and follow the
//! compiler. Formats that give Microsoft's fields other names start from the typed view in `view`; formats that
//! carry Microsoft's JSON copy it. What is in a record was written partly by attackers: each format escapes for the
//! place where the text ends up, and says in its module how.

mod cef;
#[cfg(test)]
mod documents;
mod ecs;
mod encoding;
mod error;
mod events;
mod flat;
mod format;
mod leef;
mod ocsf;
mod raw;
mod splunk;
pub(crate) mod view;
mod writing;

pub use cef::CefOptions;
pub use ecs::{EcsOptions, EcsVersion};
pub use encoding::Encoding;
pub use encoding::big::{BigEvents, Bounds};
pub(crate) use encoding::body::BodyTemplate;
pub use encoding::mapping::{FieldTemplate, JsonTemplate, Mapping, MappingError, MappingOptions};
pub use error::FormatError;
pub use events::{Envelope, Event, Events};
pub use format::Format;
pub use leef::{Delimiter, LeefOptions};
pub(crate) use ocsf::columns;
pub use ocsf::{IncidentAlerts, OcsfOptions, OcsfVersion};
pub use splunk::{IndexTemplate, Sourcetypes, SplunkOptions};
pub use writing::field::{ALL_KINDS, Explained, FieldDoc, markdown};
pub(crate) use writing::template::Piece;
pub use writing::template::{Template, TemplateError};
