//! What was counted.

use std::collections::BTreeMap;

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) records: usize,
    pub(super) equal: usize,
    pub(super) more: usize,
    pub(super) deliberate: usize,
    pub(super) different: usize,
    pub(super) missing: usize,
    pub(super) extra: usize,
    pub(super) vendor: usize,
    pub(super) vendor_equal: usize,
    pub(super) underived: BTreeMap<&'static str, usize>,
    /// How often each of [`DELIBERATE`] occurred.
    pub(super) known: BTreeMap<usize, usize>,
    /// Records of which the format wrote nothing, that had no id, and that made more than one event.
    pub(super) unwritten: usize,
    pub(super) without_id: usize,
    pub(super) split: usize,
    /// Fields of hunting rows that have several values where ECS has one.
    pub(super) lists: BTreeMap<String, usize>,
    /// Each field that is not simply equal, with its values.
    pub(super) shown: Vec<String>,
    /// The set, the field, and what was expected and written.
    pub(super) open: Vec<(&'static str, String, String)>,
}

impl Tally {
    pub(super) fn fields(&self) -> usize {
        self.equal + self.more + self.deliberate + self.different + self.missing
    }

    pub(super) fn percent(&self, good: usize) -> f64 {
        if self.fields() == 0 { 0.0 } else { good as f64 * 100.0 / self.fields() as f64 }
    }

    pub(super) fn share(&self) -> f64 {
        self.percent(self.equal + self.more + self.deliberate)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.equal += other.equal;
        self.more += other.more;
        self.deliberate += other.deliberate;
        self.different += other.different;
        self.missing += other.missing;
        self.extra += other.extra;
        self.vendor += other.vendor;
        self.vendor_equal += other.vendor_equal;
        for (reason, count) in other.underived {
            *self.underived.entry(reason).or_default() += count;
        }
        for (at, count) in other.known {
            *self.known.entry(at).or_default() += count;
        }
        self.unwritten += other.unwritten;
        self.without_id += other.without_id;
        self.split += other.split;
        for (field, count) in other.lists {
            *self.lists.entry(field).or_default() += count;
        }
        self.shown.extend(other.shown);
        self.open.extend(other.open);
    }

    pub(super) fn print(&self, name: &str) {
        println!(
            "{name:<70} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6.1}% {:>6.1}% {:>6.1}%",
            self.records,
            self.fields(),
            self.equal,
            self.more,
            self.deliberate,
            self.different,
            self.missing,
            self.extra,
            self.percent(self.equal),
            self.percent(self.equal + self.more),
            self.share()
        );
    }
}
