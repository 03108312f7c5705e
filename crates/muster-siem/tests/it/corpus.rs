//! Recorded records and schemas of others, which lie beside the checkout (`../shared/corpus`) and are no part of the
//! repository.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::environment::environment;

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// What lies at `path` in the corpus. Without it the test that asks is skipped and that is said and counted aloud; with
/// `MUSTER_REQUIRE_CORPUS=1` it fails.
pub(crate) fn corpus(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus").join(path);
    if found.exists() {
        return Some(found);
    }
    let required = environment("MUSTER_REQUIRE_CORPUS").is_some_and(|value| value == "1");
    assert!(!required, "{} is missing, and MUSTER_REQUIRE_CORPUS is 1", found.display());
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the test harness, which keeps what a test prints to itself when it passes.
    writeln!(std::io::stderr(), "skipped for want of the corpus ({count} so far): {test}").ok();
    None
}
