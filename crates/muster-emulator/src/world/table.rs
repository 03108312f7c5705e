//! The alerts or incidents of one tenant, kept so that a page is a range of an ordered set.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::defender::detection;
use crate::defender::translate::{self, EndpointAlert};
use crate::receivers::RecordKind;
use crate::world::cast::TenantFacts;
use crate::world::dice::derive;
use crate::world::generate::{AlertPlan, Body, IncidentPlan};
use crate::world::query::{Field, Fields, Order, Query};
use crate::world::ticks::Ticks;
use crate::world::view::{ENDPOINT_SERVICE, View};

/// The newest version of an alert or incident.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) created: Ticks,
    pub(crate) updated: Ticks,
    origin: Origin,
    body: OnceLock<Body>,
    endpoint: OnceLock<Option<EndpointAlert>>,
    xdr: OnceLock<Option<Bytes>>,
    siem: OnceLock<Option<Bytes>>,
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
    pub(crate) detection_source: Option<String>,
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
            endpoint: OnceLock::new(),
            xdr: OnceLock::new(),
            siem: OnceLock::new(),
        }
    }

    pub(crate) fn incident(plan: IncidentPlan) -> Self {
        Self {
            id: plan.incident_id.to_string(),
            created: plan.created,
            updated: plan.updated,
            origin: Origin::Incident(plan),
            body: OnceLock::new(),
            endpoint: OnceLock::new(),
            xdr: OnceLock::new(),
            siem: OnceLock::new(),
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
            endpoint: OnceLock::new(),
            xdr: OnceLock::new(),
            siem: OnceLock::new(),
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

    /// Whether it was made here, rather than read or written as it is.
    pub(crate) fn is_made(&self) -> bool {
        !matches!(self.origin, Origin::Fixed(_))
    }

    /// Its JSON, written when it is first asked for.
    pub(crate) fn body(&self, tenant: &TenantFacts) -> &Body {
        self.body.get_or_init(|| match &self.origin {
            Origin::Alert(plan) => plan.write(tenant),
            Origin::Incident(plan) => plan.write(tenant),
            Origin::Fixed(_) => Body::untouched(Bytes::from_static(b"{}")),
        })
    }

    /// An alert as Defender for Endpoint shows it; `None` where its text makes no sense.
    pub(crate) fn endpoint(&self, tenant: &TenantFacts) -> Option<&EndpointAlert> {
        self.endpoint.get_or_init(|| EndpointAlert::of(&self.body(tenant).full)).as_ref()
    }

    /// An alert as a detection of the retired SIEM API; `None` where its text makes no sense.
    pub(crate) fn siem(&self, tenant: &TenantFacts) -> Option<&Bytes> {
        self.siem.get_or_init(|| detection::of(&self.body(tenant).full)).as_ref()
    }

    /// Its id among records of a kind.
    pub(crate) fn id_as(&self, kind: RecordKind) -> Cow<'_, str> {
        match kind {
            RecordKind::SiemDetection => Cow::Owned(detection::full_id(&self.id)),
            _ => Cow::Borrowed(&self.id),
        }
    }

    /// An incident as Defender XDR shows it, without the alerts that the world knows of it; or an alert as it stands in one.
    /// `None` where its text makes no sense.
    pub(crate) fn xdr(&self, kind: RecordKind, tenant: &TenantFacts) -> Option<&Bytes> {
        let translate = |graph: &[u8]| match kind.family() {
            RecordKind::Incident | RecordKind::XdrIncident => translate::xdr_incident(graph),
            RecordKind::Alert | RecordKind::EndpointAlert | RecordKind::SiemDetection => {
                translate::xdr_alert(graph)
            }
        };
        self.xdr.get_or_init(|| translate(&self.body(tenant).full)).as_ref()
    }

    /// Its text in the API where records are of this kind: without an incident's alerts, with an alert's evidence.
    pub(crate) fn text_as(&self, kind: RecordKind, tenant: &TenantFacts) -> Bytes {
        let other = match kind.view() {
            View::Graph => None,
            View::Endpoint => self.endpoint(tenant).map(|alert| alert.whole.clone()),
            View::Xdr => self.xdr(kind, tenant).cloned(),
            View::Siem => self.siem(tenant).cloned(),
        };
        other.unwrap_or_else(|| self.body(tenant).full.clone())
    }

    /// Whether a record of a kind of Graph's is seen by the Defender APIs by itself.
    pub(crate) fn is_seen_elsewhere(&self, kind: RecordKind) -> bool {
        kind.family() == RecordKind::Incident || self.text(Field::ServiceSource) == Some(ENDPOINT_SERVICE)
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
                Field::DetectionSource => Some(plan.kind().detection),
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
                Field::DetectionSource => fields.detection_source.as_deref(),
                Field::Determination => fields.determination.as_deref(),
                Field::Severity => fields.severity.as_deref(),
                Field::ServiceSource => fields.service_source.as_deref(),
                Field::Status => fields.status.as_deref(),
                Field::CreatedDateTime | Field::LastUpdateDateTime => None,
            },
        }
    }
}

/// In how many APIs beside Graph a record is seen at most.
const ELSEWHERE_MAX: usize = 2;

/// The records of one kind of one tenant, in the order they were made: what they are, and what of them is visible.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    /// What is visible, by its last update.
    by_update: BTreeSet<(Ticks, u32)>,
    by_id: HashMap<String, u32>,
    /// Whether a record was made that is older than the one before it.
    out_of_order: bool,
}

