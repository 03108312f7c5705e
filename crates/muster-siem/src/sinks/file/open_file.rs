//! The open file and its ledger: bringing both into order, committing, rotating. Crash, restart and full disk are one
//! path, [`OpenFile::open`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Lineage, SinkMemory, TenantId};
use uuid::Uuid;

use super::disk::Disk;
use super::ledger::{Ledger, State};
use super::line::{Claim, Line, checksum};
use super::recovery::{end_line, not_mounted, recover, write_ledger};
use super::site::{FileSite, beside, delete_oldest, ledger_path, rotated_path};

/// The ledger is written anew when it has grown by this much.
pub(super) const LEDGER_BYTES_MAX: u64 = 1 << 20;

/// What is committed at once: the lines of one tenant's deliveries.
pub(super) struct Lines {
    pub(super) tenant: TenantId,
    pub(super) bytes: Vec<u8>,
    /// The deliveries in order, each with its part of the bytes.
    pub(super) parts: Vec<(Lineage, u64, Range<usize>)>,
}

/// The open file and its ledger.
pub(super) struct OpenFile {
    pub(super) disk: Disk,
    data: File,
    file: File,
    ledger: Ledger,
    /// The length of the ledger when it was last written anew.
    ledger_base: u64,
    /// What the ledger adds up to. Its length is of the data that is synced.
    pub(super) state: State,
}

impl OpenFile {
    /// Brings data and ledger into order and opens them. Repeatable at any point at which it was cut short. The lock
    /// comes back when it fails.
    pub(super) fn open(site: &FileSite, mut disk: Disk) -> Result<Self, (io::Error, Disk)> {
        match recover(site, &mut disk) {
            Ok((data, file, ledger)) => {
                let (ledger_base, state) = (ledger.length(), ledger.state());
                Ok(Self { disk, data, file, ledger, ledger_base, state })
            }
            Err(error) => Err((error, disk)),
        }
    }

    /// The ledger's id, and up to which number each tenant's deliveries of each lineage are in the data.
    pub(super) fn memory(&self, site: &FileSite) -> SinkMemory {
        let id = self.state.id.unwrap_or_default();
        SinkMemory { id, lineages: self.state.memory(&site.sink).into_iter().collect() }
    }

    /// Writes the new deliveries of the group: enters them in the ledger, syncs it, writes the data, syncs it.
    pub(super) fn commit(&mut self, site: &FileSite, group: &[&Lines]) -> io::Result<()> {
        self.look_after(site)?;
        let mut bytes = Vec::new();
        let mut claims: BTreeMap<(u32, TenantId), u64> = BTreeMap::new();
        let mut lines = Vec::new();
        for Lines { tenant, bytes: theirs, parts } in group {
            for (lineage, number, part) in parts {
                let lineage = self.lineage(site, *lineage, &mut lines);
                let key = (lineage, *tenant);
                let known = claims.get(&key).or(self.state.claims.get(&key));
                if known.is_some_and(|known| number <= known) {
                    continue;
                }
                claims.insert(key, *number);
                bytes.extend_from_slice(theirs.get(part.clone()).unwrap_or_default());
            }
        }
        if claims.is_empty() {
            return Ok(());
        }
        let now = site.clock.now();
        let grown = self.state.length + bytes.len() as u64;
        let too_large = site.settings.rotate_size.is_some_and(|most| grown > most.0);
        let age = Duration::try_from(now.duration_since(self.state.since)).unwrap_or_default();
        let too_old = site.settings.rotate_every.is_some_and(|most| age >= most.0);
        if self.state.length > 0 && !bytes.is_empty() && (too_large || too_old) {
            self.rotate(site, now)?;
        }
        let from = self.state.length;
        let claim = |((lineage, tenant), number)| Claim { lineage, tenant, number };
        let claims = claims.into_iter().map(claim).collect();
        lines.push(Line::Write { from, bytes: bytes.len() as u64, crc: checksum(&bytes), claims });
        self.enter(lines)?;
        if !bytes.is_empty() {
            self.disk.write_at(&self.data, &bytes, from)?;
            self.disk.sync(&self.data)?;
        }
        self.append(Line::Done)?;
        if self.ledger.length() > self.ledger_base + LEDGER_BYTES_MAX {
            self.shorten(site)?;
        }
        Ok(())
    }

