//! Logs and metrics.
//!
//! Log levels: `error` a person must act, `warn` degraded, `info` changes of state. Never an alert's body, a token or
//! personal data.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging to standard error. A second call changes nothing.
pub fn start_logging(format: LogFormat, level: Option<&str>, colour: bool) {
    let filter = level.unwrap_or("info");
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Where standard error is closed, a line is lost; to tell of that on standard error would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(colour).with_target(false).try_init(),
        LogFormat::Json => builder.json().with_current_span(true).with_span_list(false).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(error = %error, "logging was started before");
    }
}

/// How long a gauge that nobody sets any more is shown.
const GAUGE_IDLE: Duration = Duration::from_secs(600);

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting, once in a process, and gives the handle that writes the counts in Prometheus' text form.
///
/// # Panics
/// When another part of the process has installed a recorder of its own.
pub fn metrics() -> PrometheusHandle {
    METRICS
        .get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets(&[0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0])
                .expect("there are buckets")
                // What belongs to a tenant that is gone goes too; everything else is set anew at each look.
                .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_IDLE))
                .install_recorder()
                .expect("nothing else installs a recorder");
            describe();
            handle
        })
        .clone()
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("muster_polls_total", "Turns of polling, by source and result");
    describe_counter!(
        "muster_records_accepted_total",
        "Record versions accepted into the journal, by source"
    );
    describe_counter!(
        "muster_records_late_total",
        "Record versions updated where a round had already read, by source"
    );
    describe_counter!("muster_records_known_total", "Record versions seen again and dropped, by source");
    describe_counter!(
        "muster_records_unreadable_total",
        "Records kept as dead letters because they could not be read, by source"
    );
    describe_counter!("muster_records_delivered_total", "Records acknowledged, by sink");
    describe_counter!("muster_records_rejected_total", "Records refused for good, by sink");
    describe_counter!(
        "muster_records_uncertain_total",
        "Of those, records of which nobody knows whether the sink has them, by sink"
    );
    describe_counter!(
        "muster_delivery_failures_total",
        "Attempts to deliver after which something stayed owed, by sink"
    );
    describe_histogram!(
        "muster_delivery_seconds",
        "Time from handing records to a sink to its answer, by sink"
    );
    describe_counter!(
        "muster_records_given_up_total",
        "Records that a sink was owed and that were given up because the journal was full, by sink"
    );
    describe_counter!("muster_pull_requests_total", "Requests to the pull API, by status and code");
    describe_counter!("muster_pull_detections_total", "Detections that clients of the pull API were given");
    describe_counter!(
        "muster_fields_redacted_total",
        "Fields that routes kept from a sink, of records that it has, by sink and how"
    );
    describe_gauge!("muster_run_state", "1 for the state that `muster run` is in, by state");
    describe_gauge!(
        "muster_heartbeat_timestamp_seconds",
        "When `muster run` last wrote its heartbeat, in seconds since 1970"
    );
    describe_gauge!("muster_trouble", "Tenants that suffer from a cause of trouble, by whose it is and code");
    describe_gauge!("muster_sources", "Sources, by state");
    describe_gauge!("muster_sink_state", "1 for the state that a sink is in, by sink and state");
    describe_gauge!("muster_sink_dead_letters", "Records refused for good that still lie there, by sink");
    describe_gauge!(
        "muster_sink_last_success_timestamp_seconds",
        "When a sink last acknowledged something, in seconds since 1970"
    );
    describe_gauge!("muster_sink_owed_records", "Records owed, by sink");
    describe_gauge!("muster_sink_oldest_owed_seconds", "Age of the oldest record owed, by sink");
    describe_gauge!("muster_tenants", "Tenants, by state");
    describe_gauge!("muster_listener_connections", "Connections at present, by listener");
    describe_counter!(
        "muster_listener_refused_total",
        "Connections and requests turned away or ended early, by listener and reason"
    );
    describe_gauge!(
        "muster_listener_certificate_expiry_timestamp_seconds",
        "When the certificate of customers' pages ends, in seconds since 1970"
    );
    describe_gauge!("muster_dead_letters", "Dead letters kept");
    describe_gauge!("muster_journal_bytes", "Size of the journal, compressed");
    describe_gauge!("muster_journal_max_bytes", "Size that the journal may reach");
    describe_gauge!("muster_journal_owed_bytes", "Size of what the journal keeps because sinks are owed it");
    describe_gauge!("muster_journal_seconds_left", "When the journal is full, if it grows on as it does");
}
