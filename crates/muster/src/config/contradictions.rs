//! Mistakes that no key shows alone. Each is a function in [`CHECKS`], and sees also the sections in which something else is
//! wrong, so that all mistakes are told at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::text::did_you_mean;
use muster_model::{SourcePattern, Span};
use muster_siem::sinks::SinkSettings;

use super::read::Read;
use super::{CloudSettings, Mistake, RouteSettings};

/// Looks at what was read, and tells of each mistake: its section, its key (or nothing), and the message.
type Check = fn(&Read, &Path, &mut dyn FnMut(&str, &str, String));

/// The smallest journal.
const JOURNAL_LEAST: u64 = 1 << 20;

const CHECKS: &[Check] = &[
    routes, hunts, streams, sinks, sink_files, apps, key_vault, cloud, network, numbers, onboarding,
    pull_api, journal, siem_feed, store, notices,
];

pub(super) fn of(read: &Read, folder: &Path) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for check in CHECKS {
        check(read, folder, &mut |section, key, message| {
            let key_shown = (!key.is_empty()).then_some(key);
            mistakes.push(Mistake::new(read.places.of(section, key), section, key_shown, &message));
        });
    }
    mistakes
}

fn known<'n>(names: impl IntoIterator<Item = &'n String>, none: &str) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

fn store(read: &Read, folder: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let Some(store) = &read.store else { return };
    if let Err((key, message)) = store.address(folder, None) {
        say("store", key, message);
    }
    if store.url.is_none() {
        let of_url = [
            ("password", store.password.is_some()),
            ("ca_file", store.ca_file.is_some()),
            ("client_certificate", store.client_certificate.is_some()),
        ];
        for (key, _) in of_url.into_iter().filter(|(_, is_set)| *is_set) {
            say("store", key, "it belongs to a database: name that as `url`, or leave it out".to_owned());
        }
    }
    if store.connections == 0 || store.connections > 100 {
        say("store", "connections", "use a number between 1 and 100".to_owned());
    }
}

fn routes(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    for (index, route) in read.routes.iter().enumerate() {
        for sink in route.sinks.iter().filter(|sink| !read.sink_names.contains(*sink)) {
            let meant = did_you_mean(sink, read.sink_names.iter().map(String::as_str));
            let known = known(&read.sink_names, "none yet; add [sinks.NAME]");
            let message = format!("there is no sink `{sink}`{meant}; the sinks are: {known}");
            say(&RouteSettings::section(index), "sinks", message);
        }
    }
}

fn hunts(read: &Read, folder: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    for (name, hunt) in &read.hunts {
        for (key, message) in hunt.hunt(name, folder).err().into_iter().flatten() {
            say(&format!("hunts.{name}"), key, message);
        }
    }
    for (index, route) in read.routes.iter().enumerate() {
        for hunt in route.sources.iter().filter_map(|pattern| match pattern {
            SourcePattern::One(source) => source.hunt(),
            SourcePattern::GraphHunting | SourcePattern::XdrHunting | SourcePattern::Streaming => None,
        }) {
            if !read.hunt_names.contains(hunt.as_str()) {
                let meant = did_you_mean(hunt.as_str(), read.hunt_names.iter().map(String::as_str));
                let known = known(&read.hunt_names, "none yet; add [hunts.NAME]");
                let message = format!("there is no saved query `{hunt}`{meant}; they are: {known}");
                say(&RouteSettings::section(index), "sources", message);
            }
        }
    }
}

fn streams(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    for (name, stream) in &read.streams {
        let section = format!("streams.{name}");
        for (key, message) in stream.stream(name).err().into_iter().flatten() {
            match key {
                "" => say(&section, &read.places.key_in(&section, &message), message),
                key => say(&section, key, message),
            }
        }
    }
    for (index, route) in read.routes.iter().enumerate() {
        for stream in route.sources.iter().filter_map(|pattern| match pattern {
            SourcePattern::One(source) => source.stream(),
            SourcePattern::GraphHunting | SourcePattern::XdrHunting | SourcePattern::Streaming => None,
        }) {
            if !read.stream_names.contains(stream.as_str()) {
                let meant = did_you_mean(stream.as_str(), read.stream_names.iter().map(String::as_str));
                let known = known(&read.stream_names, "none yet; add [streams.NAME]");
                let message = format!("there is no stream `{stream}`{meant}; they are: {known}");
                say(&RouteSettings::section(index), "sources", message);
            }
        }
    }
}

fn sinks(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    for (name, sink) in &read.sinks {
        let (sink, keys) = (sink.settings.any(), &sink.keys);
        if keys.shadow_backlog.is_some() && !keys.shadow {
            let message = "it is only used with shadow = true".to_owned();
            say(&format!("sinks.{name}"), "shadow_backlog", message);
        }
        let section = format!("sinks.{name}");
        for message in sink.encoding().err().into_iter().flatten().chain(sink.mistakes()) {
            let key = read.places.key_in(&section, &message);
            let message = message.strip_prefix("mapping: ").unwrap_or(&message).to_owned();
            say(&section, &key, message);
        }
    }
}

fn notices(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    for (name, receiver) in &read.notices {
        for (key, message) in receiver.mistakes() {
            say(&format!("notices.{name}"), key, message);
        }
    }
}

