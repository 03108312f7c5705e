//! The gauges of `/metrics`: the picture of the store, in numbers. The counters are counted where things happen.

use metrics::gauge;
use muster_store::CheckOutcome;

use crate::shown::status::{Snapshot, Standing};

/// Sets every gauge to what the picture shows.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
pub fn set(snapshot: &Snapshot) {
    for standing in Standing::ALL {
        let count = snapshot.tenants.iter().filter(|tenant| tenant.standing == standing).count();
        gauge!("muster_tenants", "state" => standing.as_str()).set(count as f64);
    }
    for tenant in &snapshot.tenants {
        let slug = tenant.slug.to_string();
        for standing in Standing::ALL {
            let here = f64::from(u8::from(tenant.standing == standing));
            gauge!("muster_tenant_state", "tenant" => slug.clone(), "state" => standing.as_str()).set(here);
        }
        for check in &tenant.checks {
            let labels = [("tenant", slug.clone()), ("check", check.name.clone())];
            gauge!("muster_check_good", &labels)
                .set(f64::from(u8::from(check.outcome == CheckOutcome::Good)));
            if let Some(until) = check.expires_at {
                let labels = [("tenant", slug.clone()), ("credential", check.name.clone())];
                gauge!("muster_credential_expiry_timestamp_seconds", &labels).set(until.as_second() as f64);
            }
        }
        for source in &tenant.sources {
            let labels = [("tenant", slug.clone()), ("source", source.source.to_string())];
            gauge!("muster_source_failures", &labels).set(f64::from(source.failures));
            if let Some(lag) = source.lag_seconds {
                gauge!("muster_source_lag_seconds", &labels).set(lag);
            }
        }
    }
    for app in &snapshot.apps {
        for check in &app.checks {
            if let Some(until) = check.expires_at {
                let labels = [("app", app.app.clone()), ("credential", check.name.clone())];
                gauge!("muster_credential_expiry_timestamp_seconds", &labels).set(until.as_second() as f64);
            }
        }
    }
    for sink in &snapshot.sinks {
        gauge!("muster_sink_owed_records", "sink" => sink.sink.clone()).set(sink.owed as f64);
        gauge!("muster_sink_oldest_owed_seconds", "sink" => sink.sink.clone())
            .set(sink.oldest_owed_seconds.unwrap_or(0.0));
    }
    gauge!("muster_dead_letters").set(snapshot.journal.dead_letters as f64);
    gauge!("muster_journal_bytes").set(snapshot.journal.stored_bytes as f64);
}
