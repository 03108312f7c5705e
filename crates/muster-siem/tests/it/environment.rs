//! How the tests are run.

use std::ffi::OsString;

/// A variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
pub(crate) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
