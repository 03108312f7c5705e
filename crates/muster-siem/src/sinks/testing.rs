//! Settings read, and delivery batches to deliver, in tests.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use muster_model::{
    Batch, ContentHash, Delivery, DeliveryBatch, DeliveryNumber, Lineage, Outcome, RecordHead, Report,
    Selection, Severity, Source, SystemClock, TenantId, TenantLabel,
};
use serde::de::DeserializeOwned;

use uuid::Uuid;

use super::{Sink, Surroundings};

/// A program that one test starts holds the locks of all others, closed ones too, from its fork until it runs.
static FORKS: RwLock<()> = RwLock::new(());

/// While this is held, no test starts a program.
pub(super) fn nothing_forks() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program while no other test takes a lock.
pub(super) fn start(command: &mut Command) -> std::io::Result<Child> {
    let _alone = FORKS.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Runs a program to its end.
pub(super) fn output(command: &mut Command) -> std::io::Result<Output> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    start(command)?.wait_with_output()
}

/// Settings as they would be read from a file.
pub(super) fn settings<T: DeserializeOwned>(section: serde_json::Value) -> T {
    serde_json::from_value(section).expect("settings")
}

/// What a sink has around it in tests: `a-token` for every secret, no proxy, and no bearer tokens.
pub(super) fn surroundings() -> Surroundings<'static> {
    Surroundings {
        folder: Path::new("/nonexistent"),
        secret: Arc::new(|_| Ok("a-token".into())),
        proxy: Ok(None),
        clock: Arc::new(SystemClock),
        tokens: Box::new(|_| Err("there are no tokens here".to_owned())),
    }
}

/// A tenant's label, a different one for each number.
pub(super) fn tenant(number: u128) -> TenantLabel {
    TenantLabel {
        id: TenantId::from(uuid::Uuid::from_u128(number + 1)),
        slug: format!("tenant-{number}").parse().expect("a slug"),
        name: format!("Tenant {number}"),
    }
}

/// A delivery of these bodies as they are.
pub(super) fn delivery(number: u64, bodies: &[&str]) -> Delivery {
    let mut batch = Batch::new();
    for (index, body) in bodies.iter().enumerate() {
        let at = Some("2026-01-02T03:04:05.1234567Z".parse().expect("a time"));
        let head = RecordHead {
            id: format!("{number}-{index}"),
            updated_at: at,
            created_at: at,
            severity: Severity::High,
            hash: ContentHash::of(body.as_bytes()),
            change: None,
        };
        batch.push(head, body);
    }
    Delivery {
        lineage: Lineage(Uuid::from_u128(1)),
        number: DeliveryNumber(number),
        source: Source::GraphAlerts,
        batch: batch.into(),
        selection: Selection::All,
        replay: None,
    }
}

/// A body with this id.
pub(super) fn body(id: &str) -> String {
    format!(r#"{{"id":"{id}","createdDateTime":"2026-01-02T03:04:05.1234567Z","severity":"high"}}"#)
}

/// Deliveries together.
pub(super) fn delivery_batch<'a>(tenant: &'a TenantLabel, deliveries: &'a [Delivery]) -> DeliveryBatch<'a> {
    DeliveryBatch { tenant, deliveries }
}

/// Delivers records with these ids.
pub(super) async fn deliver(sink: &Sink, ids: &[&str]) -> Report {
    deliver_as(sink, 1, ids).await
}

/// What is said of a record in the end that its receiver refuses again and again, while it takes others in between.
pub(super) async fn judged_in_the_end(sink: &Sink, bad: &str) -> String {
    // Whether the first refusal came before others were taken or after is a matter of luck.
    for round in 0..3 {
        let report = deliver(sink, &[bad]).await;
        match &report.outcomes[..] {
            [Outcome::Rejected(why)] if round > 0 => return why.clone(),
            [Outcome::Retry] => {}
            _ => panic!("{report:?}"),
        }
        assert_eq!(deliver(sink, &["good"]).await.outcomes, [Outcome::Delivered]);
    }
    panic!("it is still owed");
}

/// The same, in a delivery of this number.
pub(super) async fn deliver_as(sink: &Sink, number: u64, ids: &[&str]) -> Report {
    let bodies: Vec<String> = ids.iter().map(|id| body(id)).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(number, &bodies)])).await
}

/// Why something is owed still.
pub(super) fn reason(report: &Report) -> &str {
    &report.trouble.as_ref().expect("it is said why").reason
}

/// Whether the page of a sink names only keys that its section may have.
pub(super) fn check_page<T: DeserializeOwned>(kind: &str) {
    let unknown = serde_json::from_str::<T>(r#"{"no key":0}"#).err().expect("a mistake").to_string();
    let known = unknown.split_once("expected one of ").expect("the keys").1;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/sinks/{kind}.md"));
    let page = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let rows = page.lines().skip_while(|line| !line.starts_with("| setting |"));
    let rows = rows.take_while(|line| line.starts_with('|')).filter_map(|row| row.split('|').nth(1));
    let documented: Vec<&str> = rows.flat_map(|column| column.split('`').skip(1).step_by(2)).collect();
    assert!(documented.len() > 3, "{kind}: {documented:?}");
    for key in documented {
        assert!(known.contains(&key), "{kind} has no `{key}`: {known:?}");
    }
}
