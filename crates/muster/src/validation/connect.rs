//! What only shows when it is tried: whether Microsoft issues tokens and takes saved queries, and whether sinks answer. Nothing is sent, nothing is
//! renewed, and all of it together takes no longer than is allowed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::{Microsoft, TenantAccess};
use muster_model::{Clock, HuntName, Purpose, Source, Tenant, TenantId, TenantState};
use muster_store::{OpenMode, StoreLook};
use serde::Serialize;
use tokio::time::Instant;

use crate::access::apps::Apps;
use crate::config::{Hunt, Settings};
use crate::troubles::Troubles;
use crate::wiring;

/// Tries under way at the same time.
const SIDE_BY_SIDE: usize = 8;

/// What came of trying something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Such as `app main` or `sink splunk`.
    pub what: String,
    pub outcome: Outcome,
    /// What was found; for several tenants with one cause, of the first of them.
    pub finding: String,
    /// The tenants that this was found for, of an app.
    pub tenants: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Fails,
    NotTried,
    Works,
}

/// Tries every app, every sink and every stream for at most `within`: the worst first, with one entry for each cause.
pub async fn connect(settings: &Settings, clock: &Arc<dyn Clock>, within: Duration) -> Vec<Tried> {
    let until = Instant::now() + within;
    let keys = wiring::key_ring(settings).ok();
    let look = wiring::look_at_store(settings, keys.as_ref()).await.ok();
    let (mut tried, sinks, streams, receivers) = tokio::join!(
        apps(settings, clock, look.as_ref(), until),
        try_sinks(settings, clock, until),
        try_streams(settings, clock, look.as_ref(), until),
        try_receivers(settings, clock, until)
    );
    tried.extend(sinks);
    tried.extend(receivers);
    tried.extend(streams);
    tried.sort_by(|one, other| (one.outcome, &one.what).cmp(&(other.outcome, &other.what)));
    tried
}

/// The way to each sink, as `muster sink test` tries it.
pub(crate) async fn try_sinks(settings: &Settings, clock: &Arc<dyn Clock>, until: Instant) -> Vec<Tried> {
    let tests = settings.sinks.iter().map(|(name, sink)| async move {
        let test = wiring::test_sink(settings, name, sink, Arc::clone(clock));
        let (outcome, finding) = match tokio::time::timeout_at(until, test).await {
            Ok(Ok(finding)) => (Outcome::Works, finding),
            Ok(Err(problem)) => (Outcome::Fails, problem),
            Err(_) => (Outcome::Fails, "it did not answer in the time that was given".to_owned()),
        };
        Tried { what: format!("sink {name}"), outcome, finding, tenants: Vec::new() }
    });
    stream::iter(tests).map(FutureExt::boxed).buffer_unordered(SIDE_BY_SIDE).collect().await
}

/// The way to each receiver of notices, without a notice.
pub(crate) async fn try_receivers(settings: &Settings, clock: &Arc<dyn Clock>, until: Instant) -> Vec<Tried> {
    let looks = settings.notices.keys().map(|name| async move {
        let look = async {
            match wiring::notice_receiver(settings, name, clock) {
                Ok(receiver) => receiver.look().await,
                Err(problem) => Err(problem),
            }
        };
        let (outcome, finding) = match tokio::time::timeout_at(until, look).await {
            Ok(Ok(finding)) => (Outcome::Works, finding),
            Ok(Err(problem)) => (Outcome::Fails, problem),
            Err(_) => (Outcome::Fails, "it did not answer in the time that was given".to_owned()),
        };
        Tried { what: format!("notice {name}"), outcome, finding, tenants: Vec::new() }
    });
    stream::iter(looks).map(FutureExt::boxed).buffer_unordered(SIDE_BY_SIDE).collect().await
}

