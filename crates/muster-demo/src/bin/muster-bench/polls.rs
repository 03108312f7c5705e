//! `--poll-seconds`: many tenants are polled for a while, with new alerts appearing. How far polling lags behind, how long an alert
//! takes from its becoming visible to the collector's acknowledgement, and what all of it costs.
//!
//! How long an alert takes is drawn from what the emulated cloud and the collector wrote down; Muster is not asked.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use muster_emulator::receivers::{Produced, RecordKind};
use muster_emulator::{Handle, NotedRequest};
use muster_model::{Clock as _, SystemClock};
use muster_store::SourceState;
use serde::Serialize;
use tokio::time::Instant;

use crate::database::Database;
use crate::looks::{Looks, first_request, requests};
use crate::process::Program;
use crate::{Args, PATIENCE, delivered, open, rounded};

/// How long is waited beyond an interval for what appeared last.
const LAST_ONES: Duration = Duration::from_secs(60);
/// So many sources are looked at in a second, since looking takes the processor from whom it looks at.
const LOOKED_AT_PER_SECOND: usize = 5_000;

/// The line of JSON at the end.
#[derive(Debug, Serialize)]
struct Line {
    store: &'static str,
    tenants: usize,
    poll_seconds: u64,
    produced: u64,
    delivered: u64,
    /// From the start of the process to its first request.
    start_seconds: f64,
    /// Until every tenant had been read once.
    first_round_seconds: f64,
    /// Seconds since a source was last read to its end, over all sources and all moments after the first round.
    lag_median: f64,
    lag_p99: f64,
    lag_max: f64,
    cpu_seconds_per_minute: f64,
    /// Of the processes of the database's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_seconds_per_minute: Option<f64>,
    peak_rss_mb: f64,
    #[serde(flatten)]
    delays: Delays,
    #[serde(flatten)]
    looks: Looks,
}

/// How long alerts took that became visible after the first round.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct Delays {
    /// Versions that were acknowledged.
    acknowledged: usize,
    /// Those that nobody could fetch any more when the tenant was asked: a newer one had come.
    overtaken: usize,
    missing: usize,
    /// Seconds from its becoming visible to the collector's acknowledgement: the median, 95 and 99 of a hundred.
    delay: [f64; 3],
    /// The same, less the wait until the tenant was next asked for.
    delay_once_asked: [f64; 3],
    /// `delay`, less the same share of the interval: what is waited by whoever asks on the second and takes no time.
    delay_beyond_interval: [f64; 3],
}

