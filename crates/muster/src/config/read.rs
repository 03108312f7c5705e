//! The sections of all files together, as they are found.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::text::did_you_mean;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::places::Places;
use super::sinks::SinkSection;
use super::{
    AppSettings, CloudSettings, CollectSettings, HuntSettings, KeyVaultSettings, Mistake, NetworkSettings,
    NoticeSettings, OnboardingSettings, PullApiSettings, RouteSettings, ServerSettings, SiemFeedSettings,
    StoreSettings, StreamSettings, notices, sinks,
};

/// The sections as they are found, in whatever file.
#[derive(Default)]
pub(super) struct Read {
    pub(super) store: Option<StoreSettings>,
    pub(super) cloud: Option<CloudSettings>,
    pub(super) network: Option<NetworkSettings>,
    pub(super) collect: Option<CollectSettings>,
    pub(super) server: Option<ServerSettings>,
    pub(super) key_vault: Option<KeyVaultSettings>,
    pub(super) onboarding: Option<OnboardingSettings>,
    pub(super) pull_api: Option<PullApiSettings>,
    pub(super) siem_feed: Option<SiemFeedSettings>,
    pub(super) apps: BTreeMap<String, AppSettings>,
    pub(super) hunts: BTreeMap<String, HuntSettings>,
    pub(super) streams: BTreeMap<String, StreamSettings>,
    pub(super) sinks: BTreeMap<String, SinkSection>,
    pub(super) notices: BTreeMap<String, NoticeSettings>,
    /// Also those of which a part had to be left out.
    pub(super) routes: Vec<RouteSettings>,
    /// Every app, query, stream and sink that has a section, also a wrong one.
    pub(super) app_names: BTreeSet<String>,
    pub(super) hunt_names: BTreeSet<String>,
    pub(super) stream_names: BTreeSet<String>,
    pub(super) sink_names: BTreeSet<String>,
    pub(super) notice_names: BTreeSet<String>,
    pub(super) places: Places,
    /// How many routes were met.
    pub(super) routes_met: usize,
}

const SECTIONS: [&str; 15] = [
    "store",
    "cloud",
    "network",
    "collect",
    "server",
    "key_vault",
    "onboarding",
    "pull_api",
    "siem_feed",
    "apps",
    "hunts",
    "streams",
    "sinks",
    "routes",
    "notices",
];

impl Read {
    pub(super) fn take(&mut self, document: &Document<'_>, table: DeTable<'_>, mistakes: &mut Vec<Mistake>) {
        let places = &mut self.places;
        for (key, value) in table {
            let name = key.get_ref().to_string();
            match name.as_str() {
                "store" => document.once(&name, &mut self.store, value, places, mistakes),
                "cloud" => document.once(&name, &mut self.cloud, value, places, mistakes),
                "network" => document.once(&name, &mut self.network, value, places, mistakes),
                "collect" => document.once(&name, &mut self.collect, value, places, mistakes),
                "server" => document.once(&name, &mut self.server, value, places, mistakes),
                "key_vault" => document.once(&name, &mut self.key_vault, value, places, mistakes),
                "onboarding" => document.once(&name, &mut self.onboarding, value, places, mistakes),
                "pull_api" => document.once(&name, &mut self.pull_api, value, places, mistakes),
                "siem_feed" => document.once(&name, &mut self.siem_feed, value, places, mistakes),
                "apps" => {
                    let found = (&mut self.apps, &mut self.app_names);
                    document.named(&name, found, value, places, mistakes, Document::section);
                }
                "hunts" => {
                    let found = (&mut self.hunts, &mut self.hunt_names);
                    document.named(&name, found, value, places, mistakes, Document::section);
                }
                "streams" => {
                    let found = (&mut self.streams, &mut self.stream_names);
                    document.named(&name, found, value, places, mistakes, Document::section);
                }
                "sinks" => {
                    let found = (&mut self.sinks, &mut self.sink_names);
                    document.named(&name, found, value, places, mistakes, sinks::read);
                }
                "notices" => {
                    let found = (&mut self.notices, &mut self.notice_names);
                    document.named(&name, found, value, places, mistakes, notices::read);
                }
                "routes" => {
                    take_routes((&mut self.routes, &mut self.routes_met), document, value, places, mistakes)
                }
                _ => {
                    let meant = did_you_mean(&name, SECTIONS);
                    let message = format!(
                        "`{name}` is not a section{meant}: use store, cloud, network, collect, server, key_vault, onboarding, pull_api, siem_feed, apps.NAME, hunts.NAME, streams.NAME, sinks.NAME, notices.NAME or [[routes]]"
                    );
                    mistakes.push(document.mistake_at(&key.span(), "", None, &message));
                }
            }
        }
    }
}

fn take_routes(
    (routes, met): (&mut Vec<RouteSettings>, &mut usize),
    document: &Document<'_>,
    value: Spanned<DeValue<'_>>,
    places: &mut Places,
    mistakes: &mut Vec<Mistake>,
) {
    let span = value.span();
    let DeValue::Array(found) = value.into_inner() else {
        mistakes.push(document.mistake_at(&span, "routes", None, "write it as [[routes]]"));
        return;
    };
    for route in found {
        let section = RouteSettings::section(*met);
        *met += 1;
        places.note(document, &section, &route);
        match document.part::<RouteSettings>(&section, route, mistakes) {
            Some(part) => routes.push(part.value),
            // It keeps its number, and leads nowhere.
            None => routes.push(RouteSettings::nowhere()),
        }
    }
}
