//! Records of our own, written from the documented schemas: a Graph alert for each of the 48 evidence types, and
//! records of every other kind. Facts that mean different things have different
//! values, so that a test that finds a value in an event knows where it came from.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use muster_model::{Change, ChangeKind, RecordHead, RecordKind, TenantLabel};

/// Each record's name, kind and JSON. Names begin with `evidence/` and the type of evidence, or with `hunting/` and
/// the table; `hunting/summary` is a row that a query made up, `hunting/streamed` one as the streaming API wraps it.
pub(crate) static FIXTURES: LazyLock<Vec<(&str, RecordKind, &str)>> = LazyLock::new(|| {
    let mut all: Vec<_> = ["evidence/", "", "hunting/"].into_iter().flat_map(folder).collect();
    all.sort_by_key(|(name, ..)| (name.starts_with("hunting/"), !name.contains('/'), *name));
    all
});

/// The fixture of this name.
pub(crate) fn fixture(name: &str) -> &'static str {
    FIXTURES.iter().find(|(known, ..)| *known == name).expect("a fixture").2
}

fn folder(prefix: &str) -> Vec<(&'static str, RecordKind, &'static str)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(prefix);
    let entries = std::fs::read_dir(folder).expect("a folder of fixtures");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let read = |path: PathBuf| {
        let name = format!("{prefix}{}", path.file_stem().expect("a name").display()).leak();
        let body = std::fs::read_to_string(&path).expect("a fixture is text").leak();
        (&*name, kind_of(name), &*body)
    };
    files.map(read).collect()
}

fn kind_of(name: &str) -> RecordKind {
    match name {
        "endpoint_api_alert" => RecordKind::EndpointAlert,
        "xdr_incident" => RecordKind::XdrIncident,
        "siem_detection" => RecordKind::SiemDetection,
        _ if name.starts_with("hunting/") => RecordKind::HuntingRow,
        _ if name.starts_with("incident") => RecordKind::GraphIncident,
        _ => RecordKind::GraphAlert,
    }
}

/// Compares `text` with the snapshot of a fixture in a format.
pub(crate) fn assert_snapshot(format: &str, name: &str, text: &str) {
    let path = Path::new("../snapshots").join(format).join(name);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(path.parent().expect("a folder"));
    let name = path.file_name().expect("a name").to_str().expect("text").to_owned();
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The tenant of every fixture.
pub(crate) fn tenant() -> TenantLabel {
    TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: "Fabrikam AB".to_owned(),
    }
}

/// The head of a fixture.
pub(crate) fn head(kind: RecordKind, body: &str) -> RecordHead {
    RecordHead::read(kind, body).expect("a fixture has what identifies it")
}

/// The head of a fixture as the journal gives it, with a change of which there is everything to tell.
pub(crate) fn changed_head(kind: RecordKind, body: &str) -> RecordHead {
    let change = Change {
        fields: vec!["severity".to_owned(), "incidentId".to_owned()],
        more_fields: 3,
        from: Some("7".to_owned()),
        to: Some("9".to_owned()),
        ..Change::new(ChangeKind::Moved)
    };
    RecordHead { change: Some(change), ..head(kind, body) }
}
