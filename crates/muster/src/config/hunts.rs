//! `[hunts.NAME]`: saved hunting queries, which are sources with a name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_microsoft::hunting::SavedHunt;
use muster_model::{CursorPolicy, HuntName, Source, Span, TenantLabel};
use serde::Deserialize;

use super::RouteSettings;
use crate::read_file;

/// A query that is asked more often leaves nothing of the tenant's quota to the people in the portal.
const EVERY_MIN: Duration = Duration::from_secs(60);
/// Nothing is kept for longer. Source: Microsoft "Advanced hunting quotas and usage parameters".
const LOOK_BACK_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Without another word as many intervals are looked back, as Microsoft's own custom detections do.
const LOOK_BACK_INTERVALS: u32 = 4;
/// How far it may come to look back where rows show later than that.
const LATE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The longest query that is read from a file, in bytes.
const QUERY_BYTES_MAX: u64 = 100 << 10;

/// `[hunts.NAME]`, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HuntSettings {
    /// The query, in KQL.
    #[serde(default)]
    pub query: Option<String>,
    /// The file that it stands in, in its place.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The API that is asked.
    #[serde(default)]
    pub api: HuntApi,
    /// How often.
    #[serde(default = "hourly")]
    pub every: Span,
    /// How much before the last time it was asked for is asked for again, for rows that show late.
    #[serde(default)]
    pub look_back: Option<Span>,
    /// The column that tells a row's time.
    #[serde(default = "timestamp")]
    pub time_column: String,
    /// The columns that tell one row from all others; all when it is missing.
    #[serde(default)]
    pub key_columns: Vec<String>,
    /// Slugs or ids of the tenants that are asked; `*` stands for any letters.
    #[serde(default = "super::routes::everyone")]
    pub tenants: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HuntApi {
    #[default]
    Graph,
    Xdr,
}

fn hourly() -> Span {
    Span(Duration::from_secs(3_600))
}

fn timestamp() -> String {
    "Timestamp".to_owned()
}

/// A saved query that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunt {
    pub saved: SavedHunt,
    pub every: Duration,
    pub look_back: Duration,
    tenants: Vec<String>,
}

