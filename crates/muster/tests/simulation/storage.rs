//! The storage of a history's stream: blobs into which Defender's rows are written, and what goes wrong with them. It writes
//! down when a row could be read, at the moment at which a blob changes, and answers as S3 does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use muster_emulator::TruthVersion;
use muster_emulator::receivers::RecordKind;

use crate::dice::Dice;
use crate::time::Time;

/// Where it answers.
pub(crate) const HOST: &str = "storage.example";
const BUCKET: &str = "streamed";
/// Somebody else's rows are of this tenant.
const STRANGER: &str = "99999999-8888-4777-8666-555555555555";
/// What stands around the mark of a line that is no row.
const JUNK: [(&str, &str); 6] = [
    ("", ""),
    ("{\"a\":\"", "\"}"),
    ("{\"time\":\"", ""),
    ("[\"", ""),
    ("\"", "\""),
    ("{\"category\":\"", "\"}"),
];
/// A compressed blob that is torn lacks so many bytes.
const TORN_BYTES: usize = 7;

/// A change of what lies there for one tenant. Numbers choose among its blobs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BlobChange {
    /// So many rows behind those of the blob of this hour, some of them older by up to so many seconds.
    Append {
        rows: u32,
        older_seconds: u64,
        end: End,
    },
    /// What is cut in some blob goes on, or never does, and others follow it.
    Finish {
        blob: u64,
        is_given_up: bool,
    },
    /// A blob of an hour that is long over, which listings show so much later.
    Old {
        hours: u64,
        rows: u32,
        shows_after_seconds: u64,
    },
    /// A compressed blob, or more for one, perhaps without its end.
    Packed {
        rows: u32,
        is_torn: bool,
    },
    /// Another content, with some of the rows that were there.
    Replace {
        blob: u64,
    },
    Vanish {
        blob: u64,
    },
    Empty,
    /// A line that is no row, between rows.
    Junk {
        blob: u64,
    },
    /// Rows of somebody else, between rows.
    Foreign {
        blob: u64,
    },
}

/// How the last row of an addition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Line,
    Bare,
    Cut,
}

/// What goes wrong for a while with requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StorageTrouble {
    pub(crate) kind: TroubleKind,
    /// One in so many requests, or blobs, is struck.
    pub(crate) one_in: u64,
    /// So long, where it ends by itself.
    pub(crate) lasting: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum TroubleKind {
    /// Listings are refused, with this status.
    ListRefused(u16),
    /// The XML of a listing ends early.
    ListTorn,
    /// A listing is given in pages of so many blobs.
    ListInPages(usize),
    /// Some blobs are refused, with this status.
    ReadRefused(u16),
    /// An answer breaks off.
    Cut,
    /// No answer comes.
    Silent,
    /// Blobs change while requests are on their way.
    Restless,
}

/// The headers of an answer.
type Headers = Vec<(&'static str, String)>;

/// What becomes of a request.
pub(crate) enum Answered {
    Whole(u16, Headers, Bytes),
    /// It breaks off behind these bytes.
    Cut(u16, Headers, Bytes),
    Silence,
}

/// A row, and what the log of truth says of it.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) told: TruthVersion,
    pub(crate) updated_at: Timestamp,
    pub(crate) line: String,
    /// The blob that holds it, by its name below its tenant's url.
    pub(crate) blob: String,
}

struct Blob {
    tenant: String,
    content: Vec<u8>,
    /// What is still to be written of its last row, or of its compressed end.
    rest: Vec<u8>,
    /// The rows that are whole in it, those that are once the rest is written, and what is no row of its tenant.
    rows: Vec<usize>,
    pending: Vec<usize>,
    junk: Vec<String>,
    is_packed: bool,
    /// Whether it has changed since Muster's settings want it read.
    is_wanted: bool,
    etag: u64,
    modified: Timestamp,
    shows_at: Timestamp,
}

