//! Which sinks a record is owed to.

use std::collections::{BTreeSet, HashMap};

use muster_model::{Asked, Record, RecordHead, RouteFacts, Severity, Source, Tenant};
use muster_store::Destination;

use crate::config::RouteSettings;

/// The routes of the settings.
#[derive(Debug, Clone)]
pub struct Router(Vec<RouteSettings>);

/// The routes that records of one tenant and source may take, each with its name.
#[derive(Debug, Clone)]
pub struct Routes {
    source: Source,
    serving: Vec<(String, RouteSettings)>,
    /// What of a record they ask for, beside its severity.
    asked: Asked,
}

/// Records, each with where it goes.
#[derive(Debug)]
pub struct Sorted {
    pub destinations: Vec<Destination>,
    /// For each record, which of the destinations.
    pub of: Vec<usize>,
}

impl Router {
    /// A router of these routes.
    pub fn new(routes: Vec<RouteSettings>) -> Self {
        Self(routes)
    }

    /// The routes for this tenant that lead to a sink.
    pub fn leading_to(&self, tenant: &Tenant, sink: &str) -> impl Iterator<Item = &RouteSettings> {
        self.0.iter().filter(move |route| route.is_for(tenant) && route.leads_to(sink))
    }

    /// The routes that records of `source` of this tenant may take.
    pub fn routes(&self, tenant: &Tenant, source: Source) -> Routes {
        self.routes_of(tenant, source, |_| true)
    }

    /// Those of them that lead to a sink.
    pub fn routes_to(&self, tenant: &Tenant, source: Source, sink: &str) -> Routes {
        self.routes_of(tenant, source, |route| route.leads_to(sink))
    }

    fn routes_of(&self, tenant: &Tenant, source: Source, wanted: impl Fn(&RouteSettings) -> bool) -> Routes {
        let fits = |route: &RouteSettings| route.serves(tenant, source) && wanted(route);
        let serving = self.0.iter().enumerate().filter(|(_, route)| fits(route));
        let serving: Vec<_> = serving.map(|(index, route)| (route.called(index), route.clone())).collect();
        let asked = serving.iter().fold(Asked::default(), |asked, (_, route)| asked.or(route.asks()));
        Routes { source, serving, asked }
    }
}

impl Routes {
    /// Whether a route leads records anywhere, if they say what it asks for.
    pub fn lead_somewhere(&self) -> bool {
        self.serving.iter().any(|(_, route)| !route.sinks.is_empty())
    }

