//! Sources: what no cloud has, what Microsoft ends, and what comes twice.

use std::collections::{BTreeMap, BTreeSet};

use muster_microsoft::Cloud;
use muster_microsoft::sources;
use muster_model::{Source, Tenant, TenantState};

use super::subject::Subject;
use crate::config::{Hunt, Mistake, RouteSettings};

/// Sources that give the same records in the words of two APIs. Saved queries do where they ask the same.
const SAME: [(Source, Source); 4] = [
    (Source::GraphAlerts, Source::EndpointAlerts),
    (Source::GraphIncidents, Source::XdrIncidents),
    (Source::GraphAlerts, Source::SiemFeed),
    (Source::EndpointAlerts, Source::SiemFeed),
];

/// A source whose API the cloud does not have is never read.
pub(super) fn in_cloud(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let Ok(cloud) = subject.settings.cloud.cloud() else { return };
    for (source, tenants) in tenants_by_source(subject) {
        if let Some(message) = lacking(&cloud, source) {
            let message =
                format!("{message}; {} tenant(s) have it, such as {}", tenants.len(), tenants[0].slug);
            mistakes.push(subject.down("cloud", "name", &message));
        }
    }
    // Nobody has been added yet: what a tenant would be read for.
    if living(subject).next().is_none() {
        for message in Source::DEFAULT.into_iter().filter_map(|source| lacking(&cloud, source)) {
            mistakes.push(subject.down("cloud", "name", &message));
        }
    }
}

/// That this cloud has no such source, in words.
pub(crate) fn lacking(cloud: &Cloud, source: Source) -> Option<String> {
    let api = sources::declaration(source).api?;
    cloud.lacks(api).then(|| {
        let name = cloud.name();
        format!("`{source}` cannot be read: the cloud `{name}` has no such API, as far as Microsoft says")
    })
}

/// A source that Microsoft has said the end of.
pub(super) fn announced_ends(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    for (source, tenants) in tenants_by_source(subject) {
        if let Some(end) = sources::declaration(source).end {
            let message = format!(
                "{}; {} tenant(s) have it, such as {}",
                end.in_words(source),
                tenants.len(),
                tenants[0].slug
            );
            mistakes.push(subject.advice("", "", &message));
        }
    }
}

/// The retired SIEM feed has a host in each region, and only the operator knows which one a tenant is in.
pub(super) fn region_of_the_feed(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let Ok(cloud) = subject.settings.cloud.cloud() else { return };
    let feed = &subject.settings.siem_feed;
    if feed.region.is_some() || cloud.knows_siem_region() || !subject.is_right("siem_feed") {
        return;
    }
    let by_source = tenants_by_source(subject);
    let read = by_source.get(&Source::SiemFeed).into_iter().flatten();
    let told: BTreeSet<_> = feed.regions.values().flatten().collect();
    let untold: Vec<&str> =
        read.filter(|tenant| !told.contains(&tenant.id)).map(|tenant| tenant.slug.as_str()).collect();
    if let Some(first) = untold.first() {
        let message = format!(
            "`siem_feed` has a host in each region, and none is named: say which (`region`, or `regions` for single tenants) of {}; {} tenant(s) have it, such as {first}",
            cloud.siem_regions().join(", "),
            untold.len(),
        );
        mistakes.push(subject.down("siem_feed", "region", &message));
    }
}

/// The same records to one sink by two sources.
pub(super) fn twice(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    if !subject.are_right("routes") {
        return;
    }
    let mut same = SAME.to_vec();
    same.extend(same_hunts(&subject.settings.hunts));
    for ((one, other, sink), tenants) in doubled(&same, &subject.settings.routes, living(subject)) {
        let message = format!(
            "sink `{sink}` gets the same records twice from {} tenant(s), such as {}: `{one}` and `{other}` give them both; read one of the two, or route them to different sinks",
            tenants.len(),
            tenants[0]
        );
        mistakes.push(subject.advice("", "", &message));
    }
}

/// Saved queries that ask the same, by whichever API.
fn same_hunts(hunts: &BTreeMap<Source, Hunt>) -> Vec<(Source, Source)> {
    let words = |hunt: &Hunt| hunt.saved.query.split_whitespace().collect::<Vec<_>>().join(" ");
    let all: Vec<(Source, String)> = hunts.iter().map(|(source, hunt)| (*source, words(hunt))).collect();
    let mut same = Vec::new();
    for (place, (one, query)) in all.iter().enumerate() {
        same.extend(
            all[place + 1..].iter().filter(|(_, other)| other == query).map(|(other, _)| (*one, *other)),
        );
    }
    same
}

