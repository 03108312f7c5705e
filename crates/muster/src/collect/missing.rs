//! What is missing from a source that is otherwise read.

use muster_model::Cursor;

/// What is missing from a source that is otherwise read, in words for the operator.
pub fn missing(cursor: &Cursor) -> Option<String> {
    let holes = cursor.holes();
    let partial = cursor.plan().partial.as_ref();
    let mut said = Vec::new();
    if let Some(partial) = partial {
        said.push(format!(
            "Microsoft leaves out what {} has, since {:.0}: the rest is read; check the licence of that product",
            partial.missing, partial.since
        ));
    }
    if let Some(first) = holes.first() {
        let to = first.to.map_or_else(|| "now".to_owned(), |to| to.to_string());
        let more = match holes.len() {
            1 => String::new(),
            count => format!(" ({} more such spans)", count - 1),
        };
        said.push(format!(
            "records updated from {} to {to} may be missing{more}: {}; they are asked for again",
            first.from,
            first.reason.as_str()
        ));
    }
    said.extend(cursor.blobs_missing());
    (!said.is_empty()).then(|| said.join("; "))
}
