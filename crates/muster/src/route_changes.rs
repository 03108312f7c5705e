//! What other routes change: pure, from both and the tenants. `muster route diff` shows it before it is applied, and `muster run`
//! tells it when it reads its settings again.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Source, Tenant, TenantState};
use serde::Serialize;

use crate::config::{RouteSettings, Words};

/// So many tenants are named in a line; of others it is told how many there are.
const NAMED_MAX: usize = 3;

/// What a sink gets of a source, and did not get before, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteChange {
    pub sink: String,
    pub source: Source,
    pub what: WhatChanges,
    pub tenants: Vec<String>,
    /// Which records it got, a line for each way there; none where it got nothing.
    pub before: Vec<String>,
    /// Which it gets now.
    pub now: Vec<String>,
}

/// What of it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhatChanges {
    /// The sink got nothing of it before.
    New,
    /// The sink gets nothing of it any more.
    Gone,
    /// The sink gets other records.
    Records,
    /// The sink gets the same records; what it sees of them changes.
    Fields,
}

/// Which records of a tenant's source go to a sink, by what they say.
type Ways = BTreeMap<(String, Source), OfOne>;

/// The same of one sink and source.
type OfOne = BTreeMap<String, Kept>;

/// What is kept from the sink of such records.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    dropped: BTreeSet<String>,
    masked: BTreeSet<String>,
}

/// What the new routes change for these tenants: a line for all tenants for whom the same changes.
pub fn changes(old: &[RouteSettings], new: &[RouteSettings], tenants: &[Tenant]) -> Vec<RouteChange> {
    let mut alike: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for tenant in tenants.iter().filter(|tenant| tenant.state != TenantState::Offboarded) {
        let (before, now) = (ways(old, tenant), ways(new, tenant));
        let both = before.keys().chain(now.keys()).collect::<BTreeSet<_>>();
        for (sink, source) in both {
            let of = |ways: &Ways| ways.get(&(sink.clone(), *source)).cloned().unwrap_or_default();
            let (before, now) = (of(&before), of(&now));
            if before != now {
                alike.entry((sink.clone(), *source, before, now)).or_default().push(tenant.slug.to_string());
            }
        }
    }
    let change = |((sink, source, before, now), tenants): ((_, _, OfOne, OfOne), _)| {
        let what = match () {
            () if before.is_empty() => WhatChanges::New,
            () if now.is_empty() => WhatChanges::Gone,
            () if before.keys().eq(now.keys()) => WhatChanges::Fields,
            () => WhatChanges::Records,
        };
        RouteChange { sink, source, what, tenants, before: lines(&before), now: lines(&now) }
    };
    alike.into_iter().map(change).collect()
}

fn ways(routes: &[RouteSettings], tenant: &Tenant) -> Ways {
    let mut ways = Ways::new();
    for source in &tenant.sources {
        for route in routes.iter().filter(|route| route.serves(tenant, *source)) {
            for sink in &route.sinks {
                let of = ways.entry((sink.clone(), *source)).or_default();
                let kept = of.entry(taken_by(route)).or_default();
                kept.dropped.extend(route.drop.iter().cloned());
                kept.masked.extend(route.mask.iter().cloned());
            }
        }
    }
    // What one way brings whole, others add nothing to, unless they keep more of it from the sink.
    for of in ways.values_mut() {
        if let Some(all) = of.get(EVERYTHING).cloned() {
            of.retain(|taken, kept| {
                let keeps_more = !kept.dropped.is_subset(&all.dropped) || !kept.masked.is_subset(&all.masked);
                taken == EVERYTHING || keeps_more
            });
        }
    }
    ways
}

const EVERYTHING: &str = "all records";

/// Which records a route takes.
fn taken_by(route: &RouteSettings) -> String {
    let mut asks = Vec::new();
    if route.min_severity != muster_model::Severity::Unknown {
        asks.push(format!("of severity {} or worse", route.min_severity));
    }
    let mut add = |what: &str, words: &Option<Words>| {
        if let Some(words) = words {
            asks.push(format!("of {what} {}", words.given.join(" or ")));
        }
    };
    add("status", &route.statuses);
    add("service", &route.services);
    add("category", &route.categories);
    match asks.is_empty() {
        true => EVERYTHING.to_owned(),
        false => format!("records {}", asks.join(", ")),
    }
}

