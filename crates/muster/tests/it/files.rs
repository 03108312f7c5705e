//! Whatever lies where a command is told to read: it ends soon, names the path, and says what to do; as JSON where programs ask.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use muster_emulator::Config;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Setup, config};

/// What reads a file; FILE stands for its name.
const READERS: &[&[&str]] = &[
    &["--config", "FILE", "validate"],
    &["--config", "FILE", "status"],
    &["tenant", "import", "FILE"],
    &["format", "--to", "cef", "FILE"],
    &["route", "explain", "FILE", "--tenant", "SLUG"],
    &["route", "diff", "--against", "FILE"],
    &["hunt", "@FILE", "--tenant", "SLUG"],
    &["token", "inspect", "@FILE"],
    &["token", "verify", "--tenant", "SLUG", "@FILE"],
    &["test", "FILE"],
    &["restore", "FILE"],
];
/// What reads a folder as well.
const FOLDERS: &[&str] = &["--config", "route", "test"];

/// A call with the settings of the test, unless it names others.
fn command(setup: &Setup, words: &[&str]) -> Command {
    if !words.contains(&"--config") {
        return setup.command(words);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(words).current_dir(setup.path()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn odd_files(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let place = |name: &str| folder.join(name);
    std::fs::create_dir(place("odd-folder")).expect("a folder");
    std::fs::write(place("odd-binary"), (0..=255).cycle().take(5_000).collect::<Vec<u8>>()).expect("written");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, place("odd-pipe"), mode).expect("a pipe");
    // Nobody can read it, also root.
    std::os::unix::fs::symlink(place("odd-link"), place("odd-link")).expect("a link");
    vec![
        ("missing", place("odd-missing")),
        ("folder", place("odd-folder")),
        ("binary", place("odd-binary")),
        ("pipe", place("odd-pipe")),
        ("link", place("odd-link")),
        ("below a file", place("odd-binary/x")),
        ("device", PathBuf::from("/dev/zero")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_lies_there_is_told_with_its_path() {
    let setup = Setup::start(Config { tenants: 1, ..config() }, "").await;
    let listed = setup.muster(&["--output", "json", "tenant", "list"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let slug = listed[0]["slug"].as_str().expect("a slug");
    for (what, path) in odd_files(setup.path()) {
        let path = path.display().to_string();
        for reader in READERS {
            if what == "folder" && FOLDERS.contains(&reader[0]) {
                continue;
            }
            let words: Vec<String> =
                reader.iter().map(|word| word.replace("FILE", &path).replace("SLUG", slug)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let asked = format!("{words:?} of a {what}");
            let run = command(&setup, &words).arg("--output").arg("json").output();
            let output = timeout(Duration::from_secs(60), run).await;
            let output = output.unwrap_or_else(|_| panic!("{asked} hangs")).expect("muster starts");
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let code = output.status.code();
            assert!(code.is_some_and(|code| (1..10).contains(&code)), "{asked}: {code:?} {error}");
            assert!(!error.contains("panicked"), "{asked}: {error}");
            // A query and a token may hold any bytes, and are judged by what is in them.
            let is_judged = what == "binary" && matches!(reader[0], "token" | "hunt");
            assert!(
                is_judged || error.contains(&path) || printed.contains(&path),
                "{asked}: {error}{printed}"
            );
            let told = error.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(told) = told {
                assert_eq!(told["error"]["exit_code"].as_i64(), code.map(i64::from), "{asked}: {error}");
            } else {
                assert!(!printed.is_empty(), "{asked}: neither an error nor a result as JSON: {error}");
            }
        }
    }
}

/// An error of each kind, as programs read it; also where the command line cannot be understood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_json_where_programs_ask() {
    let setup = Setup::start(Config { tenants: 1, ..config() }, "").await;
    for (words, code, kind) in [
        (&["-o", "json", "tenant", "show", "nobody"][..], 5, "not_found"),
        (&["tenant", "no-such-command", "--output", "json"], 2, "usage"),
        (&["--output=json", "status", "--no-such-flag"], 2, "usage"),
        (&["hunt", "x", "--tenant", "nobody", "--output", "ndjson"], 5, "not_found"),
        (&["--config", "nowhere.toml", "-ojson", "status"], 3, "settings"),
    ] {
        let output = command(&setup, words).output().await.expect("muster starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
        let told: Value = serde_json::from_str(error.trim()).unwrap_or_else(|why| panic!("{why}: {error}"));
        assert_eq!(told["error"]["kind"], kind, "{error}");
        assert_eq!(told["error"]["exit_code"], code, "{error}");
        assert!(told["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    let people = setup.muster(&["tenant", "show", "nobody"]).await;
    assert!(String::from_utf8_lossy(&people.stderr).starts_with("muster: "), "{people:?}");
}
