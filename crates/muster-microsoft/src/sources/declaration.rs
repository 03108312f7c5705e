//! What a source says of itself.

use std::time::Duration;

use muster_model::page::List;
use muster_model::{PageLimits, Source};

use crate::api::family::Api;
use crate::entra::permissions::Permission;

/// How a source is read, and what that needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declaration {
    /// Where it is, which tokens it takes, and what its requests are counted with. None: Microsoft is not asked.
    pub api: Option<Api>,
    /// What it needs: any one of these will do, the first is the least.
    pub permissions: &'static [&'static Permission],
    /// Whether its tokens say that it may be read with them.
    pub tokens_tell: bool,
    /// The product whose records it gives, in Microsoft's words, for pages that customers read.
    pub product: &'static str,
    /// Its path below the API's address.
    pub path: &'static str,
    /// How it is asked.
    pub dialect: Dialect,
    /// Where the list of records stands in its pages.
    pub list: List,
    /// The field by which records are asked for: when they last changed.
    pub updated: &'static str,
    /// Whether it may be asked to sort by that field. What it does then proves nothing.
    pub sorts: bool,
    /// Records asked for per page.
    pub page_size: u32,
    /// The largest page that the API gives.
    pub page_size_max: u32,
    /// The fields by which the records of one instant can be told apart.
    pub fields: &'static [Field],
    /// What the cursor needs to know of it.
    pub limits: PageLimits,
    /// Whether it says how many records there are, with `$count`.
    pub counts: bool,
    /// How long the service keeps its records; none: nobody knows.
    pub kept_for: Option<Duration>,
    /// Its end, where Microsoft has officially named one.
    pub end: Option<AnnouncedEnd>,
    /// The ways to ask for a record with all that belongs to it, best first.
    pub ladder: &'static [Rung],
}

/// How the records of a span are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OData: `$filter`, `$top`, `$skip`.
    OData,
    /// `sinceTimeUtc`, `untilTimeUtc` and `limit`, as the retired SIEM API wants it.
    Since,
}

/// That Microsoft ends an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedEnd {
    /// The day, as Microsoft's notice names it.
    pub date: &'static str,
    /// Whether it is the day from which on the API may be gone any time, rather than the one on which it goes.
    pub any_time_since: bool,
    /// The source to read in its place.
    pub replacement: &'static str,
    /// The notice.
    pub announcement: &'static str,
}

impl AnnouncedEnd {
    /// When `source` ends, and what to read in its place.
    #[must_use]
    pub fn in_words(&self, source: Source) -> String {
        let Self { date, any_time_since, replacement, announcement } = self;
        let ends = match any_time_since {
            false => format!("Microsoft ends the API of `{source}` on {date}"),
            true => {
                format!("Microsoft may turn the API of `{source}` off any time since {date}, without notice")
            }
        };
        format!("{ends}: read `{replacement}` in its place ({announcement})")
    }
}

/// Microsoft Defender keeps alerts and incidents for 180 days. Source: Microsoft "Data retention information for Microsoft
/// Defender XDR" and "Microsoft Defender for Endpoint data storage and privacy".
pub(super) const DEFENDER_KEEPS: Duration = Duration::from_secs(180 * 86_400);

/// Rows of advanced hunting are kept for 30 days. Source: Microsoft "Advanced hunting quotas and usage parameters".
pub(super) const HUNTING_KEEPS: Duration = Duration::from_secs(30 * 86_400);

/// A query lets itself be asked by time only, and gives all rows or as many as can be had.
pub(super) const HUNTING_LIMITS: PageLimits =
    PageLimits { skip_max: 0, field_values: &[], cuts_silently: false };

/// A field that can be filtered on, and the values that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its values. Whatever else there is makes up a part of its own.
    pub values: &'static [&'static str],
}

/// One way to ask for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// As they are.
    Plain,
    /// With this in the query, which makes the service put in what belongs to them.
    Expand(&'static str),
    /// Without, and what belongs to each by a call of its own: `path/ID/KEY`, put in under `KEY`.
    Each(&'static str),
    /// Without, and each once more by a call of its own: `path/ID` gives it with its `KEY`.
    ByItself(&'static str),
}

/// How many values each field has, for [`PageLimits::field_values`].
pub(super) const fn values<const N: usize>(fields: &[Field; N]) -> [u8; N] {
    let mut counts = [0; N];
    let mut at = 0;
    while at < N {
        counts[at] = fields[at].values.len() as u8;
        at += 1;
    }
    counts
}