/// Polls for a while and looks now and then at how long ago each source was read.
pub(crate) async fn run(
    emulator: &Handle,
    folder: &Path,
    (database, address): (Option<&Database>, &str),
    args: &Args,
    poll_seconds: u64,
) -> anyhow::Result<()> {
    emulator.note_requests();
    let (_, store) = open(folder).await?;
    let before = requests(emulator);
    let mut muster = Program::start(folder, &folder.join("muster.log"))?;
    let start_seconds = first_request(emulator, &mut muster, before, PATIENCE).await?;
    let pause = Duration::from_secs(args.tenants.div_ceil(LOOKED_AT_PER_SECOND).max(1) as u64);
    let server_cpu = async || match database {
        Some(database) => Ok(Some(database.cpu().await?)),
        None => anyhow::Ok(None),
    };
    let (mut first_round, mut lags) = (None, Vec::new());
    while muster.uptime() < Duration::from_secs(args.seconds) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            ended = muster.ended() => bail!("Muster ended by itself ({ended})"),
        }
        let now = SystemClock.now();
        let states = store.source_states().await?;
        let read: Vec<f64> = states.iter().filter_map(|state| lag(state, now)).collect();
        if read.len() < args.tenants {
            continue;
        }
        if first_round.is_none() {
            let usage = muster.usage().context("this system has no /proc")?;
            first_round = Some((muster.uptime(), now, usage, server_cpu().await?));
        }
        lags.extend(read);
    }
    let (first, since, usage_before, server_before) =
        first_round.context("not every tenant was read once: give it more --seconds")?;
    let usage = muster.usage().context("this system has no /proc")?;
    let minutes = (muster.uptime() - first).as_secs_f64() / 60.0;
    let a_minute = |cpu: Duration| rounded(cpu.as_secs_f64() / minutes.max(1e-3));
    let server =
        server_before.zip(server_cpu().await?).map(|(before, now)| a_minute(now.saturating_sub(before)));
    emulator.pause();
    wait_for_the_last_ones(emulator, Duration::from_secs(poll_seconds) + LAST_ONES).await;
    let delays = Delays::of(emulator, since, poll_seconds);
    let delivered = delivered(store.as_ref()).await?;
    let looks = Looks::of(folder, &muster, address, database).await?;
    store.close().await;
    muster.stop().await?;
    lags.sort_by(f64::total_cmp);
    let line = Line {
        store: if database.is_some() { "postgres" } else { "sqlite" },
        tenants: args.tenants,
        poll_seconds,
        produced: emulator.produced_counts().alerts,
        delivered,
        start_seconds: rounded(start_seconds),
        first_round_seconds: rounded(first.as_secs_f64()),
        lag_median: quantile(&lags, 0.5),
        lag_p99: quantile(&lags, 0.99),
        lag_max: quantile(&lags, 1.0),
        cpu_seconds_per_minute: a_minute(usage.cpu - usage_before.cpu),
        server_cpu_seconds_per_minute: server,
        peak_rss_mb: rounded(usage.peak_rss_bytes as f64 / 1e6),
        delays,
        looks,
    };
    line.print(args.seconds);
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

impl Line {
    fn print(&self, seconds: u64) {
        let Self { tenants, poll_seconds, .. } = self;
        println!(
            "{tenants} tenants polled every {poll_seconds} s for {seconds} s, the store in {}",
            self.store
        );
        println!("  first request after     {:>8} s", self.start_seconds);
        println!("  all read once after     {:>8} s", self.first_round_seconds);
        println!(
            "  seconds since last read {:>8} (median) {} (99 %) {} (max)",
            self.lag_median, self.lag_p99, self.lag_max
        );
        println!("  processor               {:>8} s a minute", self.cpu_seconds_per_minute);
        if let Some(server) = self.server_cpu_seconds_per_minute {
            println!("  the database's server   {server:>8} s a minute");
        }
        println!("  peak memory             {:>8} MB", self.peak_rss_mb);
        self.delays.print();
        self.looks.print();
    }
}

impl Delays {
    /// Of what became visible since then.
    fn of(emulator: &Handle, since: Timestamp, poll_seconds: u64) -> Self {
        let (asked, mut truth) = (emulator.noted_requests(), emulator.truth());
        truth.retain(|version| {
            version.kind == RecordKind::Alert
                && version.visible_from >= since
                && version.visible_until.is_none_or(|until| until > version.visible_from)
        });
        let versions: Vec<Produced> = truth
            .iter()
            .map(|version| Produced {
                tenant: version.tenant.clone(),
                kind: version.kind,
                id: version.id.clone(),
                updated_ms: version.updated_ms,
            })
            .collect();
        // The collector counts by a clock that is never put right; the emulated cloud has the time of day.
        let (instant, time) = (Instant::now(), SystemClock.now());
        let when = |at: Instant| {
            time - jiff::SignedDuration::try_from(instant.saturating_duration_since(at)).unwrap_or_default()
        };
        let mut seen = Vec::new();
        let (mut overtaken, mut missing) = (0, 0);
        for (version, acknowledged) in truth.iter().zip(emulator.receivers().hec_acknowledged_at(&versions)) {
            match (acknowledged, version.visible_until) {
                (Some(acknowledged), _) => {
                    let asked = asked.get(&version.tenant).map_or(&[][..], Vec::as_slice);
                    seen.push(Seen::of(version.visible_from, when(acknowledged), asked));
                }
                (None, Some(_)) => overtaken += 1,
                (None, None) => missing += 1,
            }
        }
        Self { overtaken, missing, ..Self::from_seen(&seen, poll_seconds) }
    }

