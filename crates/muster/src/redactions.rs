//! What a sink is not to see of a tenant's records: the fields that routes drop and mask.
//!
//! It is found out when records are delivered, by the routes as they are then, so that it holds for what waits as well as for
//! what is replayed. A record that several routes take to one sink loses what any of them names. One that no route leads
//! there any more, or that is replayed to the sink whatever the routes say, loses what any route of its tenant to this sink
//! names.

use std::collections::HashMap;
use std::sync::Arc;

use muster_model::{
    Asked, Batch, Delivery, Outcome, Record, Redacted, Redaction, RouteFacts, Severity, Source, Tenant,
};

use crate::config::RouteSettings;
use crate::routing::Router;

/// What is kept from one sink of one tenant's records of one source.
#[derive(Debug)]
pub struct Redactions {
    source: Source,
    /// The routes that serve tenant and source and lead to the sink.
    serving: Vec<RouteSettings>,
    /// What holds for records that none of them takes.
    else_of: Arc<Redaction>,
    asked: Asked,
    /// What holds for those that these routes take.
    known: HashMap<Vec<usize>, Arc<Redaction>>,
}

impl Redactions {
    /// What the routes keep from `sink`; `None` where they keep nothing from it.
    pub fn of(router: &Router, tenant: &Tenant, source: Source, sink: &str) -> Option<Self> {
        let leading = || router.routes_to(tenant, sink);
        if leading().all(|route| route.redaction().is_empty()) {
            return None;
        }
        let serving: Vec<RouteSettings> = leading().filter(|route| route.is_from(source)).cloned().collect();
        let asked = serving.iter().fold(Asked::default(), |asked, route| asked.or(route.asks()));
        let else_of = Arc::new(sum(leading()));
        Some(Self { source, serving, else_of, asked, known: HashMap::new() })
    }

    /// What holds for this record.
    pub fn for_record(&mut self, record: Record<'_>) -> Arc<Redaction> {
        let facts = RouteFacts::read(self.source.kind(), record.body, self.asked);
        let severity: Severity = record.head.severity;
        let takes = |route: &RouteSettings| route.objections_to_what_it_says(severity, &facts).is_empty();
        let taken = self.serving.iter().enumerate().filter(|(_, route)| takes(route));
        let taken: Vec<usize> = taken.map(|(index, _)| index).collect();
        if taken.is_empty() {
            return Arc::clone(&self.else_of);
        }
        let serving = &self.serving;
        let made = self.known.entry(taken);
        let made = made.or_insert_with_key(|taken| Arc::new(sum(taken.iter().map(|index| &serving[*index]))));
        Arc::clone(made)
    }
}

fn sum<'r>(routes: impl Iterator<Item = &'r RouteSettings>) -> Redaction {
    let mut all = Redaction::default();
    routes.for_each(|route| all.add(&route.redaction()));
    all
}

/// A record's body as the sink may see it. What cannot be read is not shown at all.
pub fn redacted(redaction: &Redaction, record: Record<'_>, out: &mut String) -> Redacted {
    out.clear();
    match redaction.apply(record.body, out) {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(record.id = %muster_model::text::shown(&record.head.id, 80), %error, "a record cannot be read, so that nothing of it but its id goes to the sink");
            out.clear();
            out.push_str(&serde_json::json!({ "id": record.head.id }).to_string());
            Redacted { dropped: 1, masked: 0 }
        }
    }
}

/// Deliveries as a sink may see them.
#[derive(Debug)]
pub struct Shown {
    pub deliveries: Vec<Delivery>,
    /// For each record that is owed, in order, what it lost.
    lost: Vec<Redacted>,
}

impl Shown {
    /// Deliveries of one tenant as `sink` may see them; `None` where it may see all.
    pub fn to(router: &Router, tenant: &Tenant, sink: &str, deliveries: &[Delivery]) -> Option<Self> {
        let mut by_source: HashMap<Source, Option<Redactions>> = HashMap::new();
        for delivery in deliveries {
            let of = || Redactions::of(router, tenant, delivery.source, sink);
            by_source.entry(delivery.source).or_insert_with(of);
        }
        if by_source.values().all(Option::is_none) {
            return None;
        }
        let mut shown = Self { deliveries: Vec::with_capacity(deliveries.len()), lost: Vec::new() };
        for delivery in deliveries {
            match by_source.get_mut(&delivery.source).and_then(Option::as_mut) {
                Some(redactions) => shown.add(delivery, redactions),
                None => {
                    shown.lost.extend(delivery.records().map(|_| Redacted::default()));
                    shown.deliveries.push(delivery.clone());
                }
            }
        }
        Some(shown)
    }

    fn add(&mut self, delivery: &Delivery, redactions: &mut Redactions) {
        let mut batch = Batch::with_capacity(delivery.batch.len(), delivery.batch.body_bytes());
        let mut body = String::new();
        for (index, record) in delivery.batch.records().enumerate() {
            // A place is a record's name in its batch: what is not owed keeps its place, and nothing else.
            body.clear();
            if delivery.selection.contains(index) {
                let redaction = redactions.for_record(record);
                self.lost.push(redacted(&redaction, record, &mut body));
            }
            batch.push(record.head.clone(), &body);
        }
        self.deliveries.push(Delivery { batch: Arc::new(batch), ..delivery.clone() });
    }

    /// Counts what records lost that the sink has acknowledged.
    pub fn count(&self, sink: &str, outcomes: &[Outcome]) {
        let acknowledged =
            self.lost.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Delivered);
        let (dropped, masked) = acknowledged
            .fold((0, 0), |(dropped, masked), (lost, _)| (dropped + lost.dropped, masked + lost.masked));
        for (how, count) in [("dropped", dropped), ("masked", masked)] {
            metrics::counter!("muster_fields_redacted_total", "sink" => sink.to_owned(), "how" => how)
                .increment(count);
        }
    }
}
