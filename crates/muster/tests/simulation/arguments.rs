//! The command line.

use muster_model::Source;

/// How many histories `cargo test` lives through.
const IN_TESTS: u64 = 150;

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
        parsed.histories = histories.unwrap_or(if seed.is_some() { 1 } else { IN_TESTS });
        Ok(Some(parsed))
    }

    /// The part of a command line that names the source.
    pub(crate) fn source_argument(&self) -> String {
        self.source.map(|source| format!(" --source {source}")).unwrap_or_default()
    }
}
