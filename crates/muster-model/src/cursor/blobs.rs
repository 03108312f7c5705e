//! How far the blobs of a stream have been read.
//!
//! Every blob is looked at in every listing. Which were read is kept only of those that changed lately: whatever changed
//! before `settled_before` and is not kept here was read. So a cursor holds about an hour of blobs, and those with which
//! something is the matter.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A blob may show in listings so much later than it says that it changed.
const SHOWS_WITHIN: SignedDuration = SignedDuration::from_hours(1);
/// A blob that ends within a row has so much time to go on. One that cannot be read is tried again as often.
const CUT_MAX: SignedDuration = SignedDuration::from_hours(1);
/// So many blobs that wait to be read are remembered by their names, so that it is told when one vanishes.
const WAITING_MAX: usize = 500;

/// A blob, as a listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its name below the url.
    pub name: String,
    /// Changes with its content.
    pub etag: String,
    /// In bytes.
    pub size: u64,
    /// When it changed last, by the clock of where it lies.
    pub modified: Timestamp,
}

/// How far one blob has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRead {
    /// The content that was read.
    pub etag: String,
    /// Rows up to here were accepted; of a compressed blob, of what comes out of it.
    pub bytes: u64,
    /// When it changed last.
    pub modified: Timestamp,
    /// A hash of the last bytes before that place.
    #[serde(default)]
    pub tail: u64,
    /// Whether it is compressed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub packed: bool,
    /// Whether the rest of a value that is too long is to be passed over first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passing: bool,
    /// What is to be done with it.
    pub state: BlobState,
}

/// What is to be done with a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobState {
    /// There is more to read.
    Waiting,
    /// All of it was read.
    Read,
    /// All but its last row, which was not whole, by our clock since then.
    Cut(Timestamp),
    /// All but the end of it, which was kept as a dead letter.
    Told,
    /// It cannot be read: since when, and when that was tried last.
    Unreadable(Timestamp, Timestamp),
}

/// How far the blobs of a stream have been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blobs {
    settled_before: Timestamp,
    /// Where it began, or what was lost ends: nothing is said of rows from before. Not known of one that an earlier version began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    read: BTreeMap<String, BlobRead>,
    /// What is left alone, as a file whose name is no text: the first, as far as it can be shown, and how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    odd: Option<(String, usize)>,
}

impl Blobs {
    /// Nothing that changed before `since` is read.
    #[must_use]
    pub fn starting(since: Timestamp) -> Self {
        Self { settled_before: since, since: Some(since), read: BTreeMap::new(), odd: None }
    }

