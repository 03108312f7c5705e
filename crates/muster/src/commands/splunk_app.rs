//! `muster splunk-app`: the Splunk app for Muster's events, written to a folder.

use std::path::{Path, PathBuf};

use muster_siem::formats::IndexTemplate;
use serde::Serialize;

use crate::exit_code::{Exit, Failed};
use crate::shown::output::Output;

/// The app's files: paths in it, and what is in them.
const FILES: [(&str, &str); 13] = [
    ("README.md", include_str!("../../../../deploy/splunk/muster/README.md")),
    ("default/app.conf", include_str!("../../../../deploy/splunk/muster/default/app.conf")),
    (
        "default/data/ui/nav/default.xml",
        include_str!("../../../../deploy/splunk/muster/default/data/ui/nav/default.xml"),
    ),
    (
        "default/data/ui/views/muster_overview.xml",
        include_str!("../../../../deploy/splunk/muster/default/data/ui/views/muster_overview.xml"),
    ),
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

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the app's folder `muster` is made.
    folder: PathBuf,
    /// An index to define, such as mssp_contoso; may be given several times.
    #[arg(long, value_name = "NAME")]
    index: Vec<String>,
}

#[derive(Serialize)]
struct Written {
    app: String,
    files: Vec<&'static str>,
    indexes: Vec<String>,
}

/// Writes the app to `folder/muster`, with a stanza for each index.
pub(crate) fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
    let Args { folder, index: indexes } = args;
    if let Some(wrong) = indexes.iter().find(|index| !IndexTemplate::takes(index)) {
        return Err(Failed::say(
            Exit::Usage,
            format!(
                "`{wrong}` cannot be the name of an index: at most {max} lower-case letters, digits, `_` \
                 and `-`, the first one a letter or digit, and neither `default` nor anything with `kvstore`",
                max = IndexTemplate::BYTES_MAX,
            ),
        ));
    }
    let mut once: Vec<String> = Vec::new();
    for index in indexes {
        if !once.contains(index) {
            once.push(index.clone());
        }
    }
    let app = folder.join("muster");
    // A link that leads nowhere is there as well.
    if std::fs::symlink_metadata(&app).is_ok() {
        let message = format!(
            "{} exists already; nothing was changed. Write to another folder, or move it away first",
            app.display()
        );
        return Err(Failed::say(Exit::Failure, message));
    }
    if let Err(failed) = write(&app, &once) {
        // It was not there before: half an app is worse than none.
        std::fs::remove_dir_all(&app).ok();
        return Err(failed);
    }
    let files = FILES.iter().map(|(path, _)| *path).collect();
    let written = Written { app: app.display().to_string(), files, indexes: once };
    output.print(&written, |_| {
        format!(
            "wrote {}\n\nCopy it to $SPLUNK_HOME/etc/apps of the search heads, and of the indexers for its indexes.",
            written.app
        )
    })
}

fn write(app: &Path, indexes: &[String]) -> Result<(), Failed> {
    let failed = |path: &Path, error: std::io::Error| Failed::unwritable(path, &error);
    for (path, content) in FILES {
        let path = app.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        }
        let stanzas = if path.ends_with("indexes.conf") { stanzas(indexes) } else { String::new() };
        std::fs::write(&path, format!("{content}{stanzas}")).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

pub(super) fn stanzas(indexes: &[String]) -> String {
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

    use muster_siem::formats::IndexTemplate;

    use super::{FILES, stanzas};

    #[test]
    fn every_file_of_the_app_is_written() {
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/splunk/muster");
        let mut found = Vec::new();
        for folder in ["", "default", "default/data/ui/nav", "default/data/ui/views", "lookups", "metadata"] {
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
        for wrong in ["", "_internal", "Main", "a b", "a]\n[b", "default", "my_kvstore"] {
            assert!(!IndexTemplate::takes(wrong), "{wrong}");
        }
        assert!(IndexTemplate::takes("mssp_contoso-1"));
    }
}
