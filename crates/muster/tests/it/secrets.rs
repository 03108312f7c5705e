//! What is secret stays secret, and what was under way when the process died is made whole: refresh tokens, key rotation,
//! and a search for every secret of the run in everything that is left on the disk.

use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use muster_emulator::{AppRegistration, Area, Config, DirectoryChange, Fault, FaultKind};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::identity::line_with;
use crate::support::{Setup, config, eventually, signal};

fn error(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A tenant that is read in a person's name, with a grant in the store.
async fn with_grant() -> (Setup, String) {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(20), ..config() }, "").await;
    let app = setup
        .emulator
        .register_app(AppRegistration {
            name: "desk".to_owned(),
            multitenant: true,
            redirect_uris: vec!["https://mssp.example/SiemMsspConnector".to_owned()],
            secret: Some("hunter2-hunter2".to_owned()),
            scopes: ["SecurityAlert.Read.All", "SecurityIncident.Read.All"]
                .map(|name| format!("https://graph.microsoft.com/{name}"))
                .to_vec(),
            ..AppRegistration::default()
        })
        .expect("an app");
    std::fs::write(setup.path().join("app.secret"), "hunter2-hunter2").expect("written");
    setup.write_settings(&format!(
        "[apps.desk]\nclient_id = \"{app}\"\nsecret = {{ file = \"app.secret\" }}\naccess = \"delegated\"\nredirect_uri = \"https://mssp.example/SiemMsspConnector\"\n"
    ));
    let tenant = setup.emulator.tenants()[0].clone();
    let (id, domain) = (tenant.id, tenant.domain);
    let arguments = ["token", "acquire", "--tenant", &id, "--app", "desk", "--flow", "paste"];
    let mut command = setup.command(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("muster starts");
    let address = line_with(&mut child, "/authorize?").await;
    let ended_at =
        setup.emulator.sign_in(address.trim(), &format!("admin@{domain}"), true).expect("signed in");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(format!("{ended_at}\n").as_bytes()).await.expect("pasted");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{}", error(&output));
    (setup, id)
}

/// Killed while a refresh is under way: before the answer, and at random moments around it, among them the one between
/// receiving a new refresh token and storing it. The next refresh works, or says exactly how long to wait for the lease
/// of the one that died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_refresh_token_is_renewed_it_recovers_by_itself() {
    let (setup, tenant) = with_grant().await;
    let refresh = ["token", "refresh", "--tenant", &tenant, "--app", "desk"];
    // How long a whole refresh takes here, so that the kills fall all over it.
    let started = tokio::time::Instant::now();
    assert!(setup.muster(&refresh).await.status.success());
    let whole = started.elapsed();
    for round in 0..12_u32 {
        let mut child = setup
            .command(&refresh)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("muster starts");
        tokio::time::sleep(whole * (round + 1) / 13).await;
        signal(&child, Signal::KILL);
        child.wait().await.expect("it ends");
    }
    // Should the last one have died with the grant leased, `run` waits until that lease ends, and goes on by itself.
    let running = setup.run();
    let store = setup.store().await;
    let found = store.tenants().await.expect("the store answers")[0].clone();
    let change = muster_store::TenantChange::App("desk".to_owned());
    store.change_tenant(found.id, change, "test", crate::identity::now()).await.expect("changed");
    store.close().await;
    eventually("alerts arrive in the person's name", async || {
        std::fs::read_to_string(setup.path().join("archive.ndjson")).unwrap_or_default().lines().count() >= 20
    })
    .await;
    drop(running);
    let refreshed = setup.muster(&refresh).await;
    let told = error(&refreshed);
    assert!(
        refreshed.status.success() || told.contains("renewed by somebody else until"),
        "it works, or says until when another process has it: {told}"
    );
}

