//! One blob, piece by piece.
//!
//! Each piece is asked for with the end of what was read before it, and goes on only where that is the same: so it does not
//! matter when a blob is appended to, and one that was replaced is read from its beginning. Compressed blobs are read from
//! their beginning each time, and the same is asked of what comes out of them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use jiff::Timestamp;
use memchr::memchr;
use muster_model::page::{self, Broken, Row, Rows};
use muster_model::{BlobRead, BlobState, ListedBlob};
use muster_siem::sinks::{ObjectReader, ReadTrouble};

/// How much of a blob is read at once.
const PIECE_BYTES: usize = 4 << 20;
/// A value that is longer is passed over. Rows are below a mebibyte, and lists and envelopes are read row by row.
const VALUE_BYTES_MAX: usize = 16 << 20;
/// How much of a compressed blob is fetched at once, and unpacked at once.
const PACKED_PIECE_BYTES: u64 = 1 << 20;
const PACKED_STEP_BYTES: usize = 16 << 10;
/// What comes out of one blob at most.
const UNPACKED_BYTES_MAX: u64 = 16 << 30;
/// Why what is cut is given up.
const NOTHING_FOLLOWED: &str = "it is not whole, and nothing has followed for an hour";
/// How a compressed blob begins.
const GZIP: &[u8] = b"\x1f\x8b";
const TAIL_BYTES: u64 = BlobRead::TAIL_BYTES as u64;

/// A blob that is being read.
pub(super) struct Reading<'r> {
    reader: &'r ObjectReader,
    blob: &'r ListedBlob,
    read: BlobRead,
    /// When that a blob is cut began to count, where it is the same since.
    cut_since: Option<Timestamp>,
    unpacking: Option<Unpacking>,
    /// How much is read at once.
    wanted: usize,
    /// Bytes that follow the place up to which rows were accepted, with the end of those before it.
    bytes: Bytes,
    /// Where in `bytes` that place is.
    at: usize,
    is_end: bool,
}

/// What a piece holds.
pub(super) struct Found<'p> {
    pub(super) rows: Vec<Row<'p>>,
    pub(super) broken: Vec<Broken<'p>>,
    /// What is known of the blob after it.
    pub(super) read: BlobRead,
}

impl<'r> Reading<'r> {
    /// Goes on where a blob was read up to, as far as it is known.
    pub(super) fn of(reader: &'r ObjectReader, blob: &'r ListedBlob, known: Option<&BlobRead>) -> Self {
        let is_longer = |known: &&BlobRead| known.packed || blob.size >= known.bytes;
        let read = known.filter(is_longer).cloned().unwrap_or_else(|| BlobRead::unread(blob));
        let cut_since = match read.state {
            BlobState::Cut(since) if read.etag == blob.etag => Some(since),
            _ => None,
        };
        let wanted = PIECE_BYTES;
        let mut reading = Self {
            reader,
            blob,
            read,
            cut_since,
            unpacking: None,
            wanted,
            bytes: Bytes::new(),
            at: 0,
            is_end: false,
        };
        if reading.read.packed {
            reading.unpacking = Some(Unpacking::default());
        }
        reading
    }

    /// Fetches what follows.
    pub(super) async fn fetch(&mut self) -> Result<(), ReadTrouble> {
        // From the beginning at most once: then there is nothing before that could be another.
        while !self.fetch_once().await? {
            self.read = BlobRead::unread(self.blob);
            self.unpacking = None;
            self.wanted = PIECE_BYTES;
        }
        Ok(())
    }

