//! What it costs to look something up in a journal of any size: made-up alerts are put into the store as pages are accepted, and
//! `muster alerts search` and `muster trace` look for some of them, each in a process of its own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use muster_model::{Clock as _, ContentHash, Cursor, RecordHead, Severity, Source, SystemClock};
use muster_store::{AcceptedPage, Destination, InstanceId, NewRecord, SourceLease, Store};
use tokio::process::Command;
use tokio::time::Instant;
use uuid::Uuid;

use crate::process::AS_MUSTER;

const PAGE: u64 = 500;
const LEASE: Duration = Duration::from_secs(86_400);
/// Each alert has a device of so many of its tenant.
const HOSTS: u64 = 500;
/// What makes an alert as long as it is to be.
const FILLER: &str =
    "The process was started by a script that came with a mail, and has reached an address that is known. ";
const FILLERS: usize = 12;

/// Puts so many alerts into the journal, as many of each tenant, and measures what looking them up costs.
pub(crate) async fn measure(folder: &Path, store: &dyn Store, records: u64) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let mut leases = Vec::new();
    loop {
        let some = store.lease_due_sources(InstanceId(Uuid::new_v4()), 64, LEASE, now).await?;
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
            bytes += accept(store, lease, (number as u64, tenants), (page, pages), now).await?;
        }
        let done = (page + 1) * PAGE * tenants;
        eprintln!("{done} alerts in the journal, {:.0} s", began.elapsed().as_secs_f64());
    }
    let totals = store.journal_totals().await?;
    println!(
        "{} alerts of {} bytes of {tenants} tenants, {} batches of {:.2} GB",
        totals.records,
        bytes / totals.records.max(1),
        totals.batches,
        totals.stored_bytes as f64 / 1e9
    );
    // An alert of the middle, and a tenant of the middle.
    let (tenant, middle) = (leases[leases.len() / 2].tenant.slug.to_string(), pages / 2 * PAGE + 7);
    let id = id(tenants / 2, middle);
    let day = time(now, (middle, pages * PAGE));
    let next = day + SignedDuration::from_hours(1);
    let (day, next) = (day.to_string(), next.to_string());
    let search = ["alerts", "search"];
    println!("{:<52} {:>9} {:>9}", "", "seconds", "peak MB");
    for (what, arguments) in [
        ("trace ID, in all tenants", &["trace", &id][..]),
        ("alerts show ID", &["alerts", "show", &id]),
        ("search --id", &[&search[..], &["--id", &id]].concat()),
        ("search (the latest 50)", &search),
        ("search --tenant", &[&search[..], &["--tenant", &tenant]].concat()),
        (
            "search --tenant --since --until (an hour)",
            &[&search[..], &["--tenant", &tenant, "--since", &day, "--until", &next]].concat(),
        ),
        ("search --tenant --host", &[&search[..], &["--tenant", &tenant, "--host", "host-77"]].concat()),
        ("search --host, 50 of all tenants", &[&search[..], &["--host", "host-77"]].concat()),
        ("search --host of nobody, everywhere", &[&search[..], &["--host", "no-such-host"]].concat()),
        ("search --text that is nowhere, everywhere", &[&search[..], &["--text", "zebra crossing"]].concat()),
        (
            "search --text that one has, everywhere",
            &[&search[..], &["--text", &format!("marker {}", middle)]].concat(),
        ),
    ] {
        let (seconds, peak) = timed(folder, arguments).await?;
        println!("{what:<52} {seconds:>9.2} {peak:>9.0}");
    }
    Ok(())
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
    (tenant, _): (u64, u64),
    (page, pages): (u64, u64),
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
        destinations: &[Destination::default()],
        cursor: Cursor::starting(now),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, accepted, LEASE, now).await?;
    Ok(alerts.iter().map(|(_, body)| body.len() as u64).sum())
}

/// How long a command takes, and the most memory that it holds, in megabytes.
async fn timed(folder: &Path, arguments: &[&str]) -> anyhow::Result<(f64, f64)> {
    let config = [OsString::from("--config"), folder.join("muster.toml").into()];
    let began = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .arg(AS_MUSTER)
        .args(config)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id().context("it has ended")?);
    let mut peak = 0.0_f64;
    loop {
        tokio::select! {
            ended = child.wait() => {
                let seconds = began.elapsed().as_secs_f64();
                if !ended?.success() {
                    bail!("`muster {}` failed", arguments.join(" "));
                }
                return Ok((seconds, peak));
            }
            () = tokio::time::sleep(Duration::from_millis(2)) => {
                let status = std::fs::read_to_string(&status).unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
                let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0.0);
                peak = peak.max(kibibytes * 1.024e-3);
            }
        }
    }
}
