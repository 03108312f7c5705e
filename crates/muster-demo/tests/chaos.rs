//! `muster-chaos`, run as a program: what it says when all is well, and that it can fail.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn chaos(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-chaos"));
    command.args(arguments).stdin(Stdio::null()).output().expect("it starts")
}

/// Half a minute of disasters on a store in a file; what is printed in the end, and the exit code.
fn lived_through(more: &[&str]) -> (Value, Option<i32>) {
    let few = ["--seconds", "25", "--tenants", "4", "--rate", "8", "--output", "json"];
    let output = chaos(&[&few, more].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    println!("{said}");
    (report, output.status.code())
}

fn sink<'a>(report: &'a Value, name: &str) -> &'a Value {
    let sinks = report["sinks"].as_array().expect("sinks");
    sinks.iter().find(|sink| sink["sink"] == name).expect("the sink")
}

#[test]
fn the_same_seed_prints_the_same_plan() {
    let plan = |seed| {
        let output = chaos(&["--plan", "--minutes", "5", "--store", "postgres", "--seed", seed]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(plan("3"), plan("3"));
    assert_ne!(plan("3"), plan("4"));
    assert!(plan("3").lines().count() > 30, "{}", plan("3"));
}

#[test]
fn a_sink_that_loses_what_it_acknowledged_is_named_with_the_records() {
    let (report, code) = lived_through(&["--sabotage", "lose"]);
    assert_eq!((code, &report["clean"]), (Some(1), &Value::Bool(false)), "{report}");
    let splunk = sink(&report, "splunk");
    assert!(splunk["lost"].as_u64() > Some(0) && splunk["lost_records"][0]["id"].is_string(), "{splunk}");
    for other in ["syslog", "file", "object_store"] {
        assert_eq!(sink(&report, other)["lost"], 0, "{report}");
    }
}

#[test]
fn an_object_that_is_there_twice_is_a_promise_broken() {
    let (report, code) = lived_through(&["--sabotage", "double"]);
    assert_eq!((code, &report["clean"]), (Some(1), &Value::Bool(false)), "{report}");
    assert!(sink(&report, "object_store")["doubled"].as_u64() > Some(0), "{report}");
    for other in ["splunk", "syslog", "file", "object_store"] {
        assert_eq!(sink(&report, other)["lost"], 0, "{report}");
    }
    assert_eq!(sink(&report, "file")["doubled"], 0, "{report}");
}
