//! Which sinks a record is owed to.

use std::collections::BTreeSet;

use muster_model::{Severity, Source, TenantLabel};

use crate::config::RouteSettings;

/// The routes of the settings.
#[derive(Debug, Clone)]
pub struct Router(Vec<RouteSettings>);

/// The routes of one tenant and source: for each severity, by its number, the names of the sinks that such records are
/// owed to.
#[derive(Debug, Clone)]
pub struct Routes(Vec<Vec<String>>);

impl Router {
    /// A router of these routes.
    pub fn new(routes: Vec<RouteSettings>) -> Self {
        Self(routes)
    }

    /// The routes that records of `source` of this tenant may take.
    pub fn routes(&self, tenant: &TenantLabel, source: Source) -> Routes {
        let serving = self.0.iter().filter(|route| route.serves(tenant, source)).collect::<Vec<_>>();
        let sinks = |severity: Severity| {
            let taken = serving.iter().filter(|route| severity.passes(route.min_severity));
            let sinks = taken.flat_map(|route| &route.sinks).collect::<BTreeSet<_>>();
            sinks.into_iter().cloned().collect()
        };
        Routes((0..=Severity::High.number()).map(Severity::from_number).map(sinks).collect())
    }
}

impl Routes {
    /// The sets of sinks that records go to.
    pub fn destinations(&self) -> &[Vec<String>] {
        &self.0
    }

    /// Which of them a record of this severity goes to.
    pub fn destination(&self, severity: Severity) -> usize {
        usize::from(severity.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_every_route_that_fits() {
        let route = |tenants: &str, min_severity, sink: &str| RouteSettings {
            tenants: vec![tenants.to_owned()],
            sources: Source::ALL.to_vec(),
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
        let sinks = |severity| &routes.destinations()[routes.destination(severity)];
        assert_eq!(sinks(Severity::Low), &["archive"]);
        assert_eq!(sinks(Severity::High), &["archive", "splunk"]);
        assert_eq!(sinks(Severity::Unknown), &["archive", "splunk"]);
    }
}
