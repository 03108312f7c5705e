//! The commands, as an operator types them.

use muster_emulator::Config;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Setup, config, signal};

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn error(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_added_by_id_or_domain_listed_paused_and_removed() {
    let setup = Setup::start(Config { tenants: 3, alerts: Some(30), ..config() }, "").await;
    let tenants = setup.emulator.tenants();
    let listed = json(&setup.muster(&["--output", "json", "tenant", "list"]).await);
    assert_eq!(listed.as_array().map(Vec::len), Some(3));

    let slug = listed[0]["slug"].as_str().expect("a slug").to_owned();
    let removed = setup.muster(&["tenant", "remove", &slug]).await;
    assert_eq!(removed.status.code(), Some(2), "without a terminal, --yes is needed");
    assert!(setup.muster(&["tenant", "remove", &slug, "--yes"]).await.status.success());
    let id = listed[0]["id"].as_str().expect("an id");
    let domain = &tenants.iter().find(|tenant| tenant.id == id).expect("of the emulator").domain;

    let added = setup.muster(&["--output", "json", "tenant", "add", domain]).await;
    assert_eq!(json(&added)["id"], id, "the domain is resolved: {}", error(&added));
    let again = setup.muster(&["tenant", "add", id, "--slug", "other"]).await;
    assert!(error(&again).contains("exists already"), "{}", error(&again));

    let paused = setup.muster(&["tenant", "pause", domain]).await;
    assert!(paused.status.success(), "{}", error(&paused));
    let shown = json(&setup.muster(&["--output", "json", "tenant", "show", domain]).await);
    assert_eq!(shown["state"], "paused");
    assert!(setup.muster(&["tenant", "resume", domain]).await.status.success());

    for (wrong, code, words) in [
        ("nonsense", 2, "neither a tenant id"),
        ("unknown.example", 7, "no tenant in this cloud has verified the domain"),
        ("../../etc/passwd", 2, "neither a tenant id"),
    ] {
        let output = setup.muster(&["tenant", "add", wrong]).await;
        assert_eq!(output.status.code(), Some(code), "{wrong}: {}", error(&output));
        assert!(error(&output).contains(words), "{wrong}: {}", error(&output));
    }
    assert_eq!(setup.muster(&["tenant", "show", "nobody"]).await.status.code(), Some(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_tells_each_bad_line_and_takes_the_rest() {
    let setup = Setup::start(Config { tenants: 2, ..config() }, "").await;
    let tenants = setup.emulator.tenants();
    let csv = format!(
        "Tenant_Id,Name,Sources\n{},One,graph_alerts\nnonsense,Two,\n{},Three,graph_alrts\n11111111-2222-3333-4444-555555555555,Four,graph_alerts graph_incidents\n",
        tenants[0].id, "22222222-2222-3333-4444-555555555555"
    );
    std::fs::write(setup.path().join("more.csv"), csv).expect("written");
    let output = setup.muster(&["--output", "json", "tenant", "import", "more.csv"]).await;
    assert_eq!(output.status.code(), Some(6), "{}", error(&output));
    let result = json(&output);
    assert_eq!((result["added"].as_u64(), result["existing"].as_u64()), (Some(1), Some(1)));
    let lines: Vec<_> =
        result["failed"].as_array().expect("a list").iter().map(|row| row["line"].as_u64()).collect();
    assert_eq!(lines, [Some(3), Some(4)]);
}

/// Where nobody answers whether ids are tenants, they are taken, and how many is told; one warning is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_tells_how_many_ids_nobody_was_asked_about() {
    let setup = Setup::start(Config { tenants: 1, ..config() }, "").await;
    let import = async |first: u32| {
        let ids: String =
            (first..first + 30).map(|n| format!("{n:08}-2222-3333-4444-555555555555,Tenant {n}\n")).collect();
        std::fs::write(setup.path().join("more.csv"), format!("tenant,name\n{ids}")).expect("written");
        let output = setup.muster(&["--output", "json", "tenant", "import", "more.csv"]).await;
        let result = json(&output);
        assert_eq!(result["added"], 30, "{result}");
        (result["unverified"].as_u64(), error(&output).matches("warning:").count())
    };
    // Microsoft knows none of them, and is asked about each.
    assert_eq!(import(1).await, (Some(30), 30));
    let down = muster_emulator::FaultKind::Status { status: 503 };
    let down = muster_emulator::Fault::new(muster_emulator::Area::Discovery, down);
    setup.emulator.add_fault(down).expect("a fault");
    assert_eq!(import(101).await, (Some(30), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_prints_every_format_and_changes_nothing() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(60), ..config() }, "").await;
    let count = async |arguments: &[&str]| {
        let output = setup.muster(&[&["fetch", "--all"], arguments].concat()).await;
        assert!(output.status.success(), "{}", error(&output));
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let raw = count(&["--format", "raw"]).await;
    assert_eq!(raw.len(), 60);
    assert!(raw.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert!(count(&["--format", "cef"]).await.iter().all(|line| line.starts_with("CEF:0|Microsoft|")));
    assert_eq!(count(&["--format", "splunk"]).await.len(), 60);
    let table = count(&[]).await;
    assert_eq!(table.last().map(String::as_str), Some("60 records"));
    assert!(count(&["--source", "graph_incidents", "--format", "raw"]).await.len() > 5);
    // Without a source it is what the tenant is read by, not what most tenants are read by.
    let other = &setup.emulator.tenants()[1].id;
    setup.muster(&["tenant", "remove", other, "--yes"]).await;
    let added =
        setup.muster(&["tenant", "add", other, "--slug", "other", "--source", "graph_incidents"]).await;
    assert!(added.status.success(), "{}", error(&added));
    let first = setup.muster(&["fetch", "--tenant", "other", "--format", "raw"]).await;
    let named = ["fetch", "--tenant", "other", "--format", "raw", "--source", "graph_incidents"];
    assert_eq!(first.stdout, setup.muster(&named).await.stdout);
    assert!(!first.stdout.is_empty());
    let status = json(&setup.muster(&["--output", "json", "status"]).await);
    assert_eq!(status["tenants"][0]["sources"][0]["accepted"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_is_tested_without_a_record() {
    let setup = Setup::start(config(), "").await;
    let names = || {
        let entries = std::fs::read_dir(setup.path()).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let works = setup.muster(&["--output", "json", "sink", "test"]).await;
    assert!(works.status.success(), "{}", String::from_utf8_lossy(&works.stdout));
    assert_eq!(names(), before, "nothing is left behind, which another user could not write");
    setup
        .emulator
        .add_fault(muster_emulator::Fault::new(muster_emulator::Area::Hec, muster_emulator::FaultKind::Down))
        .expect("a fault");
    let fails = setup.muster(&["--output", "json", "sink", "test", "splunk"]).await;
    assert_eq!(fails.status.code(), Some(8));
    assert_eq!(json(&fails)[0]["works"], false);
    std::fs::write(setup.path().join("splunk.token"), "wrong").expect("written");
    setup.emulator.clear_faults();
    let fails = setup.muster(&["--output", "json", "sink", "test", "splunk"]).await;
    assert!(
        json(&fails)[0]["finding"].as_str().is_some_and(|finding| finding.contains("token")),
        "{}",
        json(&fails)
    );
    assert_eq!(setup.muster(&["sink", "test", "nowhere"]).await.status.code(), Some(5));
    let received: u64 = setup.tallies().iter().map(|tally| tally.received).sum();
    assert_eq!(received, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_with_settings_store_and_ports_is_told_plainly() {
    let setup = Setup::start(config(), "").await;
    let again = setup.muster(&["init", setup.path().to_str().expect("UTF-8")]).await;
    assert!(error(&again).contains("exists already"), "{}", error(&again));

    // The port of the emulator is in use for sure.
    setup.write_settings(&format!("[server]\nlisten = \"{}\"\n", setup.emulator.addresses().microsoft));
    let output = setup.muster(&["run"]).await;
    assert!(error(&output).contains("is in use by another program"), "{}", error(&output));

    setup.write_settings("");
    let running = setup.run();
    // The second must not be the one that comes first.
    crate::support::eventually("the first runs", async || {
        std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default().contains("running")
    })
    .await;
    let second = setup.muster(&["run"]).await;
    assert_eq!(second.status.code(), Some(4), "{}", error(&second));
    assert!(error(&second).contains("locked by another process"), "{}", error(&second));
    drop(running);

    setup.write_settings("[nonsense]\n");
    let output = setup.muster(&["validate"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("`nonsense` is not a section"));

    setup.write_settings("");
    let key = setup.path().join("muster.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("changed");
    let output = setup.muster(&["status"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", error(&output));
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("changed");

    std::fs::write(
        setup.path().join("muster.db"),
        "this is no database, but it is long enough to look at".repeat(50),
    )
    .expect("written");
    let output = setup.muster(&["status"]).await;
    assert_eq!(output.status.code(), Some(4), "{}", error(&output));
    assert!(error(&output).contains("damaged or is not a Muster database"), "{}", error(&output));
}

/// At SIGHUP the settings are read again: a new sink is served from then on. Settings with mistakes change nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_read_again_at_sighup() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(30), ..config() }, "").await;
    let muster = setup.run();
    let hang_up = || signal(&muster, Signal::HUP);
    let log = || std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default();
    crate::support::eventually("everything arrives", async || setup.lost() == 0).await;

    setup.write_settings("[nonsense]\n");
    hang_up();
    crate::support::eventually("the mistake is told", async || log().contains("going on with the old ones"))
        .await;

    setup.write_settings(
        "[sinks.second]\ntype = \"file\"\npath = \"second.ndjson\"\n\n[[routes]]\nsinks = [\"second\"]\n",
    );
    hang_up();
    crate::support::eventually("it runs anew", async || log().contains("running with the new settings"))
        .await;
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 5, None).expect("new alerts");
    let second = || std::fs::read_to_string(setup.path().join("second.ndjson")).unwrap_or_default();
    crate::support::eventually("the new sink is served", async || second().lines().count() >= 5).await;
    crate::support::eventually("everything arrives", async || setup.lost() == 0).await;
    setup.assert_all_arrived_once();
}

/// What is only read at the start is told key by key, by the reload and by `validate`; and a reload takes down nothing that
/// works. No secret gets into the log by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_cannot_take_effect_says_so() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(30), ..config() }, "").await;
    let muster = setup.run();
    let hang_up = || signal(&muster, Signal::HUP);
    let log = || std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default();
    let logged = async |words: &str| crate::support::eventually(words, async || log().contains(words)).await;
    crate::support::eventually("everything arrives", async || setup.lost() == 0).await;
    let validated = setup.muster(&["validate"]).await;
    assert!(validated.status.success(), "beside a run that is at work: {validated:?}");

    setup.write_settings("[server]\nlisten = \"127.0.0.1:1\"\nlog_format = \"json\"\n");
    let words = [
        "`listen` in [server] is only read at a start: nothing stays in use until Muster is restarted, and 127.0.0.1:1 is used then",
        "`log_format` in [server] is only read at a start: text stays in use",
    ];
    let validated = setup.muster(&["validate"]).await;
    let said = String::from_utf8_lossy(&validated.stdout).into_owned();
    assert!(validated.status.success() && words.iter().all(|words| said.contains(words)), "{said}");
    hang_up();
    logged("running with the new settings").await;
    assert!(words.iter().all(|words| log().contains(words)), "{}", log());

    // A token that went: the sink that works is not taken down for it.
    let text = std::fs::read_to_string(setup.settings_path()).expect("the settings");
    std::fs::write(setup.settings_path(), text.replace("splunk.token", "gone.token")).expect("written");
    hang_up();
    logged("the new settings would take down what works; going on with the old ones").await;
    assert!(log().contains("[sinks.splunk] token: the secret's file"), "{}", log());

    std::fs::write(setup.settings_path(), text.replace("{ file = \"splunk.token\" }", "\"hunter2-Xk93vQ\""))
        .expect("written");
    hang_up();
    logged("a secret is never written here").await;
    assert!(!log().contains("hunter2"), "{}", log());
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 5, None).expect("new alerts");
    crate::support::eventually("all goes on", async || setup.lost() == 0).await;
    setup.assert_all_arrived_once();
}

/// `validate --connect` tries tokens and sinks, groups what fails by its cause, and ends in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_tries_tokens_and_sinks_when_told() {
    let setup = Setup::start(Config { tenants: 3, ..config() }, "").await;
    let connect = ["--output", "json", "validate", "--connect", "--within", "20s"];
    let tried = setup.muster(&connect).await;
    assert!(tried.status.success(), "{tried:?}");
    let found = json(&tried);
    let works = |what: &str| {
        let found = found["tried"].as_array().expect("a list");
        found.iter().find(|tried| tried["what"] == what).map(|tried| tried["outcome"].clone())
    };
    for what in ["app main", "sink splunk", "sink arcsight", "sink archive"] {
        assert_eq!(works(what), Some("works".into()), "{what}: {found}");
    }
    assert_eq!(found["tried"][0]["tenants"].as_array().map(Vec::len), Some(3), "{found}");

    std::fs::write(setup.path().join("main.secret"), "wrong").expect("written");
    let tried = setup.muster(&connect).await;
    assert_eq!(tried.status.code(), Some(7), "{tried:?}");
    let found = json(&tried);
    let fails: Vec<_> = found["tried"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|tried| tried["outcome"] == "fails")
        .collect();
    assert_eq!(fails.len(), 1, "one cause, one line: {found}");
    assert_eq!(fails[0]["tenants"].as_array().map(Vec::len), Some(3));

    // A receiver that says nothing holds nobody up for longer than was allowed.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = silent.local_addr().expect("an address");
    setup.write_settings(&format!(
        "[sinks.silent]\ntype = \"splunk_hec\"\nurl = \"http://{address}\"\ntoken = {{ file = \"splunk.token\" }}\n"
    ));
    let begun = tokio::time::Instant::now();
    let tried = setup.muster(&["validate", "--connect", "--within", "1s"]).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(said.contains("sink silent: it did not answer in the time that was given"), "{said}");
}

/// Tokens, pages and events over TLS, trusted by a CA file; without it nothing is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_over_tls() {
    let setup =
        Setup::start(Config { tenants: 2, alerts: Some(40), tls: true, hec_tls: true, ..config() }, "").await;
    let bench = crate::support::Bench::new(&setup).await;
    bench.rounds(2).await;
    setup.assert_all_arrived_once();

    let settings = std::fs::read_to_string(setup.settings_path()).expect("the settings");
    std::fs::write(setup.settings_path(), settings.replace("ca_file = \"ca.pem\"\n", "")).expect("written");
    let fetched = setup.muster(&["fetch", "--all"]).await;
    assert_eq!(fetched.status.code(), Some(7));
    assert!(error(&fetched).contains("certificate"), "{}", error(&fetched));
    let tested = setup.muster(&["--output", "json", "sink", "test", "splunk"]).await;
    assert!(
        json(&tested)[0]["finding"].as_str().is_some_and(|finding| finding.contains("certificate")),
        "{}",
        json(&tested)
    );
}
