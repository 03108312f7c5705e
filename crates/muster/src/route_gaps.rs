//! What the routes leave out: pure, from the settings and the tenants. `muster validate` shows it, and `muster run` warns of
//! it when it starts and when it reads its settings again.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{RecordKind, RouteFacts, Source, SourcePattern, Tenant, TenantState};
use muster_store::{Store, StoreError};

use crate::config::{Fit, RouteSettings, Settings};

/// So many tenants are named; of others it is told how many there are.
const NAMED_MAX: usize = 3;

/// Something that no record, or no route, reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteGap {
    pub kind: GapKind,
    /// The section of the settings that it is about, such as `routes #2` or `sinks.splunk`; empty for all routes together.
    pub section: String,
    /// The key in it.
    pub key: &'static str,
    pub message: String,
}

/// What it is that is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapKind {
    /// There is no route at all.
    NoRoute,
    /// A route names a tenant that there is not, or no tenant, source or sink at all.
    RouteToNobody,
    /// No route leads records of these tenants and this source anywhere.
    UnservedSource,
    /// Routes lead records of these tenants and this source to shadows only.
    OnlyShadowed,
    /// No record reaches a sink.
    UnreachedSink,
    /// A sink is owed records, and the settings have none of that name.
    ForgottenSink,
}

/// The gaps that can be seen without a store, and with the tenants where there is one.
pub fn gaps(settings: &Settings, tenants: Option<&[Tenant]>) -> Vec<RouteGap> {
    let mut gaps = Vec::new();
    if settings.routes.is_empty() {
        let message = "there is no route, so nothing that is collected goes to a sink: it stays in the journal; add [[routes]] with `sinks`";
        gaps.push(gap(GapKind::NoRoute, "", "", message.to_owned()));
        return gaps;
    }
    let tenants = tenants.map(|all| {
        let there = all.iter().filter(|tenant| tenant.state != TenantState::Offboarded);
        there.map(|tenant| with_named_sources(settings, tenant)).collect::<Vec<_>>()
    });
    let tenants = tenants.as_deref();
    for (index, route) in settings.routes.iter().enumerate() {
        gaps.extend(of_route(index, route, tenants));
    }
    gaps.extend(sinks_without_records(settings, tenants));
    // Who has no tenants yet is not told that none is served.
    gaps.extend(unserved(&settings.routes, tenants.unwrap_or_default()));
    gaps.extend(only_shadowed(settings, tenants.unwrap_or_default()));
    gaps
}

/// A tenant with the saved queries and streams that `muster run` will give it, which it may not have yet.
fn with_named_sources(settings: &Settings, tenant: &Tenant) -> Tenant {
    let label = tenant.label();
    let hunts = settings.hunts.iter().filter(|(_, hunt)| hunt.asks(&label)).map(|(source, _)| *source);
    let streams =
        settings.streams.iter().filter(|(_, stream)| stream.is_of(&label)).map(|(source, _)| *source);
    let sources = tenant.sources.iter().copied().chain(hunts).chain(streams).collect();
    Tenant { sources, ..tenant.clone() }
}

fn gap(kind: GapKind, section: &str, key: &'static str, message: String) -> RouteGap {
    RouteGap { kind, section: section.to_owned(), key, message }
}

/// Whether any record can take a route, given its tenants and what they are read from.
fn leads(route: &RouteSettings, tenants: &[Tenant]) -> bool {
    let served = |tenant: &Tenant| tenant.sources.iter().any(|source| route.serves(tenant, *source));
    !route.sinks.is_empty() && tenants.iter().any(served)
}

