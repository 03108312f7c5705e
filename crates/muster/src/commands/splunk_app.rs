//! `muster splunk-app`: the Splunk app for Muster's events, written to a folder.

use std::path::Path;

use serde::Serialize;

use crate::exit_code::{Exit, Failed};
use crate::output::Output;

/// The app's files: paths in it, and what is in them.
const FILES: [(&str, &str); 11] = [
    ("README.md", include_str!("../../../../deploy/splunk/muster/README.md")),
    ("default/app.conf", include_str!("../../../../deploy/splunk/muster/default/app.conf")),
    ("default/eventtypes.conf", include_str!("../../../../deploy/splunk/muster/default/eventtypes.conf")),
    ("default/fields.conf", include_str!("../../../../deploy/splunk/muster/default/fields.conf")),
    ("default/indexes.conf", include_str!("../../../../deploy/splunk/muster/default/indexes.conf")),
    ("default/macros.conf", include_str!("../../../../deploy/splunk/muster/default/macros.conf")),
    ("default/props.conf", include_str!("../../../../deploy/splunk/muster/default/props.conf")),
    ("default/tags.conf", include_str!("../../../../deploy/splunk/muster/default/tags.conf")),
    ("default/transforms.conf", include_str!("../../../../deploy/splunk/muster/default/transforms.conf")),
    (
        "lookups/muster_severity.csv",
        include_str!("../../../../deploy/splunk/muster/lookups/muster_severity.csv"),
    ),
    ("metadata/default.meta", include_str!("../../../../deploy/splunk/muster/metadata/default.meta")),
];

#[derive(Serialize)]
struct Written {
    app: String,
    files: Vec<&'static str>,
    indexes: Vec<String>,
}

/// Writes the app to `folder/muster`, with a stanza for each of `indexes`.
pub(crate) fn splunk_app(folder: &Path, indexes: &[String], output: Output) -> Result<Exit, Failed> {
    if let Some(wrong) = indexes.iter().find(|index| !is_index(index)) {
        return Err(Failed::say(
            Exit::Usage,
            format!(
                "`{wrong}` cannot be the name of an index: lower-case letters, digits, `_` and `-`, the first one a \
                 letter or digit"
            ),
        ));
    }
    let app = folder.join("muster");
    if app.exists() {
        let message = format!("{} exists already; nothing was changed", app.display());
        return Err(Failed::say(Exit::Failure, message));
    }
    for (path, content) in FILES {
        let path = app.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if path.ends_with("indexes.conf") {
            std::fs::write(&path, format!("{content}{}", stanzas(indexes)))?;
        } else {
            std::fs::write(&path, content)?;
        }
    }
    let files = FILES.iter().map(|(path, _)| *path).collect();
    let written = Written { app: app.display().to_string(), files, indexes: indexes.to_vec() };
    output.print(&written, |_| {
        format!(
            "wrote {}\n\nCopy it to $SPLUNK_HOME/etc/apps of the search heads, and of the indexers for its indexes.",
            written.app
        )
    })?;
    Ok(Exit::Success)
}

/// What Splunk takes for the name of an index.
fn is_index(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    !name.is_empty() && name.len() <= 80 && name.bytes().all(fits) && !name.starts_with(['_', '-'])
}

fn stanzas(indexes: &[String]) -> String {
    let stanza = |index: &String| {
        format!(
            "\n[{index}]\nhomePath = $SPLUNK_DB/{index}/db\ncoldPath = $SPLUNK_DB/{index}/colddb\n\
             thawedPath = $SPLUNK_DB/{index}/thaweddb\n"
        )
    };
    indexes.iter().map(stanza).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FILES, is_index, stanzas};

    #[test]
    fn every_file_of_the_app_is_written() {
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/splunk/muster");
        let mut found = Vec::new();
        for folder in ["", "default", "lookups", "metadata"] {
            for entry in std::fs::read_dir(app.join(folder)).expect("a folder") {
                let entry = entry.expect("an entry");
                if entry.file_type().expect("a type").is_file() {
                    let name = entry.file_name().into_string().expect("text");
                    found.push(if folder.is_empty() { name } else { format!("{folder}/{name}") });
                }
            }
        }
        found.sort();
        assert_eq!(found, FILES.map(|(path, _)| path));
    }

    #[test]
    fn each_index_has_a_stanza() {
        assert!(
            stanzas(&["mssp_contoso".to_owned()])
                .starts_with("\n[mssp_contoso]\nhomePath = $SPLUNK_DB/mssp_contoso/")
        );
        for wrong in ["", "_internal", "Main", "a b", "a]\n[b"] {
            assert!(!is_index(wrong), "{wrong}");
        }
        assert!(is_index("mssp_contoso-1"));
    }
}
