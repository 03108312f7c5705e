//! All sections together, read and checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_model::SecretReference;
use muster_siem::sinks::SinkSettings;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::Document;
use super::{
    AppSettings, CloudSettings, CollectSettings, KeyVaultSettings, Mistake, Mistakes, NetworkSettings,
    OnboardingSettings, RouteSettings, ServerSettings, StoreSettings, sinks,
};

/// The settings of one Muster, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that relative paths start from: where the settings file lies.
    pub folder: PathBuf,
    /// A hash of the files' text, in hexadecimal: tells one reading from another in the audit log.
    pub fingerprint: String,
    pub store: StoreSettings,
    pub cloud: CloudSettings,
    pub network: NetworkSettings,
    pub collect: CollectSettings,
    pub server: ServerSettings,
    pub key_vault: Option<KeyVaultSettings>,
    /// `[onboarding]`; without it there are no pages for customers.
    pub onboarding: Option<OnboardingSettings>,
    pub apps: BTreeMap<String, AppSettings>,
    pub sinks: BTreeMap<String, SinkSettings>,
    pub routes: Vec<RouteSettings>,
}

impl Settings {
    /// Reads and checks the settings at `path`: a file, or a folder whose `*.toml` files are read together.
    pub fn read(path: &Path) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut files = Vec::new();
        match file_names(path) {
            Ok(names) => {
                for name in names {
                    match std::fs::read_to_string(&name) {
                        Ok(text) => files.push((name, text)),
                        Err(error) => mistakes.push(unreadable(&name, &error)),
                    }
                }
            }
            Err(error) => mistakes.push(unreadable(path, &error)),
        }
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let folder = if path.is_dir() { Some(path) } else { path.parent() };
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse(folder, &files)
    }

    /// Checks settings that are at hand as text, each with the name of its file.
    pub fn parse(folder: &Path, files: &[(PathBuf, String)]) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut read = Read::default();
        for (file, text) in files {
            let document = Document { file, text };
            let (table, errors) = DeTable::parse_recoverable(text);
            if errors.is_empty() {
                read.take(&document, table.into_inner(), &mut mistakes);
            } else {
                mistakes.extend(errors.iter().map(|error| document.mistake("", error)));
            }
        }
        let settings = Self {
            folder: folder.to_owned(),
            fingerprint: fingerprint(files),
            store: read.store.unwrap_or_default(),
            cloud: read.cloud.unwrap_or_default(),
            network: read.network.unwrap_or_default(),
            collect: read.collect.unwrap_or_default(),
            server: read.server.unwrap_or_default(),
            key_vault: read.key_vault,
            onboarding: read.onboarding,
            apps: read.apps,
            sinks: read.sinks,
            routes: read.routes,
        };
        if mistakes.is_empty() {
            let file = files.first().map_or_else(|| folder.to_owned(), |(file, _)| file.clone());
            mistakes = settings.contradictions(&file);
        }
        mistakes.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        if mistakes.is_empty() { Ok(settings) } else { Err(Mistakes(mistakes)) }
    }

    /// A path of the settings, seen from the settings' folder.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Mistakes that no section can see alone.
    fn contradictions(&self, file: &Path) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut say = |section: String, message: String| {
            mistakes.push(Mistake { file: file.to_owned(), line: None, section, message });
        };
        for (index, route) in self.routes.iter().enumerate() {
            for sink in route.sinks.iter().filter(|sink| !self.sinks.contains_key(*sink)) {
                let known = self.sinks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                say(
                    format!("routes #{}", index + 1),
                    format!("there is no sink `{sink}`; the sinks are: {known}"),
                );
            }
        }
        for (name, sink) in &self.sinks {
            if !self.routes.iter().any(|route| route.sinks.contains(name)) {
                tracing::warn!(sink.name = name, "no route leads to this sink");
            }
            let sink = sink.any();
            for message in sink.encoding().err().into_iter().flatten().chain(sink.mistakes()) {
                say(format!("sinks.{name}"), message);
            }
        }
        for (name, app) in &self.apps {
            if let Err(message) = app.check() {
                say(format!("apps.{name}"), message);
            }
        }
        if let Some(opener) = &self.key_vault
            && !self.apps.contains_key(&opener.app)
        {
            say("key_vault".to_owned(), format!("there is no app `{}`", opener.app));
        }
        if let Err(error) = self.cloud.cloud() {
            say("cloud".to_owned(), error.to_string());
        }
        mistakes
    }

    /// Every place that a secret of these settings is kept in.
    pub fn secret_references(&self) -> Vec<&SecretReference> {
        let mut references = vec![&self.store.master_key];
        references.extend(self.apps.values().flat_map(AppSettings::secret_references));
        references.extend(self.sinks.values().flat_map(|sink| sink.any().secrets()));
        references
    }
}

