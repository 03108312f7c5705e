//! Compares what a receiver saw with what the emulator's Microsoft side produced.
//!
//! A receiver's [`Ledger`] keeps one 128-bit fingerprint and a count per version, so that millions of versions fit
//! in little memory; ids and texts are not kept. The names of what is lost come from the produced side.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::identify::{SeenRecord, Sighting, identify_line};
use super::produced::{Produced, RecordKind};

/// How many lost records of a tenant a tally names.
const LOST_EXAMPLES_MAX: u64 = 10;
/// Of how many copies a receiver remembers when they came.
const DOUBLES_MAX: usize = 100_000;
/// A longer line of a file is not searched for a record.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// What one receiver saw, against what was produced.
///
/// `received` is always the sum of the different versions that were produced, of `unknown` and of `doubled`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverTally {
    /// The receiver's name, or the file's.
    pub receiver: String,
    /// Whether anybody has ever connected to it, or sent it anything. One that is not used is no place where something
    /// could have been lost.
    pub used: bool,
    /// Events received that could be identified, copies included.
    pub received: u64,
    /// Different alerts and incidents whose newest version arrived.
    pub distinct: u64,
    /// Alerts and incidents whose newest version did not arrive. Older versions may be missing: an alert updated
    /// before it is fetched never shows its old version.
    pub lost: u64,
    /// Copies of versions beyond the first of each.
    pub doubled: u64,
    /// Different versions received that were never produced.
    pub unknown: u64,
    /// Events that could not be read or do not say what they are.
    pub unreadable: u64,
    /// Messages and lines cut off in the middle by the end of a connection or file. Nothing of them is counted
    /// elsewhere: a client that sent half a message has to send it again.
    pub incomplete: u64,
    /// Alerts that came as parts of an incident; they are in none of the other numbers.
    pub incident_alerts: u64,
    /// The same per tenant, for each tenant that produced or sent anything.
    pub tenants: BTreeMap<String, TenantTally>,
    /// The first of the lost versions of each tenant.
    pub lost_examples: Vec<Produced>,
}

/// What one receiver saw of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantTally {
    /// Events received, copies included.
    pub received: u64,
    /// Alerts and incidents whose newest version did not arrive.
    pub lost: u64,
    /// Copies of versions beyond the first of each.
    pub doubled: u64,
}

/// Tallies a file that a client wrote: raw JSON lines, HEC event lines or CEF lines, told apart line by line.
///
/// Rotated files count too: beside `path`, each file of its folder whose name begins with the stem of `path` is
/// read, and those named `.gz` are unpacked. If `path` is a folder, all files directly in it are read.
///
/// # Errors
///
/// If there is no such file, or one of them cannot be read.
pub fn tally_file(path: &Path, produced: &[Produced]) -> io::Result<ReceiverTally> {
    let mut ledger = Ledger::default();
    let files = rotated_files(path)?;
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no file at {}", path.display())));
    }
    for file in files {
        let opened = File::open(&file)?;
        if file.extension().is_some_and(|extension| extension == "gz") {
            ledger.record_lines(BufReader::new(flate2::read::MultiGzDecoder::new(opened)))?;
        } else {
            ledger.record_lines(BufReader::with_capacity(1 << 20, opened))?;
        }
    }
    ledger.in_use();
    Ok(ledger.compare(path.display().to_string(), &ProducedIndex::new(produced)))
}

/// Tallies lines of several files that a client wrote, however they were packed: as [`tally_file`] does, told apart line by
/// line. `name` is what the tally is called by.
///
/// # Errors
///
/// If one of them cannot be read.
pub fn tally_lines<R: BufRead>(
    name: &str,
    files: impl IntoIterator<Item = io::Result<R>>,
    produced: &[Produced],
) -> io::Result<ReceiverTally> {
    let mut ledger = Ledger::default();
    for file in files {
        ledger.record_lines(file?)?;
    }
    ledger.in_use();
    Ok(ledger.compare(name.to_owned(), &ProducedIndex::new(produced)))
}

fn rotated_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (folder, stem) = if path.is_dir() {
        (path, "".as_ref())
    } else {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (folder, path.file_stem().unwrap_or_default())
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        // Files that a writer keeps for itself beside its output.
        let own = [b".ledger".as_slice(), b".lock", b".tmp"].iter().any(|end| name.ends_with(end));
        let matches = name.starts_with(stem.as_encoded_bytes()) && !own;
        if matches && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// A copy of a version beyond the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Double {
    /// The tenant's id.
    pub tenant: String,
    /// When the version came first.
    pub first: Instant,
    /// When it came again.
    pub again: Instant,
}