    /// Where these records go. What routes ask for beside the severity is read only where one does.
    pub fn sort<'r>(&self, records: impl Iterator<Item = (&'r RecordHead, &'r str)>) -> Sorted {
        let mut sorted = Sorted { destinations: Vec::new(), of: Vec::new() };
        // As good as always there are a handful of destinations: by severity, where nothing else is asked for.
        let mut by_severity: [Option<usize>; Severity::High as usize + 1] = Default::default();
        let mut by_routes: HashMap<(Vec<usize>, bool), usize> = HashMap::new();
        for (head, body) in records {
            let known = by_severity[usize::from(head.severity.number())];
            let at = known.filter(|_| !self.asked.any()).unwrap_or_else(|| {
                let (taken, filtered) = self.taken(head.severity, body);
                *by_routes.entry((taken, filtered)).or_insert_with_key(|(taken, filtered)| {
                    sorted.destinations.push(self.destination_of(taken, *filtered));
                    sorted.destinations.len() - 1
                })
            });
            by_severity[usize::from(head.severity.number())] = Some(at);
            sorted.of.push(at);
        }
        sorted
    }

    /// Where one record goes.
    pub fn destination(&self, record: Record<'_>) -> Destination {
        let (taken, filtered) = self.taken(record.head.severity, record.body);
        self.destination_of(&taken, filtered)
    }

    /// The route at a place that [`Routes::taking`] names.
    pub fn at(&self, place: usize) -> &RouteSettings {
        &self.serving[place].1
    }

    /// The places of the routes that take a record.
    pub fn taking(&self, record: Record<'_>) -> Vec<usize> {
        self.taken(record.head.severity, record.body).0
    }

    /// Which routes take a record; and where none leads it to a sink, whether that is only for what it says.
    fn taken(&self, severity: Severity, body: &str) -> (Vec<usize>, bool) {
        let facts = RouteFacts::read(self.source.kind(), body, self.asked);
        let mut taken = Vec::new();
        let mut filtered = self.lead_somewhere();
        for (index, (_, route)) in self.serving.iter().enumerate() {
            let objections = route.objections_to_what_it_says(severity, &facts);
            if objections.is_empty() {
                taken.push(index);
            }
            // A record that does not say what a route asks for was not meant to be left out.
            let said = objections.iter().any(|objection| !objection.is_silence());
            filtered &= said || route.sinks.is_empty();
        }
        (taken, filtered)
    }

    fn destination_of(&self, taken: &[usize], filtered: bool) -> Destination {
        let routes = || taken.iter().map(|index| &self.serving[*index]);
        let sinks = routes().flat_map(|(_, route)| &route.sinks).collect::<BTreeSet<_>>();
        Destination {
            sinks: sinks.into_iter().cloned().collect(),
            routes: routes().map(|(name, _)| name.clone()).collect(),
            filtered,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use jiff::Timestamp;
    use muster_model::TenantState;

    use super::*;
    use crate::config::Settings;

    fn router(routes: &str) -> Router {
        let sinks = ["archive", "splunk", "pager"]
            .map(|name| format!("[sinks.{name}]\ntype = \"file\"\npath = \"{name}\"\n"));
        let text = format!("{}{routes}", sinks.join(""));
        let settings = Settings::parse(Path::new("."), &[(PathBuf::from("muster.toml"), text)]);
        Router::new(settings.expect("settings").routes)
    }

    fn tenant(tags: &[&str]) -> Tenant {
        Tenant {
            id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: Source::DEFAULT.into(),
            tags: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
            state: TenantState::Active,
            added_at: Timestamp::UNIX_EPOCH,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    /// Where an alert goes that says this: its routes, its sinks, and whether it was left out on purpose.
    fn goes(router: &Router, tags: &[&str], says: &str) -> (Vec<String>, Vec<String>, bool) {
        let routes = router.routes(&tenant(tags), Source::GraphAlerts);
        let body = format!(r#"{{"id":"1",{says}}}"#);
        let head = RecordHead::read(Source::GraphAlerts.kind(), &body).expect("a record");
        // A page full of others before it.
        let others = [r#"{"id":"2","severity":"low","status":"new"}"#, r#"{"id":"3","severity":"high"}"#];
        let others =
            others.map(|body| (RecordHead::read(Source::GraphAlerts.kind(), body).expect("one"), body));
        let all = others.iter().map(|(head, body)| (head, *body)).chain([(&head, body.as_str())]);
        let sorted = routes.sort(all);
        let destination = sorted.destinations[sorted.of[2]].clone();
        assert_eq!(
            routes.destination(Record { head: &head, body: &body, replay: None }),
            destination,
            "{says}"
        );
        (destination.routes, destination.sinks, destination.filtered)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_record_takes_every_route_that_fits() {
        let router = router(
            "[[routes]]\nname = \"everything\"\nsinks = [\"archive\"]\n\
             [[routes]]\ntenants = [\"con*\"]\nmin_severity = \"high\"\nsinks = [\"splunk\"]\n\
             [[routes]]\ntenants = [\"fabrikam\"]\nsinks = [\"splunk\"]\n\
             [[routes]]\nname = \"both\"\ntenants = [\"c*\"]\nmin_severity = \"high\"\nsinks = [\"splunk\", \"archive\"]\n",
        );
        let low = goes(&router, &[], r#""severity":"low""#);
        assert_eq!(low, (names(&["everything"]), names(&["archive"]), false));
        let both = names(&["everything", "#2", "both"]);
        for severity in ["high", "a new one"] {
            let high = goes(&router, &[], &format!(r#""severity":"{severity}""#));
            assert_eq!(high, (both.clone(), names(&["archive", "splunk"]), false), "by name, or by number");
        }
    }

    #[test]
    fn a_route_asks_for_tags_and_for_what_a_record_says() {
        let router = router(
            "[[routes]]\nname = \"gold\"\ntags = [\"gold\", \"vip:*\"]\nsinks = [\"pager\"]\n\
             [[routes]]\nname = \"open\"\nstatuses = [\"new\", \"In Progress\"]\nservices = [\"microsoftDefenderForEndpoint\"]\nsinks = [\"splunk\"]\n\
             [[routes]]\nname = \"malware\"\ncategories = [\"malware\", \"ransomware\"]\nmin_severity = \"medium\"\nsinks = [\"archive\", \"splunk\"]\n",
        );
        let endpoint = r#""serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus""#;
        for (tags, says, routes, sinks, filtered) in [
            (
                &["gold"][..],
                r#""severity":"low","status":"resolved","category":"x""#.to_owned(),
                &["gold"][..],
                &["pager"][..],
                false,
            ),
            (&["vip:1", "x"], r#""severity":"low""#.to_owned(), &["gold"], &["pager"], false),
            (
                &["goldish"],
                format!(r#""status":"inProgress",{endpoint},"category":"x","severity":"low""#),
                &["open"],
                &["splunk"],
                false,
            ),
            (
                &["gold"],
                format!(r#""status":"new",{endpoint},"category":"Malware","severity":"medium""#),
                &["gold", "open", "malware"],
                &["archive", "pager", "splunk"],
                false,
            ),
            // Each says something that leaves it out: that was meant.
            (
                &[],
                format!(r#""status":"resolved",{endpoint},"category":"Malware","severity":"low""#),
                &[],
                &[],
                true,
            ),
            (
                &[],
                format!(r#""status":"resolved",{endpoint},"category":"x","severity":"high""#),
                &[],
                &[],
                true,
            ),
            // It does not say its category, and would have gone to the archive with one: that is told.
            (&[], format!(r#""status":"resolved",{endpoint},"severity":"high""#), &[], &[], false),
            (&[], r#""severity":"high""#.to_owned(), &[], &[], false),
        ] {
            let expected = (names(routes), names(sinks), filtered);
            assert_eq!(goes(&router, tags, &says), expected, "{tags:?} {says}");
        }
    }

    #[test]
    fn who_is_served_by_no_route_is_not_left_out_on_purpose() {
        let nobody = router("[[routes]]\ntags = [\"gold\"]\nmin_severity = \"high\"\nsinks = [\"splunk\"]\n");
        assert_eq!(goes(&nobody, &[], r#""severity":"low""#), (vec![], vec![], false));
        assert_eq!(goes(&nobody, &["gold"], r#""severity":"low""#), (vec![], vec![], true));
        let nowhere = router("[[routes]]\nsinks = []\n");
        assert_eq!(goes(&nowhere, &[], r#""severity":"low""#).1, names(&[]));
        assert!(!nowhere.routes(&tenant(&[]), Source::GraphAlerts).lead_somewhere());
    }
}
