//! Which sinks a record is owed to.

use muster_model::{Severity, Source, TenantLabel};

use crate::config::RouteSettings;

/// The routes, with sinks as numbers.
#[derive(Debug, Clone)]
pub struct Router {
    routes: Vec<RouteSettings>,
    sinks: Vec<String>,
}

/// The routes of one tenant and source.
#[derive(Debug, Clone)]
pub struct Routes(Vec<(Severity, u64)>);

impl Router {
    /// `sinks` are the names of all sinks, at most 64.
    #[must_use]
    pub fn new(routes: Vec<RouteSettings>, sinks: Vec<String>) -> Self {
        Self { routes, sinks }
    }

    /// The sinks, in the order of the bits that [`Routes::sinks`] gives.
    #[must_use]
    pub fn sinks(&self) -> &[String] {
        &self.sinks
    }

    /// The routes that records of `source` of this tenant may take.
    #[must_use]
    pub fn routes(&self, tenant: &TenantLabel, source: Source) -> Routes {
        let bits = |route: &RouteSettings| {
            let bit =
                |name| self.sinks.iter().position(|sink| sink == name).map_or(0, |index| 1_u64 << index);
            route.sinks.iter().map(bit).fold(0, |all, one| all | one)
        };
        Routes(
            self.routes
                .iter()
                .filter(|route| route.serves(tenant, source))
                .map(|route| (route.min_severity, bits(route)))
                .collect(),
        )
    }
}

impl Routes {
    /// The sinks that a record of this severity is owed to: bit `i` is sink `i`.
    #[must_use]
    pub fn sinks(&self, severity: Severity) -> u64 {
        self.0.iter().filter(|(minimum, _)| severity.passes(*minimum)).fold(0, |all, (_, bits)| all | bits)
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
        let router = Router::new(routes, vec!["archive".to_owned(), "splunk".to_owned()]);
        let label = TenantLabel {
            id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
        };
        let routes = router.routes(&label, Source::GraphAlerts);
        assert_eq!(routes.sinks(Severity::Low), 0b01);
        assert_eq!(routes.sinks(Severity::High), 0b11);
        assert_eq!(routes.sinks(Severity::Unknown), 0b11);
    }
}