/// All that one receiver remembers.
pub(super) struct Ledger {
    began: Instant,
    /// The first of the copies.
    doubles: Vec<Double>,
    versions: HashMap<Fingerprint, Copies, BuildHasherDefault<FirstWord>>,
    tenants: HashMap<String, TenantCount>,
    used: bool,
    received: u64,
    unreadable: u64,
    incomplete: u64,
    incident_alerts: u64,
}

/// How often a version came, and when and in which request first.
#[derive(Clone, Copy, Default)]
struct Copies {
    count: u32,
    first_request: u32,
    /// Milliseconds after the ledger began: there are millions of these.
    first_ms: u32,
}

#[derive(Clone, Copy, Default)]
struct TenantCount {
    received: u64,
    doubled: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            doubles: Vec::new(),
            versions: HashMap::default(),
            tenants: HashMap::new(),
            used: false,
            received: 0,
            unreadable: 0,
            incomplete: 0,
            incident_alerts: 0,
        }
    }
}

impl Ledger {
    /// When copies came, of the first hundred thousand.
    pub(super) fn doubles(&self) -> &[Double] {
        &self.doubles
    }

    /// The request in which a version came first.
    pub(super) fn first_request(&self, version: &Produced) -> Option<u32> {
        let version =
            Fingerprint::of_record(&version.tenant, version.kind, &version.id).at(version.updated_ms);
        self.versions.get(&version).map(|copies| copies.first_request)
    }

    /// Somebody has connected, or sent something.
    pub(super) fn in_use(&mut self) {
        self.used = true;
    }

    pub(super) fn record(&mut self, sighting: &Sighting<'_>) {
        self.record_in(sighting, 0);
    }

    /// Records what came in this request. For a copy: in which request it came first.
    pub(super) fn record_in(&mut self, sighting: &Sighting<'_>, request: u32) -> Option<u32> {
        self.used = true;
        match sighting {
            Sighting::Record(record) => return self.record_version(record, request),
            Sighting::IncidentAlert => self.incident_alerts += 1,
            Sighting::Unreadable => self.unreadable += 1,
        }
        None
    }

    pub(super) fn record_unreadable(&mut self) {
        self.used = true;
        self.unreadable += 1;
    }

    pub(super) fn record_incomplete(&mut self) {
        self.incomplete += 1;
    }

    fn record_version(&mut self, record: &SeenRecord<'_>, request: u32) -> Option<u32> {
        let version = Fingerprint::of_record(&record.tenant, record.kind, &record.id).at(record.updated_ms);
        let copies = self.versions.entry(version).or_default();
        copies.count = copies.count.saturating_add(1);
        let is_copy = copies.count > 1;
        let now = self.began.elapsed();
        if !is_copy {
            copies.first_request = request;
            copies.first_ms = u32::try_from(now.as_millis()).unwrap_or(u32::MAX);
        } else if self.doubles.len() < DOUBLES_MAX {
            let first = self.began + Duration::from_millis(copies.first_ms.into());
            let tenant = record.tenant.clone().into_owned();
            self.doubles.push(Double { tenant, first, again: self.began + now });
        }
        let first_request = copies.first_request;
        let doubled = u64::from(is_copy);
        if !self.tenants.contains_key(&*record.tenant) {
            self.tenants.insert(record.tenant.clone().into_owned(), TenantCount::default());
        }
        if let Some(tenant) = self.tenants.get_mut(&*record.tenant) {
            tenant.received += 1;
            tenant.doubled += doubled;
        }
        self.received += 1;
        is_copy.then_some(first_request)
    }

