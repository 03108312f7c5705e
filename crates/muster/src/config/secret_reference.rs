//! Where a secret is kept. The settings name the place, never the secret.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use muster_model::Secret;
use serde::Deserialize;

/// `{ file = "…" }`, `{ env = "…" }` or `{ command = ["…", …] }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub enum SecretReference {
    /// A file that holds the secret and nothing else. Blanks and newlines at its end do not count.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A program that prints the secret.
    Command(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    file: Option<PathBuf>,
    env: Option<String>,
    command: Option<Vec<String>>,
}

impl TryFrom<Raw> for SecretReference {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        match raw {
            Raw { file: Some(file), env: None, command: None } => Ok(Self::File(file)),
            Raw { file: None, env: Some(env), command: None } => Ok(Self::Env(env)),
            Raw { file: None, env: None, command: Some(command) } if !command.is_empty() => {
                Ok(Self::Command(command))
            }
            _ => Err(
                "name one place of the secret: { file = \"…\" }, { env = \"…\" } or { command = [\"…\"] }",
            ),
        }
    }
}

/// Why a secret cannot be had. Never holds the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretReferenceError {
    /// The file cannot be read.
    #[error("the secret's file {} cannot be read: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// The program failed.
    #[error("the secret's command `{program}` failed: {detail}")]
    Command {
        /// Its name, without its arguments.
        program: String,
        /// How.
        detail: String,
    },
    /// Nothing in it.
    #[error("the secret in {0} is empty")]
    Empty(String),
}

impl SecretReference {
    /// Reads the secret. Relative paths start from `folder`.
    ///
    /// # Errors
    /// When it cannot be had, or is empty.
    pub fn read(&self, folder: &Path) -> Result<Secret<String>, SecretReferenceError> {
        let (secret, place) = match self {
            Self::File(path) => {
                let path = folder.join(path);
                let read = std::fs::read_to_string(&path);
                let secret =
                    read.map_err(|error| SecretReferenceError::File { path: path.clone(), error })?;
                (Secret::new(secret), path.display().to_string())
            }
            Self::Env(name) => {
                let secret =
                    super::environment(name).ok_or_else(|| SecretReferenceError::Env(name.clone()))?;
                (Secret::new(secret), format!("the environment variable {name}"))
            }
            Self::Command(command) => (run(command, folder)?, format!("the output of `{}`", command[0])),
        };
        let trimmed = secret.expose().trim_end();
        if trimmed.is_empty() {
            return Err(SecretReferenceError::Empty(place));
        }
        Ok(Secret::from(trimmed))
    }
}

fn run(command: &[String], folder: &Path) -> Result<Secret<String>, SecretReferenceError> {
    let failed = |detail: String| SecretReferenceError::Command { program: command[0].clone(), detail };
    let output = std::process::Command::new(&command[0])
        .args(&command[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    String::from_utf8(output.stdout).map(Secret::new).map_err(|_| failed("it printed no text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("secret"), "hunter2\n").expect("written");
        let read =
            |reference: SecretReference| reference.read(folder.path()).map(|secret| secret.expose().clone());
        assert_eq!(read(SecretReference::File("secret".into())).expect("a secret"), "hunter2");
        let command = vec!["printf".to_owned(), "hunter3".to_owned()];
        assert_eq!(read(SecretReference::Command(command)).expect("a secret"), "hunter3");
        assert!(read(SecretReference::File("nowhere".into())).is_err());
        assert!(read(SecretReference::Env("MUSTER_TEST_NOT_SET".to_owned())).is_err());
        assert!(read(SecretReference::Command(vec!["false".to_owned()])).is_err());
        std::fs::write(folder.path().join("empty"), "\n").expect("written");
        assert!(read(SecretReference::File("empty".into())).is_err());
    }
}
