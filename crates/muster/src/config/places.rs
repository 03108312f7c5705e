//! Where each section and key of the settings stands, for what is found out later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::document::Document;

/// The files and lines of sections and keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// By section and key; the key is empty for the section itself.
    lines: BTreeMap<(String, String), (PathBuf, usize)>,
    /// What stands for whatever has no place of its own.
    whole: PathBuf,
}

impl Places {
    pub(super) fn new(whole: PathBuf) -> Self {
        Self { lines: BTreeMap::new(), whole }
    }

    /// Notes a section, with all keys in it, also those of tables within.
    pub(super) fn note(&mut self, document: &Document<'_>, section: &str, value: &Spanned<DeValue<'_>>) {
        self.set(document, section, String::new(), value.span().start);
        self.keys(document, section, "", value.get_ref());
    }

    fn keys(&mut self, document: &Document<'_>, section: &str, before: &str, value: &DeValue<'_>) {
        let DeValue::Table(table) = value else { return };
        for (key, value) in table {
            let path = match before {
                "" => key.get_ref().to_string(),
                before => format!("{before}.{}", key.get_ref()),
            };
            self.set(document, section, path.clone(), key.span().start);
            self.keys(document, section, &path, value.get_ref());
        }
    }

    fn set(&mut self, document: &Document<'_>, section: &str, key: String, at: usize) {
        let place = (document.file.to_owned(), document.line(at));
        self.lines.entry((section.to_owned(), key)).or_insert(place);
    }

    /// The file and line of a key; of its section where the key is not there; of the settings where neither is.
    pub(super) fn of(&self, section: &str, key: &str) -> (PathBuf, Option<usize>) {
        let place = |key: &str| self.lines.get(&(section.to_owned(), key.to_owned()));
        match place(key).or_else(|| place("")) {
            Some((file, line)) => (file.clone(), Some(*line)),
            None => (self.whole.clone(), None),
        }
    }

    /// The key of a section that a message speaks of: one that it quotes, or one whose name it holds; empty where it names
    /// none.
    pub(super) fn key_in(&self, section: &str, message: &str) -> String {
        let keys = self.lines.keys().filter(|(of, key)| of == section && !key.is_empty());
        let named = keys.filter_map(|(_, key)| {
            let last = key.rsplit('.').next().unwrap_or(key);
            let rank = u8::from(message.contains(key.as_str()))
                + 2 * u8::from(message.contains(&format!("`{last}`")));
            (rank > 0).then(|| (rank, key.len(), key.clone()))
        });
        named.max().map(|(_, _, key)| key).unwrap_or_default()
    }

    /// Where a section stands, if it does.
    pub(super) fn section(&self, section: &str) -> Option<(&Path, usize)> {
        let place = self.lines.get(&(section.to_owned(), String::new()));
        place.map(|(file, line)| (file.as_path(), *line))
    }
}