impl HuntSettings {
    /// The query of this name, of settings in `folder`.
    ///
    /// # Errors
    /// All that is wrong with it: the key, and why.
    pub(super) fn hunt(&self, name: &str, folder: &Path) -> Result<Hunt, Vec<(&'static str, String)>> {
        let mut mistakes = Vec::new();
        let name = name.parse::<HuntName>().map_err(|error| mistakes.push(("", error.to_string())));
        let query = match (&self.query, &self.file) {
            (Some(query), None) => Some(query.clone()),
            (None, Some(file)) => read(&folder.join(file)).map_err(|why| mistakes.push(("file", why))).ok(),
            (Some(_), Some(_)) => {
                mistakes.push(("file", "`query` says what is asked already: keep one of the two".to_owned()));
                None
            }
            (None, None) => {
                mistakes.push(("query", "`query` or `file` is missing: what is asked, in KQL".to_owned()));
                None
            }
        };
        let (every, look_back) =
            (self.every.0, self.look_back.map_or(self.every.0 * LOOK_BACK_INTERVALS, |span| span.0));
        if every < EVERY_MIN {
            let message = "that leaves nothing of the tenant's quota, which people in the portal share: give it a minute at least";
            mistakes.push(("every", message.to_owned()));
        }
        if look_back > LOOK_BACK_MAX {
            let key = if self.look_back.is_some() { "look_back" } else { "every" };
            mistakes.push((key, "nothing is kept for more than 30 days: look back less".to_owned()));
        }
        let (Ok(name), Some(query)) = (name, query) else { return Err(mistakes) };
        let source = match self.api {
            HuntApi::Graph => Source::GraphHunting(name),
            HuntApi::Xdr => Source::XdrHunting(name),
        };
        let (time_column, key_columns) = (self.time_column.clone(), self.key_columns.clone());
        let saved = SavedHunt { source, query, time_column, key_columns };
        let of_file = |key| if key == "query" && self.file.is_some() { "file" } else { key };
        mistakes.extend(saved.mistakes().into_iter().map(|(key, why)| (of_file(key), why)));
        match mistakes.is_empty() {
            true => Ok(Hunt { saved, every, look_back, tenants: self.tenants.clone() }),
            false => Err(mistakes),
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    let query = read_file::text(file, QUERY_BYTES_MAX);
    let query = query.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(query.trim_start_matches('\u{feff}').to_owned())
}

impl Hunt {
    /// Whether a tenant is asked.
    pub fn asks(&self, tenant: &TenantLabel) -> bool {
        self.tenants.iter().any(|pattern| RouteSettings::names(pattern, (&tenant.slug, tenant.id)))
    }

    /// The part that cursors need.
    pub(crate) fn cursor_policy(&self) -> CursorPolicy {
        CursorPolicy {
            overlap: self.look_back,
            overlap_max: (self.look_back * 4).min(LATE_MAX).max(self.look_back),
        }
    }

    /// When its last complete round is older, it is late.
    pub(crate) fn late_after(&self) -> Duration {
        self.every * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunt(text: &str) -> Result<Hunt, String> {
        let settings: HuntSettings = toml::from_str(text).expect("a section");
        let said = |mistakes: Vec<(&str, String)>| -> String {
            mistakes.iter().map(|(key, why)| format!("{key}: {why}\n")).collect()
        };
        settings.hunt("test", Path::new("/nowhere")).map_err(said)
    }

    #[test]
    fn what_is_not_said_is_taken_as_usual() {
        let hunt = hunt("query = 'DeviceEvents'").expect("right");
        assert_eq!(hunt.saved.source.as_str(), "graph_hunting/test");
        assert_eq!((hunt.every.as_secs(), hunt.look_back.as_secs()), (3_600, 4 * 3_600));
        let policy = hunt.cursor_policy();
        assert_eq!((policy.overlap.as_secs(), policy.overlap_max.as_secs()), (4 * 3_600, 16 * 3_600));
        let label = |slug: &str| TenantLabel {
            id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
            slug: slug.parse().expect("a slug"),
            name: String::new(),
        };
        assert!(hunt.asks(&label("contoso")));
        let some =
            self::hunt("query = 'T'\napi = 'xdr'\ntenants = ['con*']\nlook_back = '0s'").expect("right");
        assert!(some.asks(&label("contoso")) && !some.asks(&label("fabrikam")));
        assert_eq!(some.saved.source.as_str(), "xdr_hunting/test");
    }

    #[test]
    fn every_mistake_is_told() {
        for (text, said) in [
            ("", "query: `query` or `file` is missing"),
            ("query = 'T'\nfile = 'x.kql'", "file: `query` says what is asked already"),
            ("file = 'x.kql'", "file: /nowhere/x.kql cannot be read"),
            ("query = 'T | take 5'", "query: `| take` leaves rows out"),
            ("query = 'T'\nevery = '5s'", "every: that leaves nothing"),
            ("query = 'T'\nlook_back = '31d'", "look_back: nothing is kept"),
            ("query = 'T'\nevery = '10d'", "every: nothing is kept"),
            ("query = 'T'\nkey_columns = ['a b']", "key_columns: `a b` is no name"),
        ] {
            let told = hunt(text).expect_err(text);
            assert!(told.contains(said), "{text}: {told}");
        }
    }

    #[test]
    fn a_query_may_stand_in_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("x.kql"), "\u{feff}DeviceEvents\n").expect("written");
        let settings: HuntSettings = toml::from_str("file = 'x.kql'").expect("a section");
        assert_eq!(settings.hunt("x", folder.path()).expect("right").saved.query, "DeviceEvents\n");
        std::fs::write(folder.path().join("x.kql"), "T | limit 5").expect("written");
        assert_eq!(settings.hunt("x", folder.path()).expect_err("a limit")[0].0, "file");
        std::fs::write(folder.path().join("x.kql"), "T".repeat(200_000)).expect("written");
        assert!(
            settings.hunt("x", folder.path()).expect_err("too long")[0].1.contains("larger than 100 KiB")
        );
        assert_eq!(settings.hunt("No Name", folder.path()).expect_err("no name")[0].0, "");
    }
}
