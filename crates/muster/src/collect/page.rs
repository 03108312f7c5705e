//! A page taken apart: its records, what cannot be read of it, and what it means for the cursor.

use std::hash::{DefaultHasher, Hash, Hasher};

use muster_microsoft::hunting::SavedHunt;
use muster_microsoft::{FetchedPage, sources};
use muster_model::page::{Beyond, Broken, NotAPage};
use muster_model::{Clocks, PageSummary, RecordHead, Source};
use muster_store::NewDeadLetter;

/// How many bytes of what cannot be read are kept.
pub(super) const KEPT_BYTES_MAX: usize = 1 << 20;
/// So many items of a page that cannot be read are kept one by one. Of more, a sample is kept together: a page may hold
/// any number of them, and each by itself would be a row to seal, to sync and to look through.
const APART_MAX: usize = 20;

/// A page taken apart.
pub struct Taken<'a> {
    pub records: Vec<(RecordHead, &'a str)>,
    pub dead_letters: Vec<NewDeadLetter<'a>>,
    /// What is kept in one dead letter, since there is too much of it to be kept one by one.
    pub junk: Option<Junk>,
    pub summary: PageSummary,
}

/// More items of a page that cannot be read than are kept one by one.
pub struct Junk {
    /// How many they are, and why the first cannot be read.
    pub reason: String,
    /// A sample: the first of them, a line each.
    pub sample: Vec<u8>,
}

impl Junk {
    /// The dead letter that keeps it.
    pub fn letter(&self) -> NewDeadLetter<'_> {
        NewDeadLetter { record_id: None, reason: self.reason.clone(), body: &self.sample }
    }
}

impl<'a> Taken<'a> {
    /// Takes a page of `source` apart for which `top` records were asked when the clocks stood so. `owns` says whether a link may
    /// be followed; a saved query says which record a row is.
    ///
    /// # Errors
    /// When there is no list of records in it.
    pub fn apart(
        page: &'a FetchedPage,
        (source, saved): (Source, Option<&SavedHunt>),
        top: u32,
        clocks: Clocks,
        owns: impl Fn(&str) -> bool,
    ) -> Result<Self, NotAPage> {
        // Services give more than was asked for now and then, but not endlessly more.
        let items_max = 1_000 + 4 * top as usize;
        let list = sources::declaration(source).list;
        let split = page.body.split(source.kind(), list, items_max)?;
        let (count, torn) = (split.count(), split.torn.is_some() || split.beyond.is_some());
        let Unreadable { letters: dead_letters, junk, hashes: unreadable } =
            unreadable(split.broken, split.beyond);
        let mut records: Vec<_> = split.items.into_iter().map(|item| (item.head, item.body)).collect();
        if let Some(saved) = saved {
            records.iter_mut().for_each(|(head, body)| saved.identify(head, body));
        }
        let (link, cut) = match split.next_link {
            Some(link) if owns(&link) => (Some(link.into_owned()), false),
            Some(_) => (None, true),
            None => (None, page.cut),
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
        Ok(Self { records, dead_letters, junk, summary })
    }
}

/// What of a page cannot be read, or was not looked at.
struct Unreadable<'a> {
    letters: Vec<NewDeadLetter<'a>>,
    junk: Option<Junk>,
    /// By these it is known again.
    hashes: Vec<u64>,
}

fn unreadable<'a>(broken: Vec<Broken<'a>>, beyond: Option<Beyond<'a>>) -> Unreadable<'a> {
    if broken.len() > APART_MAX {
        // Known again as a whole: a cursor does not grow with what a page may hold.
        let hashes = vec![hash(broken.iter().map(|broken| broken.body))];
        return Unreadable { letters: Vec::new(), junk: Some(together(&broken, beyond)), hashes };
    }
    let letter = |body: &'a [u8], reason| {
        let body = &body[..body.len().min(KEPT_BYTES_MAX)];
        NewDeadLetter { record_id: None, reason, body }
    };
    let mut letters: Vec<_> = broken.into_iter().map(|broken| letter(broken.body, broken.reason)).collect();
    let mut hashes: Vec<u64> = letters.iter().map(|letter| hash([letter.body])).collect();
    hashes.sort_unstable();
    hashes.dedup();
    letters.extend(beyond.map(|beyond| {
        let reason = format!("it is the beginning of {} items more than were asked for", beyond.count);
        letter(beyond.body, reason)
    }));
    Unreadable { letters, junk: None, hashes }
}