#[derive(Debug)]
struct Slot {
    newest: Arc<Row>,
    visible: Option<Arc<Row>>,
    /// Its newest version in the log of truth.
    logged: Option<u32>,
    /// The same as other APIs show it, in the order of [`RecordKind::elsewhere`].
    logged_elsewhere: [Option<u32>; ELSEWHERE_MAX],
}

/// A page of rows.
pub(crate) struct Page {
    pub(crate) rows: Vec<(u32, Arc<Row>)>,
    pub(crate) more: bool,
    /// All that match, when it was asked for.
    pub(crate) total: Option<usize>,
}

impl Table {
    /// How many records are visible.
    pub(crate) fn visible_len(&self) -> usize {
        self.by_update.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The newest version of a record, whether it is visible or not.
    pub(crate) fn newest(&self, index: u32) -> Option<&Arc<Row>> {
        self.slots.get(index as usize).map(|slot| &slot.newest)
    }

    /// What answers hold of a record.
    pub(crate) fn visible(&self, index: u32) -> Option<&Arc<Row>> {
        self.slots.get(index as usize)?.visible.as_ref()
    }

    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// The newest versions.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.slots.iter().map(|slot| &slot.newest)
    }

    /// A new record, not yet visible.
    pub(crate) fn push(&mut self, row: Arc<Row>) -> u32 {
        let index = u32::try_from(self.slots.len()).expect("a tenant has fewer than 4 billion records");
        self.out_of_order |= self.slots.last().is_some_and(|last| last.newest.created > row.created);
        self.by_id.insert(row.id.clone(), index);
        self.slots.push(Slot {
            newest: row,
            visible: None,
            logged: None,
            logged_elsewhere: [None; ELSEWHERE_MAX],
        });
        index
    }

    /// A newer version of a record, not yet visible.
    pub(crate) fn replace(&mut self, index: u32, row: Arc<Row>) {
        self.slots[index as usize].newest = row;
    }

    /// Lets answers hold a version from now on.
    pub(crate) fn show(&mut self, index: u32, row: Arc<Row>) {
        let slot = &mut self.slots[index as usize];
        if let Some(old) = &slot.visible {
            self.by_update.remove(&(old.updated, index));
        }
        self.by_update.insert((row.updated, index));
        slot.visible = Some(row);
    }

    /// The place of a record's newest version in the log of truth.
    pub(crate) fn logged(&self, index: u32) -> Option<u32> {
        self.slots[index as usize].logged
    }

    /// The same as other APIs show it, by its number among them.
    pub(crate) fn logged_elsewhere(&self, index: u32, number: usize) -> Option<u32> {
        self.slots[index as usize].logged_elsewhere[number]
    }

    pub(crate) fn set_logged(&mut self, index: u32, place: u32) {
        self.slots[index as usize].logged = Some(place);
    }

    pub(crate) fn set_logged_elsewhere(&mut self, index: u32, number: usize, place: u32) {
        self.slots[index as usize].logged_elsewhere[number] = Some(place);
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
        let all = 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let seen = |index: &u32| self.slots[*index as usize].visible.as_ref();
        let mut indices: Box<dyn Iterator<Item = u32>> = match query.order {
            Order::Updated { descending: false } => Box::new(span()),
            Order::Updated { descending: true } => Box::new(span().rev()),
            Order::Created { descending } if narrow || self.out_of_order => {
                let mut found: Vec<u32> = span().collect();
                found.sort_unstable_by_key(|index| (seen(index).map(|row| row.created), *index));
                if descending {
                    found.reverse();
                }
                Box::new(found.into_iter())
            }
            Order::Created { descending: true } => Box::new(all.rev()),
            Order::Created { descending: false } => Box::new(all),
            Order::Shuffled { seed, .. } => {
                let mut found: Vec<u32> = span().collect();
                found.sort_unstable_by_key(|index| derive(&[seed, u64::from(*index)]));
                Box::new(found.into_iter())
            }
        };
        indices = Box::new(indices.filter(|index| seen(index).is_some()));
        if let Some(filter) = &query.filter {
            indices =
                Box::new(indices.filter(|index| seen(index).is_some_and(|row| filter.matches(row.as_ref()))));
        }
        let mut indices = indices.skip(query.skip);
        let mut rows: Vec<_> = indices
            .by_ref()
            .take(page_size)
            .filter_map(|index| Some((index, Arc::clone(seen(&index)?))))
            .collect();
        let more = indices.next().is_some();
        let total = query.count.then(|| query.skip + rows.len() + usize::from(more) + indices.count());
        // Skipping past the end must not count records that do not exist.
        let total = total.map(|total| if rows.is_empty() { self.count(query) } else { total });
        if let Order::Shuffled { ascending_pages, .. } = query.order
            && query.skip < page_size.saturating_mul(ascending_pages)
        {
            rows.sort_by_key(|(index, row)| (row.updated, *index));
        }
        Page { rows, more, total }
    }

    fn count(&self, query: &Query) -> usize {
        let matches =
            |row: &&Arc<Row>| query.filter.as_ref().is_none_or(|filter| filter.matches(row.as_ref()));
        self.slots.iter().filter_map(|slot| slot.visible.as_ref()).filter(matches).count()
    }
}

impl FixedFields {
    /// The fields of a record as Graph writes it.
    pub(crate) fn of(record: &serde_json::Value) -> Self {
        Self {
            severity: text_of(record, "severity"),
            status: text_of(record, "status"),
            service_source: text_of(record, "serviceSource"),
            detection_source: text_of(record, "detectionSource"),
            classification: text_of(record, "classification"),
            determination: text_of(record, "determination"),
            assigned_to: text_of(record, "assignedTo"),
        }
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