    fn record_lines(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.ends_with(b"\n") {
                if !line.trim_ascii().is_empty() {
                    self.record(&identify_line(&line));
                }
            } else if (line.len() as u64) < LINE_BYTES_MAX {
                self.incomplete += 1;
            } else {
                self.unreadable += 1;
                lines.skip_until(b'\n')?;
            }
        }
    }

    /// Compares with what was produced.
    pub(super) fn compare(&self, receiver: String, produced: &ProducedIndex<'_>) -> ReceiverTally {
        let mut tally = ReceiverTally {
            receiver,
            used: self.used,
            received: self.received,
            unreadable: self.unreadable,
            incomplete: self.incomplete,
            incident_alerts: self.incident_alerts,
            ..ReceiverTally::default()
        };
        for (tenant, count) in &self.tenants {
            tally.doubled += count.doubled;
            let counts = TenantTally { received: count.received, lost: 0, doubled: count.doubled };
            tally.tenants.insert(tenant.clone(), counts);
        }
        for newest in &produced.newest {
            if !tally.tenants.contains_key(&newest.produced.tenant) {
                tally.tenants.insert(newest.produced.tenant.clone(), TenantTally::default());
            }
            if self.versions.contains_key(&newest.version) {
                tally.distinct += 1;
                continue;
            }
            tally.lost += 1;
            if let Some(tenant) = tally.tenants.get_mut(&newest.produced.tenant) {
                tenant.lost += 1;
                if tenant.lost <= LOST_EXAMPLES_MAX {
                    tally.lost_examples.push(newest.produced.clone());
                }
            }
        }
        tally.unknown =
            self.versions.keys().filter(|version| !produced.versions.contains(*version)).count() as u64;
        tally
    }
}

/// What was produced, arranged for comparing; made once for all receivers.
pub(super) struct ProducedIndex<'a> {
    /// The newest version of each record, in the order in which the records first appeared.
    newest: Vec<Newest<'a>>,
    versions: HashSet<Fingerprint, BuildHasherDefault<FirstWord>>,
}

struct Newest<'a> {
    produced: &'a Produced,
    version: Fingerprint,
}

impl<'a> ProducedIndex<'a> {
    pub(super) fn new(produced: &'a [Produced]) -> Self {
        let mut versions = HashSet::with_capacity_and_hasher(produced.len(), BuildHasherDefault::default());
        let mut places: HashMap<Fingerprint, usize, BuildHasherDefault<FirstWord>> = HashMap::default();
        let mut newest: Vec<Newest<'a>> = Vec::new();
        for produced in produced {
            let record = Fingerprint::of_record(&produced.tenant, produced.kind, &produced.id);
            let version = record.at(produced.updated_ms);
            versions.insert(version);
            let place = *places.entry(record).or_insert(newest.len());
            match newest.get_mut(place) {
                Some(known) if known.produced.updated_ms < produced.updated_ms => {
                    *known = Newest { produced, version };
                }
                Some(_) => {}
                None => newest.push(Newest { produced, version }),
            }
        }
        ProducedIndex { newest, versions }
    }
}

/// A 128-bit hash that stands for a record or a version of it. Among ten million versions the chance that two
/// share one is less than 1 in 10²⁴.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn of_record(tenant: &str, kind: RecordKind, id: &str) -> Self {
        // Most formats do not tell which API a record came from.
        Self::of(&(tenant, kind.family(), id))
    }

    /// The version of this record that was updated at `updated_ms`.
    fn at(self, updated_ms: i64) -> Self {
        Self::of(&(self, updated_ms))
    }

    fn of(value: &impl Hash) -> Self {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            value.hash(&mut hasher);
            hasher.finish()
        };
        Fingerprint(half(1), half(2))
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
        state.write_u64(self.1);
    }
}

/// The hasher of maps keyed by fingerprints, which are hashes already: their first word will do.
#[derive(Default)]
struct FirstWord(Option<u64>);