/// Lists what lies in each stream's place, of one tenant that has it.
pub(crate) async fn try_streams(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    look: Option<&StoreLook>,
    until: Instant,
) -> Vec<Tried> {
    if settings.streams.is_empty() {
        return Vec::new();
    }
    let places = &wiring::streams(settings, clock);
    let lists = settings.streams.iter().map(|(source, stream)| async move {
        let what = format!("stream {}", source.stream().map_or("", HuntName::as_str));
        let mut tenants = look.into_iter().flat_map(|look| &look.tenants);
        let has_it = |tenant: &&Tenant| tenant.state == TenantState::Active && stream.is_of(&tenant.label());
        let Some(tenant) = tenants.find(has_it) else {
            let finding = "there is no active tenant that has it".to_owned();
            return Tried { what, outcome: Outcome::NotTried, finding, tenants: Vec::new() };
        };
        let listed = async {
            let reader = places.reader(&tenant.label(), *source).await?;
            reader.list().await.map_err(|trouble| trouble.reason)
        };
        let (outcome, finding) = match tokio::time::timeout_at(until, listed).await {
            Ok(Ok(listing)) => (Outcome::Works, format!("{} blobs lie there", listing.blobs.len())),
            Ok(Err(reason)) => (Outcome::Fails, reason),
            Err(_) => (Outcome::Fails, "it did not answer in the time that was given".to_owned()),
        };
        Tried { what, outcome, finding, tenants: vec![tenant.slug.to_string()] }
    });
    stream::iter(lists).map(FutureExt::boxed).buffer_unordered(SIDE_BY_SIDE).collect().await
}

async fn apps(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    look: Option<&StoreLook>,
    until: Instant,
) -> Vec<Tried> {
    let stored = of_the_store(settings, look).await;
    let mut tried = Vec::new();
    let mut askings = Vec::new();
    let mut usable = BTreeMap::new();
    for (name, of) in &settings.apps {
        let what = format!("app {name}");
        let not_tried = |finding: &str| Tried {
            what: what.clone(),
            outcome: Outcome::NotTried,
            finding: finding.to_owned(),
            tenants: Vec::new(),
        };
        let app = match of.keeps_credential_in_store() {
            true => stored.get(name).cloned(),
            // What is wrong with it was told already.
            false => of.app(name, &settings.folder, None).ok(),
        };
        let Some(app) = app else {
            tried.push(not_tried("its credential cannot be had"));
            continue;
        };
        if app.access == Access::Delegated {
            let why =
                "it reads in people's names, and trying would renew their grants: see `muster tenant show`";
            tried.push(not_tried(why));
            continue;
        }
        usable.insert(name.clone(), app.clone());
        let tenants = look.into_iter().flat_map(|look| &look.tenants);
        let read = tenants.filter(|tenant| tenant.app == *name && tenant.state == TenantState::Active);
        let mut read: Vec<(TenantId, Option<Source>, String)> =
            read.map(|tenant| (tenant.id, tenant.asked().next(), tenant.slug.to_string())).collect();
        if read.is_empty() {
            read.extend(of.tenant.map(|own| (own, None, "its own".to_owned())));
        }
        if read.is_empty() {
            tried.push(not_tried("there is no tenant to try it with: add one, or set `tenant`"));
        }
        askings.extend(read.into_iter().map(|(tenant, source, slug)| (app.clone(), tenant, source, slug)));
    }
    match wiring::microsoft(settings, Arc::clone(clock), None) {
        Ok(microsoft) => {
            tried.extend(ask(&microsoft, askings, until).await);
            let tenants = look.map_or(&[][..], |look| &look.tenants);
            let hunts = settings.hunts.values().map(|hunt| {
                let mut asked = tenants.iter().filter(|tenant| {
                    tenant.state == TenantState::Active
                        && hunt.asks(&tenant.label())
                        && usable.contains_key(&tenant.app)
                });
                (hunt, asked.next().and_then(|tenant| Some((tenant, usable.get(&tenant.app)?))))
            });
            let hunts = hunts.map(|(hunt, asked)| dry_run(&microsoft, hunt, asked, clock, until));
            tried.extend(
                stream::iter(hunts)
                    .map(FutureExt::boxed)
                    .buffer_unordered(SIDE_BY_SIDE)
                    .collect::<Vec<_>>()
                    .await,
            );
        }
        // Told already as what keeps Muster from starting.
        Err(_) => return tried,
    }
    tried
}