    /// What is known of a blob.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&BlobRead> {
        self.read.get(name)
    }

    /// Whether a blob is to be read now.
    #[must_use]
    pub fn wants(&self, blob: &ListedBlob, now: Timestamp) -> bool {
        // A clock that was set back makes nobody wait.
        let is_due = |since: Timestamp| now < since || now.duration_since(since) >= CUT_MAX;
        match self.read.get(&blob.name) {
            None => blob.modified >= self.settled_before,
            Some(read) if read.etag != blob.etag => true,
            Some(read) => match read.state {
                BlobState::Waiting => true,
                BlobState::Read | BlobState::Told => false,
                BlobState::Cut(since) => is_due(since),
                BlobState::Unreadable(_, tried) => is_due(tried),
            },
        }
    }

    /// Takes out of a listing what is to be read now, oldest first.
    #[must_use]
    pub fn wanted(&self, listed: &[ListedBlob], now: Timestamp) -> Vec<ListedBlob> {
        let mut wanted: Vec<_> = listed.iter().filter(|blob| self.wants(blob, now)).cloned().collect();
        wanted.sort_by(|one, other| (one.modified, &one.name).cmp(&(other.modified, &other.name)));
        wanted
    }

    /// Rows that may have been as new as `until` are lost: nothing is said any more of the time up to then.
    pub fn lost(&mut self, until: Timestamp) {
        self.since = Some(self.since().max(until));
    }

    /// Takes in a listing: what vanished from it before it was read whole is forgotten, and handed back with how far it was
    /// read.
    pub fn take_in(&mut self, listed: &[ListedBlob], now: Timestamp) -> Vec<(String, BlobRead)> {
        // That was written down by a clock which was ahead: what came since must not be taken for read.
        if self.settled_before > now {
            self.settled_before = earlier(now);
        }
        let there: BTreeSet<&str> = listed.iter().map(|blob| blob.name.as_str()).collect();
        let gone = |name: &str, read: &BlobRead| {
            !there.contains(name) && !matches!(read.state, BlobState::Read | BlobState::Told)
        };
        let vanished: Vec<_> = self
            .read
            .iter()
            .filter(|(name, read)| gone(name, read))
            .map(|(name, read)| (name.clone(), read.clone()))
            .collect();
        vanished.iter().for_each(|(name, _)| drop(self.read.remove(name)));
        vanished
    }

    /// Writes down what is left alone: files whose names are no text, links, and folders that are too deep.
    pub fn leave(&mut self, odd: &[String]) {
        self.odd = odd.first().map(|first| (crate::text::shown(first, 200), odd.len()));
    }

    /// Writes down how far a blob has been read.
    pub fn put(&mut self, name: &str, read: BlobRead) {
        self.read.insert(name.to_owned(), read);
    }

    /// A blob is not there any more; what was known of it.
    pub fn remove(&mut self, name: &str) -> Option<BlobRead> {
        self.read.remove(name)
    }

    /// Every blob that changed before here was read, but for those with which something is the matter.
    #[must_use]
    pub fn settled_before(&self) -> Timestamp {
        self.settled_before
    }

    /// Rows from here on are read, whenever they come, and none of them is known to be lost.
    pub(super) fn since(&self) -> Timestamp {
        self.since.unwrap_or(self.settled_before)
    }

    /// Whether nothing is owed of any blob, and none is left alone.
    #[must_use]
    pub fn is_all_read(&self) -> bool {
        self.odd.is_none() && self.read.values().all(BlobRead::is_done)
    }

    /// How many blobs are kept in mind.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.read.len()
    }

    /// Forgets what need not be known any more, and remembers what waits, after some of `listed` were read.
    pub fn settle(&mut self, listed: &[ListedBlob], now: Timestamp) {
        let waits = |blob: &&ListedBlob| match self.read.get(&blob.name) {
            None => blob.modified >= self.settled_before,
            Some(read) => read.etag != blob.etag || read.state == BlobState::Waiting,
        };
        let mut waiting: Vec<&ListedBlob> = listed.iter().filter(waits).collect();
        waiting.sort_by_key(|blob| blob.modified);
        let newest = listed.iter().map(|blob| blob.modified).max().unwrap_or(self.settled_before);
        let mut settled = earlier(newest.min(now));
        if let Some(oldest) = waiting.first() {
            settled = settled.min(oldest.modified);
        }
        for blob in waiting.iter().take(WAITING_MAX) {
            // One that was read and has changed is known already.
            self.read.entry(blob.name.clone()).or_insert_with(|| BlobRead::unread(blob));
        }
        self.settled_before = self.settled_before.max(settled);
        let before = self.settled_before;
        let waiting: BTreeSet<&str> = waiting.into_iter().map(|blob| blob.name.as_str()).collect();
        self.read.retain(|name, read| {
            read.modified >= before || !read.is_done() || waiting.contains(name.as_str())
        });
    }

    /// What is the matter with blobs, in words for the operator.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let mut said = Vec::new();
        let mut tell = |what: &str, then: &str, of: fn(BlobState) -> Option<Timestamp>| {
            let mut such = self.read.iter().filter_map(|(name, read)| Some((name, of(read.state)?)));
            if let Some((name, since)) = such.next() {
                let name = crate::text::shown(name, 200);
                let more = match such.count() {
                    0 => String::new(),
                    count => format!(" ({count} more such blobs)"),
                };
                said.push(format!("{what} `{name}` since {since:.0}{more}: {then}"));
            }
        };
        tell("the last row is not whole in blob", "it is kept as a dead letter after an hour", |state| {
            match state {
                BlobState::Cut(since) => Some(since),
                _ => None,
            }
        });
        tell("Muster cannot read blob", "it is tried again every hour, and the log says why", |state| {
            match state {
                BlobState::Unreadable(since, _) => Some(since),
                _ => None,
            }
        });
        if let Some((first, count)) = &self.odd {
            said.push(format!(
                "{count} entries such as `{first}` are left alone: names that are no text (UTF-8), links, what is no file, and \
                 folders more than 32 deep: rename, move or remove them"
            ));
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}

impl BlobRead {
    /// By so many bytes before the place where reading goes on, what was read is known again.
    pub const TAIL_BYTES: usize = 1_024;

    /// The hash of the end of what was read.
    #[must_use]
    pub fn tail_of(read: &[u8]) -> u64 {
        let end = &read[read.len().saturating_sub(Self::TAIL_BYTES)..];
        let hash = blake3::hash(end);
        u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash is longer"))
    }

    /// Of a blob of which nothing has been read.
    #[must_use]
    pub fn unread(blob: &ListedBlob) -> Self {
        Self {
            etag: blob.etag.clone(),
            bytes: 0,
            modified: blob.modified,
            tail: Self::tail_of(&[]),
            packed: false,
            passing: false,
            state: BlobState::Waiting,
        }
    }