    /// The same; `false` where the blob is another than was read before.
    async fn fetch_once(&mut self) -> Result<bool, ReadTrouble> {
        if self.unpacking.is_some() {
            return self.unpack().await;
        }
        if self.blob.size == 0 {
            (self.bytes, self.at, self.is_end) = (Bytes::new(), 0, true);
            self.read.etag = self.blob.etag.clone();
            return Ok(self.read.bytes == 0);
        }
        let from = self.read.bytes.saturating_sub(TAIL_BYTES);
        let piece = match self.reader.read(&self.blob.name, from..self.read.bytes + self.wanted as u64).await
        {
            // It has become shorter: another one.
            Err(ReadTrouble::Changed) if self.read.bytes > 0 => return Ok(false),
            piece => piece?,
        };
        let at = usize::try_from(self.read.bytes - from).unwrap_or_default();
        let Some(before) = piece.bytes.get(..at) else { return Ok(false) };
        if BlobRead::tail_of(before) != self.read.tail {
            return Ok(false);
        }
        if self.read.bytes == 0 && piece.bytes.starts_with(GZIP) {
            self.read.packed = true;
            self.unpacking = Some(Unpacking::default());
            return self.unpack().await;
        }
        self.is_end = from + piece.bytes.len() as u64 >= piece.size;
        self.read.etag = piece.etag;
        (self.bytes, self.at) = (piece.bytes, at);
        Ok(true)
    }

    async fn unpack(&mut self) -> Result<bool, ReadTrouble> {
        let unpacking = self.unpacking.as_mut().expect("it is packed");
        if !unpacking.skip_to(self.read.bytes, (self.reader, self.blob.name.as_str())).await? {
            return Ok(false);
        }
        let at = usize::try_from(self.read.bytes - unpacking.from).unwrap_or_default();
        if BlobRead::tail_of(&unpacking.out[..at]) != self.read.tail {
            return Ok(false);
        }
        unpacking.fill(at + self.wanted, (self.reader, self.blob.name.as_str())).await?;
        self.is_end = unpacking.is_over();
        self.read.etag = unpacking.etag.clone();
        (self.bytes, self.at) = (Bytes::copy_from_slice(&unpacking.out), at);
        Ok(true)
    }

    /// Takes what was fetched apart; `None` where more has to be fetched first.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Found<'_>> {
        let mut read = self.read.clone();
        read.modified = self.blob.modified;
        let mut end = self.at;
        if read.passing {
            let line = memchr(b'\n', &self.bytes[end..]);
            end = line.map_or(self.bytes.len(), |length| end + length + 1);
            read.passing = line.is_none() && !self.is_end;
        }
        let Rows { items: mut rows, mut broken, consumed } = page::rows(&self.bytes[end..], self.is_end);
        end += consumed;
        if end == self.at && !self.is_end {
            if self.bytes.len() - end < VALUE_BYTES_MAX {
                // A value that is longer than a piece.
                self.wanted = (self.wanted * 2).min(VALUE_BYTES_MAX);
                return None;
            }
            let reason = format!("it is longer than {} MiB, and passed over", VALUE_BYTES_MAX >> 20);
            broken.push(Broken { body: &self.bytes[end..], reason });
            (end, read.passing) = (self.bytes.len(), true);
        }
        let (damage, is_broken_off) = self
            .unpacking
            .as_ref()
            .map_or((None, false), |unpacking| (unpacking.damage.clone(), unpacking.is_broken_off));
        let is_whole = end == self.bytes.len() && !is_broken_off;
        let given_up = match damage {
            None if self.cut_since.is_some() && !is_whole => Some(NOTHING_FOLLOWED.to_owned()),
            damage => damage,
        };
        read.state = match &given_up {
            _ if !self.is_end => BlobState::Waiting,
            Some(reason) => {
                end = give_up(&self.bytes, end, reason, (&mut rows, &mut broken));
                BlobState::Told
            }
            None if is_whole => BlobState::Read,
            None => BlobState::Cut(now),
        };
        self.wanted = PIECE_BYTES;
        read.bytes += (end - self.at) as u64;
        read.tail = BlobRead::tail_of(&self.bytes[..end]);
        self.read = read.clone();
        Some(Found { rows, broken, read })
    }

    /// What is known of it now.
    pub(super) fn known(&self) -> &BlobRead {
        &self.read
    }
}