/// What is wrong with one route.
fn of_route(index: usize, route: &RouteSettings, tenants: Option<&[Tenant]>) -> Vec<RouteGap> {
    let section = Settings::route_section(index);
    let nobody = |key, message| gap(GapKind::RouteToNobody, &section, key, message);
    let mut gaps = Vec::new();
    for (key, is_empty) in [
        ("sinks", route.sinks.is_empty()),
        ("tenants", route.tenants.is_empty()),
        ("sources", route.sources.is_empty()),
    ] {
        if is_empty {
            gaps.push(nobody(key, format!("`{key}` is empty, so no record takes this route anywhere")));
        }
    }
    let kind = |pattern: &SourcePattern| match pattern {
        SourcePattern::One(source) => source.kind(),
        SourcePattern::GraphHunting | SourcePattern::XdrHunting | SourcePattern::Streaming => {
            RecordKind::HuntingRow
        }
    };
    let silent = |pattern: &&SourcePattern| !RouteFacts::can_say(kind(pattern), route.asks());
    if route.statuses.as_ref().is_some_and(|words| words.fit(&[]) == Fit::NotSaid)
        && let silent = route.sources.iter().filter(silent).map(SourcePattern::to_string).collect::<Vec<_>>()
        && silent.len() == route.sources.len()
        && !silent.is_empty()
    {
        let message = format!(
            "records of {} have no status, so none takes this route; add \"none\" for those without one",
            silent.join(", ")
        );
        gaps.push(nobody("statuses", message));
    }
    let Some(tenants) = tenants.filter(|tenants| gaps.is_empty() && !tenants.is_empty()) else { return gaps };
    let mut fitting = false;
    for pattern in &route.tenants {
        if tenants.iter().any(|tenant| RouteSettings::names(pattern, (&tenant.slug, tenant.id))) {
            fitting = true;
        } else if pattern.contains('*') {
            gaps.push(nobody(
                "tenants",
                format!("`{pattern}` fits no tenant; `muster tenant list` shows all"),
            ));
        } else {
            let slugs = tenants.iter().map(|tenant| tenant.slug.as_str());
            let meant = muster_model::text::did_you_mean(pattern, slugs);
            let message = format!("there is no tenant `{pattern}`{meant}; `muster tenant list` shows all");
            gaps.push(nobody("tenants", message));
        }
    }
    let tags = route.tags.iter().flatten();
    let mut tagged = route.tags.is_none();
    for pattern in tags {
        match tenants.iter().any(|tenant| RouteSettings::tags(pattern, tenant)) {
            true => tagged = true,
            false => gaps.push(nobody(
                "tags",
                format!("no tenant has the tag `{pattern}`; `muster tenant tag add` gives it one, `muster tenant list` shows all"),
            )),
        }
    }
    let both = tenants.iter().any(|tenant| {
        route.tenants.iter().any(|pattern| RouteSettings::names(pattern, (&tenant.slug, tenant.id)))
            && route.tags.as_ref().is_none_or(|tags| tags.iter().any(|tag| RouteSettings::tags(tag, tenant)))
    });
    if fitting && tagged && !both {
        let message = "none of the tenants that it names has one of its tags, so no record takes this route";
        gaps.push(nobody("tags", message.to_owned()));
    }
    if both && !leads(route, tenants) {
        let sources = route.sources.iter().map(SourcePattern::to_string).collect::<Vec<_>>().join(", ");
        let message = format!(
            "none of its tenants is read from {sources}; `muster tenant show` tells a tenant's sources"
        );
        gaps.push(nobody("sources", message));
    }
    gaps
}

/// Sinks to which no route leads, or none that a record can take.
fn sinks_without_records(settings: &Settings, tenants: Option<&[Tenant]>) -> Vec<RouteGap> {
    let mut gaps = Vec::new();
    for name in settings.sinks.keys() {
        let mut routes = settings.routes.iter().filter(|route| route.leads_to(name)).peekable();
        let message = if routes.peek().is_none() {
            "no route leads to this sink: it gets no record; name it in `sinks` of a route".to_owned()
        } else if tenants
            .is_some_and(|tenants| !tenants.is_empty() && !routes.any(|route| leads(route, tenants)))
        {
            "no record can reach this sink: none of the routes that lead to it has a tenant and a source that are read"
                .to_owned()
        } else {
            continue;
        };
        gaps.push(gap(GapKind::UnreachedSink, &format!("sinks.{name}"), "", message));
    }
    gaps
}

/// Sources of tenants that no route serves: one gap for each source.
fn unserved(routes: &[RouteSettings], tenants: &[Tenant]) -> Vec<RouteGap> {
    let mut unserved: BTreeMap<Source, Vec<&str>> = BTreeMap::new();
    for tenant in tenants {
        for source in &tenant.sources {
            let served = |route: &RouteSettings| !route.sinks.is_empty() && route.serves(tenant, *source);
            if !routes.iter().any(served) {
                unserved.entry(*source).or_default().push(tenant.slug.as_str());
            }
        }
    }
    let told = unserved.into_iter().map(|(source, slugs)| {
        let of = some_of(&slugs);
        let message = format!(
            "no route takes {source} of {of}: what is collected stays in the journal and goes to no sink; `muster replay --unrouted` brings it once a route does"
        );
        gap(GapKind::UnservedSource, "", "", message)
    });
    told.collect()
}