    /// Whether nothing is owed of it.
    fn is_done(&self) -> bool {
        matches!(self.state, BlobState::Read | BlobState::Told)
    }
}

fn earlier(time: Timestamp) -> Timestamp {
    time.checked_sub(SHOWS_WITHIN).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn blob(name: &str, version: u64, modified: i64) -> ListedBlob {
        ListedBlob { name: name.to_owned(), etag: version.to_string(), size: version, modified: at(modified) }
    }

    fn in_state(blob: &ListedBlob, state: BlobState) -> BlobRead {
        BlobRead { bytes: blob.size, state, ..BlobRead::unread(blob) }
    }

    fn names(blobs: &Blobs, listed: &[ListedBlob], now: i64) -> Vec<String> {
        blobs.wanted(listed, at(now)).into_iter().map(|blob| blob.name).collect()
    }

    #[test]
    fn each_blob_is_read_once_for_each_content_and_forgotten_when_it_is_old() {
        let mut blobs = Blobs::starting(at(0));
        let mut listed = vec![blob("b", 1, 20), blob("a", 1, 10), blob("old", 1, -1)];
        assert_eq!(names(&blobs, &listed, 30), ["a", "b"]);
        for blob in &listed[..2] {
            blobs.put(&blob.name, in_state(blob, BlobState::Read));
        }
        blobs.settle(&listed, at(30));
        assert_eq!((names(&blobs, &listed, 30), blobs.kept()), (vec![], 2));
        listed[1] = blob("a", 2, 40);
        assert_eq!(names(&blobs, &listed, 40), ["a"]);
        assert_eq!(blobs.of("a").map(|read| read.bytes), Some(1), "it is read on from there");
        blobs.put("a", in_state(&listed[1], BlobState::Read));
        listed.push(blob("c", 1, 4_000));
        blobs.put("c", in_state(&listed[3], BlobState::Read));
        blobs.settle(&listed, at(4_000));
        assert_eq!((names(&blobs, &listed, 4_000), blobs.kept()), (vec![], 1), "only what is new is kept");
        // What was forgotten and changes is read anew.
        listed[0] = blob("b", 2, 4_010);
        assert_eq!(names(&blobs, &listed, 4_010), ["b"]);
    }

    #[test]
    fn what_waits_holds_back_and_what_is_the_matter_does_not() {
        let mut blobs = Blobs::starting(at(0));
        let listed = [blob("cut", 1, 1), blob("locked", 1, 2), blob("next", 1, 3), blob("new", 1, 9_000)];
        blobs.put("cut", in_state(&listed[0], BlobState::Cut(at(100))));
        blobs.put("locked", in_state(&listed[1], BlobState::Unreadable(at(100), at(100))));
        blobs.settle(&listed, at(9_000));
        assert_eq!(names(&blobs, &listed, 200), ["next", "new"]);
        for blob in &listed[2..] {
            blobs.put(&blob.name, in_state(blob, BlobState::Read));
        }
        blobs.settle(&listed, at(9_000));
        assert_eq!(blobs.kept(), 3, "`next` is forgotten, those with trouble are not");
        assert_eq!(names(&blobs, &listed, 3_699), [""; 0]);
        assert_eq!(names(&blobs, &listed, 3_700), ["cut", "locked"]);
        let said = blobs.missing().expect("something is missing");
        assert!(said.contains("not whole in blob `cut`") && said.contains("read blob `locked`"), "{said}");
        blobs.put("cut", in_state(&listed[0], BlobState::Told));
        blobs.put("locked", in_state(&listed[1], BlobState::Read));
        blobs.settle(&listed, at(9_000));
        assert_eq!((blobs.kept(), blobs.missing()), (1, None));
    }

    #[test]
    fn what_vanishes_before_it_was_read_is_handed_back() {
        let mut blobs = Blobs::starting(at(0));
        let listed = [blob("read", 1, 1), blob("waiting", 1, 2), blob("half", 9, 3)];
        blobs.put("read", in_state(&listed[0], BlobState::Read));
        blobs.put("half", BlobRead { bytes: 4, ..in_state(&listed[2], BlobState::Waiting) });
        blobs.settle(&listed, at(10));
        let vanished = blobs.take_in(&[], at(20));
        let vanished: Vec<_> = vanished.iter().map(|(name, read)| (name.as_str(), read.bytes)).collect();
        assert_eq!(vanished, [("half", 4), ("waiting", 0)]);
        assert_eq!(blobs.take_in(&[], at(20)), []);
    }

    #[test]
    fn nothing_is_said_of_the_time_up_to_a_loss() {
        let mut blobs = Blobs::starting(at(0));
        blobs.lost(at(500));
        blobs.lost(at(300));
        assert_eq!(blobs.since(), at(500));
        let cursor = crate::Cursor::starting(at(0)).with_all_read(at(9_000));
        assert_eq!(cursor.proved(), Some((at(0), at(9_000 - 3_600))));
        let cursor = cursor.with_blobs(blobs, None).with_all_read(at(9_100));
        assert_eq!(cursor.proved(), Some((at(500), at(9_100 - 3_600))));
    }

    #[test]
    fn all_is_read_once_nothing_is_owed_and_nothing_left_alone() {
        let mut blobs = Blobs::starting(at(0));
        let listed = [blob("a", 1, 10), blob("b", 1, 20)];
        assert!(blobs.is_all_read(), "nothing lies there");
        blobs.put("a", in_state(&listed[0], BlobState::Read));
        blobs.settle(&listed, at(30));
        assert!(!blobs.is_all_read(), "`b` waits");
        for (state, is_read) in [
            (BlobState::Cut(at(30)), false),
            (BlobState::Unreadable(at(30), at(30)), false),
            (BlobState::Told, true),
            (BlobState::Read, true),
        ] {
            blobs.put("b", in_state(&listed[1], state));
            assert_eq!(blobs.is_all_read(), is_read, "{state:?}");
        }
        blobs.leave(&["\u{fffd}.json".to_owned()]);
        assert!(!blobs.is_all_read());
        assert_eq!(blobs.since(), at(0));
        // One that an earlier version began says nothing of what lies before.
        let older: Blobs =
            serde_json::from_str("{\"settled_before\":\"2026-11-01T00:00:00Z\"}").expect("blobs");
        assert_eq!(older.since().to_string(), "2026-11-01T00:00:00Z");
    }

    #[test]
    fn a_clock_that_was_ahead_hides_nothing() {
        let mut blobs = Blobs::starting(at(0));
        let far = blob("far", 1, 90_000);
        blobs.put("far", in_state(&far, BlobState::Read));
        blobs.settle(std::slice::from_ref(&far), at(90_000));
        let listed = [far, blob("new", 1, 500)];
        assert_eq!(names(&blobs, &listed, 500), [""; 0]);
        blobs.take_in(&listed, at(500));
        assert_eq!(names(&blobs, &listed, 500), ["new"]);
        // A blob from the future, by whatever clock, does not make the others old.
        let mut blobs = Blobs::starting(at(0));
        blobs.put("far", in_state(&listed[0], BlobState::Read));
        blobs.settle(&listed, at(600));
        blobs.put("new", in_state(&listed[1], BlobState::Read));
        blobs.settle(&listed, at(600));
        assert_eq!(names(&blobs, &[blob("later", 1, 700)], 700), ["later"]);
    }

    proptest! {
        /// Blobs are made, appended to and replaced; turns read some and are given up, and cursors are stored as JSON. In the
        /// end the last content of every blob was read, and little is kept.
        #[test]
        fn in_the_end_all_is_read(steps in proptest::collection::vec((0..12_usize, 0..40_i64, 0..6_usize), 1..80)) {
            let mut blobs = Blobs::starting(at(0));
            let (mut now, mut there, mut read) = (1, BTreeMap::new(), BTreeSet::new());
            let turn = |blobs: &mut Blobs, there: &BTreeMap<String, ListedBlob>, now, most, read: &mut BTreeSet<_>| {
                let listed: Vec<_> = there.values().cloned().collect();
                blobs.take_in(&listed, at(now));
                for blob in blobs.wanted(&listed, at(now)).into_iter().take(most) {
                    read.insert((blob.name.clone(), blob.etag.clone()));
                    blobs.put(&blob.name, in_state(&blob, BlobState::Read));
                }
                blobs.settle(&listed, at(now));
                let json = serde_json::to_string(&*blobs).expect("JSON");
                *blobs = serde_json::from_str(&json).expect("blobs");
            };
            for (number, minutes, most) in steps {
                now += minutes * 60;
                let name = format!("blob-{number}");
                let version = there.get(&name).map_or(1, |blob: &ListedBlob| blob.size + 1);
                there.insert(name.clone(), blob(&name, version, now));
                turn(&mut blobs, &there, now, most, &mut read);
            }
            now += 7_200;
            there.insert("last".to_owned(), blob("last", 1, now));
            for _ in 0..20 {
                turn(&mut blobs, &there, now, 2, &mut read);
            }
            for blob in there.values() {
                prop_assert!(read.contains(&(blob.name.clone(), blob.etag.clone())), "{}", blob.name);
            }
            prop_assert_eq!(blobs.kept(), 1);
        }
    }
}