    fn from_seen(seen: &[Seen], poll_seconds: u64) -> Self {
        const SHARES: [f64; 3] = [0.5, 0.95, 0.99];
        let sorted = |of: fn(&Seen) -> f64| {
            let mut all: Vec<f64> = seen.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            SHARES.map(|share| quantile(&all, share))
        };
        let (delay, delay_once_asked) = (sorted(|seen| seen.delay), sorted(|seen| seen.once_asked));
        let mut delay_beyond_interval = delay;
        for (delay, share) in delay_beyond_interval.iter_mut().zip(SHARES) {
            *delay = rounded(*delay - share * poll_seconds as f64);
        }
        let acknowledged = seen.len();
        Self { acknowledged, delay, delay_once_asked, delay_beyond_interval, ..Self::default() }
    }

    fn print(&self) {
        let of = |[median, most, nearly_all]: [f64; 3]| {
            format!("{median:>8} (median) {most} (95 %) {nearly_all} (99 %)")
        };
        println!("  seconds to be acknowledged, of {} versions", self.acknowledged);
        println!("    since it was visible  {}", of(self.delay));
        println!("    beyond the interval   {}", of(self.delay_beyond_interval));
        println!("    once asked for        {}", of(self.delay_once_asked));
        if self.overtaken + self.missing > 0 {
            println!(
                "    never acknowledged    {:>8}, and {} overtaken before",
                self.missing, self.overtaken
            );
        }
    }
}

/// How long one version took, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    delay: f64,
    once_asked: f64,
}

impl Seen {
    /// `asked`: when its tenant was asked for, in order.
    fn of(visible: Timestamp, acknowledged: Timestamp, asked: &[NotedRequest]) -> Self {
        let next = asked.get(asked.partition_point(|asked| asked.at < visible)).map(|asked| asked.at);
        // One that became visible while an answer was written came with that.
        let next = next.filter(|next| *next <= acknowledged).unwrap_or(visible);
        let seconds = |from: Timestamp| acknowledged.duration_since(from).as_secs_f64();
        Self { delay: seconds(visible), once_asked: seconds(next) }
    }
}

/// Waits until the collector has everything, for so long at most.
async fn wait_for_the_last_ones(emulator: &Handle, patience: Duration) {
    let began = Instant::now();
    while emulator.tally().lost > 0 && began.elapsed() < patience {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // What has just come is acknowledged, too.
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn lag(state: &SourceState, now: Timestamp) -> Option<f64> {
    state.last_success_at.map(|at| now.duration_since(at).as_secs_f64())
}

/// Of numbers in order; 0 of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(place).copied().map_or(0.0, rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("a time")
    }

    #[test]
    fn the_wait_for_the_next_poll_is_told_apart() {
        let asked = [0, 60, 120].map(|second| NotedRequest { at: at(second), from: 1 });
        assert_eq!(Seen::of(at(20), at(62), &asked), Seen { delay: 42.0, once_asked: 2.0 });
        // The poll that could have brought it did not, and the next one did.
        assert_eq!(Seen::of(at(20), at(121), &asked), Seen { delay: 101.0, once_asked: 61.0 });
        // It came with an answer that was being written.
        assert_eq!(Seen::of(at(61), at(62), &asked), Seen { delay: 1.0, once_asked: 1.0 });
    }

    #[test]
    fn the_interval_is_taken_off_by_share() {
        let seen: Vec<Seen> =
            (0..=100).map(|second| Seen { delay: 0.6 * f64::from(second) + 1.0, once_asked: 1.0 }).collect();
        let delays = Delays::from_seen(&seen, 60);
        assert_eq!(delays.delay, [31.0, 58.0, 60.4]);
        assert_eq!((delays.delay_beyond_interval, delays.delay_once_asked), ([1.0; 3], [1.0; 3]));
    }
}
