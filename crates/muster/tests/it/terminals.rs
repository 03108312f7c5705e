//! Terminals, and what stands in for them: no command panics, hangs or writes what was not wanted, however narrow, blind
//! or gone its terminal is.

use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::Duration;

use muster_emulator::Config;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Setup, config, eventually, signal};

/// Commands that end by themselves, and print something.
const COMMANDS: &[&[&str]] = &[
    &["--help"],
    &["help", "tenant"],
    &["validate"],
    &["status"],
    &["status", "--failing"],
    &["tenant", "list"],
    &["tenant", "show", "SLUG"],
    &["tenant", "guide", "SLUG"],
    &["fetch", "--tenant", "SLUG", "--limit", "3"],
    &["hunt", "AlertInfo | take 3", "--tenant", "SLUG", "--api", "xdr"],
    &["ledger"],
    &["ledger", "--tenant", "SLUG"],
    &["backfill", "list"],
    &["trace", "no-such-record"],
    &["alerts", "search"],
    &["alerts", "show", "no-such-record"],
    &["sink", "list"],
    &["sink", "test"],
    &["app", "show"],
    &["app", "check"],
    &["key", "show"],
    &["audit", "list"],
    &["audit", "export"],
    &["token", "list"],
    &["token", "acquire", "--tenant", "SLUG"],
    &["dead-letter", "list"],
    &["completions", "bash"],
];

struct Place {
    setup: Setup,
    slug: String,
}

impl Place {
    async fn new() -> Self {
        let setup = Setup::start(Config { tenants: 1, alerts: Some(10), ..config() }, "").await;
        let shown = setup.muster(&["--output", "json", "tenant", "list"]).await;
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let slug = shown[0]["slug"].as_str().expect("a slug").to_owned();
        Self { setup, slug }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let arguments: Vec<&str> =
            arguments.iter().map(|word| if *word == "SLUG" { self.slug.as_str() } else { word }).collect();
        self.setup.command(&arguments)
    }
}

async fn ended(mut command: Command, what: &str) -> Output {
    let output = timeout(Duration::from_secs(60), command.output()).await;
    output.unwrap_or_else(|_| panic!("{what} hangs")).expect("muster starts")
}

/// Neither a panic nor the end by a signal; what is said of the fault is for a person.
fn assert_ended_well(output: &Output, what: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!error.contains("panicked"), "{what}: {error}");
    assert!(output.status.code().is_some_and(|code| code < 10), "{what}: {:?}: {error}", output.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_width_and_no_environment_stop_a_command() {
    let place = Place::new().await;
    for arguments in COMMANDS {
        for columns in ["0", "1", "20", "99999", "-3", "many"] {
            // One of the widths for each command beside the narrow ones, which are tried with all.
            if !["0", "20"].contains(&columns) && arguments.len() != 1 {
                continue;
            }
            let what = format!("{arguments:?} with {columns} columns");
            let mut command = place.command(arguments);
            command.env_clear().env("COLUMNS", columns).env("NO_COLOR", "1");
            let output = ended(command, &what).await;
            assert_ended_well(&output, &what);
            assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{what}: colours");
            assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{what}: silence");
        }
    }
}

/// `muster status | head -1`, and a reader that is gone before the first byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_gone_is_no_failure() {
    let place = Place::new().await;
    for arguments in COMMANDS {
        let what = format!("{arguments:?} for nobody");
        let mut child =
            place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("muster");
        drop(child.stdout.take());
        let output = timeout(Duration::from_secs(60), child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("{what} hangs")).expect("it ends");
        assert_ended_well(&output, &what);
    }
    // Both are closed, and then even an error has nobody to go to.
    for arguments in
        [&["status"][..], &["tenant", "show", "nobody"], &["fetch", "--all"], &["no-such-command"]]
    {
        let what = format!("{arguments:?} without standard output and error");
        let mut child =
            place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("muster");
        drop((child.stdout.take(), child.stderr.take()));
        let status = timeout(Duration::from_secs(60), child.wait()).await.expect("it ends").expect("it ends");
        assert!(status.code().is_some_and(|code| code < 10), "{what}: {status:?}");
    }
}

/// `muster run 2>&1 | head`: whoever read the log is gone, and the work goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_stops_nothing() {
    let place = Place::new().await;
    let mut command = place.command(&["run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("muster starts");
    drop((child.stdout.take(), child.stderr.take()));
    eventually("everything arrives", async || place.setup.lost() == 0).await;
    signal(&child, Signal::TERM);
    assert!(child.wait().await.expect("it ends").success());
}

/// A terminal of the system's own, of any size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_of_any_size_show_something() {
    if Command::new("script").arg("--version").output().await.is_err() {
        eprintln!("SKIPPED: there is no `script` to make terminals with");
        return;
    }
    let place = Place::new().await;
    let program = env!("CARGO_BIN_EXE_muster");
    let settings = place.setup.settings_path();
    for size in ["rows 0 cols 0", "rows 1 cols 1", "rows 5 cols 20", "rows 50 cols 200"] {
        for arguments in ["status", "tenant list", "sink list", "ledger", "validate"] {
            let line = format!("stty {size}; '{program}' --config '{}' {arguments}", settings.display());
            let mut command = Command::new("script");
            command.args(["-qec", &line, "/dev/null"]).env_remove("COLUMNS").stdin(Stdio::null());
            let what = format!("{arguments} with {size}");
            let output = ended(command, &what).await;
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(!text.contains("panicked") && !text.trim().is_empty(), "{what}: {text}");
            assert!(output.status.code().is_some_and(|code| code < 10), "{what}: {text}");
        }
    }
}

/// Where nothing can be written, what writes says where and why, and what only reads does its work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_cannot_be_written_are_told() {
    if rustix::process::geteuid().is_root() {
        // Root may write everywhere, but not into /proc.
        for arguments in [&["init", "/proc/muster"][..], &["splunk-app", "/proc/app"], &["man", "/proc/man"]]
        {
            let place = tempfile::tempdir().expect("a folder");
            let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
            command.args(arguments).current_dir(place.path()).stdin(Stdio::null());
            let output = ended(command, &format!("{arguments:?}")).await;
            assert_ended_well(&output, &format!("{arguments:?}"));
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && error.contains("/proc/"), "{arguments:?}: {error}");
        }
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o500)).expect("its mode");
    for arguments in [&["init"][..], &["splunk-app", "app"], &["man", "man"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(arguments).current_dir(place.path()).stdin(Stdio::null());
        let output = ended(command, &format!("{arguments:?}")).await;
        assert_ended_well(&output, &format!("{arguments:?}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("denied"), "{arguments:?}: {error}");
    }
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o700)).expect("its mode");
}
