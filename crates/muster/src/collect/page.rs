//! A page taken apart: its records, what cannot be read of it, and what it means for the cursor.

use std::hash::{DefaultHasher, Hash, Hasher};

use muster_microsoft::{FetchedPage, sources};
use muster_model::page::{self, NotAPage};
use muster_model::{Clocks, PageSummary, RecordHead, Source};
use muster_store::NewDeadLetter;

/// How many bytes of what cannot be read are kept.
pub(super) const KEPT_BYTES_MAX: usize = 1 << 20;

/// A page taken apart.
pub struct Taken<'a> {
    pub records: Vec<(RecordHead, &'a str)>,
    pub dead_letters: Vec<NewDeadLetter<'a>>,
    pub summary: PageSummary,
}

impl<'a> Taken<'a> {
    /// Takes a page of `source` apart for which `top` records were asked when the clocks stood so. `owns` says whether a link may
    /// be followed.
    ///
    /// # Errors
    /// When there is no list of records in it.
    pub fn apart(
        page: &'a FetchedPage,
        source: Source,
        top: u32,
        clocks: Clocks,
        owns: impl Fn(&str) -> bool,
    ) -> Result<Self, NotAPage> {
        // Services give more than was asked for now and then, but not endlessly more.
        let items_max = 1_000 + 4 * top as usize;
        let list = sources::declaration(source).list;
        let split = page::split(&page.body, source.kind(), list, items_max)?;
        let (count, torn) = (split.count(), split.torn.is_some() || split.beyond.is_some());
        let letter = |body: &'a [u8], reason| {
            let body = &body[..body.len().min(KEPT_BYTES_MAX)];
            NewDeadLetter { record_id: None, reason, body }
        };
        let beyond = split.beyond.map(|beyond| {
            let reason = format!("it is the beginning of {} items more than were asked for", beyond.count);
            letter(beyond.body, reason)
        });
        let mut dead_letters: Vec<_> =
            split.broken.into_iter().map(|broken| letter(broken.body, broken.reason)).collect();
        let mut unreadable: Vec<u64> = dead_letters.iter().map(|letter| hash([letter.body])).collect();
        unreadable.sort_unstable();
        unreadable.dedup();
        dead_letters.extend(beyond);
        let records: Vec<_> = split.items.into_iter().map(|item| (item.head, item.body)).collect();
        let (link, cut) = match split.next_link {
            Some(link) if owns(&link) => (Some(link.into_owned()), false),
            Some(_) => (None, true),
            None => (None, false),
        };
        let summary = PageSummary {
            items: u32::try_from(count).unwrap_or(u32::MAX),
            top,
            times: records.iter().filter_map(|(head, _)| head.updated_at).collect(),
            unreadable,
            torn,
            link,
            cut,
            fingerprint: hash(records.iter().map(|(head, _)| head.id.as_bytes())),
            clocks: Clocks { server: page.server_time, ..clocks },
            partial: page.partial.clone(),
        };
        Ok(Self { records, dead_letters, summary })
    }
}

pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.into_iter().for_each(|part| part.hash(&mut hasher));
    hasher.finish()
}
