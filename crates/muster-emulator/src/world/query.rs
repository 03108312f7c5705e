//! What a list can be asked for, and which records an answer holds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::world::ticks::Ticks;

/// What a list may be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) filter: Option<Expression>,
    pub(crate) order: Order,
    pub(crate) top: Option<usize>,
    pub(crate) skip: usize,
    pub(crate) count: bool,
    /// Whether what belongs to each record was asked for: an incident's alerts, an alert's evidence.
    pub(crate) expanded: bool,
    /// Whether `$top` was cut down.
    pub(crate) clamped: bool,
    /// What the `$skiptoken` says.
    pub(crate) token: SkipToken,
}

/// Where an opaque link leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SkipToken {
    pub(crate) skip: usize,
    /// How many empty pages were served before the page that begins there.
    pub(crate) empty_pages: u32,
}

impl SkipToken {
    /// As links carry it: nobody is meant to read it.
    pub(crate) fn write(self) -> String {
        URL_SAFE_NO_PAD.encode(format!("muster-emulator.{}.{}", self.skip, self.empty_pages))
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (skip, empty_pages) = text.strip_prefix("muster-emulator.")?.split_once('.')?;
        Some(Self { skip: skip.parse().ok()?, empty_pages: empty_pages.parse().ok()? })
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Created {
        descending: bool,
    },
    Updated {
        descending: bool,
    },
    /// None that means anything. The first pages ascend by update time all the same, each in itself.
    Shuffled {
        seed: u64,
        ascending_pages: usize,
    },
}

/// Newest first by creation: what Graph does when nothing is asked for.
pub(crate) const DEFAULT_ORDER: Order = Order::Created { descending: true };

/// Which list is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum List {
    Alerts,
    Incidents,
}

impl List {
    /// The largest `$top`.
    pub(crate) fn page_limit(self) -> usize {
        match self {
            Self::Alerts => 2000,
            Self::Incidents => 50,
        }
    }

    /// How many records a page holds when `$top` says nothing.
    pub(crate) fn page_default(self) -> usize {
        match self {
            Self::Alerts => 100,
            Self::Incidents => 50,
        }
    }

    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Alerts => "microsoft.graph.security.alert",
            Self::Incidents => "microsoft.graph.security.incident",
        }
    }
}

/// A property that a filter may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    AssignedTo,
    Classification,
    CreatedDateTime,
    DetectionSource,
    Determination,
    LastUpdateDateTime,
    Severity,
    ServiceSource,
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    Text(String),
    Time(Ticks),
    Null,
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Or(Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Compare(Field, Operator, Literal),
    In(Field, Vec<Literal>),
}

/// What a filter sees of a record.
pub(crate) trait Fields {
    fn time(&self, field: Field) -> Option<Ticks>;
    fn text(&self, field: Field) -> Option<&str>;
}

impl Expression {
    pub(crate) fn matches(&self, record: &impl Fields) -> bool {
        match self {
            Self::Or(left, right) => left.matches(record) || right.matches(record),
            Self::And(left, right) => left.matches(record) && right.matches(record),
            Self::Not(inner) => !inner.matches(record),
            Self::Compare(field, operator, literal) => compare(record, *field, *operator, literal),
            Self::In(field, literals) => {
                literals.iter().any(|literal| compare(record, *field, Operator::Equal, literal))
            }
        }
    }

    /// The span of `lastUpdateDateTime` outside of which nothing can match, both ends included.
    pub(crate) fn update_span(&self) -> (Ticks, Ticks) {
        let whole = (Ticks(i64::MIN), Ticks(i64::MAX));
        match self {
            Self::And(left, right) => {
                let (left, right) = (left.update_span(), right.update_span());
                (left.0.max(right.0), left.1.min(right.1))
            }
            Self::Compare(Field::LastUpdateDateTime, operator, Literal::Time(at)) => match operator {
                Operator::Equal => (*at, *at),
                Operator::Greater | Operator::GreaterOrEqual => (*at, whole.1),
                Operator::Less | Operator::LessOrEqual => (whole.0, *at),
                Operator::NotEqual => whole,
            },
            _ => whole,
        }
    }
}

fn compare(record: &impl Fields, field: Field, operator: Operator, literal: &Literal) -> bool {
    use std::cmp::Ordering;
    let ordering = match literal {
        Literal::Time(at) => record.time(field).map(|own| own.cmp(at)),
        Literal::Text(text) => record.text(field).map(|own| own.cmp(text)),
        Literal::Null => match (record.time(field), record.text(field)) {
            (None, None) => Some(Ordering::Equal),
            _ => None,
        },
    };
    match operator {
        Operator::Equal => ordering == Some(Ordering::Equal),
        Operator::NotEqual => ordering != Some(Ordering::Equal),
        Operator::Greater => ordering == Some(Ordering::Greater),
        Operator::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Less => ordering == Some(Ordering::Less),
        Operator::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
    }
}
