//! What it costs to look something up in a journal of any size, and to start with it: made-up alerts are put into the store as pages
//! are accepted, `muster alerts search` and `muster trace` look for some of them, each in a process of its own, and a Muster starts
//! with them. Or all of them are owed to the collector, and a Muster starts with that and delivers it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use jiff::{SignedDuration, Timestamp};
use muster_emulator::Handle;
use muster_model::{Clock as _, ContentHash, Cursor, RecordHead, Severity, Source, SystemClock};
use muster_store::{AcceptedPage, Destination, InstanceId, NewRecord, SourceLease, Store};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::database::Database;
use crate::looks::{Looks, first_request, requests, timed};
use crate::process::Program;
use crate::{open, rounded, until_delivered};

const PAGE: u64 = 500;
const LEASE: Duration = Duration::from_secs(86_400);
/// Each alert has a device of so many of its tenant.
const HOSTS: u64 = 500;
/// What makes an alert as long as it is to be.
const FILLER: &str =
    "The process was started by a script that came with a mail, and has reached an address that is known. ";
const FILLERS: usize = 12;

/// For how long a Muster runs with the journal.
const RUNS_FOR: Duration = Duration::from_secs(30);
/// How long it may take to start, and to deliver what is owed.
const PATIENCE: Duration = Duration::from_secs(6 * 3_600);

/// The line of JSON at the end.
#[derive(Debug, Serialize)]
struct Line {
    journal: u64,
    tenants: u64,
    /// From the start of a Muster to its first request, with this journal.
    start_seconds: f64,
    /// In its first half minute, without anything new.
    cpu_seconds: f64,
    peak_rss_mb: f64,
    #[serde(flatten)]
    looks: Looks,
    /// Seconds of each command that looks something up.
    looked_up: Vec<(String, f64)>,
}