/// Sources of tenants of which only shadows get anything: one gap for each source. Nothing waits for a shadow for long.
fn only_shadowed(settings: &Settings, tenants: &[Tenant]) -> Vec<RouteGap> {
    let shadows = settings.shadows();
    let mut alone: BTreeMap<Source, Vec<&str>> = BTreeMap::new();
    for tenant in tenants {
        for source in &tenant.sources {
            let serving = settings.routes.iter().filter(|route| route.serves(tenant, *source));
            let mut sinks = serving.flat_map(|route| &route.sinks).peekable();
            if sinks.peek().is_some() && sinks.all(|sink| shadows.contains_key(sink)) {
                alone.entry(*source).or_default().push(tenant.slug.as_str());
            }
        }
    }
    let told = alone.into_iter().map(|(source, slugs)| {
        let of = some_of(&slugs);
        let message = format!(
            "{source} of {of} goes to sinks with `shadow = true` only, which do without what they do not take in time; name another sink in a route, or take `shadow` away"
        );
        gap(GapKind::OnlyShadowed, "", "", message)
    });
    told.collect()
}

/// The first of some names, and how many more there are.
fn some_of(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more tenants"),
    }
}

/// Sinks that are owed so many records, and that the settings do not name.
pub fn forgotten<'a>(settings: &Settings, owed: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<RouteGap> {
    let owed = owed.into_iter().filter(|(sink, owed)| *owed > 0 && !settings.sinks.contains_key(*sink));
    let told = owed.map(|(sink, owed)| {
        let known: BTreeSet<&str> = settings.sinks.keys().map(String::as_str).collect();
        let meant = muster_model::text::did_you_mean(sink, known);
        let message = format!(
            "{owed} records are owed to a sink `{sink}`, and the settings have none of that name{meant}: they wait until there is one"
        );
        gap(GapKind::ForgottenSink, &format!("sinks.{sink}"), "", message)
    });
    told.collect()
}