/// Nothing more is to come: what begins at `end` and is not whole is broken up to the end of its line, and what is behind that
/// is read. Gives where the last of it begins, which may go on one day.
fn give_up<'p>(
    bytes: &'p [u8],
    mut end: usize,
    reason: &str,
    (rows, broken): (&mut Vec<Row<'p>>, &mut Vec<Broken<'p>>),
) -> usize {
    let begun = end;
    while let Some(length) = memchr(b'\n', &bytes[end..]) {
        broken.push(Broken { body: &bytes[end..end + length], reason: reason.to_owned() });
        end += length + 1;
        let more = page::rows(&bytes[end..], true);
        rows.extend(more.items);
        broken.extend(more.broken);
        end += more.consumed;
    }
    // What has no byte left, as a compressed blob without its end, is told all the same.
    if end < bytes.len() || end == begun {
        broken.push(Broken { body: &bytes[end..], reason: reason.to_owned() });
    }
    end
}

/// A compressed blob, read from its beginning.
struct Unpacking {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What was fetched and not unpacked yet.
    packed: Bytes,
    /// How much of it was fetched.
    fetched: u64,
    is_fetched: bool,
    etag: String,
    out: Vec<u8>,
    /// Where in all that comes out of it `out` begins.
    from: u64,
    is_finished: bool,
    is_broken_off: bool,
    /// Why nothing more comes out of it.
    damage: Option<String>,
}

impl Default for Unpacking {
    fn default() -> Self {
        Self {
            decoder: MultiGzDecoder::new(Vec::new()),
            packed: Bytes::new(),
            fetched: 0,
            is_fetched: false,
            etag: String::new(),
            out: Vec::new(),
            from: 0,
            is_finished: false,
            is_broken_off: false,
            damage: None,
        }
    }
}

impl Unpacking {
    /// Whether nothing more comes out of it.
    fn is_over(&self) -> bool {
        self.is_finished || self.damage.is_some()
    }

    /// Lets go of what comes before `place`, but for its end. `false` where less comes out of it.
    async fn skip_to(&mut self, place: u64, of: (&ObjectReader, &str)) -> Result<bool, ReadTrouble> {
        loop {
            let reached = self.from + self.out.len() as u64;
            let keep_from = place.min(reached).saturating_sub(TAIL_BYTES).max(self.from);
            self.out.drain(..usize::try_from(keep_from - self.from).unwrap_or_default());
            self.from = keep_from;
            if reached >= place {
                return Ok(true);
            }
            if self.is_over() {
                return Ok(false);
            }
            let missing = usize::try_from(place - reached).unwrap_or(usize::MAX).min(PIECE_BYTES);
            self.fill(self.out.len() + missing, of).await?;
        }
    }

    /// Unpacks until so much is at hand, or nothing more comes.
    async fn fill(
        &mut self,
        wanted: usize,
        (reader, name): (&ObjectReader, &str),
    ) -> Result<(), ReadTrouble> {
        while self.out.len() < wanted && !self.is_over() {
            if self.packed.is_empty() && !self.is_fetched {
                let piece = reader.read(name, self.fetched..self.fetched + PACKED_PIECE_BYTES).await?;
                // Two halves of two blobs give nothing that anybody wrote.
                if self.fetched > 0 && piece.etag != self.etag {
                    return Err(ReadTrouble::Changed);
                }
                self.etag = piece.etag;
                self.fetched += piece.bytes.len() as u64;
                self.is_fetched = self.fetched >= piece.size || piece.bytes.is_empty();
                self.packed = piece.bytes;
            }
            self.unpack_some();
            if self.from + self.out.len() as u64 > UNPACKED_BYTES_MAX {
                self.damage = Some(format!("more than {} GiB come out of it", UNPACKED_BYTES_MAX >> 30));
            }
        }
        Ok(())
    }

    fn unpack_some(&mut self) {
        let step = self.packed.split_to(self.packed.len().min(PACKED_STEP_BYTES));
        let mut unpacked = self.decoder.write_all(&step);
        if unpacked.is_ok() && self.packed.is_empty() && self.is_fetched {
            self.is_finished = true;
            unpacked = self.decoder.try_finish();
        }
        self.out.append(self.decoder.get_mut());
        match unpacked {
            Ok(()) => {}
            // Whatever is wrong with the end, more may follow that mends it.
            Err(_) if self.is_finished => self.is_broken_off = true,
            Err(error) => self.damage = Some(format!("it cannot be unpacked: {error}")),
        }
    }
}
