//! Tenants are chosen by tags and exceptions, changed with events in the audit log, and imported from what people have.

use std::process::Output;

use muster_emulator::Config;
use serde_json::Value;

use crate::support::{Setup, config};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command prints as JSON.
async fn ask(setup: &Setup, arguments: &[&str]) -> Value {
    json(&setup.muster(&[&["--output", "json"], arguments].concat()).await)
}

fn slugs(list: &Value) -> Vec<String> {
    let slug = |one: &Value| one["slug"].as_str().expect("a slug").to_owned();
    list.as_array().expect("a list").iter().map(slug).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_chosen_by_tag_and_exception_in_every_command() {
    let setup = Setup::start(Config { tenants: 4, alerts: Some(8), ..config() }, "").await;
    let all = slugs(&ask(&setup, &["tenant", "list"]).await);
    let [one, two, three, four] = &all[..] else { panic!("{all:?}") };
    for slug in [one, two] {
        assert!(setup.muster(&["tenant", "tag", "add", slug, "gold"]).await.status.success());
    }
    let listed = |arguments: Vec<String>| {
        let setup = &setup;
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            slugs(&ask(setup, &[&["tenant", "list"], &arguments[..]].concat()).await)
        }
    };
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(listed(of(&["tag:gold"])).await, [one.as_str(), two]);
    assert_eq!(listed(of(&["tag:gold", three, "--except", two])).await, [one.as_str(), three]);
    assert_eq!(listed(of(&["--except", "tag:gold"])).await, [three.as_str(), four]);

    let checked = ask(&setup, &["tenant", "check", "--all", "--except", &format!("tag:gold,{three}")]).await;
    assert_eq!(slugs(&checked), [four.as_str()]);
    let paused = setup.muster(&["tenant", "pause", "tag:gold", "--except", one]).await;
    assert!(paused.status.success(), "{paused:?}");
    // Of a group, only those that are read are asked.
    let fetched = setup.muster(&["--output", "json", "fetch", "--tenant", "tag:gold"]).await;
    let tenants: std::collections::BTreeSet<String> = json(&fetched)
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["tenant"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(tenants.into_iter().collect::<Vec<_>>(), [one.as_str()]);

    for command in [
        &["fetch"][..],
        &["hunt", "T"],
        &["backfill", "--since", "1d"],
        &["replay", "--yes"],
        &["ledger"],
        &["drift"],
        &["trace", "x"],
        &["dead-letter", "list"],
        &["sink", "verify", "archive"],
        &["siem-config", "splunk"],
        &["doctor"],
    ] {
        let asked = setup.muster(&[command, &["--tenant", "tag:silver"]].concat()).await;
        let said = format!("{}{}", error(&asked), String::from_utf8_lossy(&asked.stdout));
        assert!(
            !asked.status.success() && said.contains("no tenant has the tag `silver`"),
            "{command:?}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_edited_as_a_whole_or_not_at_all() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(4), ..config() }, "").await;
    let all = slugs(&ask(&setup, &["tenant", "list"]).await);
    let (one, other) = (all[0].clone(), all[1].clone());
    // The only route names it by its slug.
    let settings = std::fs::read_to_string(setup.settings_path()).expect("the settings");
    let routed = settings.replace("tenants = [\"*\"]", &format!("tenants = [\"{one}\"]"));
    std::fs::write(setup.settings_path(), routed).expect("written");

    // One mistake, and nothing is changed.
    for wrong in [
        &["--name", "New", "--app", "nobody"][..],
        &["--name", "New", "--slug", &other],
        &["--name", "two\nlines", "--slug", "moved"],
        &["--slug", "moved", "--add-tag", "gold", "--remove-tag", "gold"],
        &[],
    ] {
        let edited = setup.muster(&[&["tenant", "edit", &one], wrong].concat()).await;
        assert!(!edited.status.success(), "{wrong:?}: {edited:?}");
        let tenant = ask(&setup, &["tenant", "show", &one]).await;
        assert_eq!(
            (tenant["slug"].as_str(), tenant["name"] == "New"),
            (Some(one.as_str()), false),
            "{wrong:?}"
        );
    }
    let edit = [
        "tenant",
        "edit",
        &one,
        "--name",
        "New",
        "--slug",
        "moved",
        "--source",
        "graph_alerts",
        "--add-tag",
        "gold",
    ];
    let edited = setup.muster(&[&["--output", "json"], &edit[..]].concat()).await;
    assert!(edited.status.success(), "{edited:?}");
    let tenant = json(&edited);
    let of = |key: &str| tenant[key].clone();
    assert_eq!((of("slug"), of("name")), ("moved".into(), "New".into()));
    assert_eq!(
        (of("tags"), of("sources")),
        (serde_json::json!(["gold"]), serde_json::json!(["graph_alerts"]))
    );
    assert!(error(&edited).contains("does not name moved any more"), "{}", error(&edited));
    let events = ask(&setup, &["audit", "list"]).await.to_string();
    for change in ["\"slug\"", "\"name\"", "\"sources\"", "\"tags\""] {
        assert!(events.contains("tenant.changed") && events.contains(change), "{change}: {events}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_imported_and_a_dry_run_changes_nothing() {
    let setup = Setup::start(Config { tenants: 3, alerts: Some(4), ..config() }, "").await;
    let ids: Vec<String> = setup.emulator.tenants().iter().map(|tenant| tenant.id.to_string()).collect();
    let gone = slugs(&ask(&setup, &["tenant", "list"]).await);
    for slug in &gone[..2] {
        assert!(setup.muster(&["tenant", "remove", slug, "--yes"]).await.status.success());
    }
    // Partner Center's columns, as a spreadsheet saves them in western Europe.
    let mut list = b"Microsoft ID;Company name;Primary domain name;Relationship\r\n".to_vec();
    for (index, id) in ids.iter().enumerate() {
        list.extend(format!("{id};\"Kunde {index}\r\nM").as_bytes());
        list.extend(b"\xfcller\";;Reseller\r\n");
    }
    list.extend(b"not a tenant;X;;\r\n");
    let file = setup.path().join("partner.csv");
    std::fs::write(&file, list).expect("written");
    let file = file.to_str().expect("UTF-8").to_owned();

    let dry = setup.muster(&["--output", "json", "tenant", "import", &file, "--dry-run"]).await;
    let told = json(&dry);
    assert_eq!((told["added"].as_u64(), told["existing"].as_u64()), (Some(2), Some(1)), "{told}");
    assert_eq!(told["unused_columns"], serde_json::json!(["`Relationship`"]));
    // Each row before it takes two lines.
    assert_eq!(told["failed"][0]["line"], 8, "{told}");
    assert!(
        error(&dry).contains("Windows-1252") && error(&dry).contains("`Relationship`"),
        "{}",
        error(&dry)
    );
    assert_eq!(slugs(&ask(&setup, &["tenant", "list"]).await).len(), 1, "nothing was changed");

    let done = setup.muster(&["--output", "json", "tenant", "import", &file]).await;
    assert_eq!((json(&done)["added"].as_u64(), done.status.code()), (Some(2), Some(6)), "{done:?}");
    let names = ask(&setup, &["tenant", "list"]).await.to_string();
    assert!(names.contains("Müller"), "{names}");

    let missing = setup.muster(&["tenant", "import", "no-such-file.csv"]).await;
    assert!(
        error(&missing).contains("no-such-file.csv cannot be read")
            && error(&missing).contains("check its name"),
        "{missing:?}"
    );
}
