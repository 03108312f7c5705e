//! Dead letters in bulk, as a person meets them.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use muster_emulator::{Area, Config, FaultKind};
use serde_json::Value;

use crate::status::Desk;
use crate::support::config;

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_exported_tried_again_and_removed() {
    let desk = Desk::new(Config { tenants: 2, alerts: Some(60), ..config() }).await;
    desk.fault(Area::Hec, FaultKind::Firewall { status: 413, one_event_in: 4 });
    desk.bench.collect().await;
    desk.bench.deliver().await;
    desk.setup.emulator.clear_faults();
    let call = async |arguments: &[&str]| {
        desk.setup.muster(&[&["-o", "json", "dead-letter"], arguments].concat()).await
    };
    let listed =
        async || json(&call(&["list", "--limit", "10000"]).await).as_array().expect("a list").clone();
    let all = listed().await;
    assert!(all.len() > 4, "{}", all.len());

    // Nothing is chosen by nobody, nobody is asked where there is nobody, and a preview changes nothing.
    for (arguments, said) in [
        (&["remove"][..], "say which"),
        (&["remove", "--all"], "there is nobody to ask"),
        (&["retry", "--sink", "splunk"], "there is nobody to ask"),
        (&["remove", "4711", "--yes"], "there is no dead letter 4711"),
        // Nobody is sure whether the number or the exception is meant.
        (&["remove", "1", "--except", "contoso"], "cannot be used with"),
        (&["retry", "--sink", "splnuk", "--yes"], "there is no sink `splnuk` (did you mean"),
        (&["export"], "say which"),
    ] {
        let done = call(arguments).await;
        assert!(!done.status.success() && words(&done).contains(said), "{arguments:?}: {done:?}");
    }
    let preview = json(&call(&["remove", "--all", "--dry-run"]).await);
    assert_eq!((&preview["chosen"], &preview["done"]), (&all.len().into(), &0.into()));
    let table = words(&desk.setup.muster(&["dead-letter", "remove", "--all", "--dry-run"]).await);
    assert!(table.contains("nothing was changed") && table.contains("→ splunk"), "{table}");
    assert_eq!(listed().await.len(), all.len());
    let none = json(&call(&["retry", "--sink", "archive", "--yes"]).await);
    assert_eq!(none["chosen"], 0);

    // Each is written whole, into a file that is new and private.
    let file = desk.setup.path().join("dead.ndjson");
    let name = file.to_str().expect("UTF-8");
    let exported = call(&["export", "--sink", "splunk", "--file", name]).await;
    assert!(exported.status.success(), "{exported:?}");
    let text = std::fs::read_to_string(&file).expect("written");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), all.len());
    for line in &lines {
        assert_eq!(
            (line["sink"].as_str(), line["record"]["id"].as_str()),
            (Some("splunk"), line["record_id"].as_str())
        );
        assert!(
            line["reason"].as_str().is_some_and(|reason| !reason.is_empty()) && line["at"].is_string(),
            "{line}"
        );
    }
    assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let again = call(&["export", "--all", "--file", name]).await;
    assert!(!again.status.success() && words(&again).contains("name another"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), text, "nothing is written over");
    let printed = call(&["export", "--all"]).await;
    assert_eq!(printed.stdout, text.as_bytes());

    // Of one tenant some are removed, with an event; the rest is tried again, and arrives.
    let tenant = lines[0]["tenant"].as_str().expect("a slug");
    let of_tenant = lines.iter().filter(|line| line["tenant"] == tenant).count();
    let first = lines[0]["number"].as_u64().expect("a number").to_string();
    let removed = json(&call(&["remove", &first]).await);
    assert_eq!((&removed["chosen"], &removed["done"]), (&1.into(), &1.into()));
    let removed = json(&call(&["remove", "--tenant", tenant, "--reason", "*", "--yes"]).await);
    assert_eq!(removed["done"], of_tenant - 1);
    let events = json(&desk.setup.muster(&["-o", "json", "audit", "list", "--limit", "1000"]).await);
    let events =
        events.as_array().expect("a list").iter().filter(|event| event["action"] == "dead_letters.removed");
    let counts: Vec<u64> = events.filter_map(|event| event["details"]["removed"].as_u64()).collect();
    assert_eq!(counts.iter().sum::<u64>(), of_tenant as u64, "{counts:?}");
    let retried = json(&call(&["retry", "--since", "1d", "--yes"]).await);
    assert_eq!(retried["done"], all.len() - of_tenant, "{retried}");
    assert!(listed().await.is_empty());
    desk.bench.pass(3_600);
    desk.bench.deliver().await;
    assert_eq!(desk.setup.lost(), of_tenant as u64, "what was removed does not come, and all else does");
}
