//! The ledger's lines. Each is a CRC-32 of its text in hex, a space, the text, a newline. A line that was cut short by
//! a crash does not have its checksum and is as good as not written.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use muster_model::TenantId;

/// A ledger larger than this was not written by this program.
const BYTES_MAX: u64 = 256 << 20;
/// Tenants to a line of a ledger written anew, so that no line is huge.
const TENANTS_PER_LINE: usize = 100;

/// What the lines of a ledger add up to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Which journal the numbers are from.
    pub(super) journal: Option<String>,
    /// How long the data is.
    pub(super) length: u64,
    /// When the file was begun.
    pub(super) since: Timestamp,
    /// Up to which number each tenant's deliveries are in the data.
    pub(super) highest: HashMap<TenantId, u64>,
    /// The name that the file is being renamed to.
    pub(super) rotating: Option<String>,
}

/// A line that is appended.
pub(super) enum Line<'a> {
    /// The data is this long now, and holds the deliveries up to these numbers.
    Commit { length: u64, highest: &'a BTreeMap<TenantId, u64> },
    /// The file is about to be renamed.
    Rotate { name: &'a str },
    /// A file of this length was begun.
    Begin { length: u64, since: Timestamp },
}

impl Line<'_> {
    pub(super) fn spell(&self) -> String {
        let mut text = String::new();
        let written = match self {
            Self::Commit { length, highest } => write!(text, "commit {length}").and_then(|()| {
                highest.iter().try_for_each(|(tenant, number)| write!(text, " {tenant}={number}"))
            }),
            Self::Rotate { name } => write!(text, "rotate {}", serde_json::Value::from(*name)),
            Self::Begin { length, since } => write!(text, "begin {length} {since}"),
        };
        written.expect("writing to a string does not fail");
        sealed(&text)
    }
}

impl Ledger {
    pub(super) fn new(since: Timestamp) -> Self {
        Self { journal: None, length: 0, since, highest: HashMap::new(), rotating: None }
    }

    /// Reads a ledger; `None` when there is none.
    ///
    /// Only the last line can have been torn, since each is synced before the next. A bad line before good ones is
    /// damage to the disk: it is left out and told, because cutting the data there would lose what follows.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(found) if found.len() > BYTES_MAX => {
                return Err(io::Error::other(format!("{} is too large to be a ledger", path.display())));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let bytes = std::fs::read(path)?;
        let mut state = Self::new(Timestamp::UNIX_EPOCH);
        let (mut read, mut bad) = (0, 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match opened(line).and_then(|text| state.apply(text)) {
                Some(()) => {
                    read += 1;
                    if bad > 0 {
                        tracing::warn!(path = %path.display(), lines = bad, "the ledger is damaged; some records may be written twice");
                        bad = 0;
                    }
                }
                None => bad += 1,
            }
        }
        // A ledger comes to its place whole, by a rename; one without a line is not ours.
        if read == 0 {
            return Err(io::Error::other(format!(
                "{} is damaged: move it away, and the file is appended to as it is",
                path.display()
            )));
        }
        Ok(Some(state))
    }

    fn apply(&mut self, text: &str) -> Option<()> {
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "journal" => self.journal = serde_json::from_str(rest).ok()?,
            "commit" => {
                let mut words = rest.split(' ');
                let length = words.next()?.parse().ok()?;
                for word in words {
                    let (tenant, number) = word.split_once('=')?;
                    self.highest.insert(tenant.parse().ok()?, number.parse().ok()?);
                }
                self.length = length;
                // Commits wait for a rotation to be over, so it is, even if the line that says so is damaged.
                self.rotating = None;
            }
            "rotate" => self.rotating = Some(serde_json::from_str(rest).ok().filter(is_plain)?),
            "begin" => {
                let (length, since) = rest.split_once(' ')?;
                (self.length, self.since) = (length.parse().ok()?, since.parse().ok()?);
                self.rotating = None;
            }
            _ => return None,
        }
        Some(())
    }

    /// The lines of a ledger that tells only this.
    pub(super) fn spell(&self) -> String {
        let mut text = sealed(&format!("journal {}", serde_json::json!(self.journal)));
        text.push_str(&Line::Begin { length: self.length, since: self.since }.spell());
        let mut tenants: Vec<_> = self.highest.iter().map(|(tenant, number)| (*tenant, *number)).collect();
        tenants.sort_unstable();
        for chunk in tenants.chunks(TENANTS_PER_LINE) {
            let highest = chunk.iter().copied().collect();
            text.push_str(&Line::Commit { length: self.length, highest: &highest }.spell());
        }
        text
    }
}

/// Whether a name stays in its folder.
fn is_plain(name: &String) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

fn sealed(text: &str) -> String {
    format!("{:08x} {text}\n", checksum(text))
}

/// The text of a line that is whole.
fn opened(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, text) = line.split_once(' ')?;
    (sum.len() == 8 && u32::from_str_radix(sum, 16).ok()? == checksum(text)).then_some(text)
}

fn checksum(text: &str) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::Ledger;

    #[test]
    fn a_ledger_reads_back_and_every_torn_tail_of_it_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let mut state = Ledger::new("2026-01-02T03:04:05Z".parse().expect("a time"));
        state.journal = Some("a journal\n\"".to_owned());
        state.length = 77;
        state.highest = (1..250_u64)
            .map(|number| (muster_model::TenantId::from(uuid::Uuid::from_u128(u128::from(number))), number))
            .collect();
        let text = state.spell();
        std::fs::write(&path, &text).expect("written");
        assert_eq!(Ledger::read(&path).expect("read"), Some(state));

        let last_line = text.trim_end().rfind('\n').expect("several lines") + 1;
        std::fs::write(&path, &text[..last_line]).expect("written");
        let whole = Ledger::read(&path).expect("read");
        for end in last_line..text.len() {
            std::fs::write(&path, &text[..end]).expect("written");
            assert_eq!(Ledger::read(&path).expect("read"), whole);
        }
    }

    #[test]
    fn one_that_is_not_ours_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        assert_eq!(Ledger::read(&path).expect("none"), None);
        std::fs::write(&path, "hello\n").expect("written");
        assert!(Ledger::read(&path).expect_err("not ours").to_string().contains("damaged"));
    }
}
