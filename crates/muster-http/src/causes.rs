//! An error and what caused it.

/// An error with its causes, in one line, most general first, since the last one is what the operator needs.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("no way: {0}")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("broken")]
        struct Inner(#[source] std::io::Error);
        let error = Outer(Inner(std::io::Error::other("reset")));
        assert_eq!(with_causes(&error), "no way: broken: reset");
    }
}