/// Two processes that refresh at once ask one after the other, and both have a token in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_refreshing_at_once_take_turns() {
    let (setup, tenant) = with_grant().await;
    setup
        .emulator
        .add_fault(Fault::new(Area::Token, FaultKind::Slow { milliseconds: 400 }))
        .expect("a fault");
    let refresh = ["token", "refresh", "--tenant", &tenant, "--app", "desk"];
    let (one, other, third) =
        tokio::join!(setup.muster(&refresh), setup.muster(&refresh), setup.muster(&refresh));
    for output in [one, other, third] {
        assert!(output.status.success(), "{}", error(&output));
    }
    let busiest = setup.emulator.token_requests().into_iter().map(|count| count.most_at_a_time).max();
    assert_eq!(busiest, Some(1), "one at a time");
}

/// The master key is rotated while Muster runs, killed in the middle again and again: the store opens afterwards, with
/// what lies in the key file, and rotating again completes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_master_key_is_rotated_nothing_is_locked_out() {
    let (setup, tenant) = with_grant().await;
    let running = setup.run();
    eventually("it runs", async || {
        std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default().contains("running")
    })
    .await;
    let started = tokio::time::Instant::now();
    let rotated = setup.muster(&["key", "rotate"]).await;
    assert!(rotated.status.success(), "{}", error(&rotated));
    let whole = started.elapsed();
    for round in 0..15_u32 {
        let mut child = setup
            .command(&["key", "rotate"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("muster starts");
        tokio::time::sleep(whole * (round + 1) / 15).await;
        signal(&child, Signal::KILL);
        child.wait().await.expect("it ends");
        let shown = setup.muster(&["--output", "json", "key", "show"]).await;
        assert!(shown.status.success(), "round {round}: {}", error(&shown));
        let keys: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let at_hand = keys["at_hand"].as_array().expect("a list");
        assert!(at_hand.contains(&keys["sealed_with"]), "round {round}: {keys}");
    }
    let completed = setup.muster(&["key", "rotate"]).await;
    assert!(completed.status.success(), "{}", error(&completed));
    let shown = setup.muster(&["--output", "json", "key", "show"]).await;
    let keys: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(keys["at_hand"].as_array().map(Vec::len), Some(1), "{keys}");
    // The one that ran all the time reads and writes what is sealed with the new key.
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 5, None).expect("new alerts");
    eventually("everything arrives", async || setup.lost() == 0).await;
    drop(running);
    let refreshed = setup.muster(&["token", "refresh", "--tenant", &tenant, "--app", "desk"]).await;
    assert!(refreshed.status.success(), "the grant opens with the new key: {}", error(&refreshed));
    let verified = setup.muster(&["audit", "verify"]).await;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// A master key that is missing or another one is told with what to do, and nothing is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_wrong_master_key_is_told() {
    let (setup, _) = with_grant().await;
    let key = setup.path().join("muster.key");
    let right = std::fs::read_to_string(&key).expect("a key");
    std::fs::remove_file(&key).expect("removed");
    let missing = setup.muster(&["status"]).await;
    assert_eq!(missing.status.code(), Some(3), "{}", error(&missing));
    assert!(error(&missing).contains("muster.key"), "{}", error(&missing));
    write_private(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    let wrong = setup.muster(&["status"]).await;
    assert!(!wrong.status.success());
    assert!(error(&wrong).contains("sealed with the master key"), "{}", error(&wrong));
    write_private(&key, &right);
    assert!(setup.muster(&["status"]).await.status.success());
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("changed");
}

fn files_below(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files_below(&path, all) } else { all.push(path) }
    }
}

