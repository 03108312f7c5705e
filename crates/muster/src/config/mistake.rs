//! What is wrong with settings, and with what they name.

use std::fmt;
use std::path::PathBuf;

use super::wording;

/// One mistake in the settings, or in what they name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    pub file: PathBuf,
    /// The line, counted from 1; `None` where the mistake is that something is missing.
    pub line: Option<usize>,
    /// The section, such as `sinks.splunk`; empty for the whole file.
    pub section: String,
    /// The key in it, such as `token` or `mapping.set`, where it is one key's.
    pub key: Option<String>,
    /// What is wrong, and what would be right. Never a value that may be a secret.
    pub message: String,
    pub consequence: Consequence,
}

/// What comes of a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// `muster run` does not start, and a reload is not taken.
    NoStart,
    /// `muster run` starts. What the mistake is about does not work until it is mended, which is noticed without a restart.
    Down,
    /// Everything works; it is worth a look.
    Advice,
}

impl Mistake {
    /// A mistake that keeps `muster run` from starting.
    pub fn new(
        (file, line): (impl Into<PathBuf>, Option<usize>),
        section: impl Into<String>,
        key: Option<&str>,
        message: &str,
    ) -> Self {
        Self {
            file: file.into(),
            line,
            section: section.into(),
            key: key.map(str::to_owned),
            message: wording::without_credentials(message),
            consequence: Consequence::NoStart,
        }
    }

    /// The same with another consequence.
    #[must_use]
    pub fn with(self, consequence: Consequence) -> Self {
        Self { consequence, ..self }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(":")?;
        if !self.section.is_empty() {
            write!(f, " [{}]", self.section)?;
        }
        if let Some(key) = &self.key {
            write!(f, " {key}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// All that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);
