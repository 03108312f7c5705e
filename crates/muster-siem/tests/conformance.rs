//! What the formats write against what other products write for the same records.

use std::process::Command;

/// The report, and that enough is equal or deliberately different. Without the corpus beside the checkout it says so.
#[test]
fn enough_is_as_other_products_write_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_conformance")).output().expect("it runs");
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{report}");
    assert!(output.status.success(), "see the report above");
    let compared = report.lines().any(|line| line.starts_with("= all"));
    assert!(compared || report.starts_with("no corpus at "), "neither compared nor skipped");
}