/// The sections as they are found, in whatever file.
#[derive(Default)]
struct Read {
    store: Option<StoreSettings>,
    cloud: Option<CloudSettings>,
    network: Option<NetworkSettings>,
    collect: Option<CollectSettings>,
    server: Option<ServerSettings>,
    key_vault: Option<KeyVaultSettings>,
    onboarding: Option<OnboardingSettings>,
    apps: BTreeMap<String, AppSettings>,
    sinks: BTreeMap<String, SinkSettings>,
    routes: Vec<RouteSettings>,
}

impl Read {
    fn take(&mut self, document: &Document<'_>, table: DeTable<'_>, mistakes: &mut Vec<Mistake>) {
        for (key, value) in table {
            let name = key.get_ref().to_string();
            match name.as_str() {
                "store" => document.once(&name, &mut self.store, value, mistakes),
                "cloud" => document.once(&name, &mut self.cloud, value, mistakes),
                "network" => document.once(&name, &mut self.network, value, mistakes),
                "collect" => document.once(&name, &mut self.collect, value, mistakes),
                "server" => document.once(&name, &mut self.server, value, mistakes),
                "key_vault" => document.once(&name, &mut self.key_vault, value, mistakes),
                "onboarding" => document.once(&name, &mut self.onboarding, value, mistakes),
                "apps" => document.named(&name, &mut self.apps, value, mistakes, Document::section),
                "sinks" => document.named(&name, &mut self.sinks, value, mistakes, sinks::read),
                "routes" => self.take_routes(document, value, mistakes),
                _ => mistakes.push(document.mistake_at(
                    &key.span(),
                    "",
                    format!(
                        "`{name}` is not a section: use store, cloud, network, collect, server, key_vault, onboarding, apps.NAME, sinks.NAME or [[routes]]"
                    ),
                )),
            }
        }
    }

    fn take_routes(
        &mut self,
        document: &Document<'_>,
        value: Spanned<DeValue<'_>>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let span = value.span();
        let DeValue::Array(routes) = value.into_inner() else {
            mistakes.push(document.mistake_at(&span, "routes", "write it as [[routes]]".to_owned()));
            return;
        };
        for route in routes {
            let section = format!("routes #{}", self.routes.len() + 1);
            self.routes.extend(document.section::<RouteSettings>(&section, route, mistakes));
        }
    }
}

fn fingerprint(files: &[(PathBuf, String)]) -> String {
    let text: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
    muster_model::ContentHash::of(text.join("\0").as_bytes())
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn file_names(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = entry?.path();
        if name.extension().is_some_and(|extension| extension == "toml") {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the folder holds no *.toml file"));
    }
    Ok(names)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistake {
    let hint = if error.kind() == std::io::ErrorKind::NotFound { "; `muster init` makes one" } else { "" };
    Mistake {
        file: path.to_owned(),
        line: None,
        section: String::new(),
        message: format!("cannot be read: {error}{hint}"),
    }
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
sinks = ["splunk"]

[speed]
"#,
        )
        .expect_err("mistakes");
        let all = mistakes.join("\n");
        for wanted in [
            "muster.toml:2: [store] unknown field `pth`",
            "muster.toml:5: [apps.main]",
            "muster.toml:6: [apps.main]",
            "muster.toml:9: [collect] `5 parsecs` is not a duration",
            "muster.toml:10: [collect]",
            "muster.toml:15: [sinks.splunk] unknown field `colour`",
            "muster.toml:18: [sinks.other] `carrier_pigeon` is not a type of sink",
            "muster.toml:22: [routes #1]",
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
