//! The pages in `docs/formats/` hold the tables of the formats, between two comments; what is there must be what the
//! code says. `cargo test -p muster-siem documents -- --ignored` writes it there.

use std::path::PathBuf;

use super::{FieldDoc, Format, flat, markdown};

const START: &str = "<!-- generated from the code -->\n";
const END: &str = "<!-- end of what is generated -->\n";

/// The formats with fields of their own.
fn documented() -> [Format; 5] {
    [
        Format::Splunk(Default::default()),
        Format::Cef(Default::default()),
        Format::Leef(Default::default()),
        Format::Ecs(Default::default()),
        Format::Ocsf(Default::default()),
    ]
}

/// The pages and the tables in them.
fn pages() -> Vec<(&'static str, String)> {
    documented()
        .into_iter()
        .map(|format| {
            let mut page = markdown(format.fields());
            if let Format::Cef(_) = format {
                page.push_str("\nCustom fields and their labels:\n\n| field | label |\n|---|---|\n");
                for (field, label) in flat::CEF_LABELS.iter().filter(|(_, label)| !label.is_empty()) {
                    page.push_str(&format!("| `{field}` | `{label}` |\n"));
                }
            }
            (format.name(), page)
        })
        .collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/formats/{name}.md"))
}

/// What stands before, between and after the two comments.
fn parts<'p>(name: &str, page: &'p str) -> (&'p str, &'p str, &'p str) {
    let (before, rest) =
        page.split_once(START).unwrap_or_else(|| panic!("{name}.md lacks the comment that begins"));
    let (between, after) =
        rest.split_once(END).unwrap_or_else(|| panic!("{name}.md lacks the comment that ends"));
    (before, between, after)
}

#[test]
fn the_pages_say_what_the_code_says() {
    for (name, generated) in pages() {
        let page = std::fs::read_to_string(path(name)).expect("the format's page");
        let (_, between, _) = parts(name, &page);
        assert!(
            between == generated,
            "docs/formats/{name}.md is out of date: cargo test -p muster-siem documents -- --ignored"
        );
    }
}

#[test]
#[ignore = "writes docs/formats"]
fn write_the_pages() {
    for (name, generated) in pages() {
        let page = std::fs::read_to_string(path(name)).expect("the format's page");
        let (before, _, after) = parts(name, &page);
        std::fs::write(path(name), format!("{before}{START}{generated}{END}{after}")).expect("written");
    }
}

/// A name that comes twice for one kind would have two meanings.
#[test]
fn each_field_is_documented_once_for_each_kind() {
    for format in documented() {
        let fields: &[FieldDoc] = format.fields();
        for (position, field) in fields.iter().enumerate() {
            let again = fields[position + 1..].iter().find(|other| {
                other.name == field.name && other.kinds.iter().any(|kind| field.kinds.contains(kind))
            });
            assert!(again.is_none(), "{format}: {} comes twice", field.name);
            assert!(!field.kinds.is_empty() && !field.source.is_empty(), "{format}: {}", field.name);
        }
    }
}
