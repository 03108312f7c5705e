//! What a server is asked, and what came back.

use jiff::Timestamp;

use super::clocks::Clocks;
use super::part::Part;

/// What a source lets itself be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// The largest offset that the API takes.
    pub skip_max: u32,
    /// For each field by which records of one instant can be divided, how many of its values are known.
    pub field_values: &'static [u8],
    /// Whether it may give fewer records than were asked for and say nothing of the rest.
    pub cuts_silently: bool,
}

impl PageLimits {
    /// Whether there is nothing but time to divide records by.
    pub(super) fn divides_no_instant(&self) -> bool {
        self.skip_max == 0 && self.field_values.is_empty()
    }
}

/// What to ask the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// The inclusive lower bound of the update time.
    pub from: Timestamp,
    /// The exclusive upper bound.
    pub to: Option<Timestamp>,
    /// Only these parts of an instant.
    pub slice: Vec<Part>,
    /// How many records to skip.
    pub skip: u32,
    /// One record only: together with others it got no answer.
    pub single: bool,
    /// The link of the last page, which says all of this by itself.
    pub link: Option<String>,
}

/// What came back, as far as reading on is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSummary {
    /// How many records were on the page, readable or not.
    pub items: u32,
    /// How many were asked for.
    pub top: u32,
    /// The update times of those that could be read, in the page's order.
    pub times: Vec<Timestamp>,
    /// Hashes of those that could not be read.
    pub unreadable: Vec<u64>,
    /// Whether the page's end is missing.
    pub torn: bool,
    /// The next page, where one is named.
    pub link: Option<String>,
    /// Whether there is more behind it that cannot be asked for by a link.
    pub cut: bool,
    /// A hash of the page's ids, in order.
    pub fingerprint: u64,
    /// The clocks when it was asked for.
    pub clocks: Clocks,
    /// What the service says is missing from its answer.
    pub partial: Option<String>,
}
