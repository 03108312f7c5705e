//! A model-based simulation: the real collector and the real store against the emulated service with its quirks mixed, in
//! thousands of random histories, without sockets and without waiting.
//!
//!     cargo simulate -- --histories 10000          # that many, from seed 0 on
//!     cargo simulate -- --seed 4711 --verbose      # one, with its story
//!
//! In `cargo test` a few hundred are lived through. Whatever fails is printed with the command that repeats it.

mod arguments;
mod claims;
mod cloud;
mod dice;
mod history;
mod log;
mod machine;
mod plan;
mod possible;
mod shrink;
mod storage;
mod time;
mod truth;
mod witness;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arguments::Arguments;
use history::Outcome;
use machine::Workshop;
use plan::Plan;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let began = tokio::time::Instant::now();
    let next = AtomicU64::new(0);
    let (sums, failed) = (Mutex::new(Sums::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.min(arguments.histories) {
            scope.spawn(|| worker(&arguments, &next, &sums, &failed));
        }
    });
    let sums = sums.into_inner().expect("no panic while the lock is held");
    println!("{sums} in {:.1} s", began.elapsed().as_secs_f64());
    let mut failed = failed.into_inner().expect("no panic while the lock is held");
    failed.sort_unstable();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{} histories failed: seeds {failed:?}", failed.len());
    ExitCode::FAILURE
}

/// After so many histories it is told how many there have been.
const TOLD_EVERY: u64 = 250;

/// Lives through histories until there are no more.
fn worker(arguments: &Arguments, next: &AtomicU64, sums: &Mutex<Sums>, failed: &Mutex<Vec<u64>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let workshop = runtime.block_on(Workshop::open());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let failures = failed.lock().expect("no panic while the lock is held").len();
        if number >= arguments.histories || failures >= arguments.failures_max {
            return;
        }
        let (seed, source) = arguments.history(number);
        let plan = Plan::new(seed, source);
        let outcome = runtime.block_on(history::run(&workshop, &plan, arguments.verbose));
        let lived = {
            let mut sums = sums.lock().expect("no panic while the lock is held");
            sums.add(&outcome);
            sums.histories
        };
        if lived.is_multiple_of(TOLD_EVERY) {
            eprintln!("{lived} of {} histories, {failures} failed", arguments.histories);
        }
        if arguments.verbose {
            println!("{}", outcome.log);
        }
        if let Some(violation) = &outcome.violation {
            failed.lock().expect("no panic while the lock is held").push(plan.seed);
            println!("seed {}: {}", plan.seed, violation.0);
            println!(
                "  again: cargo simulate -- --seed {}{} --verbose",
                plan.seed,
                Arguments::source_argument(source)
            );
            if arguments.shrink {
                let short = runtime.block_on(shrink::shrink(&workshop, plan));
                println!("  the shortest history found that fails:\n{short}");
            }
        }
    }
}

/// What was lived through.
#[derive(Default)]
struct Sums {
    histories: u64,
    outcome: witness::Counts,
    requests: u64,
    restarts: u64,
}

impl Sums {
    fn add(&mut self, outcome: &Outcome) {
        self.histories += 1;
        self.requests += outcome.requests;
        self.restarts += outcome.restarts;
        self.outcome.add(&outcome.counts);
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { histories, outcome, requests, restarts } = self;
        write!(f, "{histories} histories, {requests} requests, {restarts} restarts, {outcome}")
    }
}
