//! The series of `/metrics` that are about one tenant or one credential each.
//!
//! They are written out of the picture each time, and not kept: what is over, and whoever is gone, is not shown any more. There are
//! as many as there are tenants, so they are bounded: those in trouble come first, and how many are left out is told. Ends of
//! credentials are all shown. What is
//! about all tenants together ([`super::gauges`]) knows of all.

use std::fmt::{Display, Write as _};

use muster_store::CheckOutcome;

use crate::shown::status::{Snapshot, TenantStatus};

/// The shares of sources that are told how late they are at most.
const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.99", 0.99), ("1", 1.0)];

/// The series of so many tenants at most, in Prometheus' text form.
pub fn write(snapshot: &Snapshot, tenants_max: usize) -> String {
    let (mut tenants, well): (Vec<_>, Vec<_>) =
        snapshot.tenants.iter().partition(|tenant| tenant.is_in_trouble() || tenant.unrouted.no_route > 0);
    tenants.extend(well);
    let left_out = tenants.len().saturating_sub(tenants_max);
    tenants.truncate(tenants_max);
    let mut out = Families(String::new());
    out.family("muster_tenants_left_out", "Tenants without series of their own: there are too many");
    out.series("muster_tenants_left_out", &[], left_out);
    out.family(
        "muster_sources_lag_seconds",
        "Time since sources were last read to their end: a share of them at most so long",
    );
    let lags = lags(&snapshot.tenants);
    for (quantile, share) in QUANTILES {
        if let Some(lag) = at_most(&lags, share) {
            out.series("muster_sources_lag_seconds", &[("quantile", quantile)], lag);
        }
    }
    out.family("muster_tenant_state", "1 for the state that a tenant is in, by tenant and state");
    for tenant in &tenants {
        let labels = [("tenant", tenant.slug.as_str()), ("state", tenant.standing.as_str())];
        out.series("muster_tenant_state", &labels, 1);
    }
    out.family("muster_check_good", "1 when the last check was good, by tenant and check");
    for tenant in &tenants {
        for check in &tenant.checks {
            let labels = [("tenant", tenant.slug.as_str()), ("check", check.name.as_str())];
            out.series("muster_check_good", &labels, u8::from(check.outcome == CheckOutcome::Good));
        }
    }
    // Few have any, and whose end nobody hears of stops being read: so all of them.
    out.family(
        "muster_credential_expiry_timestamp_seconds",
        "When a credential ends, in seconds since 1970, by app or tenant and credential",
    );
    let of_apps = snapshot.apps.iter().map(|app| ("app", app.app.as_str(), &app.checks));
    let of_tenants = snapshot.tenants.iter().map(|tenant| ("tenant", tenant.slug.as_str(), &tenant.checks));
    for (whose, owner, checks) in of_apps.chain(of_tenants) {
        for check in checks {
            if let Some(until) = check.expires_at {
                let labels = [(whose, owner), ("credential", check.name.as_str())];
                out.series("muster_credential_expiry_timestamp_seconds", &labels, until.as_second());
            }
        }
    }
    out.sources(&tenants);
    out.0
}

/// How late each source that has ever been read is, in seconds, the least first.
fn lags(tenants: &[TenantStatus]) -> Vec<f64> {
    let mut lags: Vec<f64> =
        tenants.iter().flat_map(|tenant| &tenant.sources).filter_map(|source| source.lag_seconds).collect();
    lags.sort_by(f64::total_cmp);
    lags
}

/// What so large a share of them is at most; `None` where there are none.
fn at_most(sorted: &[f64], share: f64) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.max(1) - 1).copied()
}

/// Text in which the series of one name stand together, as Prometheus wants them
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
struct Families(String);

impl Families {
    fn family(&mut self, name: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge").expect("written to a text");
    }

    fn series(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push_str(if place == 0 { "{" } else { "," });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        writeln!(self.0, " {value}").expect("written to a text");
    }

    fn sources(&mut self, tenants: &[&TenantStatus]) {
        let all =
            || tenants.iter().flat_map(|tenant| tenant.sources.iter().map(move |source| (*tenant, source)));
        self.family(
            "muster_source_state",
            "1 for the state that a source is in, by tenant, source and state",
        );
        for (tenant, source) in all() {
            let name = source.source.to_string();
            let labels =
                [("tenant", tenant.slug.as_str()), ("source", &name), ("state", source.state.as_str())];
            self.series("muster_source_state", &labels, 1);
        }
        self.family("muster_source_failures", "Polls failed in a row, by tenant and source");
        for (tenant, source) in all() {
            let name = source.source.to_string();
            let labels = [("tenant", tenant.slug.as_str()), ("source", name.as_str())];
            self.series("muster_source_failures", &labels, source.failures);
        }
        self.family(
            "muster_source_lag_seconds",
            "Time since a source was last read to its end, by tenant and source",
        );
        for (tenant, source) in all() {
            if let Some(lag) = source.lag_seconds {
                let name = source.source.to_string();
                let labels = [("tenant", tenant.slug.as_str()), ("source", name.as_str())];
                self.series("muster_source_lag_seconds", &labels, lag);
            }
        }
        self.family(
            "muster_source_unrouted_records",
            "Record versions that no route took, by tenant, source and cause",
        );
        for (tenant, source) in all() {
            let of = source.source.to_string();
            for (cause, records) in
                [("no_route", source.unrouted.no_route), ("filtered", source.unrouted.filtered)]
            {
                let labels = [("tenant", tenant.slug.as_str()), ("source", &of), ("cause", cause)];
                self.series("muster_source_unrouted_records", &labels, records);
            }
        }
    }
}
