//! Settings that are only read when `muster run` starts.

use std::collections::BTreeMap;

use super::subject::Subject;
use crate::config::{LogFormat, Mistake, Settings};

/// The settings that are only read when `muster run` starts, by section and key, as they may be shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AtStart(BTreeMap<String, String>);

/// What a `muster run` at work goes on with, though the settings say something else now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsRestart {
    pub section: String,
    pub key: String,
    pub in_use: String,
    pub wanted: String,
}

impl AtStart {
    pub fn of(settings: &Settings) -> Self {
        let server = &settings.server;
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        let format = match server.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let file = settings.path(&settings.store.path);
        // However the settings were named, and from wherever.
        let file = std::path::absolute(&file).unwrap_or(file).display().to_string();
        let store = settings.store.url.clone().unwrap_or(file);
        let values = [
            ("store.path", store),
            ("store.master_key", settings.store.master_key.to_string()),
            ("server.listen", or_none(server.listen.map(|address| address.to_string()))),
            ("server.log_format", format.to_owned()),
            ("server.log_level", or_none(server.log_level.clone())),
        ];
        Self(values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Those of the `muster run` that is at work, as it wrote them down.
    pub(super) fn of_running(subject: &Subject<'_>) -> Option<Self> {
        let store = subject.store.as_ref().ok().filter(|store| store.is_owned)?;
        let written = store.settings_loaded.as_ref()?.get("at_start")?;
        serde_json::from_value(written.clone()).ok()
    }

    /// Where the `muster run` that is at work listens, as it wrote it down: for `server`, for the pages of `onboarding`, or for
    /// `pull_api`.
    pub(super) fn running_listens_at(subject: &Subject<'_>, section: &str) -> Option<String> {
        if section == "server" {
            return Self::of_running(subject)?.0.get("server.listen").cloned();
        }
        let store = subject.store.as_ref().ok().filter(|store| store.is_owned)?;
        let key = if section == "pull_api" { "pull_api_listen" } else { "pages_listen" };
        store.settings_loaded.as_ref()?.get(key)?.as_str().map(str::to_owned)
    }

    /// What is in use otherwise than `wanted` says, until the next start.
    pub fn differing(&self, wanted: &Self) -> Vec<NeedsRestart> {
        let differing = wanted.0.iter().filter_map(|(name, wanted)| {
            let in_use = self.0.get(name).filter(|in_use| *in_use != wanted)?;
            let (section, key) = name.split_once('.')?;
            let (section, key) = (section.to_owned(), key.to_owned());
            Some(NeedsRestart { section, key, in_use: in_use.clone(), wanted: wanted.clone() })
        });
        differing.collect()
    }
}

impl std::fmt::Display for NeedsRestart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { section, key, in_use, wanted } = self;
        write!(
            f,
            "`{key}` in [{section}] is only read at a start: {in_use} stays in use until Muster is restarted, and {wanted} is used then"
        )
    }
}

/// What the `muster run` that is at work will not take up at a reload.
pub(super) fn restart(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let Some(running) = AtStart::of_running(subject) else { return };
    for needed in running.differing(&AtStart::of(subject.settings)) {
        mistakes.push(subject.advice(&needed.section, &needed.key, &needed.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn a_store_is_the_same_however_the_settings_are_named() {
        let of = |folder: &Path, path: &str| {
            let text = format!("[store]\npath = \"{path}\"\n");
            AtStart::of(&Settings::parse(folder, &[(PathBuf::from("muster.toml"), text)]).expect("settings"))
        };
        let here = std::path::absolute(".").expect("a folder");
        let absolute = here.join("muster.db").display().to_string();
        for (folder, path) in
            [(Path::new(""), "muster.db"), (Path::new("."), "muster.db"), (Path::new("/x"), &absolute)]
        {
            assert_eq!(of(&here, "muster.db").differing(&of(folder, path)), [], "{folder:?} {path}");
        }
        assert_eq!(of(&here, "muster.db").differing(&of(Path::new("."), "other.db")).len(), 1);
    }
}
