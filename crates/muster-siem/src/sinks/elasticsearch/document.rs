//! The body of a bulk request.

use bytes::Bytes;

use crate::formats::Format;
use crate::sinks::batch::Part;

/// Where events go.
pub(super) enum Place {
    /// All of them into this index.
    Index(String),
    /// Each into the data stream that it names, of this namespace.
    OwnDataStream(String),
}

/// The body of a bulk request: for each event a line that says what is done, and the event on one line. Nothing in the names
/// needs escaping in JSON.
pub(super) fn bulk_body(part: &Part, ids: &[String], place: &Place, format: &Format) -> Bytes {
    let mut body = Vec::with_capacity(part.bytes().len() + ids.len() * 128);
    for (event, id) in part.events().zip(ids) {
        body.extend_from_slice(br#"{"create":{"_index":""#);
        match place {
            Place::Index(index) => body.extend_from_slice(index.as_bytes()),
            Place::OwnDataStream(namespace) => {
                let dataset = format.stream(&event.envelope).unwrap_or_default();
                for part in ["logs-", dataset, "-", namespace] {
                    body.extend_from_slice(part.as_bytes());
                }
            }
        }
        body.extend_from_slice(br#"","_id":""#);
        body.extend_from_slice(id.as_bytes());
        body.extend_from_slice(b"\"}}\n");
        event.push_line(&mut body);
    }
    body.into()
}
