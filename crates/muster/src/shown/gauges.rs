//! The gauges of `/metrics`: the picture of the store, in numbers. The counters are counted where things happen; those of
//! sinks begin here, at 0. What is about one tenant is in [`super::tenant_series`].

use std::collections::BTreeSet;
use std::sync::Mutex;

use metrics::{counter, gauge};
use muster_microsoft::SourceWord;
use muster_store::NoticeReceiver;

use crate::shown::run::RunState;
use crate::shown::sinks::SinkWord;
use crate::shown::status::{SinkStatus, Snapshot, Standing};

/// The labels of the troubles that were shown last: what is over is shown as none, and not as it last was until it is forgotten.
static TROUBLE: Mutex<BTreeSet<[(&'static str, String); 2]>> = Mutex::new(BTreeSet::new());

/// Sets every gauge to what the picture shows.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
pub fn set(snapshot: &Snapshot) {
    for state in RunState::ALL {
        gauge!("muster_run_state", "state" => state.as_str()).set(one_if(snapshot.run.state == state));
    }
    if let Some(last) = &snapshot.run.last {
        gauge!("muster_heartbeat_timestamp_seconds").set(last.beat_at.as_second() as f64);
    }
    let mut trouble = BTreeSet::new();
    for cause in &snapshot.causes {
        let labels = [("about", cause.about.clone()), ("code", cause.code.clone())];
        // What suffers alone, as a sink that no tenant waits for, counts too.
        gauge!("muster_trouble", &labels).set(cause.tenants.max(1) as f64);
        trouble.insert(labels);
    }
    let mut before = TROUBLE.lock().expect("no panic while the lock is held");
    for labels in before.difference(&trouble) {
        gauge!("muster_trouble", labels).set(0.0);
    }
    *before = trouble;
    drop(before);
    for standing in Standing::ALL {
        let count = snapshot.tenants.iter().filter(|tenant| tenant.standing == standing).count();
        gauge!("muster_tenants", "state" => standing.as_str()).set(count as f64);
    }
    for word in SourceWord::ALL {
        let count = snapshot.totals.sources.get(&word).copied().unwrap_or_default();
        gauge!("muster_sources", "state" => word.as_str()).set(count as f64);
    }
    for sink in &snapshot.sinks {
        set_sink(sink);
    }
    for receiver in snapshot.notices.iter().flat_map(|notices| &notices.receivers) {
        set_receiver(receiver);
    }
    if let Some(notices) = &snapshot.notices {
        gauge!("muster_notices_snoozed").set(notices.snoozes.len() as f64);
        gauge!("muster_notice_conditions").set(notices.open.values().sum::<u64>() as f64);
    }
    gauge!("muster_dead_letters").set(snapshot.journal.dead_letters as f64);
    gauge!("muster_journal_bytes").set(snapshot.journal.stored_bytes as f64);
    if let Some(room) = &snapshot.room {
        gauge!("muster_journal_max_bytes").set(room.max_bytes as f64);
        gauge!("muster_journal_owed_bytes").set(room.owed_bytes as f64);
        // Where nothing tells how long it lasts, it lasts.
        gauge!("muster_journal_seconds_left")
            .set(room.seconds_left.map_or(f64::INFINITY, |left| left as f64));
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn set_sink(sink: &SinkStatus) {
    for word in SinkWord::ALL {
        gauge!("muster_sink_state", "sink" => sink.sink.clone(), "state" => word.as_str())
            .set(one_if(sink.state == word));
    }
    // A counter that began with its first events would tell Prometheus of no increase.
    for name in [
        "muster_records_delivered_total",
        "muster_records_rejected_total",
        "muster_records_uncertain_total",
        "muster_records_given_up_total",
        "muster_delivery_failures_total",
    ] {
        counter!(name, "sink" => sink.sink.clone()).increment(0);
    }
    gauge!("muster_sink_owed_records", "sink" => sink.sink.clone()).set(sink.owed as f64);
    gauge!("muster_sink_oldest_owed_seconds", "sink" => sink.sink.clone())
        .set(sink.oldest_owed_seconds.unwrap_or(0.0));
    gauge!("muster_sink_dead_letters", "sink" => sink.sink.clone()).set(sink.dead_letters as f64);
    if let Some(at) = sink.last_success_at {
        gauge!("muster_sink_last_success_timestamp_seconds", "sink" => sink.sink.clone())
            .set(at.as_second() as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn set_receiver(receiver: &NoticeReceiver) {
    let labels = [("receiver", receiver.name.clone())];
    let fails = [receiver.failing_since, receiver.stopped_at, receiver.refuses_since()];
    let fails = fails.iter().any(Option::is_some);
    gauge!("muster_notice_failing", &labels).set(one_if(fails));
    gauge!("muster_notice_waiting", &labels).set(receiver.waiting as f64);
    gauge!("muster_notice_sent", &labels).set(receiver.sent as f64);
    gauge!("muster_notice_refused", &labels).set(receiver.refused as f64);
    gauge!("muster_notice_untold_alerts", &labels)
        .set((receiver.skipped + receiver.snoozed + receiver.old) as f64);
}

fn one_if(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
