//! Which sinks a record is owed to.

use std::collections::BTreeSet;

use muster_model::{Severity, Source, TenantLabel};
use muster_store::Destination;

use crate::config::RouteSettings;

/// The routes of the settings.
#[derive(Debug, Clone)]
pub struct Router(Vec<RouteSettings>);

/// The routes of one tenant and source: for each severity, by its number, where such records go.
#[derive(Debug, Clone)]
pub struct Routes(Vec<Destination>);

impl Router {
    /// A router of these routes.
    pub fn new(routes: Vec<RouteSettings>) -> Self {
        Self(routes)
    }

    /// The routes that records of `source` of this tenant may take.
    pub fn routes(&self, tenant: &TenantLabel, source: Source) -> Routes {
        let serving = self.0.iter().enumerate().filter(|(_, route)| route.serves(tenant, source));
        let serving = serving.collect::<Vec<_>>();
        let destination = |severity: Severity| {
            let taken = serving.iter().filter(|(_, route)| severity.passes(route.min_severity));
            let sinks = taken.clone().flat_map(|(_, route)| &route.sinks).collect::<BTreeSet<_>>();
            Destination {
                sinks: sinks.into_iter().cloned().collect(),
                routes: taken.map(|(index, route)| route.called(*index)).collect(),
            }
        };
        Routes((0..=Severity::High.number()).map(Severity::from_number).map(destination).collect())
    }
}

impl Routes {
    /// Where records go.
    pub fn destinations(&self) -> &[Destination] {
        &self.0
    }

    /// Which of them a record of this severity goes to.
    pub fn destination(&self, severity: Severity) -> usize {
        usize::from(severity.number())
    }
}

#[cfg(test)]
mod tests {
    use muster_model::SourcePattern;

    use super::*;

    #[test]
    fn a_record_takes_every_route_that_fits() {
        let route = |tenants: &str, min_severity, sink: &str| RouteSettings {
            name: (sink == "archive").then(|| "everything".to_owned()),
            tenants: vec![tenants.to_owned()],
            sources: SourcePattern::ALL.to_vec(),
            min_severity,
            sinks: vec![sink.to_owned()],
        };
        let routes = vec![
            route("*", Severity::Unknown, "archive"),
            route("con*", Severity::High, "splunk"),
            route("fabrikam", Severity::Unknown, "splunk"),
        ];
        let router = Router::new(routes);
        let label = TenantLabel {
            id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
        };
        let routes = router.routes(&label, Source::GraphAlerts);
        let taken = |severity| &routes.destinations()[routes.destination(severity)].routes;
        assert_eq!(taken(Severity::Low), &["everything"]);
        assert_eq!(taken(Severity::High), &["everything", "#2"], "by its name, or by its number");
        let sinks = |severity| &routes.destinations()[routes.destination(severity)].sinks;
        assert_eq!(sinks(Severity::Low), &["archive"]);
        assert_eq!(sinks(Severity::High), &["archive", "splunk"]);
        assert_eq!(sinks(Severity::Unknown), &["archive", "splunk"]);
    }
}
