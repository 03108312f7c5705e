//! Why a sink cannot be made or used.

use muster_model::Trouble;

/// Why a sink cannot be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The settings cannot work; a person must change them.
    #[error("sink `{sink}`: {problem}")]
    Settings {
        /// The sink's name in the settings.
        sink: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The receiver, or the file, cannot be used at present.
    #[error("sink `{sink}`: {problem}")]
    Unusable {
        /// The sink's name in the settings.
        sink: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Another process writes there.
    #[error(
        "sink `{sink}`: {path} is being written by another process; stop it, or give this sink another path"
    )]
    InUse {
        /// The sink's name in the settings.
        sink: String,
        /// The path both want.
        path: String,
    },
}

impl SinkError {
    /// The trouble that a test of `sink` met, without the name, which stands in front already.
    pub(super) fn unusable(sink: &str, trouble: &Trouble) -> Self {
        let reason = trouble.reason.strip_prefix(&format!("sink `{sink}` ")).unwrap_or(&trouble.reason);
        Self::Unusable { sink: sink.to_owned(), problem: reason.to_owned() }
    }
}

/// A bit of what a receiver said, fit for a message to the operator.
pub(super) fn shown(text: &str) -> String {
    muster_model::text::shown(text, 200)
}