struct State {
    dice: Dice,
    tenants: Vec<String>,
    blobs: BTreeMap<String, Blob>,
    rows: Vec<Row>,
    troubles: Vec<(StorageTrouble, Option<Timestamp>)>,
    changes: u64,
    etags: u64,
    lines: u64,
}

/// A bucket.
pub(crate) struct Storage {
    time: Arc<Time>,
    state: Mutex<State>,
}

impl Storage {
    /// With `rows` for each tenant over the last `past`, of which those in blobs that changed before `since` are not to be
    /// read.
    pub(crate) fn new(
        seed: u64,
        time: &Arc<Time>,
        tenants: Vec<String>,
        (rows, past, since): (u64, Duration, Timestamp),
    ) -> Arc<Self> {
        let (blobs, kept, troubles) = (BTreeMap::new(), Vec::new(), Vec::new());
        let dice = Dice::new(seed, 3);
        let mut state = State { dice, tenants, blobs, rows: kept, troubles, changes: 0, etags: 0, lines: 0 };
        let now = time.world();
        for tenant in state.tenants.clone() {
            let mut times: Vec<Timestamp> =
                (0..rows).map(|_| now - Duration::from_secs(state.dice.below(past.as_secs()))).collect();
            times.sort();
            for at in times {
                state.write(&tenant, &hourly(&tenant, at, "PT1H.json"), (&[at], End::Line, false), at);
            }
        }
        for blob in state.blobs.values_mut() {
            blob.is_wanted = blob.modified >= since;
            if !blob.is_wanted {
                blob.rows.iter().for_each(|row| state.rows[*row].told.visible_from = Timestamp::MAX);
            }
        }
        Arc::new(Self { time: Arc::clone(time), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }

    /// The log of truth up to now, and after how many changes; `None` where there were no others.
    pub(crate) fn rows_after(&self, changes: Option<u64>) -> Option<(u64, Vec<Row>)> {
        let state = self.state();
        (changes != Some(state.changes)).then(|| (state.changes, state.rows.clone()))
    }

    /// What is no row of its tenant and can be read now: whose blob it is in, and what is known of it again.
    pub(crate) fn junk(&self) -> Vec<(String, String)> {
        let state = self.state();
        let wanted = state.blobs.values().filter(|blob| blob.is_wanted);
        wanted.flat_map(|blob| blob.junk.iter().map(|line| (blob.tenant.clone(), line.clone()))).collect()
    }

    pub(crate) fn change(&self, tenant: usize, change: BlobChange) {
        self.state().change(tenant, change, self.time.world());
    }

    pub(crate) fn trouble(&self, trouble: StorageTrouble) {
        let until = trouble.lasting.map(|lasting| self.time.world() + lasting);
        self.state().troubles.push((trouble, until));
    }

    pub(crate) fn clear(&self) {
        self.state().troubles.clear();
    }

    /// Answers a request for this path, query and range. Whether it asks for the first page of a listing is [`is_listing`].
    pub(crate) fn answer(&self, path: &str, query: &str, range: Option<&str>) -> Answered {
        let now = self.time.world();
        let mut state = self.state();
        state.troubles.retain(|(_, until)| until.is_none_or(|until| now < until));
        if state.is_struck(|kind| matches!(kind, TroubleKind::Restless)) {
            let tenants = state.tenants.len() as u64;
            let tenant = usize::try_from(state.dice.below(tenants)).expect("few tenants");
            let change = random_change(&mut state.dice);
            state.change(tenant, change, now);
        }
        if state.is_struck(|kind| matches!(kind, TroubleKind::Silent)) {
            return Answered::Silence;
        }
        let name = decoded(path.trim_start_matches('/').strip_prefix(BUCKET).unwrap_or_default());
        let name = name.trim_start_matches('/');
        let (status, headers, body) = match name {
            "" => state.list(query, now),
            name => state.read(name, range, now),
        };
        if state.is_struck(|kind| matches!(kind, TroubleKind::Cut)) {
            let half = body.slice(..body.len() / 2);
            return Answered::Cut(status, headers, half);
        }
        Answered::Whole(status, headers, body)
    }
}

/// Whether a request asks for a listing from its beginning.
pub(crate) fn is_listing(query: &str) -> bool {
    query.contains("list-type") && !query.contains("continuation-token")
}

/// A change, by chance.
pub(crate) fn random_change(dice: &mut Dice) -> BlobChange {
    let blob = dice.below(1 << 40);
    match dice.below(100) {
        0..46 => BlobChange::Append {
            rows: dice.small(1, 12),
            older_seconds: dice.pick(&[1, 60, 600, 600, 4_000, 30_000]),
            end: dice.pick(&[End::Line, End::Line, End::Line, End::Bare, End::Cut, End::Cut]),
        },
        46..58 => BlobChange::Finish { blob, is_given_up: dice.percent(25) },
        58..66 => BlobChange::Old {
            hours: dice.between(1, 30),
            rows: dice.small(1, 6),
            shows_after_seconds: dice.pick(&[0, 0, 300, 3_000]),
        },
        66..76 => BlobChange::Packed { rows: dice.small(1, 12), is_torn: dice.percent(30) },
        76..83 => BlobChange::Replace { blob },
        83..87 => BlobChange::Vanish { blob },
        87..90 => BlobChange::Empty,
        90..96 => BlobChange::Junk { blob },
        _ => BlobChange::Foreign { blob },
    }
}

/// Troubles, by chance.
pub(crate) fn random_trouble(dice: &mut Dice) -> StorageTrouble {
    let kind = match dice.below(10) {
        0 => TroubleKind::ListRefused(dice.pick(&[403, 404, 429, 500, 503])),
        1 => TroubleKind::ListTorn,
        2 => TroubleKind::ListInPages(usize::try_from(dice.between(1, 5)).expect("small")),
        3 | 4 => TroubleKind::ReadRefused(dice.pick(&[403, 403, 409, 500, 503])),
        5 | 6 => TroubleKind::Cut,
        7 => TroubleKind::Silent,
        _ => TroubleKind::Restless,
    };
    let lasting = dice.percent(60).then(|| Duration::from_secs(dice.between(30, 20_000)));
    StorageTrouble { kind, one_in: dice.pick(&[1, 2, 2, 3, 5]), lasting }
}

impl State {
    fn is_struck(&mut self, is: fn(TroubleKind) -> bool) -> bool {
        let Some((trouble, _)) = self.troubles.iter().find(|(trouble, _)| is(trouble.kind)) else {
            return false;
        };
        let one_in = trouble.one_in;
        self.dice.below(one_in) == 0
    }

    fn list(&mut self, query: &str, now: Timestamp) -> (u16, Headers, Bytes) {
        let refused = self.troubles.iter().find_map(|(trouble, _)| match trouble.kind {
            TroubleKind::ListRefused(status) => Some((status, trouble.one_in)),
            _ => None,
        });
        if let Some((status, one_in)) = refused
            && self.dice.below(one_in) == 0
        {
            return (status, Vec::new(), Bytes::from_static(b"<Error><Code>Refused</Code></Error>"));
        }
        let option = |wanted: &str| {
            let mut options = url::form_urlencoded::parse(query.as_bytes());
            options.find(|(key, _)| key == wanted).map(|(_, value)| value.into_owned())
        };
        let (prefix, after) = (option("prefix").unwrap_or_default(), option("continuation-token"));
        let most = self.troubles.iter().find_map(|(trouble, _)| match trouble.kind {
            TroubleKind::ListInPages(most) => Some(most),
            _ => None,
        });
        let most = most.unwrap_or(1_000);
        let mut listed = self.blobs.iter().filter(|(name, blob)| {
            blob.shows_at <= now
                && name.starts_with(&prefix)
                && after.as_deref().is_none_or(|after| name.as_str() > after)
        });
        let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
        let mut last = "";
        for (name, blob) in listed.by_ref().take(most) {
            xml.push_str(&format!(
                "<Contents><Key>{name}</Key><LastModified>{:.3}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Contents>",
                blob.modified, blob.etag, blob.content.len()
            ));
            last = name;
        }
        if listed.next().is_some() {
            xml.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        }
        xml.push_str("</ListBucketResult>");
        if self.is_struck(|kind| matches!(kind, TroubleKind::ListTorn)) {
            xml.truncate(xml.len() - 1 - xml.len() / 3);
        }
        (200, vec![("content-type", "application/xml".to_owned())], xml.into())
    }

    fn read(&mut self, name: &str, range: Option<&str>, now: Timestamp) -> (u16, Headers, Bytes) {
        let error = |status| (status, Vec::new(), Bytes::from_static(b"<Error><Code>Refused</Code></Error>"));
        let refused = self.troubles.iter().find_map(|(trouble, _)| match trouble.kind {
            TroubleKind::ReadRefused(status) if number_of(name).is_multiple_of(trouble.one_in) => {
                Some(status)
            }
            _ => None,
        });
        if let Some(status) = refused {
            return error(status);
        }
        let Some(blob) = self.blobs.get(name).filter(|blob| blob.shows_at <= now) else {
            return (404, Vec::new(), Bytes::from_static(b"<Error><Code>NoSuchKey</Code></Error>"));
        };
        let bounds = range.and_then(|range| range.strip_prefix("bytes="));
        let bounds = bounds.and_then(|bounds| bounds.split_once('-'));
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let Some((from, to)) = bounds.map(|(from, to)| (number(from), number(to) + 1)) else {
            return error(400);
        };
        let size = blob.content.len();
        if from >= size {
            return error(416);
        }
        let to = to.min(size);
        let headers = vec![
            ("etag", format!("\"{}\"", blob.etag)),
            ("last-modified", blob.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            ("content-length", (to - from).to_string()),
            ("content-range", format!("bytes {from}-{}/{size}", to - 1)),
        ];
        (206, headers, Bytes::copy_from_slice(&blob.content[from..to]))
    }

    fn change(&mut self, tenant: usize, change: BlobChange, now: Timestamp) {
        self.changes += 1;
        let tenant = self.tenants[tenant % self.tenants.len()].clone();
        let names: Vec<String> = self
            .blobs
            .iter()
            .filter(|(_, blob)| blob.tenant == tenant)
            .map(|(name, _)| name.clone())
            .collect();
        let pick = |number: u64| {
            let place = usize::try_from(number % (names.len().max(1) as u64)).expect("few blobs");
            names.get(place).cloned()
        };
        match change {
            BlobChange::Append { rows, older_seconds, end } => {
                let times = self.times(rows, older_seconds, now);
                self.write(&tenant, &hourly(&tenant, now, "PT1H.json"), (&times, end, false), now);
            }
            BlobChange::Packed { rows, is_torn } => {
                let times = self.times(rows, 600, now);
                let end = if is_torn { End::Cut } else { End::Line };
                self.write(&tenant, &hourly(&tenant, now, "PT1H.json.gz"), (&times, end, true), now);
            }
            BlobChange::Old { hours, rows, shows_after_seconds } => {
                let then = now - SignedDuration::from_hours(i64::try_from(hours).expect("few"));
                let times = self.times(rows, 600, then);
                self.etags += 1;
                let name = hourly(&tenant, then, &format!("late-{}.json", self.etags));
                let shows_at = now + Duration::from_secs(shows_after_seconds);
                self.write(&tenant, &name, (&times, End::Line, false), now);
                let blob = self.blobs.get_mut(&name).expect("it was just written");
                blob.shows_at = shows_at;
                blob.rows.iter().for_each(|row| self.rows[*row].told.visible_from = shows_at);
            }
            BlobChange::Empty => {
                self.etags += 1;
                let name = hourly(&tenant, now, &format!("empty-{}.json", self.etags));
                self.write(&tenant, &name, (&[], End::Line, false), now);
            }
            BlobChange::Finish { blob, is_given_up } => {
                let cut = |name: &&String| !self.blobs[*name].rest.is_empty();
                let cut: Vec<&String> = names.iter().filter(cut).collect();
                let place = usize::try_from(blob % (cut.len().max(1) as u64)).expect("few blobs");
                let Some(name) = cut.get(place) else { return };
                let is_packed = self.blobs[*name].is_packed;
                if is_given_up && !is_packed {
                    let blob = self.blobs.get_mut(*name).expect("it is there");
                    (blob.rest, blob.pending) = (b"\n".to_vec(), Vec::new());
                }
                let times = self.times(u32::from(!is_packed), 60, now);
                self.write(&tenant, name, (&times, End::Line, is_packed), now);
            }
            BlobChange::Replace { blob } => {
                let Some(name) = pick(blob) else { return };
                let Some(old) = self.blobs.remove(&name) else { return };
                let (mut kept, mut gone) = (Vec::new(), Vec::new());
                for row in old.rows {
                    let is_kept = self.dice.percent(60) && self.rows[row].told.visible_from != Timestamp::MAX;
                    if is_kept { kept.push(row) } else { gone.push(row) }
                }
                self.end(&gone, now);
                // In another order.
                let first = usize::try_from(self.dice.below(kept.len() as u64)).expect("few rows");
                kept.rotate_left(first);
                let times = self.times(1, 600, now);
                self.write(&tenant, &name, (&times, End::Line, false), now);
                let lines: Vec<u8> =
                    kept.iter().flat_map(|row| format!("{}\n", self.rows[*row].line).into_bytes()).collect();
                let blob = self.blobs.get_mut(&name).expect("it was just written");
                blob.content.extend_from_slice(&lines);
                blob.rows.extend(kept);
                blob.shows_at = blob.shows_at.max(old.shows_at);
                for row in &blob.rows {
                    let told = &mut self.rows[*row].told;
                    told.visible_from = told.visible_from.max(old.shows_at);
                }
            }
            BlobChange::Vanish { blob } => {
                let Some(old) = pick(blob).and_then(|name| self.blobs.remove(&name)) else { return };
                self.end(&old.rows, now);
            }
            BlobChange::Junk { blob } => {
                let Some(name) = self.whole_plain(pick(blob)) else { return };
                self.lines += 1;
                let mark = format!("junk-{}", self.lines);
                let (before, behind) = self.dice.pick(&JUNK);
                let blob = self.blobs.get_mut(&name).expect("it is there");
                blob.content.extend_from_slice(format!("\n{before}{mark}{behind}\n").as_bytes());
                blob.junk.push(mark);
                let times = self.times(1, 60, now);
                self.write(&tenant, &name, (&times, End::Line, false), now);
            }
            BlobChange::Foreign { blob } => {
                let Some(name) = self.whole_plain(pick(blob)) else { return };
                self.lines += 1;
                let line = line(STRANGER, self.lines, now);
                let blob = self.blobs.get_mut(&name).expect("it is there");
                blob.content.extend_from_slice(format!("\n{line}\n").as_bytes());
                blob.junk.push(line);
                let times = self.times(1, 60, now);
                self.write(&tenant, &name, (&times, End::Line, false), now);
            }
        }
    }

    /// A blob that is neither compressed nor cut.
    fn whole_plain(&self, name: Option<String>) -> Option<String> {
        name.filter(|name| self.blobs.get(name).is_some_and(|blob| !blob.is_packed && blob.rest.is_empty()))
    }

    fn times(&mut self, rows: u32, older_seconds: u64, now: Timestamp) -> Vec<Timestamp> {
        (0..rows).map(|_| now - Duration::from_secs(self.dice.below(older_seconds + 1))).collect()
    }

    /// Writes what is left of a blob's rest, and behind it rows of these times.
    fn write(
        &mut self,
        tenant: &str,
        name: &str,
        (times, end, is_packed): (&[Timestamp], End, bool),
        now: Timestamp,
    ) {
        self.etags += 1;
        let etag = self.etags;
        let blob = self.blobs.entry(name.to_owned()).or_insert_with(|| Blob {
            tenant: tenant.to_owned(),
            content: Vec::new(),
            rest: Vec::new(),
            rows: Vec::new(),
            pending: Vec::new(),
            junk: Vec::new(),
            is_packed,
            is_wanted: true,
            etag,
            modified: now,
            shows_at: now,
        });
        // Another content may have taken the place of a compressed one.
        let is_packed = blob.is_packed;
        let rest = std::mem::take(&mut blob.rest);
        blob.content.extend_from_slice(&rest);
        let mut whole = std::mem::take(&mut blob.pending);
        let mut text = Vec::new();
        for (number, at) in times.iter().enumerate() {
            self.lines += 1;
            let line = line(tenant, self.lines, *at);
            let is_last = number + 1 == times.len();
            text.extend_from_slice(line.as_bytes());
            if !is_last || end != End::Bare {
                text.push(b'\n');
            }
            let place = self.rows.len();
            let told = TruthVersion {
                tenant: tenant.to_owned(),
                kind: RecordKind::Alert,
                id: self.lines.to_string(),
                version: 1,
                what: "streamed",
                updated: at.to_string(),
                updated_ms: at.as_millisecond(),
                made_at: now,
                visible_from: Timestamp::MAX,
                visible_until: None,
                newest: true,
            };
            let (_, blob_name) = name.split_once('/').expect("below its tenant's");
            self.rows.push(Row { told, updated_at: *at, blob: blob_name.to_owned(), line });
            if end == End::Cut && (is_last || is_packed) {
                blob.pending.push(place)
            } else {
                whole.push(place)
            }
        }
        if is_packed && !text.is_empty() {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&text).expect("memory has room");
            text = encoder.finish().expect("memory has room");
        }
        if end == End::Cut {
            let last = times.len().checked_sub(1).map_or(0, |_| self.rows[self.rows.len() - 1].line.len());
            let cut = if is_packed {
                TORN_BYTES
            } else {
                2 + usize::try_from(self.dice.below(last as u64 - 2)).expect("a line")
            };
            blob.rest = text.split_off(text.len() - cut);
        }
        blob.content.extend_from_slice(&text);
        (blob.etag, blob.modified) = (etag, now);
        let was_wanted = std::mem::replace(&mut blob.is_wanted, true);
        blob.rows.extend(&whole);
        let shows_at = blob.shows_at.max(now);
        let shown = if was_wanted { &whole } else { &blob.rows };
        shown.iter().for_each(|row| self.rows[*row].told.visible_from = shows_at);
    }

    /// Nobody can read these rows any more.
    fn end(&mut self, rows: &[usize], now: Timestamp) {
        rows.iter().for_each(|row| self.rows[*row].told.visible_until = Some(now));
    }
}

/// The name of a blob of an hour, as Azure makes them.
fn hourly(tenant: &str, at: Timestamp, file: &str) -> String {
    format!("tenantId={tenant}/{}/{file}", at.strftime("y=%Y/m=%m/d=%d/h=%H/m=00"))
}

/// Every other row is an alert, known by its id; the others are known by their content.
fn line(tenant: &str, number: u64, at: Timestamp) -> String {
    let (table, id) = match number % 2 {
        0 => ("AlertInfo", format!("\"AlertId\":\"{number}\",")),
        _ => ("DeviceEvents", String::new()),
    };
    format!(
        r#"{{"time":"{at}","tenantId":"{tenant}","operationName":"Publish","category":"AdvancedHunting-{table}","properties":{{{id}"Timestamp":"{at}","ReportId":"{number}","Title":"a \"row\" {{number {number}}}\\"}}}}"#
    )
}

/// A number that a name always has.
fn number_of(name: &str) -> u64 {
    name.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = (*first == b'%').then(|| behind.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).expect("names are text")
}
