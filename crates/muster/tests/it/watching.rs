//! `muster status --watch` on a real pseudo-terminal: keys are pressed, the screen is read, and the terminal is as it was
//! afterwards, whichever way it ends.

use std::path::Path;

use muster_emulator::Config;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{Setup, config, eventually};

async fn watched(setup: &Setup, ended_by: Option<&str>) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/watching.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(env!("CARGO_BIN_EXE_muster")).arg(setup.settings_path()).args(ended_by);
    let output = command.env_remove("COLUMNS").output().await.expect("python3 starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_watched_on_and_given_back() {
    let setup = Setup::start(Config { tenants: 3, alerts: Some(30), ..config() }, "").await;
    let mut running = setup.run();
    eventually("all has arrived", async || setup.lost() == 0).await;
    for ended_by in [None, Some("SIGTERM")] {
        let watched = watched(&setup, ended_by).await;
        assert_eq!(watched["status"], 0, "{watched}");
        // It was taken, and is as it was: on its first screen, with its cursor, and with its lines edited.
        for (what, is) in [("raw", true), ("restored", true), ("alternate", false), ("hidden", false)] {
            assert_eq!(watched[what], is, "{what}: {watched}");
        }
        assert_eq!(watched["alternated"], 2, "{watched}");
        assert_eq!(watched["unknown"], serde_json::json!([]), "{watched}");
        let list = watched["seen"]["list"].as_str().expect("a screen");
        assert!(list.starts_with("● running for"), "{list}");
        let gone = watched["seen"]["gone"].as_str().expect("a screen");
        assert!(!gone.contains('●') && gone.contains("what stands here is of 20"), "{gone}");
    }
    running.kill().await.expect("killed");
}
