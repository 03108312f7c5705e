//! The objects of a delivery: what each is called and holds. Of the same delivery always the same, byte for byte, as
//! long as settings and version are.

use bytes::Bytes;
use muster_model::{ContentHash, Delivery, DeliveryBatch, Selection, TenantLabel};

use super::parquet;
use super::path::{Contents, Day, PathTemplate};
use super::settings::ObjectKind;
use crate::formats::{Encoding, Events};

/// zstd's level, which is part of what makes the same records the same bytes.
const LEVEL: i32 = 3;

/// An object to be made.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Its folders and its name, below the url.
    pub(super) name: String,
    pub(super) bytes: Bytes,
    /// What says that an object is this one: the SHA-256 of its bytes.
    pub(super) digest: String,
    pub(super) media_type: &'static str,
}

impl Object {
    /// Hashes the bytes, which takes its time where there are many.
    pub(super) fn new(name: String, bytes: impl Into<Bytes>, media_type: &'static str) -> Self {
        let bytes = bytes.into();
        Self { name, digest: sha256(&bytes), bytes, media_type }
    }

    /// The same under a name of its own content, for where something else has its name.
    pub(super) fn renamed(&self) -> Self {
        let digest = &self.digest;
        let (folders, file) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
        let (stem, extension) = file.split_once('.').unwrap_or((file, ""));
        let name = format!("{folders}/{stem}-{}.{extension}", digest.get(..16).unwrap_or(digest));
        Self { name, ..self.clone() }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

/// What all objects of a sink have in common.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) encoding: Encoding,
    pub(super) kind: ObjectKind,
    pub(super) path: PathTemplate,
    pub(super) region: String,
    /// The events of one object, before compression.
    pub(super) bytes_max: usize,
}

/// A delivery as objects.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) objects: Vec<Object>,
    /// For each record of the delivery why it cannot be written, if it cannot.
    pub(super) unwritable: Vec<Option<String>>,
}

/// Formats a delivery and cuts it into objects; or says what went wrong, which is nobody's fault.
pub(super) fn cut(shape: &Shape, tenant: &TenantLabel, delivery: &Delivery) -> Result<Cut, String> {
    let batch = DeliveryBatch { tenant, deliveries: std::slice::from_ref(delivery) };
    let (mut events, mut unwritable) = (Events::new(), Vec::new());
    for (number, (source, record)) in batch.records().enumerate() {
        events.start_record(number);
        let written = shape.encoding.write(source.kind(), record, tenant, &mut events);
        unwritable.push(written.err().map(|error| error.to_string()));
    }
    let objects = match shape.kind {
        ObjectKind::Ndjson => ndjson(shape, tenant, delivery, &events)?,
        ObjectKind::Parquet => of_classes(shape, tenant, delivery, &events)?,
    };
    Ok(Cut { objects, unwritable })
}

/// Lines of JSON. They lie in the folder of the day on which the newest of the delivery's records was changed.
fn ndjson(
    shape: &Shape,
    tenant: &TenantLabel,
    delivery: &Delivery,
    events: &Events,
) -> Result<Vec<Object>, String> {
    let newest =
        delivery.records().filter_map(|(_, record)| record.head.updated_at.or(record.head.created_at));
    let source = delivery.source.to_string();
    let contents = Contents { source: &source, day: Day::of(newest.max()), class: 0, region: &shape.region };
    let folders = shape.path.expand(tenant, contents);
    let lines: Vec<&[u8]> = events.iter().collect();
    let mut objects = Vec::new();
    for (part, lines) in parts(&lines, shape.bytes_max).into_iter().enumerate() {
        let mut text = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            // Between the tokens of JSON a line end is a blank, and within a text it does not stand.
            text.extend(line.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
            text.push(b'\n');
        }
        let bytes = zstd::bulk::compress(&text, LEVEL).map_err(|error| error.to_string())?;
        let name = format!("{folders}/{}.ndjson.zst", file_name(tenant, delivery, part));
        objects.push(Object::new(name, bytes, "application/zstd"));
    }
    Ok(objects)
}

/// An object for each class of OCSF and each day, sorted by time. The parts are numbered over all of them: a path need not tell
/// days or classes apart.
fn of_classes(
    shape: &Shape,
    tenant: &TenantLabel,
    delivery: &Delivery,
    events: &Events,
) -> Result<Vec<Object>, String> {
    let source = delivery.source.to_string();
    let mut objects = Vec::new();
    for ((class, day), rows) in parquet::grouped(events)? {
        let contents = Contents { source: &source, day, class, region: &shape.region };
        let folders = shape.path.expand(tenant, contents);
        let sizes: Vec<&[u8]> = rows.iter().map(|row| row.bytes).collect();
        let mut rows = rows.into_iter();
        for lines in parts(&sizes, shape.bytes_max) {
            let rows: Vec<parquet::Row<'_>> = rows.by_ref().take(lines.len()).collect();
            let name = format!("{folders}/{}-{class}.parquet", file_name(tenant, delivery, objects.len()));
            objects.push(Object::new(name, parquet::file(class, &rows)?, "application/vnd.apache.parquet"));
        }
    }
    Ok(objects)
}

/// Rows of so many bytes together; one that is bigger stands alone.
fn parts<'e, 's>(events: &'s [&'e [u8]], bytes_max: usize) -> Vec<&'s [&'e [u8]]> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, event) in events.iter().enumerate() {
        if at > start && bytes + event.len() > bytes_max {
            parts.push(&events[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += event.len() + 1;
    }
    if start < events.len() {
        parts.push(&events[start..]);
    }
    parts
}

/// What no other delivery is called: whose it is, its range in the journal (a lineage, the first number and the last,
/// which are one), which of its records are in it where not all are, and which part it is.
fn file_name(tenant: &TenantLabel, delivery: &Delivery, part: usize) -> String {
    let number = delivery.number.0;
    let selection = match &delivery.selection {
        Selection::All => String::new(),
        Selection::Some(bits) => format!("-{:032x}", u128::from_be_bytes(ContentHash::of(bits).0)),
    };
    format!("{}-{}-{number:010}-{number:010}{selection}-{part:04}", tenant.id, delivery.lineage.0)
}
