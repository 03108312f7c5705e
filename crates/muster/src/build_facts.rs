//! What `muster --version --verbose` says: which build this is, and where its bill of materials lies.

use std::ffi::OsString;
use std::path::Path;

/// Where packages and images put the bill of materials.
const BILL_OF_MATERIALS: &str = "/usr/share/doc/muster/sbom.cdx.json";

/// Whether more than the version is wanted.
pub(crate) fn is_asked_for(arguments: &[OsString]) -> bool {
    arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        let letters = argument.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
        argument == "--verbose" || letters.is_some_and(|letters| letters.contains('v'))
    })
}

/// A line for each fact.
pub(crate) fn of_this_program() -> String {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    let linked = if cfg!(target_feature = "crt-static") { ", static" } else { "" };
    let bill = match Path::new(BILL_OF_MATERIALS).exists() {
        true => BILL_OF_MATERIALS,
        false => "not beside this program; `deploy/sbom` prints it from the source",
    };
    format!(
        "muster {}\ncommit   {}\nprofile  {}\ntarget   {}-{}-{libc}{linked}\nsbom     {bill}",
        env!("CARGO_PKG_VERSION"),
        // Told by whoever builds a release. A build that looked by itself would be another one after each commit.
        option_env!("MUSTER_COMMIT").unwrap_or("not told: MUSTER_COMMIT was not set when this was built"),
        if cfg!(debug_assertions) { "dev" } else { "release" },
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}