impl Hasher for FirstWord {
    fn finish(&self) -> u64 {
        self.0.unwrap_or_default()
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = Some(self.0.unwrap_or_default().rotate_left(8) ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0.get_or_insert(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn produced(tenant: &str, id: &str, updated_ms: i64) -> Produced {
        Produced { tenant: tenant.into(), kind: RecordKind::Alert, id: id.into(), updated_ms }
    }

    fn tally(received: &[(&str, &str, i64)], produced: &[Produced]) -> ReceiverTally {
        let mut ledger = Ledger::default();
        for &(tenant, id, updated_ms) in received {
            let kind = RecordKind::Alert;
            let record = SeenRecord { tenant: tenant.into(), kind, id: id.into(), updated_ms };
            ledger.record(&Sighting::Record(record));
        }
        ledger.compare("r".into(), &ProducedIndex::new(produced))
    }

    #[test]
    fn only_the_newest_version_must_have_arrived() {
        let produced = [produced("t", "a", 1), produced("t", "a", 3), produced("t", "a", 2)];
        let complete = tally(&[("t", "a", 3)], &produced);
        assert_eq!((complete.lost, complete.distinct, complete.unknown), (0, 1, 0));
        let stale = tally(&[("t", "a", 1), ("t", "a", 2)], &produced);
        assert_eq!((stale.lost, stale.distinct, stale.doubled, stale.unknown), (1, 0, 0, 0));
        assert_eq!(stale.lost_examples, [produced[1].clone()]);
    }

    #[test]
    fn copies_strangers_and_tenants_are_counted() {
        let produced = [produced("t", "a", 1), produced("u", "a", 1), produced("v", "b", 1)];
        let received =
            [("t", "a", 1), ("t", "a", 1), ("t", "a", 1), ("u", "a", 1), ("u", "a", 9), ("w", "x", 1)];
        let tally = tally(&received, &produced);
        assert_eq!((tally.received, tally.distinct, tally.lost), (6, 2, 1));
        assert_eq!((tally.doubled, tally.unknown), (2, 2));
        let tenant = |received, lost, doubled| TenantTally { received, lost, doubled };
        let tenants =
            [("t", tenant(3, 0, 2)), ("u", tenant(2, 0, 0)), ("v", tenant(0, 1, 0)), ("w", tenant(1, 0, 0))];
        assert_eq!(tally.tenants, tenants.map(|(name, tally)| (name.to_owned(), tally)).into());
    }

    #[test]
    fn a_copy_is_told_with_its_tenant_and_when_both_came() {
        let mut ledger = Ledger::default();
        let record = |id: &'static str| {
            let tenant = "t".into();
            Sighting::Record(SeenRecord { tenant, kind: RecordKind::Alert, id: id.into(), updated_ms: 1 })
        };
        for id in ["a", "b", "a"] {
            ledger.record(&record(id));
        }
        let [double] = ledger.doubles() else { panic!("{:?}", ledger.doubles()) };
        assert_eq!(double.tenant, "t");
        assert!(ledger.began <= double.first && double.first <= double.again);
    }

    #[test]
    fn an_incident_is_not_the_alert_of_the_same_id() {
        let mut incident = produced("t", "7", 1);
        incident.kind = RecordKind::Incident;
        let tally = tally(&[("t", "7", 1)], &[incident]);
        assert_eq!((tally.lost, tally.unknown), (1, 1));
    }

    #[test]
    fn lost_examples_are_few_of_each_tenant() {
        let of = |tenant| (0..50).map(move |number| produced(tenant, &number.to_string(), 1));
        let produced: Vec<_> = of("t").chain(of("u")).collect();
        let tally = tally(&[], &produced);
        let of_last = tally.lost_examples.iter().filter(|lost| lost.tenant == "u").count();
        assert_eq!((tally.lost, tally.lost_examples.len(), of_last), (100, 20, 10));
    }

    #[test]
    fn files_with_rotated_siblings() {
        use std::io::Write as _;

        let folder = tempfile::tempdir().unwrap();
        let raw = |id: &str| {
            format!(r#"{{"id":"{id}","tenantId":"t","lastUpdateDateTime":"1970-01-01T00:00:00.0019Z"}}"#)
        };
        let path = folder.path().join("alerts.ndjson");
        std::fs::write(&path, format!("{}\n\n{{\"event\":{}}}\nnonsense\n{}", raw("a"), raw("b"), raw("z")))
            .unwrap();
        let cef = "CEF:0|Microsoft|x|1|alert|x|5|externalId=c cs2=t cs2Label=tenantId deviceCustomDate1=1 deviceCustomDate1Label=lastUpdateDateTime\n";
        std::fs::write(folder.path().join("alerts-1.ndjson"), cef).unwrap();
        let packed = File::create(folder.path().join("alerts.ndjson.2.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed.write_all(format!("{}\n", raw("a")).as_bytes()).unwrap();
        packed.finish().unwrap();
        std::fs::write(folder.path().join("other.ndjson"), raw("q")).unwrap();

        let produced = ["a", "b", "c", "z"].map(|id| produced("t", id, 1));
        let tally = tally_file(&path, &produced).unwrap();
        assert_eq!((tally.received, tally.distinct, tally.lost), (4, 3, 1));
        assert_eq!((tally.doubled, tally.unreadable, tally.incomplete), (1, 1, 1));
        assert_eq!(tally.unknown, 0);
        assert!(tally_file(&folder.path().join("absent.ndjson"), &produced).is_err());
    }
}
