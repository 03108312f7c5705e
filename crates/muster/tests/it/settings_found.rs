//! Where settings are found, and what a reload of them would change.

use muster_emulator::Config;
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{Setup, config, eventually, signal};

fn muster(folder: &std::path::Path) -> Command {
    let mut muster = Command::new(env!("CARGO_BIN_EXE_muster"));
    muster.env_remove("MUSTER_CONFIG").current_dir(folder);
    muster
}

#[tokio::test]
async fn settings_are_found_where_they_are_and_every_place_is_named_where_not() {
    let made = tempfile::tempdir().expect("a folder");
    let empty = tempfile::tempdir().expect("a folder");
    assert!(muster(made.path()).arg("init").output().await.expect("muster starts").status.success());
    let here = muster(made.path()).args(["tenant", "list"]).output().await.expect("muster starts");
    assert!(here.status.success(), "{here:?}");
    let mut by_variable = muster(empty.path());
    by_variable.args(["tenant", "list"]).env("MUSTER_CONFIG", made.path().join("muster.toml"));
    assert!(by_variable.output().await.expect("muster starts").status.success());

    let of = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    for command in [&["tenant", "list"][..], &["validate"], &["run"], &["doctor"], &["sink", "test"]] {
        let mut wrong = muster(empty.path());
        let wrong =
            wrong.args(command).env("MUSTER_CONFIG", "nowhere.toml").output().await.expect("muster starts");
        assert_eq!(wrong.status.code(), Some(3), "{command:?}: {wrong:?}");
        assert!(
            of(&wrong).contains("MUSTER_CONFIG names the settings: nowhere.toml"),
            "{command:?}: {wrong:?}"
        );
    }
    // Where the machine has settings of its own, they are found.
    if !std::path::Path::new("/etc/muster").exists() {
        let nowhere = muster(empty.path()).args(["tenant", "list"]).output().await.expect("muster starts");
        for place in ["--config", "MUSTER_CONFIG", "muster.toml", "/etc/muster", "muster init"] {
            assert!(of(&nowhere).contains(place), "{place}: {nowhere:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reload_would_change_is_told_before_it() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(4), ..config() }, "").await;
    let diff = async || {
        let output = setup.muster(&["--output", "json", "settings", "diff"]).await;
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default())
    };
    assert_eq!(diff().await.0, Some(5), "nothing has run yet");
    let mut run = setup.run();
    eventually("it has read its settings", async || diff().await.0 == Some(0)).await;
    assert_eq!(diff().await.1["changes"], serde_json::json!([]));

    setup.write_settings(
        "[server]\nlog_level = \"debug\"\n\n[sinks.more]\ntype = \"file\"\npath = \"more.ndjson\"\n",
    );
    let text = std::fs::read_to_string(setup.settings_path()).expect("the settings");
    let text = text.replace("poll_interval = \"1s\"", "poll_interval = \"2s\"").replacen(
        "sinks = [",
        "sinks = [\"more\", ",
        1,
    );
    std::fs::write(setup.settings_path(), &text).expect("written");
    let (code, told) = diff().await;
    let changes: Vec<String> = told["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| {
            let of = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {} {}", of("section"), of("key"), of("what"), of("takes"))
        })
        .collect();
    assert_eq!(code, Some(0), "{told}");
    for wanted in [
        "collect poll_interval changed reload",
        "server log_level added restart",
        "sinks.more  added reload",
        "routes  changed reload",
    ] {
        assert!(changes.iter().any(|change| change == wanted), "{wanted}: {changes:?}");
    }
    assert_eq!(changes.len(), 4, "{changes:?}");
    assert!(told["running"] == true && told["routes"].to_string().contains("more"), "{told}");

    // After the reload, nothing differs but what waits for a restart.
    signal(&run, Signal::HUP);
    let waits = serde_json::json!([{ "section": "server", "key": "log_level", "what": "changed", "takes": "restart" }]);
    eventually("it has taken them", async || diff().await.1["changes"] == waits).await;
    std::fs::write(setup.settings_path(), text.replace("[apps.main]", "[apps.other]")).expect("written");
    let (code, told) = diff().await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told["changes"].to_string().contains("apps.other"), "{told}");
    run.kill().await.expect("killed");
}
