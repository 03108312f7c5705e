//! Muster in turns with another program that does the same: what counts is the ratio of two that ran in the same minute.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use muster_emulator::Handle;
use muster_model::{Clock as _, SystemClock};
use serde::Serialize;
use tokio::process::Command;

use crate::process::Program;
use crate::yardstick::{AS_YARDSTICK, DONE, Work};
use crate::{Args, PATIENCE, Trip, emulator, muster_path, rounded, set_up, tally};

/// What Muster is measured against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Other<'a> {
    /// The shortest program.
    Yardstick,
    /// A command line.
    Command(&'a str),
}

/// What one program took.
#[derive(Debug, Clone, Copy, Serialize)]
struct Cost {
    alerts_per_second: f64,
    cpu_seconds_per_million: f64,
    peak_rss_mb: f64,
}

/// The line of JSON at the end: medians, and the ratios of Muster to the other.
#[derive(Debug, Serialize)]
struct Line {
    pairs: usize,
    alerts: u64,
    other: Cost,
    muster: Cost,
    cpu_ratio: f64,
    memory_ratio: f64,
}

/// Runs the pairs and prints them.
pub(crate) async fn run(args: &Args, other: Other<'_>) -> anyhow::Result<()> {
    if args.pairs == 0 {
        bail!("--pairs is 0: there is nothing to run");
    }
    let name = match other {
        Other::Yardstick => "yardstick",
        Other::Command(_) => "the other",
    };
    println!("{} alerts from {} tenants, {} pairs", args.alerts, args.tenants, args.pairs);
    println!("{:<12} {:>9} {:>11} {:>9}", "", "alerts/s", "CPU s/10^6", "peak MB");
    let (mut others, mut musters) = (Vec::new(), Vec::new());
    for _ in 0..args.pairs {
        let took = Box::pin(one(args, Some(other))).await.with_context(|| format!("{name} failed"))?;
        took.print(name);
        others.push(took);
        let took = Box::pin(one(args, None)).await.context("Muster failed")?;
        took.print("Muster");
        musters.push(took);
    }
    let ratio = |of: fn(&Cost) -> f64| {
        let ratios = others.iter().zip(&musters).map(|(other, muster)| of(muster) / of(other).max(1e-9));
        rounded(median(ratios.collect()))
    };
    let line = Line {
        pairs: args.pairs,
        alerts: args.alerts,
        other: Cost::median(&others),
        muster: Cost::median(&musters),
        cpu_ratio: ratio(|cost| cost.cpu_seconds_per_million),
        memory_ratio: ratio(|cost| cost.peak_rss_mb),
    };
    println!("Medians of {} pairs:", args.pairs);
    line.other.print(name);
    line.muster.print("Muster");
    println!(
        "Muster takes {} times the processor time and {} times the memory",
        line.cpu_ratio, line.memory_ratio
    );
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

/// Runs a program once, with an emulator of its own.
async fn one(args: &Args, other: Option<Other<'_>>) -> anyhow::Result<Cost> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path().join("muster");
    let emulator = emulator(args).await?;
    let trip = match other {
        Some(other) => other_path(&emulator, temporary.path(), args, other).await,
        None => match set_up(&emulator, &folder, None, "").await {
            Ok(()) => muster_path(&emulator, &folder, args.alerts).await,
            Err(error) => Err(error),
        },
    };
    emulator.stop().await;
    let Trip { seconds, usage, lost, doubled } = trip?;
    if lost > 0 || doubled > 0 {
        bail!(
            "{lost} alerts are missing at the receiver, and {doubled} came twice: a figure of that says nothing"
        );
    }
    Ok(Cost {
        alerts_per_second: (args.alerts as f64 / seconds).round(),
        cpu_seconds_per_million: rounded(usage.cpu.as_secs_f64() * 1e6 / args.alerts.max(1) as f64),
        peak_rss_mb: rounded(usage.peak_rss_bytes as f64 / 1e6),
    })
}

/// Runs the other program until it says that it is done, or the collector has every alert.
async fn other_path(emulator: &Handle, folder: &Path, args: &Args, other: Other<'_>) -> anyhow::Result<Trip> {
    let facts = emulator.client_config();
    let since: Timestamp = SystemClock.now().checked_sub(Duration::from_secs(30 * 86_400))?;
    let work = Work {
        login: facts.login,
        graph: facts.graph,
        client_id: facts.app_id,
        client_secret: facts.secret,
        tenants: emulator.tenants().into_iter().map(|tenant| tenant.id).collect(),
        since: since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        alerts: args.alerts,
        hec: facts.addresses.hec_url().context("the emulator has no collector")?,
        hec_token: facts.hec_token,
        folder: folder.display().to_string(),
    };
    let file = folder.join("work.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&work)?)?;
    let log = folder.join("other.log");
    let command = match other {
        Other::Yardstick => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(AS_YARDSTICK).arg(&file);
            command
        }
        Other::Command(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(line).env("MUSTER_BENCH_WORK", &file);
            command
        }
    };
    let mut program = Program::spawn(command, &log)?;
    let said = || {
        let log = std::fs::read(&log).unwrap_or_default();
        let tail = &log[log.len().saturating_sub(2_000)..];
        String::from_utf8_lossy(tail).trim().to_owned()
    };
    // To look through the collector takes processor time from everybody, so that is done seldom.
    let pause = match other {
        Other::Yardstick => Duration::from_millis(50),
        Other::Command(_) => Duration::from_millis(250),
    };
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            ended = program.ended() => bail!("it ended by itself ({ended}), and had said: {}", said()),
        }
        let done = match other {
            Other::Yardstick => folder.join(DONE).exists(),
            Other::Command(_) => tally(emulator)?.0 == 0,
        };
        if done {
            break;
        }
        if program.uptime() > PATIENCE {
            bail!("it did not deliver everything within {PATIENCE:?}, and had said: {}", said());
        }
    }
    let seconds = program.uptime().as_secs_f64();
    let usage = program.usage().context("this system has no /proc")?;
    // It is done, and need not end well.
    program.stop().await.ok();
    let (lost, doubled) = tally(emulator)?;
    Ok(Trip { seconds, usage, lost, doubled })
}

impl Cost {
    fn print(&self, name: &str) {
        let Self { alerts_per_second, cpu_seconds_per_million, peak_rss_mb } = self;
        println!("{name:<12} {alerts_per_second:>9.0} {cpu_seconds_per_million:>11.1} {peak_rss_mb:>9.1}");
    }

    fn median(all: &[Self]) -> Self {
        let of = |of: fn(&Self) -> f64| median(all.iter().map(of).collect());
        Self {
            alerts_per_second: of(|cost| cost.alerts_per_second),
            cpu_seconds_per_million: of(|cost| cost.cpu_seconds_per_million),
            peak_rss_mb: of(|cost| cost.peak_rss_mb),
        }
    }
}

/// The one in the middle; of an even number the mean of the two.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    match all.len() % 2 {
        0 => (all[middle - 1] + all[middle]) / 2.0,
        _ => all[middle],
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(super::median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(super::median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