/// Warns of every gap, a line each, also of sinks that are owed records and are in the settings no more.
///
/// # Errors
/// When the store cannot be read.
pub async fn warn(settings: &Settings, store: &dyn Store) -> Result<(), StoreError> {
    let tenants = store.tenants().await?;
    let mut all = gaps(settings, Some(&tenants));
    let totals = store.sink_totals().await?;
    all.extend(forgotten(settings, totals.iter().map(|sink| (sink.sink.as_str(), sink.owed))));
    for RouteGap { section, key, message, .. } in all {
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        let place = if section.is_empty() { String::new() } else { format!("[{section}] ") };
        tracing::warn!("{place}{key}{message}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use jiff::Timestamp;

    use super::*;

    fn tenant(number: u128, slug: &str, sources: &[Source]) -> Tenant {
        Tenant {
            id: uuid::Uuid::from_u128(number).into(),
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: sources.iter().copied().collect(),
            tags: BTreeSet::new(),
            state: TenantState::Active,
            added_at: Timestamp::UNIX_EPOCH,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    /// What it is, its section, and how its message begins.
    type Expected<'a> = (GapKind, &'a str, &'a str);

    fn tenants() -> Vec<Tenant> {
        let both = [Source::GraphAlerts, Source::GraphIncidents];
        vec![
            tenant(1, "contoso", &both),
            tenant(2, "fabrikam", &both[..1]),
            Tenant { state: TenantState::Offboarded, ..tenant(3, "northwind", &both) },
        ]
    }

    #[test]
    fn a_stream_or_a_query_that_no_tenant_has_yet_wants_a_route() {
        let named = "[hunts.h]\nquery = 'DeviceEvents'\n[streams.s]\nurl = \"file:///blobs\"\ntenants = [\"contoso\"]\n";
        let route = "[[routes]]\nsources = [\"graph_alerts\", \"graph_incidents\"]\nsinks = [\"splunk\", \"archive\"]\n";
        let told = found(&format!("{named}{route}"), Some(&tenants()));
        let unserved: Vec<&str> = told
            .iter()
            .filter(|(kind, ..)| *kind == GapKind::UnservedSource)
            .map(|(.., message)| message.as_str())
            .collect();
        assert_eq!(unserved.len(), 2, "{told:?}");
        assert!(unserved[0].contains("graph_hunting/h of contoso, fabrikam"), "{told:?}");
        assert!(unserved[1].contains("streaming/s of contoso:"), "{told:?}");
        let all = format!("{named}[[routes]]\nsinks = [\"splunk\", \"archive\"]\n");
        assert_eq!(found(&all, Some(&tenants())), []);
    }

    fn found(routes: &str, tenants: Option<&[Tenant]>) -> Vec<(GapKind, String, String)> {
        let sinks =
            ["splunk", "archive"].map(|name| format!("[sinks.{name}]\ntype = \"file\"\npath = \"{name}\"\n"));
        let text = format!("{}{routes}", sinks.join(""));
        let settings = Settings::parse(Path::new("."), &[(PathBuf::from("muster.toml"), text)]);
        let gaps = gaps(&settings.expect("settings"), tenants);
        gaps.into_iter().map(|gap| (gap.kind, gap.section, gap.message)).collect()
    }

    #[test]
    fn each_gap_is_told_once() {
        use GapKind::{NoRoute, RouteToNobody, UnreachedSink, UnservedSource};
        let all = "[[routes]]\nsinks = [\"splunk\", \"archive\"]\n";
        let table: &[(&str, &[Expected<'_>])] = &[
            ("", &[(NoRoute, "", "there is no route")]),
            (all, &[]),
            (
                "[[routes]]\nsinks = [\"splunk\"]\n",
                &[(UnreachedSink, "sinks.archive", "no route leads to this sink")],
            ),
            (
                "[[routes]]\nsinks = [\"splunk\", \"archive\"]\ntenants = [\"contoso\"]\n",
                &[(UnservedSource, "", "no route takes graph_alerts of fabrikam:")],
            ),
            (
                "[[routes]]\nsinks = [\"splunk\", \"archive\"]\nsources = [\"graph_incidents\"]\n",
                &[(UnservedSource, "", "no route takes graph_alerts of contoso, fabrikam:")],
            ),
            (
                &format!("{all}[[routes]]\ntenants = [\"contsoo\"]\nsinks = [\"splunk\"]\n"),
                &[(RouteToNobody, "routes #2", "there is no tenant `contsoo` (did you mean `contoso`?)")],
            ),
            (
                &format!("{all}[[routes]]\ntenants = [\"x*\", \"con*\"]\nsinks = [\"splunk\"]\n"),
                &[(RouteToNobody, "routes #2", "`x*` fits no tenant")],
            ),
            (
                &format!("{all}[[routes]]\ntenants = [\"northwind\"]\nsinks = [\"splunk\"]\n"),
                &[(RouteToNobody, "routes #2", "there is no tenant `northwind`")],
            ),
            (&format!("{all}[[routes]]\nsinks = []\n"), &[(RouteToNobody, "routes #2", "`sinks` is empty")]),
            (
                &format!("{all}[[routes]]\nsinks = [\"splunk\"]\nsources = []\ntenants = []\n"),
                &[
                    (RouteToNobody, "routes #2", "`tenants` is empty"),
                    (RouteToNobody, "routes #2", "`sources` is empty"),
                ],
            ),
            (
                "[[routes]]\nsinks = [\"splunk\"]\n[[routes]]\nsinks = [\"archive\"]\ntenants = [\"fabrikam\"]\nsources = [\"graph_incidents\"]\n",
                &[
                    (RouteToNobody, "routes #2", "none of its tenants is read from graph_incidents"),
                    (UnreachedSink, "sinks.archive", "no record can reach this sink"),
                ],
            ),
        ];
        for (routes, expected) in table {
            let gaps = found(routes, Some(&tenants()));
            assert_eq!(gaps.len(), expected.len(), "{routes}: {gaps:?}");
            for ((kind, section, message), (wanted, place, beginning)) in gaps.iter().zip(*expected) {
                assert!(
                    kind == wanted && section == place && message.starts_with(beginning),
                    "{routes}: {gaps:?}"
                );
            }
        }
    }

    /// Before there is a store, or a tenant in it, nothing is said of tenants.
    #[test]
    fn nothing_is_said_of_tenants_that_are_not_known() {
        let routes = "[[routes]]\nsinks = [\"splunk\", \"archive\"]\ntenants = [\"contoso\"]\n";
        assert_eq!(found(routes, None), []);
        assert_eq!(found(routes, Some(&[])), []);
    }

    #[test]
    fn a_thousand_tenants_are_one_line() {
        let many: Vec<Tenant> =
            (0..1_000).map(|number| tenant(number, &format!("t{number}"), &[Source::GraphAlerts])).collect();
        let gaps = found(
            "[[routes]]\nsinks = [\"splunk\", \"archive\"]\nsources = [\"graph_incidents\"]\n",
            Some(&many),
        );
        let unserved: Vec<_> = gaps.iter().filter(|(kind, ..)| *kind == GapKind::UnservedSource).collect();
        assert_eq!(unserved.len(), 1, "{gaps:?}");
        assert!(unserved[0].2.contains("t0, t1, t2 and 997 more tenants"), "{unserved:?}");
    }
}
