//! The alerts or incidents of one tenant, kept so that a page is a range of an ordered set.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::world::cast::TenantFacts;
use crate::world::generate::{AlertPlan, Body, IncidentPlan};
use crate::world::query::{Field, Fields, Query};
use crate::world::ticks::Ticks;

/// The newest version of an alert or incident.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) created: Ticks,
    pub(crate) updated: Ticks,
    origin: Origin,
    body: OnceLock<Body>,
}

#[derive(Debug)]
enum Origin {
    Alert(AlertPlan),
    Incident(IncidentPlan),
    Fixed(FixedFields),
}

/// The filterable fields of a record that was not made here.
#[derive(Debug, Clone, Default)]
pub(crate) struct FixedFields {
    pub(crate) severity: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) service_source: Option<String>,
    pub(crate) classification: Option<String>,
    pub(crate) determination: Option<String>,
    pub(crate) assigned_to: Option<String>,
}

impl Row {
    pub(crate) fn alert(plan: AlertPlan) -> Self {
        Self {
            id: plan.id.clone(),
            created: plan.created,
            updated: plan.updated,
            origin: Origin::Alert(plan),
            body: OnceLock::new(),
        }
    }

    pub(crate) fn incident(plan: IncidentPlan) -> Self {
        Self {
            id: plan.incident_id.to_string(),
            created: plan.created,
            updated: plan.updated,
            origin: Origin::Incident(plan),
            body: OnceLock::new(),
        }
    }

    /// A record whose text is given.
    pub(crate) fn fixed(
        id: String,
        created: Ticks,
        updated: Ticks,
        fields: FixedFields,
        body: Bytes,
    ) -> Self {
        Self {
            id,
            created,
            updated,
            origin: Origin::Fixed(fields),
            body: OnceLock::from(Body::untouched(body)),
        }
    }

    pub(crate) fn alert_plan(&self) -> Option<&AlertPlan> {
        match &self.origin {
            Origin::Alert(plan) => Some(plan),
            _ => None,
        }
    }

    pub(crate) fn incident_plan(&self) -> Option<&IncidentPlan> {
        match &self.origin {
            Origin::Incident(plan) => Some(plan),
            _ => None,
        }
    }

    /// Its JSON, written when it is first asked for.
    pub(crate) fn body(&self, tenant: &TenantFacts) -> &Body {
        self.body.get_or_init(|| match &self.origin {
            Origin::Alert(plan) => plan.write(tenant),
            Origin::Incident(plan) => plan.write(tenant),
            Origin::Fixed(_) => Body::untouched(Bytes::from_static(b"{}")),
        })
    }
}

impl Fields for Row {
    fn time(&self, field: Field) -> Option<Ticks> {
        match field {
            Field::CreatedDateTime => Some(self.created),
            Field::LastUpdateDateTime => Some(self.updated),
            _ => None,
        }
    }

    fn text(&self, field: Field) -> Option<&str> {
        match &self.origin {
            Origin::Alert(plan) => match field {
                Field::AssignedTo => plan.assigned_to.as_deref(),
                Field::Classification => plan.classification,
                Field::Determination => plan.determination,
                Field::Severity => Some(plan.severity),
                Field::ServiceSource => Some(plan.kind().service),
                Field::Status => Some(plan.status),
                Field::CreatedDateTime | Field::LastUpdateDateTime => None,
            },
            Origin::Incident(plan) => match field {
                Field::AssignedTo => plan.assigned_to.as_deref(),
                Field::Classification => Some(plan.classification),
                Field::Determination => Some(plan.determination),
                Field::Severity => Some(plan.severity),
                Field::Status => Some(plan.status),
                _ => None,
            },
            Origin::Fixed(fields) => match field {
                Field::AssignedTo => fields.assigned_to.as_deref(),
                Field::Classification => fields.classification.as_deref(),
                Field::Determination => fields.determination.as_deref(),
                Field::Severity => fields.severity.as_deref(),
                Field::ServiceSource => fields.service_source.as_deref(),
                Field::Status => fields.status.as_deref(),
                Field::CreatedDateTime | Field::LastUpdateDateTime => None,
            },
        }
    }
}

/// Rows in the order they were created, and by their last update.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Arc<Row>>,
    by_update: BTreeSet<(Ticks, u32)>,
    by_id: HashMap<String, u32>,
}

/// A page of rows.
pub(crate) struct Page {
    pub(crate) rows: Vec<(u32, Arc<Row>)>,
    pub(crate) more: bool,
    /// All that match, when it was asked for.
    pub(crate) total: Option<usize>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Arc<Row>> {
        self.rows.get(index as usize)
    }

    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    pub(crate) fn push(&mut self, row: Row) -> u32 {
        let index = u32::try_from(self.rows.len()).expect("a tenant has fewer than 4 billion records");
        self.by_update.insert((row.updated, index));
        self.by_id.insert(row.id.clone(), index);
        self.rows.push(Arc::new(row));
        index
    }

    /// Puts a newer version in the place of an older one.
    pub(crate) fn replace(&mut self, index: u32, row: Row) {
        let old = &mut self.rows[index as usize];
        self.by_update.remove(&(old.updated, index));
        self.by_update.insert((row.updated, index));
        *old = Arc::new(row);
    }

    /// The rows that a query asks for.
    pub(crate) fn select(&self, query: &Query, page_size: usize) -> Page {
        let (from, to) =
            query.filter.as_ref().map_or((Ticks(i64::MIN), Ticks(i64::MAX)), |filter| filter.update_span());
        let narrow = from > Ticks(i64::MIN) || to < Ticks(i64::MAX);
        let span = || {
            let empty = from > to;
            let range = if empty { (from, 0)..=(from, 0) } else { (from, 0)..=(to, u32::MAX) };
            self.by_update.range(range).filter(move |_| !empty).map(|&(_, index)| index)
        };
        let all = 0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let order = query.order;
        let mut indices: Box<dyn Iterator<Item = u32>> = match (order.by_update, order.descending) {
            (true, false) => Box::new(span()),
            (true, true) => Box::new(span().rev()),
            (false, descending) if narrow => {
                let mut found: Vec<u32> = span().collect();
                found.sort_unstable();
                if descending {
                    found.reverse();
                }
                Box::new(found.into_iter())
            }
            (false, true) => Box::new(all.rev()),
            (false, false) => Box::new(all),
        };
        if let Some(filter) = &query.filter {
            indices = Box::new(indices.filter(|&index| filter.matches(self.rows[index as usize].as_ref())));
        }
        let mut indices = indices.skip(query.skip);
        let rows: Vec<_> = indices
            .by_ref()
            .take(page_size)
            .map(|index| (index, Arc::clone(&self.rows[index as usize])))
            .collect();
        let more = indices.next().is_some();
        let total = query.count.then(|| query.skip + rows.len() + usize::from(more) + indices.count());
        // Skipping past the end must not count records that do not exist.
        let total = total.map(|total| if rows.is_empty() { self.count(query) } else { total });
        Page { rows, more, total }
    }

    fn count(&self, query: &Query) -> usize {
        let matches =
            |row: &&Arc<Row>| query.filter.as_ref().is_none_or(|filter| filter.matches(row.as_ref()));
        self.rows.iter().filter(matches).count()
    }
}

/// A JSON string's text from a tree, for records that come from files.
pub(crate) fn text_of(value: &serde_json::Value, key: &str) -> Option<String> {
    match value.get(key)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
