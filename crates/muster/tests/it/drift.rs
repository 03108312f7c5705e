//! What is new in what Microsoft sends is counted and told, and dropped nowhere.

use muster_emulator::{Area, Config, Fault, FaultKind};
use serde_json::Value;

use crate::support::{Bench, Setup, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_counted_per_source() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(40), ..config() }, "").await;
    let drift = async |more: &[&str]| {
        let output = setup.muster(&[&["--output", "json", "drift"], more].concat()).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    assert_eq!(drift(&[]).await["looked_at"], serde_json::json!({}), "nothing was read yet");
    let bench = Bench::new(&setup).await;
    bench.rounds(3).await;
    let ordinary = drift(&[]).await;
    let looked_at = ordinary["looked_at"]["graph_alerts"].as_u64().expect("a count");
    assert!(looked_at >= 20, "{ordinary}");
    assert_eq!(ordinary["drift"], serde_json::json!([]), "what is documented is known");
    // Records with a type of evidence and values that nobody has heard of.
    let tenant = setup.emulator.tenants()[0].id.clone();
    let hostile = Fault { tenant: Some(tenant.clone()), ..Fault::new(Area::GraphAlerts, FaultKind::Hostile) };
    setup.emulator.add_fault(hostile).expect("hostile records");
    bench.rounds(4).await;
    let found = drift(&[]).await;
    let lines = found["drift"].as_array().expect("lines");
    let find = |key: &str, wanted: &str| {
        let line = lines.iter().find(|line| line[key] == wanted);
        line.unwrap_or_else(|| panic!("no {wanted} in {found}"))
    };
    let quantum = find("name", "quantumEvidence");
    assert_eq!(
        (&quantum["what"], &quantum["source"]),
        (&Value::from("evidence"), &Value::from("graph_alerts"))
    );
    assert_eq!((&quantum["records"], &quantum["tenants"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(find("value", "notYetInvented")["path"], "determination");
    assert_eq!(find("path", "evidence.noType")["what"], "path");
    // It was delivered all the same.
    let archive = std::fs::read_to_string(setup.path().join("archive.ndjson")).expect("an archive");
    assert!(archive.contains("quantumEvidence") && archive.contains("notYetInvented"));
    let other = setup.emulator.tenants()[1].id.clone();
    assert_eq!(drift(&["--tenant", &other]).await["drift"], serde_json::json!([]));
    assert_eq!(drift(&["--source", "graph_incidents"]).await["looked_at"].get("graph_alerts"), None);
    let text = setup.muster(&["drift"]).await;
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(text.contains("quantumEvidence") && text.contains("nothing of it is dropped"), "{text}");
}
