//! What the program's exit codes mean. Expected failures are told apart, so that scripts can act on them.

use std::io;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    /// It failed in a way that has no code of its own; the message says how.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The settings are wrong, or a secret they name cannot be had.
    Settings = 3,
    /// The store cannot be used: locked, damaged, full, or not there yet.
    Store = 4,
    /// The tenant, app, refresh token, sink or dead letter that was named does not exist.
    NotFound = 5,
    /// Some of it was done, some was not; the output says which.
    Partly = 6,
    /// Microsoft refused, or does not answer.
    Microsoft = 7,
    /// A sink refused, or does not answer.
    Sink = 8,
}

impl Exit {
    /// As programs are told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::Settings => "settings",
            Self::Store => "store",
            Self::NotFound => "not_found",
            Self::Partly => "partly",
            Self::Microsoft => "microsoft",
            Self::Sink => "sink",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure of a command: its exit code, and its message.
#[derive(Debug)]
pub struct Failed {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl Failed {
    /// A failure with a code and a message.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    pub fn microsoft(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::Microsoft, error)
    }

    /// A file that cannot be read: which, why, and what to do.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::say(
            Exit::Failure,
            format!("{} cannot be read ({error}){}", path.display(), reading_cure(error)),
        )
    }

    /// A file or folder that cannot be written: which, why, and what to do.
    pub fn unwritable(path: &Path, error: &io::Error) -> Self {
        Self::say(
            Exit::Failure,
            format!("{} cannot be written ({error}){}", path.display(), writing_cure(error)),
        )
    }

    /// A failure that is one sentence.
    pub fn say(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}") }
    }
}

impl Failed {
    /// The error and its causes in one line, each said once.
    #[must_use]
    pub fn told(&self) -> String {
        let mut text = String::new();
        for cause in self.error.chain() {
            let cause = cause.to_string();
            if text.is_empty() {
                text = cause;
            } else if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        text
    }
}

/// What to do about a file that cannot be read, behind why; nothing where that says it.
pub fn reading_cure(error: &io::Error) -> &'static str {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound => ": check its name, and the folder that it is looked for in",
        PermissionDenied => ": let this user read it, and enter the folders on the way",
        IsADirectory => ": name a file in it",
        NotADirectory => ": what stands before the last `/` is to be a folder",
        _ => "",
    }
}

/// What to do about a file or folder that cannot be written.
pub fn writing_cure(error: &io::Error) -> &'static str {
    use io::ErrorKind::{
        AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
        StorageFull,
    };
    match error.kind() {
        NotFound => ": make its folder first",
        AlreadyExists => ": name another, or remove it",
        IsADirectory => ": name a file in it",
        NotADirectory => ": a file stands where a folder is to be; name another folder",
        PermissionDenied => ": let this user write there",
        StorageFull => ": free space there",
        ReadOnlyFilesystem => ": mount the disk for writing, or name another place",
        _ => "",
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failure, error }
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self { exit: Exit::Failure, error: error.into() }
    }
}

impl From<crate::config::Mistakes> for Failed {
    fn from(mistakes: crate::config::Mistakes) -> Self {
        Self { exit: Exit::Settings, error: mistakes.into() }
    }
}

impl From<crate::choosing::ChoosingError> for Failed {
    fn from(error: crate::choosing::ChoosingError) -> Self {
        use crate::choosing::ChoosingError::{NoTag, Nobody, Tag, Tenant};
        match error {
            Tenant(error) => error.into(),
            Tag { .. } => Self::new(Exit::NotFound, error),
            NoTag(_) | Nobody => Self::new(Exit::Usage, error),
        }
    }
}

impl From<muster_store::StoreError> for Failed {
    fn from(error: muster_store::StoreError) -> Self {
        use muster_store::StoreError::{NoTenant, Offboarded, TenantExists};
        let exit = match error {
            NoTenant(_) => Exit::NotFound,
            TenantExists { .. } | Offboarded(_) => Exit::Failure,
            _ => Exit::Store,
        };
        Self { exit, error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use muster_store::StoreError;

    use super::*;

    #[test]
    fn codes_are_those_that_are_documented() {
        let codes = [
            (Exit::Success, 0),
            (Exit::Failure, 1),
            (Exit::Usage, 2),
            (Exit::Settings, 3),
            (Exit::Store, 4),
            (Exit::NotFound, 5),
            (Exit::Partly, 6),
            (Exit::Microsoft, 7),
            (Exit::Sink, 8),
        ];
        assert!(codes.iter().all(|(exit, code)| *exit as u8 == *code));
    }

    #[test]
    fn a_tenant_that_does_not_exist_is_no_trouble_of_the_store() {
        let exit = |error: StoreError| Failed::from(error).exit;
        assert_eq!(exit(StoreError::NoTenant("contoso".to_owned())), Exit::NotFound);
        assert_eq!(exit(StoreError::Offboarded("contoso".to_owned())), Exit::Failure);
    }
}