/// What is kept of what cannot be read: one by one, or of more together.
pub(super) fn letters(broken: Vec<Broken<'_>>) -> (Vec<NewDeadLetter<'_>>, Option<Junk>) {
    let Unreadable { letters, junk, .. } = unreadable(broken, None);
    (letters, junk)
}

fn together(broken: &[Broken<'_>], beyond: Option<Beyond<'_>>) -> Junk {
    let mut sample = Vec::new();
    for broken in broken.iter().take(APART_MAX) {
        let room = KEPT_BYTES_MAX.saturating_sub(sample.len() + 1);
        sample.extend_from_slice(&broken.body[..broken.body.len().min(room)]);
        sample.push(b'\n');
    }
    let first = broken.first().map(|broken| broken.reason.as_str()).unwrap_or_default();
    let more = beyond.map_or_else(String::new, |beyond| {
        format!(", and {} more than were asked for were not looked at", beyond.count)
    });
    let count = broken.len();
    let reason = format!(
        "{count} items of one page cannot be read{more}; kept is a sample of {APART_MAX}; the first: {first}"
    );
    Junk { reason, sample }
}

pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.into_iter().for_each(|part| part.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use muster_model::page;

    use super::*;

    /// What becomes of an alert and these items behind it, of a page that may hold 3,000.
    fn kept(items: impl Iterator<Item = String>, test: impl FnOnce(Unreadable<'_>)) {
        let alert = r#"{"id":"a","lastUpdateDateTime":"2026-01-01T00:00:00Z"}"#.to_owned();
        let items: Vec<String> = std::iter::once(alert).chain(items).collect();
        let body = format!("{{\"value\":[{}]}}", items.join(","));
        let list = sources::declaration(Source::GraphAlerts).list;
        let page = page::split(body.as_bytes(), Source::GraphAlerts.kind(), list, 3_000).expect("a page");
        assert_eq!(page.items.len(), 1);
        test(unreadable(page.broken, page.beyond));
    }

    #[test]
    fn a_few_unreadable_items_are_kept_one_by_one() {
        kept((0..APART_MAX).map(|number| number.to_string()), |kept| {
            assert!(kept.junk.is_none());
            assert_eq!((kept.letters.len(), kept.hashes.len()), (APART_MAX, APART_MAX));
        });
    }

    #[test]
    fn millions_of_pieces_of_junk_are_one_letter() {
        for (pieces, more) in [(21, 0), (2_999, 0), (3_500_000, 3_500_000 - 2_999)] {
            kept((0..pieces).map(|number| (number % 10).to_string()), |kept| {
                assert_eq!((kept.letters.len(), kept.hashes.len()), (0, 1));
                let letter = kept.junk.as_ref().expect("kept together").letter();
                assert_eq!(letter.body, b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n".repeat(2));
                assert!(letter.reason.starts_with(&format!("{} items", pieces - more)), "{}", letter.reason);
                let said = letter.reason.contains(&format!("{more} more than were asked for"));
                assert_eq!(said, more > 0, "{}", letter.reason);
            });
        }
    }

    #[test]
    fn a_sample_is_bounded_in_bytes() {
        kept((0..30).map(|number| format!("\"{number}{}\"", "x".repeat(200_000))), |kept| {
            let sample = kept.junk.expect("kept together").sample;
            assert!((1_000_000..=KEPT_BYTES_MAX + APART_MAX).contains(&sample.len()), "{}", sample.len());
        });
    }
}
