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
    pub tenants: Vec<String>,
    /// Which records it got, a line for each way there; none where it got nothing.
    pub before: Vec<String>,
    /// Which it gets now.
    pub now: Vec<String>,
}

/// Which records of a tenant's source go to a sink, by what they say.
type Ways = BTreeMap<(String, Source), BTreeSet<String>>;

/// What changes: the sink, the source, what it got and what it gets.
type What = (String, Source, Vec<String>, Vec<String>);

/// What the new routes change for these tenants: a line for all tenants for whom the same changes.
pub fn changes(old: &[RouteSettings], new: &[RouteSettings], tenants: &[Tenant]) -> Vec<RouteChange> {
    let mut alike: BTreeMap<What, Vec<String>> = BTreeMap::new();
    for tenant in tenants.iter().filter(|tenant| tenant.state != TenantState::Offboarded) {
        let (before, now) = (ways(old, tenant), ways(new, tenant));
        let both = before.keys().chain(now.keys()).collect::<BTreeSet<_>>();
        for (sink, source) in both {
            let of = |ways: &Ways| -> Vec<String> {
                ways.get(&(sink.clone(), *source)).into_iter().flatten().cloned().collect()
            };
            let (before, now) = (of(&before), of(&now));
            if before != now {
                let key = (sink.clone(), *source, before, now);
                alike.entry(key).or_default().push(tenant.slug.to_string());
            }
        }
    }
    let change = |((sink, source, before, now), tenants)| RouteChange { sink, source, tenants, before, now };
    alike.into_iter().map(change).collect()
}

fn ways(routes: &[RouteSettings], tenant: &Tenant) -> Ways {
    let mut ways = Ways::new();
    for source in &tenant.sources {
        for route in routes.iter().filter(|route| route.serves(tenant, *source)) {
            for sink in &route.sinks {
                ways.entry((sink.clone(), *source)).or_default().insert(in_words(route));
            }
        }
    }
    // What one way brings whole, others add nothing to.
    for lines in ways.values_mut() {
        if lines.contains(EVERYTHING) {
            lines.retain(|line| line == EVERYTHING || line.contains(KEPT));
        }
    }
    ways
}

const EVERYTHING: &str = "all records";
/// Stands in a line that tells what is kept from the sink.
const KEPT: &str = " without ";

/// Which records a route takes, and what it keeps from the sink.
fn in_words(route: &RouteSettings) -> String {
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
    let mut line = match asks.is_empty() {
        true => EVERYTHING.to_owned(),
        false => format!("records {}", asks.join(", ")),
    };
    let kept: Vec<&str> = route.drop.iter().chain(&route.mask).map(String::as_str).collect();
    if !kept.is_empty() {
        line.push_str(&format!("{KEPT}{}", kept.join(", ")));
    }
    line
}

impl RouteChange {
    /// In words, on a line.
    pub fn in_words(&self) -> String {
        let shown = self.tenants.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let of = match self.tenants.len().saturating_sub(NAMED_MAX) {
            0 => shown,
            more => format!("{shown} and {more} more tenants"),
        };
        let lines = |lines: &[String]| lines.join("; ");
        let (sink, source) = (&self.sink, self.source);
        match (self.before.is_empty(), self.now.is_empty()) {
            (true, _) => format!("`{sink}` will get {source} of {of}: {}", lines(&self.now)),
            (_, true) => {
                format!("`{sink}` will get {source} of {of} no more (it got {})", lines(&self.before))
            }
            _ => format!(
                "`{sink}` will get other {source} of {of}: {} (before: {})",
                lines(&self.now),
                lines(&self.before)
            ),
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
            told("[[routes]]\nmin_severity = \"low\"\nmask = [\"**.accountName\"]\nsinks = [\"splunk\"]\n"),
            [
                "`splunk` will get other graph_alerts of a, b, c and 2 more tenants: records of severity low or worse without \
              **.accountName (before: all records)"
            ]
        );
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
