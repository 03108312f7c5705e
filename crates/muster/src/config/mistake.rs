//! What is wrong with settings.

use std::fmt;
use std::path::PathBuf;

/// One mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    pub file: PathBuf,
    /// The line, counted from 1; `None` where the mistake is that something is missing.
    pub line: Option<usize>,
    /// The section, such as `sinks.splunk`.
    pub section: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if self.section.is_empty() {
            write!(f, ": {}", self.message)
        } else {
            write!(f, ": [{}] {}", self.section, self.message)
        }
    }
}

/// All that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);
