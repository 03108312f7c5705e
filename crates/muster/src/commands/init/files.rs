//! What all ways of `muster init` write, over nothing that is there.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context as _;

use crate::config::schema;
use crate::exit_code::{Exit, Failed};

/// The settings file that is written.
const SETTINGS: &str = include_str!("../../../../../examples/muster.toml");

pub(super) const KEEP_A_COPY: &str =
    "Keep a copy of the master key apart from the store: without it, nothing in the store can be read.";

/// Writes the example, with the store where it is to be, and beside it the schema by which editors that know TOML complete
/// and check the keys.
pub(super) fn write_settings(path: &Path, store: Option<&Path>) -> Result<(), Failed> {
    let text = match store {
        None => SETTINGS.to_owned(),
        Some(store) => {
            let store = store.to_str().ok_or_else(|| {
                let message = format!("the store's path {} is no UTF-8, as settings are", store.display());
                Failed::say(Exit::Usage, message)
            })?;
            SETTINGS.replacen("\"muster.db\"", &toml::Value::from(store).to_string(), 1)
        }
    };
    let text = format!("#:schema ./{}\n{text}", schema::FILE);
    let of_editors = path.with_file_name(schema::FILE);
    let schema = serde_json::to_vec_pretty(&schema::schema()).map_err(std::io::Error::other)?;
    for (path, mode, content) in [(path, 0o640, text.as_bytes()), (&of_editors, 0o644, &schema[..])] {
        // The schema of settings that are gone serves new ones.
        if path == of_editors && of_editors.is_file() {
            continue;
        }
        new_file(path, mode, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

pub(super) fn new_file(path: &Path, mode: u32, content: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