/// After a run with every kind of secret, at the most talkative log level and with a crash in it, no secret stands in any
/// file but the one it was given in: not in the store, its write-ahead log, the logs, what commands printed, a core file or
/// a temporary file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_left_in_the_clear() {
    let (setup, tenant) = with_grant().await;
    let old_key = std::fs::read_to_string(setup.path().join("muster.key")).expect("a key").trim().to_owned();
    let temporary = setup.path().join("tmp");
    std::fs::create_dir(&temporary).expect("a folder");
    let mut printed = Vec::new();
    let log = std::fs::File::create(setup.path().join("run.log")).expect("a log");
    let mut running =
        setup.command(&["-vv", "run"]).env("TMPDIR", &temporary).stderr(log).spawn().expect("muster starts");
    eventually("alerts arrive", async || setup.lost() == 0).await;
    let core = std::fs::read_to_string(format!("/proc/{}/limits", running.id().expect("a process")));
    let core = core.expect("limits");
    let line = core.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert!(line.split_whitespace().filter(|word| *word == "0").count() == 2, "no core file: {line}");
    for arguments in [
        &["-vv", "token", "refresh", "--tenant", &tenant, "--app", "desk"][..],
        &["-vv", "token", "verify", "--tenant", &tenant, "--app", "desk"],
        &["-vv", "token", "acquire", "--tenant", &tenant, "--app", "main"],
        &["-vv", "key", "rotate"],
        &["-vv", "token", "list"],
        &["--output", "json", "status"],
        &["--output", "json", "tenant", "show", &tenant],
        &["audit", "export"],
        &["validate"],
    ] {
        let output = setup.muster(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", error(&output));
        printed.extend(output.stdout);
        printed.extend(output.stderr);
    }
    // Refused, throttled and garbled: what is said then holds none either.
    setup.emulator.change(DirectoryChange::ExpireSecrets { app: None }).expect("changed");
    for kind in [FaultKind::Garbage, FaultKind::Html, FaultKind::Status { status: 500 }] {
        setup.emulator.add_fault(Fault::new(Area::Token, kind)).expect("a fault");
        let output = setup.muster(&["-vv", "token", "refresh", "--tenant", &tenant, "--app", "desk"]).await;
        printed.extend(output.stdout);
        printed.extend(output.stderr);
        setup.emulator.clear_faults();
    }
    let output = setup.muster(&["-vv", "token", "refresh", "--tenant", &tenant, "--app", "main"]).await;
    printed.extend(output.stderr);
    signal(&running, Signal::ABORT);
    running.wait().await.expect("it ends");

    let read =
        |name: &str| std::fs::read_to_string(setup.path().join(name)).expect("a file").trim().to_owned();
    let given = ["app.secret", "main.secret", "splunk.token", "muster.key"];
    let mut secrets: Vec<String> = given.iter().map(|name| read(name)).collect();
    let issued = setup.emulator.issued_secrets();
    assert!(issued.len() > 10, "the emulator tells what it has handed out: {}", issued.len());
    secrets.extend(issued);
    secrets.push(old_key);
    secrets.push(
        setup
            .emulator
            .password(&format!("admin@{}", setup.emulator.tenants()[0].domain))
            .expect("a password"),
    );
    let mut files = Vec::new();
    files_below(setup.path(), &mut files);
    let mut haystacks = vec![(PathBuf::from("(printed)"), printed)];
    for file in files {
        let own = file.file_name().and_then(|name| name.to_str()).is_some_and(|name| given.contains(&name));
        if !own {
            haystacks.push((file.clone(), std::fs::read(&file).expect("readable")));
        }
    }
    assert!(haystacks.iter().any(|(path, _)| path.ends_with("muster.db")));
    for (path, text) in &haystacks {
        for secret in &secrets {
            // A token's payload is as telling as the whole of it.
            let needles = secret.split('.').filter(|part| part.len() >= 12).chain([secret.as_str()]);
            for needle in needles {
                let found = memchr::memmem::find(text, needle.as_bytes());
                assert_eq!(found, None, "a secret ({}…) stands in {}", &needle[..6], path.display());
            }
        }
    }
    assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "nothing is left in TMPDIR");
    let store = std::fs::metadata(setup.path().join("muster.db")).expect("a store").len();
    assert!(store > 10_000, "and there was something to look through");
}
