//! `cargo muster-chaos`: one Muster, or three that share a database, while everything around it goes wrong. Nodes are killed
//! and paused, the database is cut off and fails over, disks fill up, clocks jump, receivers lose their answers, Microsoft
//! throttles, keys are rotated and tenants come and go, all drawn from a seed. In the end it is left in peace, and an account
//! is drawn of what was produced and what became of it, from what the emulated world and the receivers wrote down.
//!
//! The exit code is 0 where every promise was kept, 1 where something was lost, invented, or doubled where nothing may be, or
//! where a node crashed or did not stop, and 2 where the run itself failed.

mod account;
mod content;
mod database;
mod disk;
mod link;
mod nodes;
mod plan;
#[path = "../../process.rs"]
#[expect(dead_code, reason = "the demo and the benchmark need more of it")]
mod process;
mod stage;
mod takeover;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use muster_emulator::receivers::{ReceiverFault, ReceiverName};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};

use crate::account::{Account, Evidence, Seen, Sink};
use crate::nodes::Muster;
use crate::plan::{Disaster, Layout, Receiver, Step, Tenants};
use crate::stage::{Stage, Staging};
use crate::takeover::TakeOvers;

/// How long it may take until everything has arrived once it is left in peace.
const PATIENCE: Duration = Duration::from_secs(900);
/// Everything is there, and for so long nothing has come again: longer than the collector is waited for.
const QUIET: Duration = Duration::from_secs(25);
/// How often it says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Runs Muster while everything around it goes wrong, and tells what was lost and doubled.
#[derive(Debug, Parser)]
#[command(name = "cargo muster-chaos", version, max_term_width = 100)]
struct Args {
    /// How long disasters strike: so many hours …
    #[arg(long, default_value_t = 0)]
    hours: u64,
    /// … and minutes; five where neither is told …
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// … and seconds.
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// All disasters, and the emulated world, are drawn from this.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Where the store is: one node with a file, or three nodes on a PostgreSQL of its own with a standby.
    #[arg(long, value_enum, default_value_t = Layout::Sqlite)]
    store: Layout,
    /// Tenants that are there from the beginning; a third as many are onboarded on the way at most.
    #[arg(long, default_value_t = 12)]
    tenants: usize,
    /// Alerts that appear in a second.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How many seconds after it was read each tenant is asked for again.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    poll_seconds: u64,
    /// The `muster` that runs at first; without it, the one that was built with this program.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// The `muster` that upgrades bring, and the next upgrade takes away again; without it, the one that was built with this
    /// program.
    #[arg(long, value_name = "PATH")]
    upgrade_to: Option<PathBuf>,
    /// Of the plan, only disasters of this kind, in the words of the account (`node killed`); may be told several times.
    #[arg(long, value_name = "KIND")]
    only: Vec<String>,
    /// With `--only`: another plan, which has no other kinds, and so one of these every few seconds.
    #[arg(long, requires = "only")]
    often: bool,
    /// Print which disasters would strike when, and run nothing.
    #[arg(long)]
    plan: bool,
    /// Keep settings, logs and what the sinks wrote in this folder, which must be empty or new.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// How the account is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
    /// Break a promise on purpose, to see that the account tells it.
    #[arg(long, value_enum, hide = true)]
    sabotage: Option<Sabotage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sabotage {
    /// The collector acknowledges events and loses them.
    Lose,
    /// An object is there twice.
    Double,
}

impl Args {
    fn lasts(&self) -> Duration {
        match Duration::from_secs(self.hours * 3_600 + self.minutes * 60 + self.seconds) {
            Duration::ZERO => Duration::from_secs(300),
            told => told,
        }
    }

