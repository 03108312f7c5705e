//! The command line.

use muster_model::Source;

/// How many histories `cargo test` lives through with Graph's lists.
const IN_TESTS: u64 = 105;
/// How many more of each of the others.
const OF_OTHERS_IN_TESTS: u64 = 17;
/// The sources that have histories of their own in tests: those that are not Graph's lists.
const OTHERS: [&str; 6] = [
    "endpoint_alerts",
    "xdr_incidents",
    "siem_feed",
    crate::machine::GRAPH_HUNT,
    crate::machine::XDR_HUNT,
    crate::machine::STREAM,
];

/// What is to be lived through.
pub(crate) struct Arguments {
    pub(crate) histories: u64,
    pub(crate) seed: u64,
    pub(crate) source: Option<Source>,
    pub(crate) verbose: bool,
    pub(crate) shrink: bool,
    pub(crate) threads: u64,
    /// It ends after so many failures.
    pub(crate) failures_max: usize,
    in_tests: bool,
}

impl Arguments {
    /// Reads the command line; `None` where nothing is to be done, since `cargo test NAME` wants other tests.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mut parsed = Self {
            histories: IN_TESTS,
            seed: 0,
            source: None,
            verbose: false,
            shrink: false,
            threads: cores as u64,
            failures_max: 10,
            in_tests: false,
        };
        let (mut histories, mut seed) = (None, None);
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
                value.ok_or_else(|| format!("{argument} wants a number"))
            };
            match argument.as_str() {
                "--histories" => histories = Some(number()?),
                "--seed" => seed = Some(number()?),
                "--threads" => parsed.threads = number()?.max(1),
                "--failures" => parsed.failures_max = usize::try_from(number()?).unwrap_or(usize::MAX),
                "--source" => {
                    let name = arguments.next().unwrap_or_default();
                    parsed.source = Some(name.parse().map_err(|error| format!("--source: {error}"))?);
                }
                "--verbose" => parsed.verbose = true,
                "--shrink" => parsed.shrink = true,
                "--help" | "-h" => {
                    println!(
                        "cargo simulate -- [--histories N] [--seed N] [--source NAME] [--verbose] [--shrink] [--threads N] [--failures N]"
                    );
                    return Ok(None);
                }
                // What `cargo test` hands to every test: its own options and names of tests.
                "--list" => return Ok(None),
                "--test-threads" | "--skip" | "--format" | "--color" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                other if other.starts_with('-') => {}
                name if "simulation".contains(name) => {}
                _ => return Ok(None),
            }
        }
        parsed.seed = seed.unwrap_or(0);
        parsed.in_tests = histories.is_none() && seed.is_none() && parsed.source.is_none();
        let in_tests = IN_TESTS + OF_OTHERS_IN_TESTS * OTHERS.len() as u64;
        let usual = if parsed.in_tests { in_tests } else { IN_TESTS };
        parsed.histories = histories.unwrap_or(if seed.is_some() { 1 } else { usual });
        Ok(Some(parsed))
    }

    /// The seed of a history, and its only source, by its number.
    pub(crate) fn history(&self, number: u64) -> (u64, Option<Source>) {
        match number.checked_sub(IN_TESTS) {
            Some(beyond) if self.in_tests => {
                let others = OTHERS.len() as u64;
                let name = OTHERS[usize::try_from(beyond % others).expect("few sources")];
                (beyond / others, Some(name.parse::<Source>().expect("a source")))
            }
            _ => (self.seed + number, self.source),
        }
    }

    /// The part of a command line that names the source.
    pub(crate) fn source_argument(source: Option<Source>) -> String {
        source.map(|source| format!(" --source {source}")).unwrap_or_default()
    }
}
