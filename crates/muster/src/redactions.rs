//! What a sink is not to see of a tenant's records: the fields that routes drop and mask.
//!
//! It is found out when records are delivered, by the routes as they are then, so that it holds for what waits as well as for
//! what is replayed. A record that several routes take to one sink loses what any of them names. One that no route leads
//! there any more, or that is replayed to the sink whatever the routes say, loses what any route of its tenant to this sink
//! names.

use std::collections::HashMap;
use std::sync::Arc;

use muster_model::{
    Batch, Delivery, Outcome, Record, RecordKind, Redacted, Redaction, Report, Selection, Source, Tenant,
};
use muster_store::DeliveryLease;

use crate::config::RouteSettings;
use crate::routing::{Router, Routes};

/// What is kept from one sink of one tenant's records of one source.
#[derive(Debug)]
pub struct Redactions {
    kind: RecordKind,
    /// Those that lead to the sink.
    routes: Routes,
    /// What holds for records that none of them takes.
    else_of: Arc<Redaction>,
    /// What holds for those that these routes take.
    known: HashMap<Vec<usize>, Arc<Redaction>>,
}

impl Redactions {
    /// What the routes keep from `sink`; `None` where they keep nothing from it.
    pub fn of(router: &Router, tenant: &Tenant, source: Source, sink: &str) -> Option<Self> {
        let else_of = sum(router.leading_to(tenant, sink));
        if else_of.is_empty() {
            return None;
        }
        let routes = router.routes_to(tenant, source, sink);
        Some(Self { kind: source.kind(), routes, else_of: Arc::new(else_of), known: HashMap::new() })
    }

    /// What holds for this record.
    pub fn for_record(&mut self, record: Record<'_>) -> Arc<Redaction> {
        let taking = self.routes.taking(record);
        if taking.is_empty() {
            return Arc::clone(&self.else_of);
        }
        let of = |taking: &Vec<usize>| sum(taking.iter().map(|place| self.routes.at(*place)));
        let known = self.known.entry(taking);
        Arc::clone(known.or_insert_with_key(|taking| Arc::new(of(taking))))
    }

    /// Writes a record's body as the sink may see it, and says what it lost.
    ///
    /// # Errors
    /// Why that cannot be told, in words. Then the sink is to see nothing of the record.
    pub fn show(&mut self, record: Record<'_>, out: &mut String) -> Result<Redacted, String> {
        out.clear();
        self.for_record(record).apply(self.kind, record.body, out).map_err(|error| {
            format!("what routes keep from the sink cannot be taken out of it, so it was not sent: {error}")
        })
    }
}

fn sum<'r>(routes: impl Iterator<Item = &'r RouteSettings>) -> Redaction {
    let mut all = Redaction::default();
    routes.for_each(|route| all.add(&route.redaction()));
    all
}

/// A lease as its sink may see it.
#[derive(Debug)]
pub struct Shown {
    /// The same, with less in its deliveries.
    pub lease: DeliveryLease,
    /// For each record that is owed, in order, what it lost, or why it is not shown at all.
    lost: Vec<Result<Redacted, String>>,
}

impl Shown {
    /// A lease as its sink may see it; `None` where it may see all.
    pub fn of(router: &Router, lease: &DeliveryLease) -> Option<Self> {
        let mut by_source: HashMap<Source, Option<Redactions>> = HashMap::new();
        for delivery in &lease.deliveries {
            let of = || Redactions::of(router, &lease.tenant, delivery.source, &lease.sink);
            by_source.entry(delivery.source).or_insert_with(of);
        }
        if by_source.values().all(Option::is_none) {
            return None;
        }
        let (tenant, sink) = (lease.tenant.clone(), lease.sink.clone());
        let deliveries = Vec::with_capacity(lease.deliveries.len());
        let (failures, fence) = (lease.failures, lease.fence);
        let mut shown =
            Self { lease: DeliveryLease { tenant, sink, deliveries, failures, fence }, lost: Vec::new() };
        for delivery in &lease.deliveries {
            match by_source.get_mut(&delivery.source).and_then(Option::as_mut) {
                Some(redactions) => shown.add(delivery, redactions),
                None => {
                    shown.lost.extend(delivery.records().map(|_| Ok(Redacted::default())));
                    shown.lease.deliveries.push(delivery.clone());
                }
            }
        }
        Some(shown)
    }

    fn add(&mut self, delivery: &Delivery, redactions: &mut Redactions) {
        let count = delivery.batch.len();
        let mut batch = Batch::with_capacity(count, delivery.batch.body_bytes());
        let (mut body, mut shown) = (String::new(), vec![false; count]);
        for (index, record) in delivery.batch.records().enumerate() {
            // A place is a record's name in its batch: what is not shown keeps its place, and nothing else.
            body.clear();
            if delivery.selection.contains(index) {
                let done = redactions.show(record, &mut body);
                if let Err(reason) = &done {
                    tracing::error!(record.id = %muster_model::text::shown(&record.head.id, 80), reason, "a record becomes a dead letter");
                    body.clear();
                }
                shown[index] = done.is_ok();
                self.lost.push(done);
            }
            batch.push(record.head.clone(), &body);
        }
        if let Some(selection) = Selection::of(count, |index| shown[index]) {
            let batch = Arc::new(batch);
            self.lease.deliveries.push(Delivery { batch, selection, ..delivery.clone() });
        }
    }