/// Puts so many alerts into the journal, as many of each tenant, and measures what that costs.
pub(crate) async fn measure(
    emulator: &Handle,
    folder: &Path,
    (database, address): (Option<&Database>, &str),
    records: u64,
    owed: bool,
) -> anyhow::Result<()> {
    let (_, store) = open(folder).await?;
    let made = make(store.as_ref(), records, owed).await;
    store.close().await;
    let Made { records, tenants, wanted } = made?;
    if owed {
        let (seconds, usage, _) = Box::pin(until_delivered(folder, database, PATIENCE, records)).await?;
        println!(
            "{records} alerts that were owed: {:.0} alerts/s, {} CPU s per million, peak memory {} MB",
            records as f64 / seconds,
            rounded(usage.cpu.as_secs_f64() * 1e6 / records.max(1) as f64),
            rounded(usage.peak_rss_bytes as f64 / 1e6)
        );
        return Ok(());
    }
    let looked_up = look_up(folder, &wanted).await?;
    let before = requests(emulator);
    let mut muster = Program::start(folder, &folder.join("muster.log"))?;
    let start_seconds = rounded(first_request(emulator, &mut muster, before, PATIENCE).await?);
    tokio::select! {
        () = tokio::time::sleep(RUNS_FOR) => {}
        ended = muster.ended() => bail!("Muster ended by itself ({ended})"),
    }
    let usage = muster.usage().ok_or_else(|| anyhow::anyhow!("this system has no /proc"))?;
    let looks = Looks::of(folder, &muster, address, database).await?;
    muster.stop().await?;
    let cpu_seconds = rounded(usage.cpu.as_secs_f64());
    let peak_rss_mb = rounded(usage.peak_rss_bytes as f64 / 1e6);
    println!("  first request after     {start_seconds:>8} s");
    println!(
        "  processor               {cpu_seconds:>8} s in {} s, peak memory {peak_rss_mb} MB",
        RUNS_FOR.as_secs()
    );
    looks.print();
    let line = Line { journal: records, tenants, start_seconds, cpu_seconds, peak_rss_mb, looks, looked_up };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

/// What was made.
struct Made {
    records: u64,
    tenants: u64,
    wanted: Wanted,
}

/// What is looked for: an alert, and a tenant and an hour, of the middle.
struct Wanted {
    tenant: String,
    id: String,
    number: u64,
    from: String,
    to: String,
}

async fn make(store: &dyn Store, records: u64, owed: bool) -> anyhow::Result<Made> {
    let now = SystemClock.now();
    let me = InstanceId(Uuid::new_v4());
    let destinations =
        if owed { [Destination::of(&["splunk".to_owned()])] } else { [Destination::default()] };
    let mut leases = Vec::new();
    loop {
        let some = store.lease_due_sources(me, 64, LEASE, now).await?;
        if some.is_empty() {
            break;
        }
        leases.extend(some);
    }
    leases.retain(|lease| lease.source == Source::GraphAlerts);
    let tenants = leases.len() as u64;
    if tenants == 0 {
        bail!("no tenant is to be read");
    }
    let pages = records.div_ceil(PAGE * tenants).max(1);
    let began = Instant::now();
    let mut bytes = 0;
    for page in 0..pages {
        for (number, lease) in leases.iter().enumerate() {
            bytes += accept(store, lease, number as u64, (page, pages), &destinations, now).await?;
        }
        let done = (page + 1) * PAGE * tenants;
        eprintln!("{done} alerts in the journal, {:.0} s", began.elapsed().as_secs_f64());
    }
    store.drop_leases(me).await?;
    let totals = store.journal_totals().await?;
    println!(
        "{} alerts of {} bytes of {tenants} tenants, {} batches of {:.2} GB, put there in {:.0} s",
        totals.records,
        bytes / totals.records.max(1),
        totals.batches,
        totals.stored_bytes as f64 / 1e9,
        began.elapsed().as_secs_f64()
    );
    let number = pages / 2 * PAGE + 7;
    let from = time(now, (number, pages * PAGE));
    let wanted = Wanted {
        tenant: leases[leases.len() / 2].tenant.slug.to_string(),
        id: id(tenants / 2, number),
        number,
        from: from.to_string(),
        to: (from + SignedDuration::from_hours(1)).to_string(),
    };
    Ok(Made { records: totals.records, tenants, wanted })
}

/// Looks it up in each way; the seconds of each.
async fn look_up(folder: &Path, wanted: &Wanted) -> anyhow::Result<Vec<(String, f64)>> {
    let Wanted { tenant, id, number, from, to } = wanted;
    let search = ["alerts", "search"];
    let mut looked_up = Vec::new();
    println!("{:<52} {:>9} {:>9}", "", "seconds", "peak MB");
    for (what, arguments) in [
        ("trace ID, in all tenants", &["trace", id][..]),
        ("alerts show ID", &["alerts", "show", id]),
        ("search --id", &[&search[..], &["--id", id]].concat()),
        ("search (the latest 50)", &search),
        ("search --tenant", &[&search[..], &["--tenant", tenant]].concat()),
        (
            "search --tenant --since --until (an hour)",
            &[&search[..], &["--tenant", tenant, "--since", from, "--until", to]].concat(),
        ),
        ("search --tenant --host", &[&search[..], &["--tenant", tenant, "--host", "host-77"]].concat()),
        ("search --host, 50 of all tenants", &[&search[..], &["--host", "host-77"]].concat()),
        ("search --host of nobody, everywhere", &[&search[..], &["--host", "no-such-host"]].concat()),
        ("search --text that is nowhere, everywhere", &[&search[..], &["--text", "zebra crossing"]].concat()),
        (
            "search --text that one has, everywhere",
            &[&search[..], &["--text", &format!("marker {number}")]].concat(),
        ),
    ] {
        let (seconds, peak) = timed(folder, arguments).await?;
        println!("{what:<52} {seconds:>9.2} {peak:>9.0}");
        looked_up.push((what.to_owned(), rounded(seconds)));
    }
    Ok(looked_up)
}

fn id(tenant: u64, number: u64) -> String {
    format!("da{tenant:04}{number:09}_1")
}

/// Changed evenly over the last 60 days.
fn time(now: Timestamp, (number, all): (u64, u64)) -> Timestamp {
    let seconds = 60 * 86_400 * number / all.max(1);
    now - SignedDuration::from_hours(60 * 24) + SignedDuration::from_secs(seconds.cast_signed())
}

/// Accepts a page of alerts; the bytes of their bodies.
async fn accept(
    store: &dyn Store,
    lease: &SourceLease,
    tenant: u64,
    (page, pages): (u64, u64),
    destinations: &[Destination],
    now: Timestamp,
) -> anyhow::Result<u64> {
    let numbers = page * PAGE..(page + 1) * PAGE;
    let alerts = numbers.map(|number| {
        let (id, at) = (id(tenant, number), time(now, (number, pages * PAGE)));
        let host = number.wrapping_mul(7_919) % HOSTS;
        let mut body = format!(
            r##"{{"id":"{id}","title":"Suspicious activity {number}","severity":"medium","status":"new","createdDateTime":"{at}","lastUpdateDateTime":"{at}","serviceSource":"microsoftDefenderForEndpoint","evidence":[{{"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"host-{host}.customer{tenant}.example"}},{{"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{{"accountName":"user-{}","domainName":"C{tenant}"}}}}],"description":"marker {number}: "##,
            number % 97
        );
        for _ in 0..FILLERS {
            body.push_str(FILLER);
        }
        write!(body, "{}\"}}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).expect("writing to memory");
        let hash = ContentHash::of(body.as_bytes());
        let head = RecordHead {
            id,
            updated_at: Some(at),
            created_at: Some(at),
            severity: Severity::Medium,
            hash,
            change: None,
        };
        (head, body)
    });
    let alerts: Vec<_> = alerts.collect();
    let records = alerts.iter().map(|(head, body)| NewRecord { head: head.clone(), body, destination: 0 });
    let accepted = AcceptedPage {
        records: records.collect(),
        text: None,
        dead_letters: Vec::new(),
        destinations,
        cursor: Cursor::starting(now),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, accepted, LEASE, now).await?;
    Ok(alerts.iter().map(|(_, body)| body.len() as u64).sum())
}
