//! A worker in a process of its own that says what it has done, and is killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Tells the test something.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test listens");
}

/// Starts the test that is the worker, in `folder`, shows `due` each line that it says, and kills it once that is so and
/// `then` has passed.
pub(crate) fn kill_worker(worker: &str, folder: &Path, then: Duration, mut due: impl FnMut(&str) -> bool) {
    let program = std::env::current_exe().expect("this test");
    let mut child = Command::new(program)
        .args([worker, "--exact", "--ignored", "--nocapture"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        if due(&line.expect("text")) && !killed {
            std::thread::sleep(then);
            child.kill().expect("killed");
            killed = true;
        }
    }
    let status = child.wait().expect("ended");
    assert!(killed, "the worker ended by itself: {status}");
}
