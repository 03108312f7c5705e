//! The ledger's lines. Each is a CRC-32 of its text in hex, a space, the text, a newline. A line that was cut short by
//! a crash does not have its checksum and is as good as not written.

use std::fmt::Write as _;

use jiff::Timestamp;
use muster_model::TenantId;
use uuid::Uuid;

/// The deliveries of a tenant up to a number are in the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// The number that the ledger has given to the lineage.
    pub(super) lineage: u32,
    pub(super) tenant: TenantId,
    pub(super) number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Names the ledger; chosen when it is begun.
    Ledger { id: Uuid },
    /// A lineage of delivery numbers, and the sink that they were given for.
    Lineage { lineage: u32, name: String },
    /// What was written before the lines that are kept.
    Holds { claims: Vec<Claim> },
    /// A file was begun that was this long, or nothing is known about what is in it up to there.
    Begin { length: u64, since: Timestamp },
    /// These bytes are about to be written, which are deliveries up to these numbers.
    Write { from: u64, bytes: u64, crc: u32, claims: Vec<Claim> },
    /// What was to be written is, and is synced. This line itself is not.
    Done,
    /// The file is about to be renamed.
    Rotate { name: String },
    /// As earlier versions wrote it, afterwards: the data is this long, and holds the deliveries up to these numbers.
    Commit { length: u64, claims: Vec<Claim> },
}

impl Line {
    pub(super) fn spell(&self) -> String {
        let mut text = String::new();
        let add = |text: &mut String, claims: &[Claim]| {
            claims.iter().try_for_each(|Claim { lineage, tenant, number }| {
                write!(text, " {lineage}:{tenant}={number}")
            })
        };
        let written = match self {
            Self::Ledger { id } => write!(text, "ledger {id}"),
            Self::Lineage { lineage, name } => {
                write!(text, "lineage {lineage} {}", serde_json::Value::from(name.as_str()))
            }
            Self::Holds { claims } => write!(text, "holds").and_then(|()| add(&mut text, claims)),
            Self::Begin { length, since } => write!(text, "begin {length} {since}"),
            Self::Write { from, bytes, crc, claims } => {
                write!(text, "write {from} {bytes} {crc:08x}").and_then(|()| add(&mut text, claims))
            }
            Self::Done => write!(text, "done"),
            Self::Rotate { name } => write!(text, "rotate {}", serde_json::Value::from(name.as_str())),
            Self::Commit { length, claims } => {
                write!(text, "commit {length}").and_then(|()| add(&mut text, claims))
            }
        };
        written.expect("writing to a string does not fail");
        format!("{:08x} {text}\n", checksum(text.as_bytes()))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match kind {
            "ledger" => Self::Ledger { id: rest.parse().ok()? },
            "lineage" => {
                let (lineage, name) = rest.split_once(' ')?;
                Self::Lineage { lineage: lineage.parse().ok()?, name: serde_json::from_str(name).ok()? }
            }
            // As earlier versions named the lineage of all their numbers.
            "journal" => {
                let name: Option<String> = serde_json::from_str(rest).ok()?;
                Self::Lineage { lineage: 0, name: name.unwrap_or_default() }
            }
            "holds" => Self::Holds { claims: claims(rest.split(' '))? },
            "begin" => {
                let (length, since) = rest.split_once(' ')?;
                Self::Begin { length: length.parse().ok()?, since: since.parse().ok()? }
            }
            "write" => {
                let mut words = rest.split(' ');
                let (from, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                let crc = u32::from_str_radix(words.next()?, 16).ok()?;
                Self::Write { from, bytes, crc, claims: claims(words)? }
            }
            "done" => Self::Done,
            "rotate" => Self::Rotate { name: serde_json::from_str(rest).ok().filter(is_plain)? },
            "commit" => {
                let mut words = rest.split(' ');
                Self::Commit { length: words.next()?.parse().ok()?, claims: claims(words)? }
            }
            _ => return None,
        })
    }
}

fn claims<'t>(words: impl Iterator<Item = &'t str>) -> Option<Vec<Claim>> {
    let claim = |word: &str| {
        let (of, number) = word.split_once('=')?;
        // Earlier versions knew of one lineage only.
        let (lineage, tenant) = of.split_once(':').unwrap_or(("0", of));
        Some(Claim {
            lineage: lineage.parse().ok()?,
            tenant: tenant.parse().ok()?,
            number: number.parse().ok()?,
        })
    };
    words.filter(|word| !word.is_empty()).map(claim).collect()
}

/// Whether a name stays in its folder.
fn is_plain(name: &String) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

/// The text of a line that is whole.
pub(super) fn opened(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, text) = line.split_once(' ')?;
    (sum.len() == 8 && u32::from_str_radix(sum, 16).ok()? == checksum(text.as_bytes())).then_some(text)
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
