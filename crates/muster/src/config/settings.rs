//! All sections together, read and checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::{SecretReference, Source};
use muster_siem::sinks::SinkSettings;
use toml::de::DeTable;

use super::document::Document;
use super::places::Places;
use super::read::Read;
use super::{
    AppSettings, CloudSettings, CollectSettings, Fingerprints, Hunt, HuntSettings, KeyVaultSettings, Mistake,
    Mistakes, NetworkSettings, NoticeSettings, OnboardingSettings, PullApiSettings, RouteSettings,
    ServerSettings, SiemFeedSettings, SinkKeys, StoreSettings, Stream, StreamSettings, contradictions, files,
    fingerprints,
};

/// The settings of one Muster, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that relative paths start from: where the settings file lies.
    pub folder: PathBuf,
    /// A hash of the files' text, in hexadecimal: tells one reading from another in the audit log.
    pub fingerprint: String,
    /// What each key says, as a hash: what `muster settings diff` compares.
    pub sections: Fingerprints,
    pub store: StoreSettings,
    pub cloud: CloudSettings,
    pub network: NetworkSettings,
    pub collect: CollectSettings,
    pub server: ServerSettings,
    pub key_vault: Option<KeyVaultSettings>,
    /// `[onboarding]`; without it there are no pages for customers.
    pub onboarding: Option<OnboardingSettings>,
    /// `[pull_api]`; without it the retired SIEM API is not served.
    pub pull_api: Option<PullApiSettings>,
    /// `[siem_feed]`: where the retired SIEM API is read.
    pub siem_feed: SiemFeedSettings,
    pub apps: BTreeMap<String, AppSettings>,
    /// `[hunts.NAME]`, as the sources that they are.
    pub hunts: BTreeMap<Source, Hunt>,
    /// `[streams.NAME]`, as the sources that they are.
    pub streams: BTreeMap<Source, Stream>,
    pub sinks: BTreeMap<String, SinkSettings>,
    /// What their sections say of each, whatever its type.
    pub sink_keys: BTreeMap<String, SinkKeys>,
    pub routes: Vec<RouteSettings>,
    /// `[notices.NAME]`: who is told of conditions and alerts.
    pub notices: BTreeMap<String, NoticeSettings>,
    /// Where all of them stand.
    places: Places,
}

impl Settings {
    /// Reads and checks the settings at `path`: a file, or a folder whose `*.toml` files are read together.
    pub fn read(path: &Path) -> Result<Self, Mistakes> {
        right(Self::read_in_part(path))
    }

    /// The same, with what is right in settings that have mistakes; `None` where a file as a whole is wrong.
    pub fn read_in_part(path: &Path) -> (Option<Self>, Vec<Mistake>) {
        let whole = |file: &Path, line, message: &str| Mistake::new((file, line), "", None, message);
        let names = match files::names(path) {
            Ok(names) => names,
            Err(message) => return (None, vec![whole(path, None, &message)]),
        };
        let mut mistakes = Vec::new();
        let mut texts = Vec::new();
        for name in names {
            match files::read_settings(&name) {
                Ok(text) => texts.push((name, text)),
                Err((line, message)) => mistakes.push(whole(&name, line, &message)),
            }
        }
        Self::parse_beside(Self::folder_of(path), &texts, path.to_owned(), mistakes)
    }

    /// What can be read of settings that are wrong as a whole, for a look at the rest: every section that stands by itself, and
    /// the defaults for what is missing; and whether any file could be read.
    pub fn read_what_can_be(path: &Path) -> (Self, bool) {
        let names = files::names(path).unwrap_or_default();
        let texts =
            names.into_iter().filter_map(|name| Some((name.clone(), files::read_settings(&name).ok()?)));
        let texts: Vec<(PathBuf, String)> = texts.collect();
        let mut read = Read { places: Places::new(path.to_owned()), ..Read::default() };
        for (file, text) in &texts {
            let (table, _) = DeTable::parse_recoverable(text);
            // The mistakes are told by whoever reads it all.
            read.take(&Document { file, text }, table.into_inner(), &mut Vec::new());
        }
        (Self::of(read, Self::folder_of(path), &texts), !texts.is_empty())
    }

