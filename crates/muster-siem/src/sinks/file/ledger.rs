//! The ledger: its lines, what they add up to, and which of them the data bears out.
//!
//! What is about to be written is entered first, with its place and checksum: so it is known afterwards which of it the data
//! bears out, whether a crash cut it short or somebody put an older file back. The lines of some time are kept for that.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use jiff::Timestamp;
use muster_model::{Lineage, TenantId};
use uuid::Uuid;

use super::disk::open_regular;
use super::line::{Claim, Line, opened};

/// A ledger larger than this was not written by this program.
const BYTES_MAX: u64 = 256 << 20;
/// Claims to a line of a ledger written anew, so that no line is huge.
const CLAIMS_PER_LINE: usize = 100;
/// Lines of this many bytes stay as they are when a ledger is written anew.
const RECENT_BYTES: u64 = 128 << 10;
/// How many lineages are remembered. What an older one numbered would be written again.
const LINEAGES_MAX: usize = 16;

/// What lines add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) id: Option<Uuid>,
    /// The lineages by the numbers that the ledger gave them.
    pub(super) lineages: BTreeMap<u32, String>,
    /// Up to which number each tenant's deliveries of each lineage are in the data.
    pub(super) claims: HashMap<(u32, TenantId), u64>,
    /// How long the data is.
    pub(super) length: u64,
    /// When the file was begun.
    pub(super) since: Timestamp,
    /// The name that the file is being renamed to.
    pub(super) rotating: Option<String>,
}

impl State {
    pub(super) fn of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> Self {
        let mut state = Self {
            id: None,
            lineages: BTreeMap::new(),
            claims: HashMap::new(),
            length: 0,
            since: Timestamp::UNIX_EPOCH,
            rotating: None,
        };
        lines.into_iter().for_each(|line| state.apply(line));
        state
    }

    pub(super) fn apply(&mut self, line: &Line) {
        match line {
            Line::Ledger { id } => self.id = Some(*id),
            Line::Lineage { lineage, name } => drop(self.lineages.insert(*lineage, name.clone())),
            Line::Holds { claims } => self.claim(claims),
            Line::Begin { length, since } => {
                (self.length, self.since) = (*length, *since);
                self.rotating = None;
            }
            Line::Write { from, bytes, claims, .. } => {
                self.length = from + bytes;
                // Writing waits for a rotation to be over, so it is, even if the line that says so is damaged.
                self.rotating = None;
                self.claim(claims);
            }
            Line::Commit { length, claims } => {
                self.length = *length;
                self.rotating = None;
                self.claim(claims);
            }
            Line::Rotate { name } => self.rotating = Some(name.clone()),
            Line::Done => {}
        }
    }

    fn claim(&mut self, claims: &[Claim]) {
        for Claim { lineage, tenant, number } in claims {
            self.claims.insert((*lineage, *tenant), *number);
        }
    }

    /// The number of a lineage; the next one where it is new.
    pub(super) fn lineage(&self, name: &str) -> (u32, bool) {
        match self.lineages.iter().find(|(_, known)| *known == name) {
            Some((lineage, _)) => (*lineage, true),
            None => (self.lineages.last_key_value().map_or(0, |(last, _)| last + 1), false),
        }
    }

    /// What is known of the deliveries to `sink`.
    pub(super) fn memory(&self, sink: &str) -> Vec<(Lineage, HashMap<TenantId, u64>)> {
        let of_sink = |name: &String| {
            let (lineage, of) = name.split_once('/')?;
            (of == sink).then_some(Lineage(lineage.parse().ok()?))
        };
        let lineages = self.lineages.iter().filter_map(|(no, name)| Some((*no, of_sink(name)?)));
        lineages
            .map(|(no, lineage)| {
                let claims = self.claims.iter().filter(|((of, _), _)| *of == no);
                (lineage, claims.map(|((_, tenant), number)| (*tenant, *number)).collect())
            })
            .collect()
    }
}

/// A line, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: Line,
    pub(super) end: u64,
}

/// The lines of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) entries: Vec<Entry>,
}