    /// Whether there is nothing that the sink may see.
    pub fn is_empty(&self) -> bool {
        self.lease.deliveries.is_empty()
    }

    /// A sink's answer for what it was shown as one for the whole lease. Counts what records lost that it has now.
    pub fn answer(&self, report: Report) -> Report {
        let (report, lost) = self.answered(report);
        for (how, count) in [("dropped", lost.dropped), ("masked", lost.masked)] {
            metrics::counter!("muster_fields_redacted_total", "sink" => self.lease.sink.clone(), "how" => how)
                .increment(count);
        }
        report
    }

    fn answered(&self, report: Report) -> (Report, Redacted) {
        let mut answers = report.outcomes.into_iter();
        let mut outcomes = Vec::with_capacity(self.lost.len());
        let mut all = Redacted::default();
        for lost in &self.lost {
            outcomes.push(match lost {
                Err(reason) => Outcome::Rejected(reason.clone()),
                Ok(lost) => {
                    // One that gives no answer has not taken it.
                    let outcome = answers.next().unwrap_or(Outcome::Retry);
                    if matches!(outcome, Outcome::Delivered | Outcome::Awaited) {
                        all.dropped += lost.dropped;
                        all.masked += lost.masked;
                    }
                    outcome
                }
            });
        }
        (Report { outcomes, trouble: report.trouble }, all)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use jiff::Timestamp;
    use muster_model::{DeliveryNumber, Lineage, RecordHead, TenantState};

    use super::*;
    use crate::config::Settings;

    fn router() -> Router {
        let text = "[sinks.splunk]\ntype = \"file\"\npath = \"x\"\n\
                    [[routes]]\nmask = [\"**.accountName\"]\ndrop = [\"**.id\"]\nsinks = [\"splunk\"]\n";
        let text = [(PathBuf::from("muster.toml"), text.to_owned())];
        Router::new(Settings::parse(Path::new("."), &text).expect("settings").routes)
    }

    /// Of the second record nothing can be read, as after damage.
    fn damaged() -> DeliveryLease {
        let mut batch = Batch::new();
        for body in
            [r#"{"id":"1","a":"{\"accountName\":\"ann\",\"id\":1}"}"#, r#"{"id":"2","accountName":"bob""#]
        {
            let id = if body.contains("bob") { r#"{"id":"2"}"# } else { body };
            batch.push(RecordHead::read(RecordKind::GraphAlert, id).expect("a head"), body);
        }
        let delivery = Delivery {
            lineage: Lineage(uuid::Uuid::from_u128(1)),
            number: DeliveryNumber(1),
            source: Source::GraphAlerts,
            batch: batch.into(),
            selection: Selection::All,
            replay: None,
        };
        let mut only = delivery.clone();
        only.selection = Selection::of(2, |index| index == 1).expect("one");
        let tenant = Tenant {
            id: uuid::Uuid::from_u128(1).into(),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: Source::DEFAULT.into(),
            tags: [].into(),
            state: TenantState::Active,
            added_at: Timestamp::UNIX_EPOCH,
            since: Timestamp::UNIX_EPOCH,
        };
        let deliveries = vec![delivery, only];
        DeliveryLease { tenant, sink: "splunk".to_owned(), deliveries, failures: 0, fence: 1 }
    }

    #[test]
    fn a_record_of_which_it_is_not_known_what_is_to_go_is_sent_to_nobody() {
        let shown = Shown::of(&router(), &damaged()).expect("something is kept back");
        assert_eq!(shown.lease.deliveries.len(), 1, "of the other nothing is shown");
        let seen: Vec<_> = shown.lease.deliveries[0].records().collect();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].1.body, r#"{"id":"1","a":"{\"accountName\":\"[masked]\"}"}"#);
        assert!(!shown.is_empty());
        let answered = |outcomes: Vec<Outcome>| shown.answered(Report { outcomes, trouble: None });
        let (after, lost) = answered(vec![Outcome::Awaited]);
        assert_eq!((after.outcomes.len(), &after.outcomes[0]), (3, &Outcome::Awaited));
        for refused in &after.outcomes[1..] {
            assert!(
                matches!(refused, Outcome::Rejected(reason) if reason.contains("was not sent")),
                "{refused:?}"
            );
        }
        // What a sink has is counted, also while its acknowledgement is awaited; what it did not take is not.
        assert_eq!(lost, Redacted { dropped: 1, masked: 1 });
        assert_eq!(answered(vec![Outcome::Delivered]).1, lost);
        let (after, lost) = answered(Vec::new());
        assert_eq!((&after.outcomes[0], lost), (&Outcome::Retry, Redacted::default()), "no answer is none");
    }
}