/// Asks a saved query of one tenant, in a window that holds nothing: whether Microsoft takes it, and whether its rows have
/// the columns that are named.
async fn dry_run(
    microsoft: &Microsoft,
    hunt: &Hunt,
    asked: Option<(&Tenant, &App)>,
    clock: &Arc<dyn Clock>,
    until: Instant,
) -> Tried {
    let source = hunt.saved.source;
    let what = format!("hunt {}", source.hunt().map_or("", HuntName::as_str));
    let Some((tenant, app)) = asked else {
        let finding = "there is no active tenant that it asks, with an app that can be tried".to_owned();
        return Tried { what, outcome: Outcome::NotTried, finding, tenants: Vec::new() };
    };
    let target = hunt.saved.dry_run(clock.now());
    let page = microsoft.fetch(app, tenant.id, source, Purpose::Live, &target);
    let (outcome, finding) = match tokio::time::timeout_at(until, page).await {
        Ok(Ok(page)) => match hunt.saved.page(page) {
            Ok(_) => (Outcome::Works, "Microsoft takes the query".to_owned()),
            Err(trouble) => (Outcome::Fails, trouble.to_string()),
        },
        Ok(Err(error)) => match TenantAccess::by_page(Some(&error)) {
            TenantAccess::NotAsked { message } => (Outcome::NotTried, message),
            _ => (Outcome::Fails, error.to_string()),
        },
        Err(_) => (Outcome::NotTried, "Microsoft did not answer in the time that was given".to_owned()),
    };
    Tried { what, outcome, finding, tenants: vec![tenant.slug.to_string()] }
}

/// Apps whose credential Muster keeps. A store of an earlier version is left as it is.
async fn of_the_store(settings: &Settings, look: Option<&StoreLook>) -> BTreeMap<String, App> {
    let kept = settings.apps.values().any(|app| app.keeps_credential_in_store());
    if !kept || !look.is_some_and(|look| look.is_current) {
        return BTreeMap::new();
    }
    let Ok(store) = wiring::open_store(settings, OpenMode::Shared).await else { return BTreeMap::new() };
    let apps = Apps::load_what_can_be_had(settings, &store, &Troubles::default()).await;
    store.close().await;
    let Ok(apps) = apps else { return BTreeMap::new() };
    apps.names().filter_map(|name| Some((name.to_owned(), apps.get(name)?))).collect()
}

/// Asks for a token for each app and tenant, and groups what comes by its cause.
async fn ask(
    microsoft: &Microsoft,
    askings: Vec<(App, TenantId, Option<Source>, String)>,
    until: Instant,
) -> Vec<Tried> {
    let answers = stream::iter(askings).map(|(app, tenant, source, slug)| async move {
        let asked = microsoft.probe_token(&app, tenant, microsoft.first_resource(source));
        let found = tokio::time::timeout_at(until, asked).await;
        let (outcome, cause, finding) = match found {
            Ok(TenantAccess::Granted) => (Outcome::Works, "granted", "Microsoft issues a token".to_owned()),
            Ok(TenantAccess::NotAsked { message }) => (Outcome::NotTried, "not_asked", message),
            Ok(TenantAccess::Failing { fault, message }) => (Outcome::Fails, fault.as_str(), message),
            Err(_) => {
                (Outcome::NotTried, "time", "Microsoft did not answer in the time that was given".to_owned())
            }
        };
        (app.name, outcome, cause, finding, slug)
    });
    let mut answers: Vec<_> = answers.buffer_unordered(SIDE_BY_SIDE).collect().await;
    answers.sort_by(|one, other| one.4.cmp(&other.4));
    let mut groups: BTreeMap<(String, Outcome, &str), Tried> = BTreeMap::new();
    for (name, outcome, cause, finding, slug) in answers {
        let what = format!("app {name}");
        let group = groups.entry((name, outcome, cause)).or_insert_with(|| Tried {
            what,
            outcome,
            finding,
            tenants: Vec::new(),
        });
        group.tenants.push(slug);
    }
    groups.into_values().collect()
}