impl Ledger {
    /// A ledger of these lines.
    pub(super) fn new(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut ledger = Self { entries: Vec::new() };
        lines.into_iter().for_each(|line| drop(ledger.push(line)));
        ledger
    }

    /// Adds a line at the end; as it is spelled.
    pub(super) fn push(&mut self, line: Line) -> String {
        let text = line.spell();
        self.entries.push(Entry { end: self.length() + text.len() as u64, line });
        text
    }

    /// Up to where the lines reach.
    pub(super) fn length(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.end)
    }

    pub(super) fn state(&self) -> State {
        State::of(self.entries.iter().map(|entry| &entry.line))
    }

    /// Reads a ledger; `None` when there is none, or it is empty.
    ///
    /// Only the last line can have been torn, since each is synced before the next. A bad line before good ones is
    /// damage to the disk: it is left out and told, because cutting the data there would lose what follows.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match open_regular(path, File::options().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length > BYTES_MAX {
            return Err(io::Error::other(format!("{} is too large to be a ledger", path.display())));
        }
        if length == 0 {
            tracing::warn!(path = %path.display(), "the ledger was emptied by somebody");
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut bytes, 0)?;
        let mut ledger = Self { entries: Vec::new() };
        let (mut end, mut bad) = (0, 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            end += line.len() as u64;
            match opened(line).and_then(Line::read) {
                Some(line) => {
                    ledger.entries.push(Entry { line, end });
                    if bad > 0 {
                        tracing::warn!(path = %path.display(), lines = bad, "the ledger is damaged; some records may be written twice");
                        bad = 0;
                    }
                }
                None => bad += 1,
            }
        }
        // A ledger comes to its place whole, by a rename; one without a line is not ours.
        if ledger.entries.is_empty() {
            return Err(io::Error::other(format!(
                "{} is damaged, or another program's: move it away, and the file is appended to as it is",
                path.display()
            )));
        }
        Ok(Some(ledger))
    }

    /// How many of the lines the data bears out: all of them; or all but the last, after a crash; or fewer, where an older file
    /// was put in its place. `None` when the data is older than all that is known.
    pub(super) fn borne_out(&self, data: &File, length: u64) -> io::Result<Option<usize>> {
        let mut count = self.entries.len();
        for (index, Entry { line, .. }) in self.entries.iter().enumerate().rev() {
            let is_there = match line {
                Line::Write { bytes: 0, .. } => continue,
                Line::Write { from, bytes, crc, .. } => {
                    from + bytes <= length && checksum_of(data, *from, *bytes)? == *crc
                }
                Line::Commit { length: known, .. } | Line::Begin { length: known, .. } => *known <= length,
                _ => continue,
            };
            if is_there {
                return Ok(Some(count));
            }
            count = index;
        }
        Ok(None)
    }

    /// The same with fewer lines: the latest stay as they are, what is before them is added up.
    pub(super) fn shortened(&self, id: Uuid) -> Self {
        let whole = self.state();
        let from = self.length().saturating_sub(RECENT_BYTES);
        let recent = self.entries.iter().position(|entry| entry.end > from).unwrap_or(self.entries.len());
        let (before, recent) = self.entries.split_at(recent);
        let base = State::of(before.iter().map(|entry| &entry.line));
        let forgotten = whole.lineages.len().saturating_sub(LINEAGES_MAX);
        let is_kept = |lineage: u32| whole.lineages.keys().skip(forgotten).any(|kept| *kept == lineage);
        let mut lines = vec![Line::Ledger { id }];
        for (lineage, name) in whole.lineages.iter().filter(|(lineage, _)| is_kept(**lineage)) {
            lines.push(Line::Lineage { lineage: *lineage, name: name.clone() });
        }
        let claims = base.claims.into_iter().filter(|((lineage, _), _)| is_kept(*lineage));
        let mut claims: Vec<_> =
            claims.map(|((lineage, tenant), number)| Claim { lineage, tenant, number }).collect();
        claims.sort_unstable_by_key(|claim| (claim.lineage, claim.tenant));
        lines.extend(claims.chunks(CLAIMS_PER_LINE).map(|claims| Line::Holds { claims: claims.to_vec() }));
        lines.push(Line::Begin { length: base.length, since: base.since });
        lines.extend(base.rotating.map(|name| Line::Rotate { name }));
        let stays = |line: &Line| !matches!(line, Line::Ledger { .. } | Line::Lineage { .. });
        lines.extend(recent.iter().map(|entry| entry.line.clone()).filter(stays).map(|mut line| {
            if let Line::Write { claims, .. } | Line::Commit { claims, .. } | Line::Holds { claims } =
                &mut line
            {
                claims.retain(|claim| is_kept(claim.lineage));
            }
            line
        }));
        Self::new(lines)
    }

    /// All lines as they are spelled.
    pub(super) fn spell(&self) -> String {
        self.entries.iter().map(|entry| entry.line.spell()).collect()
    }
}

