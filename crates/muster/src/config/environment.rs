//! The environment.

/// A variable of the environment that holds something.
pub(crate) fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "settings are the one part that reads the environment")]
    let value = std::env::var(name);
    value.ok().filter(|value| !value.is_empty())
}