    fn all_tenants(&self) -> Tenants {
        Tenants { at_first: self.tenants, all: self.tenants + self.tenants.div_ceil(3) }
    }
}

/// What is printed in the end.
#[derive(Debug, Serialize)]
struct Report<'a> {
    clean: bool,
    store: &'static str,
    seed: u64,
    /// For how long disasters struck.
    seconds: u64,
    /// From then on until everything had arrived.
    seconds_until_quiet: f64,
    /// How often each kind struck.
    disasters: BTreeMap<&'static str, u64>,
    /// What struck when.
    history: Vec<Struck>,
    /// Those that could not be carried out as planned.
    failed: Vec<String>,
    left_out: &'a [String],
    /// How often a node ended without having been told to, and was started again.
    nodes_ended_by_themselves: u32,
    /// How long tenants of nodes that were killed waited.
    take_over: TakeOvers,
    #[serde(flatten)]
    account: &'a Account,
}

/// A disaster of the report.
#[derive(Debug, Serialize)]
struct Struck {
    from_seconds: f64,
    to_seconds: f64,
    what: String,
}

impl Struck {
    fn of(struck: &account::Struck) -> Self {
        let seconds = |at: Duration| (at.as_secs_f64() * 10.0).round() / 10.0;
        let what = struck.disaster.to_string();
        Self { from_seconds: seconds(struck.from), to_seconds: seconds(struck.to), what }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = process::as_muster(&arguments) {
        return code;
    }
    let args = Args::parse_from(process::without_separator(arguments));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cargo muster-chaos: {error}");
            return ExitCode::from(2);
        }
    };
    // On a worker's thread, since a server ends with the thread that has started it.
    let done = runtime.block_on(async {
        let mut running = JoinSet::new();
        running.spawn(async move { chaos(&args).await });
        match running.join_next().await {
            Some(done) => done.map_err(anyhow::Error::from).and_then(|done| done),
            None => bail!("nothing ran"),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo muster-chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
async fn chaos(args: &Args) -> anyhow::Result<bool> {
    let only: &[String] = if args.often { &args.only } else { &[] };
    let mut steps = plan::plan(args.store, args.all_tenants(), args.lasts(), args.seed, only);
    let kinds: BTreeSet<&str> = steps.iter().map(|step| step.disaster.kind()).collect();
    if let Some(unknown) = args.only.iter().find(|only| !kinds.contains(only.as_str())) {
        let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
        bail!("there is no disaster `{unknown}` in this plan, but {kinds}");
    }
    steps.retain(|step| args.only.is_empty() || args.only.iter().any(|only| only == step.disaster.kind()));
    if args.plan {
        for step in &steps {
            println!("{:>8.1} s  {:>3} s  {}", step.at.as_secs_f64(), step.lasts.as_secs(), step.disaster);
        }
        return Ok(true);
    }
    let temporary = tempfile::tempdir()?;
    let folder = match &args.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            if std::fs::read_dir(folder)?.next().is_some() {
                bail!("{} is not empty; name another folder with --keep", folder.display());
            }
            folder.canonicalize()?
        }
        None => temporary.path().to_owned(),
    };
    eprintln!("setting up {} tenants in {} …", args.tenants, folder.display());
    let mut stage = Stage::set(Staging {
        layout: args.store,
        tenants: args.all_tenants(),
        rate: args.rate,
        interval: Duration::from_secs(args.poll_seconds),
        seed: args.seed,
        folder: &folder,
        programs: [Muster::of(args.program.as_ref()), Muster::of(args.upgrade_to.as_ref())],
    })
    .await?;
    let mut left_out: BTreeMap<&str, u32> = BTreeMap::new();
    for step in steps.extract_if(.., |step| !stage.is_able_to(step.disaster)) {
        *left_out.entry(step.disaster.kind()).or_default() += 1;
    }
    stage.left_out.extend(left_out.iter().map(|(kind, count)| format!("{kind}: {count} of the plan")));
    for left_out in &stage.left_out {
        eprintln!("left out: {left_out}");
    }
    if !stage.left_out.is_empty() && are_peers_required() {
        stage.end().await?;
        bail!("MUSTER_REQUIRE_PEERS is 1, but this machine leaves out: {}", stage.left_out.join("; "));
    }
    stage.begin().await?;
    let stage = Arc::new(stage);
    let clean = tokio::select! {
        clean = live_through(args, &stage, steps) => clean,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    stage.end().await?;
    if matches!(clean, Ok(true)) || args.keep.is_some() {
        return clean;
    }
    eprintln!("the logs are kept in {}", temporary.keep().display());
    clean
}

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there is the machine's affair, not the settings'"
)]
fn are_peers_required() -> bool {
    std::env::var_os("MUSTER_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

async fn live_through(args: &Args, stage: &Arc<Stage>, steps: Vec<Step>) -> anyhow::Result<bool> {
    if args.sabotage == Some(Sabotage::Lose) {
        let forgets = ReceiverFault::Forgets { one_event_in: 20 };
        stage.emulator.receivers().set_fault(ReceiverName::Hec, forgets);
    }
    strike(args, stage, steps).await?;
    stage.emulator.pause();
    let lasted = stage.now();
    stage.say("left in peace; waiting until everything has arrived …");
    stage.calm().await?;
    let seen = wait_until_quiet(args, stage).await?;
    let until_quiet = stage.now().saturating_sub(lasted);
    let (nodes_ended_by_themselves, faults) = stage.stop_nodes().await;
    let produced = stage.produced();
    let struck = stage.struck.lock().expect("no panic while it is held").clone();
    let account = Account::of(&Evidence {
        produced: &produced,
        tenants: &stage.tenants,
        onboarded: &stage.onboarded.lock().expect("no panic while it is held").clone(),
        offboarded: &stage.offboarded.lock().expect("no panic while it is held").clone(),
        seen: &seen,
        struck: &struck,
        faults: &faults,
        began_ms: stage.began_ms,
    });
    let mut disasters = BTreeMap::new();
    for struck in &struck {
        *disasters.entry(struck.disaster.kind()).or_default() += 1;
    }
    let failed =
        struck.iter().filter_map(|struck| Some(format!("{}: {}", struck.disaster, struck.failed.as_ref()?)));
    let report = Report {
        clean: account.is_clean(),
        store: match args.store {
            Layout::Sqlite => "sqlite",
            Layout::Postgres => "postgres",
        },
        seed: args.seed,
        seconds: args.lasts().as_secs(),
        seconds_until_quiet: (until_quiet.as_secs_f64() * 10.0).round() / 10.0,
        disasters,
        history: struck.iter().map(Struck::of).collect(),
        failed: failed.collect(),
        left_out: &stage.left_out,
        nodes_ended_by_themselves,
        take_over: TakeOvers::of(
            &stage.kills.lock().expect("no panic while it is held"),
            &stage.emulator.noted_requests(),
            stage.interval,
        ),
        account: &account,
    };
    match args.output {
        OutputFormat::Json => println!("{}", serde_json::to_string(&report)?),
        OutputFormat::Table => print_table(&report),
    }
    Ok(report.clean)
}

/// Lets each disaster strike at its time; ends when all are over.
async fn strike(args: &Args, stage: &Arc<Stage>, steps: Vec<Step>) -> anyhow::Result<()> {
    let end = args.lasts();
    let (mut steps, mut striking) = (steps.into_iter().peekable(), JoinSet::new());
    let (mut look, mut progress) = (interval(Duration::from_millis(500)), interval(PROGRESS));
    let began = Instant::now();
    while began.elapsed() < end || !striking.is_empty() {
        let next = steps.peek().map_or(end, |step| step.at);
        tokio::select! {
            () = sleep_until(began + next), if began.elapsed() < end => {
                let Some(step) = steps.next() else { continue };
                let is_sabotaged = matches!(step.disaster, Disaster::Receiver { receiver: Receiver::Splunk, .. })
                    && args.sabotage == Some(Sabotage::Lose);
                if !is_sabotaged {
                    let stage = Arc::clone(stage);
                    striking.spawn(async move { stage.strike(step).await });
                }
            }
            Some(done) = striking.join_next() => done.context("a disaster")?,
            _ = look.tick() => stage.look_after_nodes(),
            _ = progress.tick() => {
                let produced = stage.produced();
                say_progress(stage, produced.len(), &stage.received(&produced));
            }
        }
    }
    Ok(())
}

fn say_progress(stage: &Stage, versions: usize, seen: &[Seen]) {
    let missing = seen.iter().map(|seen| format!("{:?} {}", seen.sink, stage.owed(&seen.tally)));
    let missing: Vec<String> = missing.collect();
    stage.say(&format!("{versions} versions produced; under way: {}", missing.join(", ")));
}

/// Waits until everything has arrived and nothing comes any more, or it is given up; what the receivers have then.
async fn wait_until_quiet(args: &Args, stage: &Stage) -> anyhow::Result<Vec<Seen>> {
    let mut look = interval(Duration::from_secs(1));
    let (until, mut told) = (Instant::now() + PATIENCE, Instant::now());
    let (mut received, mut changed) = (0, Instant::now());
    let produced = stage.produced();
    let loses = args.sabotage == Some(Sabotage::Lose);
    // What Splunk loses on purpose is not waited for, but all else is.
    let waits = |seen: &&Seen| !(loses && seen.sink == Sink::Splunk);
    let owed = |seen: &[Seen]| -> u64 { seen.iter().filter(waits).map(|seen| stage.owed(&seen.tally)).sum() };
    loop {
        look.tick().await;
        stage.look_after_nodes();
        let mut seen = stage.received(&produced);
        let now: u64 = seen.iter().map(|seen| seen.tally.received).sum();
        if now != received {
            (received, changed) = (now, Instant::now());
        }
        let is_quiet = changed.elapsed() > QUIET;
        if is_quiet && owed(&seen) == 0 || Instant::now() > until {
            seen = stage.seen(&produced)?;
            if owed(&seen) == 0 || Instant::now() > until {
                if args.sabotage == Some(Sabotage::Double) {
                    stage.double_an_object()?;
                    seen = stage.seen(&produced)?;
                }
                return Ok(seen);
            }
            changed = Instant::now();
        }
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            say_progress(stage, produced.len(), &seen);
        }
    }
}

fn print_table(report: &Report<'_>) {
    let struck: Vec<String> =
        report.disasters.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!(
        "{} s of disasters on {} (seed {}); everything had arrived {} s later",
        report.seconds, report.store, report.seed, report.seconds_until_quiet
    );
    println!("struck: {}", struck.join(", "));
    if report.nodes_ended_by_themselves > 0 {
        println!("nodes ended by themselves: {}", report.nodes_ended_by_themselves);
    }
    for failed in &report.failed {
        println!("not done as planned: {failed}");
    }
    for left_out in report.left_out {
        println!("left out: {left_out}");
    }
    let TakeOvers { kills, tenants, never, since_kill, since_due } = &report.take_over;
    if *kills > 0 {
        println!(
            "after {kills} kills, {tenants} times a tenant of the dead node was asked for again ({never} times never): {} s \
             (median), {} s (99 %), {} s (longest) after the kill, and {} s, {} s, {} s after it was due",
            since_kill.median, since_kill.p99, since_kill.max, since_due.median, since_due.p99, since_due.max
        );
    }
    print!("{}", report.account.text());
    println!("{}", if report.clean { "every promise was kept" } else { "A PROMISE WAS BROKEN" });
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Args, Layout};
    use crate::process::tests::reaches_the_program;

    #[test]
    fn the_alias_takes_arguments_with_and_without_a_separator() {
        let told = ["--hours", "1", "--minutes", "30", "--seed", "3", "--store", "postgres"];
        for arguments in reaches_the_program("muster-chaos", &told) {
            let args = Args::try_parse_from(arguments).expect("arguments of the program");
            assert_eq!((args.lasts().as_secs(), args.seed, args.store), (5_400, 3, Layout::Postgres));
        }
        for arguments in reaches_the_program("muster-chaos", &[]) {
            let args = Args::try_parse_from(arguments).expect("no arguments");
            assert_eq!(args.lasts().as_secs(), 300);
        }
    }
}