fn checksum_of(file: &File, from: u64, bytes: u64) -> io::Result<u32> {
    let mut crc = flate2::Crc::new();
    let mut part = vec![0; 64 << 10];
    let (mut at, end) = (from, from + bytes);
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(part.len());
        let part = part.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, at)?;
        crc.update(part);
        at += length as u64;
    }
    Ok(crc.sum())
}

#[cfg(test)]
mod tests {
    use super::super::line::{Claim, Line, checksum};
    use super::{Ledger, State};

    #[test]
    fn a_ledger_reads_back_and_every_torn_tail_of_it_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let claims: Vec<Claim> = (1..12_u64)
            .map(|number| {
                let tenant = muster_model::TenantId::from(uuid::Uuid::from_u128(u128::from(number)));
                Claim { lineage: 3, tenant, number }
            })
            .collect();
        let since = "2026-01-02T03:04:05Z".parse().expect("a time");
        let ledger = Ledger::new([
            Line::Ledger { id: uuid::Uuid::from_u128(7) },
            Line::Lineage { lineage: 3, name: "a lineage\n\"/archive".to_owned() },
            Line::Begin { length: 77, since },
            Line::Write { from: 77, bytes: 5, crc: 0xab, claims: claims.clone() },
            Line::Done,
            Line::Rotate { name: "old".to_owned() },
            Line::Write { from: 82, bytes: 5, crc: 0, claims },
        ]);
        let text = ledger.spell();
        std::fs::write(&path, &text).expect("written");
        assert_eq!(Ledger::read(&path).expect("read"), Some(ledger.clone()));
        let shortened = ledger.shortened(uuid::Uuid::from_u128(7));
        assert_eq!(shortened.state(), ledger.state(), "nothing is lost by writing it anew");

        let last_line = text.trim_end().rfind('\n').expect("several lines") + 1;
        std::fs::write(&path, &text[..last_line]).expect("written");
        let whole = Ledger::read(&path).expect("read");
        for end in last_line..text.len() {
            std::fs::write(&path, &text[..end]).expect("written");
            assert_eq!(Ledger::read(&path).expect("read"), whole);
        }
    }

    #[test]
    fn what_earlier_versions_wrote_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let tenant = muster_model::TenantId::from(uuid::Uuid::from_u128(5));
        let line = |text: &str| format!("{:08x} {text}\n", checksum(text.as_bytes()));
        let text = line("journal \"67c36e74/archive\"")
            + &line("begin 0 2026-01-02T03:04:05Z")
            + &line(&format!("commit 12 {tenant}=9"));
        std::fs::write(&path, text).expect("written");
        let State { id, lineages, claims, length, .. } =
            Ledger::read(&path).expect("read").expect("one").state();
        assert_eq!((id, length, claims.get(&(0, tenant))), (None, 12, Some(&9)));
        assert_eq!(lineages.get(&0).map(String::as_str), Some("67c36e74/archive"));
    }

    #[test]
    fn one_that_is_not_ours_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        assert_eq!(Ledger::read(&path).expect("none"), None);
        std::fs::write(&path, "").expect("written");
        assert_eq!(Ledger::read(&path).expect("none"), None);
        std::fs::write(&path, "hello\n").expect("written");
        assert!(Ledger::read(&path).expect_err("not ours").to_string().contains("damaged"));
    }
}