/// For each pair of sources and each sink, the tenants whose records it gets twice.
fn doubled<'a>(
    same: &[(Source, Source)],
    routes: &'a [RouteSettings],
    tenants: impl Iterator<Item = &'a Tenant>,
) -> BTreeMap<(Source, Source, &'a str), Vec<&'a str>> {
    let mut found: BTreeMap<(Source, Source, &str), Vec<&str>> = BTreeMap::new();
    for tenant in tenants {
        let sinks_of = |source: Source| -> BTreeSet<&str> {
            let routes = routes.iter().filter(|route| route.serves(tenant, source));
            routes.flat_map(|route| route.sinks.iter().map(String::as_str)).collect()
        };
        for &(one, other) in same {
            if !tenant.sources.contains(&one) || !tenant.sources.contains(&other) {
                continue;
            }
            for sink in sinks_of(one).intersection(&sinks_of(other)) {
                found.entry((one, other, *sink)).or_default().push(tenant.slug.as_str());
            }
        }
    }
    found
}

fn living<'a>(subject: &'a Subject<'_>) -> impl Iterator<Item = &'a Tenant> {
    let tenants = subject.tenants().unwrap_or_default().iter();
    tenants.filter(|tenant| tenant.state != TenantState::Offboarded)
}

fn tenants_by_source<'a>(subject: &'a Subject<'_>) -> BTreeMap<Source, Vec<&'a Tenant>> {
    let mut found: BTreeMap<Source, Vec<&Tenant>> = BTreeMap::new();
    for tenant in living(subject) {
        for source in &tenant.sources {
            // What the settings say of saved queries and streams holds: see `hunts.rs` and `streams.rs`.
            if !source.is_named() {
                found.entry(*source).or_default().push(tenant);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use muster_microsoft::sources::AnnouncedEnd;
    use muster_model::SourcePattern;

    use super::*;

    fn tenant(slug: &str, sources: &[Source]) -> Tenant {
        Tenant {
            id: "11111111-2222-4333-8444-555555555555".parse().expect("a GUID"),
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            domain: None,
            state: TenantState::Active,
            app: "main".to_owned(),
            sources: sources.iter().copied().collect(),
            tags: BTreeSet::new(),
            since: jiff::Timestamp::UNIX_EPOCH,
            added_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn route(sources: &[Source], sinks: &[&str]) -> RouteSettings {
        let sinks = sinks.iter().map(|sink| (*sink).to_owned()).collect();
        RouteSettings {
            sources: sources.iter().copied().map(SourcePattern::One).collect(),
            ..RouteSettings::of_all(sinks)
        }
    }

    #[test]
    fn the_same_records_to_one_sink_by_two_sources_are_told() {
        use Source::{EndpointAlerts, GraphAlerts, GraphIncidents, XdrIncidents};
        let tenants = [
            tenant("both", &[GraphAlerts, EndpointAlerts]),
            tenant("usual", &Source::DEFAULT),
            tenant("other", &[EndpointAlerts, XdrIncidents]),
            tenant("incidents", &[GraphIncidents, XdrIncidents]),
        ];
        let found = |routes: &[RouteSettings]| -> Vec<String> {
            let found = doubled(&SAME, routes, tenants.iter());
            found.into_iter().map(|((one, other, sink), of)| format!("{one} {other} {sink} {of:?}")).collect()
        };
        let all = [route(&Source::ALL, &["splunk", "archive"])];
        assert_eq!(
            found(&all),
            [
                "graph_alerts endpoint_alerts archive [\"both\"]",
                "graph_alerts endpoint_alerts splunk [\"both\"]",
                "graph_incidents xdr_incidents archive [\"incidents\"]",
                "graph_incidents xdr_incidents splunk [\"incidents\"]",
            ]
        );
        let apart = [
            route(&[GraphAlerts, GraphIncidents], &["splunk"]),
            route(&[EndpointAlerts, XdrIncidents], &["archive"]),
        ];
        assert_eq!(found(&apart), [""; 0]);
        let meeting = [route(&[GraphAlerts], &["splunk"]), route(&[EndpointAlerts], &["archive", "splunk"])];
        assert_eq!(found(&meeting), ["graph_alerts endpoint_alerts splunk [\"both\"]"]);
    }

    #[test]
    fn an_end_is_told_with_its_date_and_what_takes_its_place() {
        let end = AnnouncedEnd {
            date: "2027-02-01",
            any_time_since: false,
            replacement: "graph_hunting",
            announcement: "MC1220762",
        };
        let said = end.in_words(Source::XdrIncidents);
        assert!(
            said.contains("2027-02-01") && said.contains("`graph_hunting`") && said.contains("MC1220762")
        );
        // Of the others no official end is known: none is said.
        let ending: Vec<_> =
            Source::ALL.into_iter().filter(|source| sources::declaration(*source).end.is_some()).collect();
        assert_eq!(ending, [Source::SiemFeed]);
        let feed = sources::declaration(Source::SiemFeed).end.expect("an end").in_words(Source::SiemFeed);
        assert!(
            feed.contains("off any time since 31 December 2024") && feed.contains("`graph_alerts`"),
            "{feed}"
        );
    }

    #[test]
    fn a_cloud_without_an_api_is_told() {
        use muster_microsoft::NationalCloud;
        let china = Cloud::national(NationalCloud::China);
        for source in Source::ALL {
            let said = lacking(&china, source).expect("China has none");
            assert!(said.contains("`china`") && said.contains(source.as_str()), "{said}");
            assert_eq!(lacking(&Cloud::national(NationalCloud::Gcc), source), None);
        }
    }
}
