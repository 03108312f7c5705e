//! The Muster of the demo: this very program, started again as `muster`, in a process of its own, so that its processor
//! time and memory can be told from the emulator's. And how the program reads its own arguments.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The first argument with which the program is the `muster` program instead.
pub(crate) const AS_MUSTER: &str = "as-muster";

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, of user and system.
    pub(crate) cpu: Duration,
    /// The most memory it ever held.
    pub(crate) peak_rss_bytes: u64,
}

/// The program's name and arguments, without one leading `--`: the aliases `cargo demo` and `cargo muster-bench` end with
/// one, and who knows cargo types another.
pub(crate) fn without_separator(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|argument| argument == "--") {
        arguments.remove(1);
    }
    arguments
}

/// Is `muster` when [`muster()`] or [`Program::start`] started this process, and gives `None` otherwise.
pub(crate) fn as_muster(arguments: &[OsString]) -> Option<ExitCode> {
    let (_, arguments) = arguments.split_first()?;
    let (first, arguments) = arguments.split_first()?;
    let name = OsString::from("muster");
    (first == AS_MUSTER).then(|| muster::cli::main(std::iter::once(name).chain(arguments.iter().cloned())))
}

/// Runs a `muster` command to its end.
pub(crate) async fn muster(arguments: &[OsString]) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(AS_MUSTER).args(arguments).stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`muster {}` failed: {}", arguments.join(" ".as_ref()).to_string_lossy(), said.trim());
    }
    Ok(())
}

/// A running program that is measured: `muster run`, or another beside it.
pub(crate) struct Program {
    child: Child,
    pid: u32,
    began: Instant,
}

impl Program {
    /// Starts `muster run` with the settings of `folder`.
    pub(crate) fn start(folder: &Path, log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(AS_MUSTER).arg("--config").arg(folder.join("muster.toml")).arg("run");
        Self::spawn(command, log)
    }

    /// Starts any program, in a process group of its own: Ctrl-C on the terminal is for who started it, who stops it itself.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, pid, began: Instant::now() })
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        match self.child.wait().await {
            Ok(status) => status,
            Err(_) => std::future::pending().await,
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it has used, with what it started: the processor time of all, and the sum of the most memory that each ever held.
    /// `None` where the system does not say so in `/proc`.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let ids = std::fs::read_dir("/proc").ok()?.flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let all = ids.filter_map(Stat::read).filter(|stat| stat.group == self.pid);
        all.filter_map(|stat| stat.usage()).reduce(|one, other| Usage {
            cpu: one.cpu + other.cpu,
            peak_rss_bytes: one.peak_rss_bytes + other.peak_rss_bytes,
        })
    }

    /// Stops it as an operator would, with what it started, and waits.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("Muster has no process id")?;
        rustix::process::kill_process_group(pid, rustix::process::Signal::TERM)?;
        match tokio::time::timeout(Duration::from_secs(40), self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => bail!("Muster did not stop well: {status:?}"),
            Err(_) => bail!("Muster did not stop in time"),
        }
    }
}

/// The processor time of a process until now, where `/proc` says so.
pub(crate) fn cpu_of(pid: u32) -> Option<Duration> {
    Stat::read(pid)?.usage().map(|usage| usage.cpu)
}

/// What `/proc` says of a process, and of its children that have ended.
struct Stat {
    pid: u32,
    group: u32,
    ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in brackets: state is field 3, its group 5, utime, stime, cutime and cstime 14 to 17, in clock ticks.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks =
            fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>()).sum::<Result<_, _>>().ok()?;
        Some(Self { pid, group: fields.get(2)?.parse().ok()?, ticks })
    }

    fn usage(&self) -> Option<Usage> {
        let per_second = rustix::param::clock_ticks_per_second();
        let cpu = Duration::from_millis(self.ticks * 1_000 / per_second.max(1));
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(Usage { cpu, peak_rss_bytes: kibibytes * 1_024 })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    #[derive(serde::Deserialize)]
    struct CargoConfig {
        alias: BTreeMap<String, String>,
    }

    /// What the program sees when `cargo ALIAS TYPED…` is typed, with cargo's own arguments first.
    fn typed(alias: &str, typed: &[&str]) -> (Vec<String>, Vec<OsString>) {
        let config = include_str!("../../../.cargo/config.toml");
        let config: CargoConfig = toml::from_str(config).expect("cargo's configuration");
        let words = config.alias[alias].split_whitespace().chain(typed.iter().copied());
        let words: Vec<String> = words.map(str::to_owned).collect();
        let (cargo, program) =
            words.split_at(words.iter().position(|word| word == "--").expect("an alias with --"));
        let program = std::iter::once("program").chain(program[1..].iter().map(String::as_str));
        (cargo.to_vec(), program.map(OsString::from).collect())
    }

    /// Fails unless cargo shows the build and the program sees `arguments` alone, with and without a `--` of one's own.
    pub(crate) fn reaches_the_program(alias: &str, arguments: &[&str]) -> [Vec<OsString>; 2] {
        [arguments.to_vec(), [&["--"], arguments].concat()].map(|spelling| {
            let (cargo, program) = typed(alias, &spelling);
            assert!(
                !cargo.iter().any(|word| word == "--quiet" || word == "-q"),
                "the build is shown: {cargo:?}"
            );
            let program = super::without_separator(program);
            assert_eq!(
                program[1..],
                arguments.iter().map(OsString::from).collect::<Vec<_>>(),
                "{spelling:?}"
            );
            program
        })
    }

    #[test]
    fn one_separator_is_skipped_and_only_in_front() {
        let arguments = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let skipped = |words| super::without_separator(arguments(words));
        assert_eq!(skipped(&["p"]), arguments(&["p"]));
        assert_eq!(skipped(&["p", "--"]), arguments(&["p"]));
        assert_eq!(skipped(&["p", "--", "--", "a"]), arguments(&["p", "--", "a"]));
        assert_eq!(skipped(&["p", "a", "--"]), arguments(&["p", "a", "--"]));
    }
}
