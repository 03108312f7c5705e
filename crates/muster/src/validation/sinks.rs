//! Sinks: their secrets, CA files and folders.

use std::sync::Arc;

use muster_model::{SecretReference, Tenant, TenantState};
use muster_siem::formats::IndexTemplate;
use muster_siem::sinks::{SinkSettings, SplunkHecSettings};

use super::subject::Subject;
use crate::config::{Mistake, RouteSettings};
use crate::wiring;

/// Without a sink, records are kept for nobody.
pub(super) fn some_sink(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    if subject.settings.sinks.is_empty() && subject.are_right("sinks") {
        let message = "there is no sink, so nothing that is collected goes anywhere: add [sinks.NAME]";
        mistakes.push(subject.down("", "", message));
    }
}

/// A sink that cannot be opened is down, with all that is owed to it, until that is mended.
pub(super) fn sinks(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    for (name, sink) in &subject.settings.sinks {
        let section = format!("sinks.{name}");
        if !subject.is_right(&section) {
            continue;
        }
        let before = mistakes.len();
        for (key, place) in sink.any().secrets() {
            if let Err(message) = subject.secret(place, true) {
                mistakes.push(subject.down(&section, key, &message));
            }
        }
        // What is wrong with the proxy is told at its place.
        if mistakes.len() > before || subject.settings.network.proxy().is_err() {
            continue;
        }
        let clock = Arc::clone(&subject.clock);
        if let Err(message) = wiring::inspect_sink(subject.settings, name, sink, clock) {
            mistakes.push(subject.down(&section, key_of(&message, sink.type_name()), &message));
        }
    }
}

/// Indexes that Splunk would not take: what such a tenant's records are owed waits, and others' go on.
pub(super) fn indexes(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    for (name, sink) in &subject.settings.sinks {
        let section = format!("sinks.{name}");
        let SinkSettings::SplunkHec(SplunkHecSettings { index: Some(index), .. }) = sink else { continue };
        let indexes = reached(subject, name).map(|tenant| (tenant, index.expand(&tenant.label())));
        let wrong: Vec<_> = indexes.filter(|(_, index)| !IndexTemplate::takes(index)).collect();
        if let Some((tenant, index)) = wrong.first() {
            let message = format!(
                "the index of {} tenant(s) is none that Splunk takes, such as `{index}` of {}: at most {} lower-case letters, digits, `_` and `-`, neither `default` nor anything with `kvstore`; what they are owed would wait",
                wrong.len(),
                tenant.slug,
                IndexTemplate::BYTES_MAX
            );
            mistakes.push(subject.down(&section, "index", &message));
        }
    }
}

/// Tokens of tenants that cannot be read: what such a tenant's records are owed waits, and others' go on.
pub(super) fn tokens(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    for (name, sink) in &subject.settings.sinks {
        let section = format!("sinks.{name}");
        let SinkSettings::SplunkHec(settings) = sink else { continue };
        if !subject.is_right(&section) || !settings.has_token_for_each_tenant() {
            continue;
        }
        // A command is not run for each tenant: it may ask somebody, and take its time.
        let has_none = |tenant: &&Tenant| {
            let places = settings.tokens_of(&tenant.label());
            let is_file = |place: &SecretReference| !matches!(place, SecretReference::Command(_));
            places.iter().all(|place| is_file(place) && subject.secret(place, true).is_err())
        };
        let none: Vec<&Tenant> = reached(subject, name).filter(has_none).collect();
        if let Some(tenant) = none.first() {
            let own = settings.tokens_of(&tenant.label()).swap_remove(0);
            let why = subject.secret(&own, true).err().unwrap_or_default();
            let message = format!(
                "{} tenant(s) have no token, such as {}: {why}; what they are owed would wait",
                none.len(),
                tenant.slug
            );
            mistakes.push(subject.down(&section, "token", &message));
        }
    }
}

/// The tenants whose records may go to a sink.
fn reached<'a>(subject: &'a Subject<'_>, sink: &'a str) -> impl Iterator<Item = &'a Tenant> {
    let is_reached = move |tenant: &&Tenant| {
        let leads = |route: &RouteSettings| route.is_for(tenant) && route.leads_to(sink);
        tenant.state != TenantState::Offboarded && subject.settings.routes.iter().any(leads)
    };
    subject.tenants().unwrap_or_default().iter().filter(is_reached)
}

/// The key that trouble with a sink is about.
fn key_of(message: &str, kind: &str) -> &'static str {
    match kind {
        _ if message.contains("CA file") => "ca_file",
        "file" => "path",
        _ if message.contains("token") => "token",
        _ => "",
    }
}
