//! What is owed to a sink, and what the sink answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Batch, Record, ReplayId, Source, TenantId, TenantLabel};

/// The number of a delivery: rises within one tenant and sink. A store that was put back from a backup gives numbers a
/// second time, and so does a copy of it elsewhere: only together with its [`Lineage`] does a number name one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryNumber(pub u64);

/// Which opening of a store numbered a delivery. Random, and new each time that a store is opened: what was copied, put
/// back or cloned goes on with a lineage of its own. So no two deliveries ever share lineage, tenant, sink and number, and
/// a sink that remembers the last number of each lineage can tell a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lineage(pub Uuid);

/// Which records of a batch a delivery is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Those whose bit is set: record `i` is bit `i % 8` of byte `i / 8`.
    Some(Vec<u8>),
}

impl Selection {
    /// The selection of those of `count` records for which `chosen` holds; `None` when it holds for none.
    pub fn of(count: usize, mut chosen: impl FnMut(usize) -> bool) -> Option<Self> {
        let mut bits = vec![0_u8; count.div_ceil(8)];
        let mut taken = 0;
        for index in (0..count).filter(|index| chosen(*index)) {
            bits[index / 8] |= 1 << (index % 8);
            taken += 1;
        }
        match taken {
            0 => None,
            taken if taken == count => Some(Self::All),
            _ => Some(Self::Some(bits)),
        }
    }

    /// Of `count` records, those that are in this selection and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self, count: usize) -> Option<Self> {
        Self::of(count, |index| self.contains(index) && !other.contains(index))
    }

    /// Of `count` records, those that are in either.
    #[must_use]
    pub fn with(&self, other: &Self, count: usize) -> Option<Self> {
        Self::of(count, |index| self.contains(index) || other.contains(index))
    }

    /// How many of `count` records are selected.
    #[must_use]
    pub fn count(&self, count: usize) -> usize {
        (0..count).filter(|index| self.contains(*index)).count()
    }

    /// Whether record `index` is selected.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => bits.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0),
        }
    }
}

/// A journal batch, or some of its records, owed to one sink.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Which opening of the store gave it its number.
    pub lineage: Lineage,
    /// Its number.
    pub number: DeliveryNumber,
    /// Where the records came from.
    pub source: Source,
    /// The journal batch.
    pub batch: Arc<Batch>,
    /// Which of its records are still owed.
    pub selection: Selection,
    /// The replay that it came from, if it did.
    pub replay: Option<ReplayId>,
}

impl Delivery {
    /// The records that are owed, each with its index in the batch, in order.
    pub fn records(&self) -> impl Iterator<Item = (usize, Record<'_>)> {
        let records = self.batch.records().enumerate();
        let owed = records.filter(|(index, _)| self.selection.contains(*index));
        owed.map(|(index, record)| (index, Record { replay: self.replay, ..record }))
    }
}

/// What a sink is given at once: deliveries of one tenant, in order.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryBatch<'a> {
    /// Whose they are.
    pub tenant: &'a TenantLabel,
    /// The deliveries, by ascending number.
    pub deliveries: &'a [Delivery],
}

impl<'a> DeliveryBatch<'a> {
    /// Every owed record with its source, in the order in which a [`Report`] answers for them.
    pub fn records(&self) -> impl Iterator<Item = (Source, Record<'a>)> {
        self.deliveries
            .iter()
            .flat_map(|delivery| delivery.records().map(|(_, record)| (delivery.source, record)))
    }
}

/// What a sink's own files say about what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkMemory {
    /// Names this memory: other files have another.
    pub id: Uuid,
    /// Up to which number of each lineage each tenant's deliveries are in the files.
    pub lineages: HashMap<Lineage, HashMap<TenantId, u64>>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has acknowledged it.
    Delivered,
    /// The sink has it, and has handed out a [`Ticket`](crate::Ticket) by which it will acknowledge it: it stays owed, and is
    /// not sent again meanwhile.
    Awaited,
    /// Not now: it stays owed.
    Retry,
    /// The sink will never take it, for this reason: it becomes a dead letter.
    Rejected(String),
    /// The sink has it or not, and nobody can say which: it becomes a dead letter, since what is there would be there twice.
    Uncertain(String),
}

/// What kept a sink from taking everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In words for the operator: what failed, why, and what to do.
    pub reason: String,
    /// How long the sink asked to wait, if it did.
    pub after: Option<Duration>,
}

/// A sink's answer to a [`DeliveryBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One outcome for each record of the delivery batch, in the order of [`DeliveryBatch::records`].
    pub outcomes: Vec<Outcome>,
    /// Why some are to be retried.
    pub trouble: Option<Trouble>,
}

#[cfg(test)]
mod tests {
    use super::Selection;

    #[test]
    fn selections() {
        assert_eq!(Selection::of(9, |_| false), None);
        assert_eq!(Selection::of(9, |_| true), Some(Selection::All));
        let odd = Selection::of(9, |index| index % 2 == 1).expect("some");
        assert_eq!((0..12).filter(|index| odd.contains(*index)).collect::<Vec<_>>(), [1, 3, 5, 7]);
    }
}