/// A line for each way.
fn lines(ways: &BTreeMap<String, Kept>) -> Vec<String> {
    let line = |(taken, kept): (&String, &Kept)| {
        let mut line = taken.clone();
        for (how, paths) in [(" without ", &kept.dropped), (" masking ", &kept.masked)] {
            if !paths.is_empty() {
                line.push_str(how);
                line.push_str(&paths.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
            }
        }
        line
    };
    ways.iter().map(line).collect()
}

impl RouteChange {
    /// In words, on a line.
    pub fn in_words(&self) -> String {
        let shown = self.tenants.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let of = match self.tenants.len().saturating_sub(NAMED_MAX) {
            0 => shown,
            more => format!("{shown} and {more} more tenants"),
        };
        let (sink, source) = (&self.sink, self.source);
        let (before, now) = (self.before.join("; "), self.now.join("; "));
        match self.what {
            WhatChanges::New => format!("`{sink}` will get {source} of {of}: {now}"),
            WhatChanges::Gone => format!("`{sink}` will get {source} of {of} no more (it got {before})"),
            WhatChanges::Records => {
                format!("`{sink}` will get other {source} of {of}: {now} (before: {before})")
            }
            WhatChanges::Fields => {
                format!(
                    "`{sink}` will get the same {source} of {of}, with other fields: {now} (before: {before})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use jiff::Timestamp;

    use super::*;
    use crate::config::Settings;

    fn routes(routes: &str) -> Vec<RouteSettings> {
        let sinks =
            ["splunk", "archive"].map(|name| format!("[sinks.{name}]\ntype = \"file\"\npath = \"{name}\"\n"));
        let text = format!("{}{routes}", sinks.join(""));
        let settings = Settings::parse(Path::new("."), &[(PathBuf::from("muster.toml"), text)]);
        settings.expect("settings").routes
    }

    fn tenant(number: u128, slug: &str, tags: &[&str]) -> Tenant {
        Tenant {
            id: uuid::Uuid::from_u128(number).into(),
            slug: slug.parse().expect("a slug"),
            name: slug.to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: [Source::GraphAlerts].into(),
            tags: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
            state: TenantState::Active,
            added_at: Timestamp::UNIX_EPOCH,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_change_is_told_once_for_all_to_whom_it_happens() {
        let tenants = [
            tenant(1, "a", &["gold"]),
            tenant(2, "b", &[]),
            tenant(3, "c", &[]),
            tenant(4, "d", &[]),
            tenant(5, "e", &[]),
            Tenant { state: TenantState::Offboarded, ..tenant(6, "f", &[]) },
        ];
        let old =
            "[[routes]]\nsinks = [\"splunk\"]\n[[routes]]\nmin_severity = \"high\"\nsinks = [\"splunk\"]\n";
        let told = |new: &str| -> Vec<String> {
            changes(&routes(old), &routes(new), &tenants).iter().map(RouteChange::in_words).collect()
        };
        assert_eq!(told(old), [""; 0]);
        assert_eq!(
            told("[[routes]]\nname = \"x\"\nsinks = [\"splunk\"]\n"),
            [""; 0],
            "a name changes nothing"
        );
        assert_eq!(
            told(
                "[[routes]]\nsinks = [\"splunk\"]\n[[routes]]\ntags = [\"gold\"]\nstatuses = [\"new\"]\nsinks = [\"archive\"]\n"
            ),
            ["`archive` will get graph_alerts of a: records of status new"]
        );
        assert_eq!(
            told("[[routes]]\ntags = [\"gold\"]\nsinks = [\"splunk\"]\n"),
            ["`splunk` will get graph_alerts of b, c, d and 1 more tenants no more (it got all records)"]
        );
        assert_eq!(
            told("[[routes]]\nmin_severity = \"low\"\ndrop = [\"**.accountName\"]\nsinks = [\"splunk\"]\n"),
            [
                "`splunk` will get other graph_alerts of a, b, c and 2 more tenants: records of severity low or worse without \
              **.accountName (before: all records)"
            ]
        );
    }

    #[test]
    fn a_change_that_takes_records_away_is_told_from_one_that_takes_fields_away() {
        let tenants = [tenant(1, "a", &[])];
        let told = |old: &str, new: &str| -> Vec<(WhatChanges, String)> {
            let changes = changes(&routes(old), &routes(new), &tenants);
            changes.iter().map(|change| (change.what, change.in_words())).collect()
        };
        let all = "[[routes]]\nsinks = [\"splunk\"]\n";
        let kept = "[[routes]]\nsinks = [\"splunk\"]\nmask = [\"**.accountName\"]\ndrop = [\"evidence.x\"]\n";
        let line = "all records without evidence.x masking **.accountName";
        assert_eq!(
            told(all, kept),
            [(
                WhatChanges::Fields,
                format!(
                    "`splunk` will get the same graph_alerts of a, with other fields: {line} (before: all records)"
                )
            )]
        );
        assert_eq!(told(kept, all)[0].0, WhatChanges::Fields);
        // A second way for the same records keeps as much from the sink as the first.
        assert_eq!(told(kept, &format!("{all}{kept}")), []);
        let high = format!("{kept}[[routes]]\nmin_severity = \"high\"\nsinks = [\"splunk\"]\n");
        assert_eq!(told(kept, &high), []);
        let high = format!("{high}drop = [\"title\"]\n");
        assert_eq!(told(kept, &high)[0].0, WhatChanges::Records);
        // A path that reads like words is a path.
        let odd = "[[routes]]\nsinks = [\"splunk\"]\ncategories = [\"a without b\"]\n";
        assert_eq!(told(all, &format!("{all}{odd}")), []);
        assert_eq!(told(all, "")[0].0, WhatChanges::Gone);
        assert_eq!(told("", all)[0].0, WhatChanges::New);
    }

    #[test]
    fn routes_are_read_back_as_the_audit_log_has_them() {
        let written = routes(
            "[[routes]]\nname = \"x\"\ntenants = [\"a*\"]\ntags = [\"gold\"]\nsources = [\"graph_alerts\"]\nmin_severity = \"low\"\n\
             statuses = [\"In progress\"]\nservices = [\"a\"]\ncategories = [\"b\", \"none\"]\ndrop = [\"x.y\"]\nmask = [\"**.z\"]\n\
             sinks = [\"splunk\"]\n[[routes]]\nsinks = []\n",
        );
        let json = serde_json::to_value(&written).expect("JSON");
        assert_eq!(serde_json::from_value::<Vec<RouteSettings>>(json).expect("read back"), written);
    }
}