    /// The folder that relative paths of the settings at `path` start from.
    fn folder_of(path: &Path) -> &Path {
        let folder = if path.is_dir() { Some(path) } else { path.parent() };
        folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Checks settings that are at hand as text, each with the name of its file.
    pub fn parse(folder: &Path, files: &[(PathBuf, String)]) -> Result<Self, Mistakes> {
        let whole = files.first().map_or_else(|| folder.to_owned(), |(file, _)| file.clone());
        right(Self::parse_beside(folder, files, whole, Vec::new()))
    }

    /// The same, with mistakes that were found already: some of the files could not be read.
    fn parse_beside(
        folder: &Path,
        files: &[(PathBuf, String)],
        whole: PathBuf,
        mut mistakes: Vec<Mistake>,
    ) -> (Option<Self>, Vec<Mistake>) {
        // What is not there may stand in a file that could not be read.
        let mut is_all_there = mistakes.is_empty();
        let mut read = Read { places: Places::new(whole), ..Read::default() };
        for (file, text) in files {
            let document = Document { file, text };
            let (table, errors) = DeTable::parse_recoverable(text);
            if errors.is_empty() {
                read.take(&document, table.into_inner(), &mut mistakes);
            } else {
                is_all_there = false;
                mistakes.extend(errors.iter().map(|error| {
                    let at = error.span().unwrap_or_default();
                    document.mistake_at(&at, "", None, &format!("this is no TOML: {}", error.message()))
                }));
            }
        }
        if is_all_there {
            mistakes.extend(contradictions::of(&read, folder));
        }
        mistakes.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        mistakes.dedup();
        let settings = is_all_there.then(|| Self::of(read, folder, files));
        (settings, mistakes)
    }

    /// What was read, with the defaults for what is missing.
    fn of(read: Read, folder: &Path, files: &[(PathBuf, String)]) -> Self {
        Self {
            folder: folder.to_owned(),
            fingerprint: fingerprint(files),
            sections: fingerprints::of(files),
            store: read.store.unwrap_or_default(),
            cloud: read.cloud.unwrap_or_default(),
            network: read.network.unwrap_or_default(),
            collect: read.collect.unwrap_or_default(),
            server: read.server.unwrap_or_default(),
            key_vault: read.key_vault,
            onboarding: read.onboarding,
            pull_api: read.pull_api,
            siem_feed: read.siem_feed.unwrap_or_default(),
            apps: read.apps,
            hunts: hunts(&read.hunts, folder),
            streams: streams(&read.streams),
            sink_keys: read.sinks.iter().map(|(name, of)| (name.clone(), of.keys.clone())).collect(),
            sinks: read.sinks.into_iter().map(|(name, of)| (name, of.settings)).collect(),
            routes: read.routes,
            notices: read.notices,
            places: read.places,
        }
    }

    /// A mistake in what these settings name, at its place: of `key`, or of the section where that key is not written.
    pub fn mistake(&self, section: &str, key: &str, message: &str) -> Mistake {
        Mistake::new(self.places.of(section, key), section, Some(key).filter(|key| !key.is_empty()), message)
    }

    /// The section of the route at `index`, in mistakes.
    pub fn route_section(index: usize) -> String {
        RouteSettings::section(index)
    }

    /// A path of the settings, seen from the settings' folder.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Every place that a secret of these settings is kept in.
    pub fn secret_references(&self) -> Vec<&SecretReference> {
        let mut references = vec![&self.store.master_key];
        references.extend(&self.store.password);
        references.extend(self.apps.values().flat_map(AppSettings::secrets).map(|(_, place)| place));
        references.extend(self.sinks.values().flat_map(|sink| sink.any().secrets()).map(|(_, place)| place));
        references.extend(self.streams.values().flat_map(Stream::secrets));
        references.extend(self.notices.values().flat_map(NoticeSettings::secrets).map(|(_, place)| place));
        references.extend(self.sink_keys.values().flat_map(|keys| &keys.search).map(|search| &search.token));
        references
    }

    /// The sinks on which nothing depends, with how far the backlog of each may reach back.
    pub fn shadows(&self) -> BTreeMap<String, Duration> {
        let shadows = self.sink_keys.iter().filter(|(_, keys)| keys.shadow);
        shadows.map(|(name, keys)| (name.clone(), keys.backlog())).collect()
    }
}

/// Those that are right.
fn hunts(read: &BTreeMap<String, HuntSettings>, folder: &Path) -> BTreeMap<Source, Hunt> {
    let hunts = read.iter().filter_map(|(name, hunt)| hunt.hunt(name, folder).ok());
    hunts.map(|hunt| (hunt.saved.source, hunt)).collect()
}

fn streams(read: &BTreeMap<String, StreamSettings>) -> BTreeMap<Source, Stream> {
    let streams = read.iter().filter_map(|(name, stream)| stream.stream(name).ok());
    streams.map(|stream| (stream.source, stream)).collect()
}

fn right((settings, mistakes): (Option<Settings>, Vec<Mistake>)) -> Result<Settings, Mistakes> {
    settings.filter(|_| mistakes.is_empty()).ok_or(Mistakes(mistakes))
}

fn fingerprint(files: &[(PathBuf, String)]) -> String {
    let text: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
    muster_model::ContentHash::of(text.join("\0").as_bytes())
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, Vec<String>> {
        Settings::parse(Path::new("/etc/muster"), &[(PathBuf::from("muster.toml"), text.to_owned())])
            .map_err(|mistakes| mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_example_is_right() {
        let example = include_str!("../../../../examples/muster.toml");
        let settings = parse(example).expect("no mistakes");
        assert_eq!(settings.sinks.len(), 3);
        assert_eq!(settings.routes.len(), 2);
    }

    #[test]
    fn what_a_sink_makes_of_its_events_is_checked() {
        let sink = |more: &str| {
            parse(&format!(
                "[sinks.qradar]\ntype = \"syslog\"\naddress = \"qradar.example:514\"\ntransport = \"tcp\"\n\
                 format = \"leef\"\n{more}\n[[routes]]\nsinks = [\"qradar\"]\n"
            ))
        };
        let spelling =
            |more: &str| sink(more).expect("settings").sinks["qradar"].any().encoding().expect("an encoding");
        // What a receiver takes without being told, less the header.
        let bounds = spelling("").bounds.expect("bounds");
        assert_eq!((bounds.event_bytes_max, bounds.big_events), (65_024, Default::default()));
        assert_eq!(spelling("message_size_max = \"8KiB\"").bounds.expect("bounds").event_bytes_max, 7680);
        assert_eq!(spelling("event_size_max = \"4KiB\"").bounds.expect("bounds").event_bytes_max, 4096);
        let mapped = spelling("mapping.set = { customer = \"{{ tenant.slug }}\" }\nleef.delimiter = \"^\"");
        assert!(mapped.mapping.is_some());

        let mistakes = sink(
            "event_size_max = \"9B\"\nbig_events = \"drop\"\n\
             mapping.set = { \"two words\" = \"x\", a = \"{{ recrod }}\", b = \"{{ 1|shout }}\" }",
        )
        .expect_err("mistakes")
        .join("\n");
        for wanted in [
            "big_events = \"drop\" needs big_drop",
            "event_size_max must be at least 1024 B",
            "`two words` cannot be the name of a field in leef",
            "the template of `a` does not work: `recrod` is not known",
            "the template of `b` does not work: unknown filter",
        ] {
            assert!(mistakes.contains(wanted) && mistakes.contains("sinks.qradar"), "{wanted}: {mistakes}");
        }
        assert!(
            sink("leef.delimiter = \"ab\"").expect_err("a mistake").join("").contains("cannot stand between")
        );
        assert!(sink("big_events = \"cut\"").is_err());
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_line() {
        let mistakes = parse(
            r#"[store]
pth = "muster.db"

[apps.main]
client_id = 7
secret = { file = "x", env = "Y" }

[collect]
poll_interval = "5 parsecs"
overlap = 3

[sinks.splunk]
type = "splunk_hec"
url = "ftp://splunk.example"
colour = "red"

[sinks.other]
type = "carrier_pigeon"

[[routes]]
tenants = ["*"]
sources = ["graph_alrts"]
sinks = ["splnk"]

[speed]
"#,
        )
        .expect_err("mistakes");
        let all = mistakes.join("\n");
        for wanted in [
            "muster.toml:2: [store] unknown key `pth` (did you mean `path`?): use `path`",
            "muster.toml:5: [apps.main] client_id: it must be a text in quotes, and this is a number",
            "muster.toml:6: [apps.main] secret: it names several places",
            "muster.toml:9: [collect] poll_interval: `5 parsecs` is not a duration",
            "muster.toml:10: [collect]",
            "muster.toml:15: [sinks.splunk] unknown key `colour`",
            "muster.toml:12: [sinks.splunk] token: `token` is missing",
            "muster.toml:18: [sinks.other] type: `carrier_pigeon` is not a type of sink",
            "muster.toml:22: [routes #1] sources: `graph_alrts` is not a source (did you mean `graph_alerts`?)",
            "muster.toml:23: [routes #1] sinks: there is no sink `splnk` (did you mean `splunk`?)",
            "muster.toml:25: `speed` is not a section",
        ] {
            assert!(all.contains(wanted), "{wanted} is missing in:\n{all}");
        }
    }

    #[test]
    fn a_route_to_nowhere_is_a_mistake() {
        let mistakes =
            parse("[[routes]]\ntenants = [\"*\"]\nsources = [\"graph_alerts\"]\nsinks = [\"nowhere\"]\n");
        assert!(mistakes.expect_err("a mistake")[0].contains("there is no sink `nowhere`"));
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        assert!(parse("[store]\npath = \n").expect_err("a mistake")[0].starts_with("muster.toml:2: "));
    }
}
