//! The environment.

/// A variable of the environment that holds something.
pub(crate) fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "settings are the one part that reads the environment")]
    let value = std::env::var(name);
    value.ok().filter(|value| !value.is_empty())
}

/// A path that a variable of the environment holds, whatever its bytes.
pub(crate) fn environment_path(name: &str) -> Option<std::path::PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "settings are the one part that reads the environment")]
    let value = std::env::var_os(name);
    value.filter(|value| !value.is_empty()).map(std::path::PathBuf::from)
}