    /// The ledger's number of a lineage. A new one gets a line.
    fn lineage(&self, site: &FileSite, lineage: Lineage, lines: &mut Vec<Line>) -> u32 {
        let name = format!("{}/{}", lineage.0, site.sink);
        let entered = lines.iter().find_map(|line| match line {
            Line::Lineage { lineage, name: entered } if *entered == name => Some(*lineage),
            _ => None,
        });
        if let Some(entered) = entered {
            return entered;
        }
        let (number, is_known) = self.state.lineage(&name);
        if is_known {
            return number;
        }
        let lineage = number + lines.len() as u32;
        lines.push(Line::Lineage { lineage, name });
        lineage
    }

    /// Whether the file and its ledger are still those that are open, and as long as they were left. Log rotation by
    /// others moves, deletes or cuts them; other programs write into them.
    fn look_after(&mut self, site: &FileSite) -> io::Result<()> {
        if self.disk.is_elsewhere(&site.path)? {
            return Err(not_mounted(&site.path));
        }
        let ledger = ledger_path(&site.path);
        if !is_same(&self.file, &ledger)? || self.file.metadata()?.len() != self.ledger.length() {
            tracing::warn!(path = %ledger.display(), "the ledger was moved, deleted or changed by somebody; it is written anew");
            self.shorten(site)?;
        }
        let is_same = is_same(&self.data, &site.path)?;
        let found = self.data.metadata()?.len();
        if is_same && found == self.state.length {
            return Ok(());
        }
        if is_same && found > self.state.length {
            tracing::warn!(
                path = %site.path.display(),
                bytes = found - self.state.length,
                "another program has written into the file; what it wrote stays there"
            );
        } else {
            tracing::warn!(
                path = %site.path.display(),
                "the file was moved, deleted or cut by somebody; it is begun anew. Let Muster rotate it instead"
            );
        }
        let mut since = self.state.since;
        if !is_same {
            self.data = self.disk.create(&site.path, 0o640)?;
            self.disk.sync_folder(&site.path)?;
            since = site.clock.now();
        }
        let found = self.data.metadata()?.len();
        let length = end_line(&mut self.disk, &self.data, found)?;
        self.enter([Line::Begin { length, since }])
    }

    fn rotate(&mut self, site: &FileSite, now: Timestamp) -> io::Result<()> {
        let path = &site.path;
        let rotated = rotated_path(path, now)?;
        let name = rotated
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "the file's name is not UTF-8"))?;
        self.enter([Line::Rotate { name: name.to_owned() }])?;
        self.disk.rename(path, &rotated)?;
        self.disk.sync_folder(path)?;
        self.data = self.disk.create(path, 0o640)?;
        self.disk.sync_folder(path)?;
        self.enter([Line::Begin { length: 0, since: now }])?;
        if let Some(keep) = site.settings.keep {
            delete_oldest(path, keep as usize);
        }
        Ok(())
    }

    /// Appends lines to the ledger, and syncs it.
    fn enter(&mut self, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
        lines.into_iter().try_for_each(|line| self.append(line))?;
        self.disk.sync(&self.file)
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        self.disk.write_at(&self.file, line.spell().as_bytes(), self.ledger.length())?;
        self.state.apply(&line);
        self.ledger.push(line);
        Ok(())
    }

    fn shorten(&mut self, site: &FileSite) -> io::Result<()> {
        let shortened = self.ledger.shortened(self.state.id.unwrap_or_else(Uuid::new_v4));
        self.file = write_ledger(&mut self.disk, &site.path, &shortened)?;
        self.state = shortened.state();
        self.ledger_base = shortened.length();
        self.ledger = shortened;
        Ok(())
    }

    /// Whether a record could be written now.
    pub(super) fn probe(&mut self, site: &FileSite) -> io::Result<()> {
        self.look_after(site)?;
        let probe = beside(&site.path, ".probe");
        let file = self.disk.create(&probe, 0o600)?;
        let written = self.disk.write_at(&file, b"muster\n", 0).and_then(|()| self.disk.sync(&file));
        std::fs::remove_file(&probe)?;
        written
    }
}

/// Whether the open file is the one at `path`.
fn is_same(open: &File, path: &Path) -> io::Result<bool> {
    let open = open.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