/// Two sinks that write one file would take each other's events for somebody else's.
fn sink_files(read: &Read, folder: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let mut files: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for (name, sink) in &read.sinks {
        let SinkSettings::File(file) = &sink.settings else { continue };
        let path: PathBuf = folder.join(&file.path).components().collect();
        if let Some(other) = files.insert(path, name) {
            let message = format!("sink `{other}` writes the same file: give each sink its own");
            say(&format!("sinks.{name}"), "path", message);
        }
    }
    let mut outputs = read.sinks.iter().filter(|(_, sink)| matches!(sink.settings, SinkSettings::Stdout(_)));
    let first = outputs.next().map(|(name, _)| name);
    for (name, _) in outputs {
        let other = first.map(String::as_str).unwrap_or_default();
        let message = format!("sink `{other}` writes to the standard output already, and there is only one");
        say(&format!("sinks.{name}"), "type", message);
    }
}

fn apps(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    for (name, app) in &read.apps {
        for (key, message) in app.contradictions() {
            say(&format!("apps.{name}"), key, message);
        }
    }
}

fn key_vault(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    if let Some(opener) = &read.key_vault
        && !read.app_names.contains(&opener.app)
    {
        let meant = did_you_mean(&opener.app, read.app_names.iter().map(String::as_str));
        let known = known(&read.app_names, "none yet; add [apps.NAME]");
        say("key_vault", "app", format!("there is no app `{}`{meant}; the apps are: {known}", opener.app));
    }
}

fn siem_feed(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    // What is wrong with the cloud is told there.
    let Ok(cloud) = read.cloud.clone().unwrap_or_default().cloud() else { return };
    for (key, message) in read.siem_feed.iter().flat_map(|feed| feed.mistakes(&cloud)) {
        say("siem_feed", key, message);
    }
}

fn cloud(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let Some(cloud) = &read.cloud else { return };
    let addresses =
        [("login", &cloud.login), ("graph", &cloud.graph), ("graph_resource", &cloud.graph_resource)];
    if cloud.name != "custom" {
        let own = CloudSettings { name: cloud.name.clone(), ..CloudSettings::default() };
        match (own.cloud(), &cloud.region) {
            (Err(error), _) => say("cloud", "name", error.to_string()),
            (Ok(own), Some(region)) => {
                if let Err(error) = own.in_region(region) {
                    say("cloud", "region", error.to_string());
                }
            }
            (Ok(_), None) => {}
        }
        for (key, _) in addresses.iter().filter(|(_, address)| address.is_some()) {
            say("cloud", key, "addresses are for name = \"custom\" only".to_owned());
        }
        return;
    }
    let missing = addresses[..2].iter().filter(|(_, address)| address.is_none());
    for (key, _) in missing.clone() {
        say("cloud", key, format!("`{key}` is missing, and a custom cloud needs it"));
    }
    if missing.count() == 0
        && let Err(error) = cloud.cloud()
    {
        let message = error.to_string();
        let of = |address: &Option<String>| {
            address.as_ref().is_some_and(|address| message.contains(address.as_str()))
        };
        let region = if of(&cloud.region) { "region" } else { "" };
        let key = addresses.iter().find(|(_, address)| of(address)).map_or(region, |(key, _)| key);
        say("cloud", key, message);
    }
}

fn onboarding(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let Some(onboarding) = &read.onboarding else { return };
    for (key, message) in onboarding.contradictions() {
        say("onboarding", key, message);
    }
    let health = read.server.as_ref().and_then(|server| server.listen);
    if health == Some(onboarding.listen) && onboarding.listen.port() != 0 {
        let message = "health and metrics are served there ([server]), which are not for those whom the pages are \
                       for: take another port";
        say("onboarding", "listen", message.to_owned());
    }
}

fn pull_api(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let Some(pull_api) = &read.pull_api else { return };
    for (key, message) in pull_api.contradictions() {
        say("pull_api", key, message);
    }
    let health = read
        .server
        .as_ref()
        .and_then(|server| server.listen)
        .map(|address| (address, "health and metrics are"));
    let pages = read.onboarding.as_ref().map(|onboarding| (onboarding.listen, "customers' pages are"));
    for (address, what) in health.into_iter().chain(pages) {
        if address == pull_api.listen && address.port() != 0 {
            say("pull_api", "listen", format!("{what} served there: take another port"));
        }
    }
}

fn journal(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let Some(store) = &read.store else { return };
    if store.journal_max_size.is_some_and(|size| size.0 < JOURNAL_LEAST) {
        say("store", "journal_max_size", "a few pages would fill that: give it 1MiB at least".to_owned());
    }
}

fn network(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let Some(network) = &read.network else { return };
    for (key, span) in [
        ("connect_timeout", network.connect_timeout),
        ("idle_timeout", network.idle_timeout),
        ("total_timeout", network.total_timeout),
    ] {
        if span.0.is_zero() {
            say("network", key, "no call can be that quick: give it a second at least".to_owned());
        }
    }
}

fn numbers(read: &Read, _: &Path, say: &mut dyn FnMut(&str, &str, String)) {
    let Some(collect) = &read.collect else { return };
    for (key, number) in
        [("concurrency", collect.concurrency), ("requests_per_minute", collect.requests_per_minute)]
    {
        if number == 0 {
            say("collect", key, "with 0 nothing is ever read: give it 1 at least".to_owned());
        }
    }
    let intervals = [
        ("poll_interval", Some(collect.poll_interval)),
        ("poll_interval_busy", collect.poll_interval_busy),
        ("poll_interval_quiet", collect.poll_interval_quiet),
    ];
    for (key, interval) in intervals {
        if interval.is_some_and(|Span(interval)| interval < Duration::from_millis(100)) {
            say(
                "collect",
                key,
                "that is no pause between two readings: give it a second at least".to_owned(),
            );
        }
    }
}
