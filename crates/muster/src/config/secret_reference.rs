//! Secrets are read from the places that the settings name.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use muster_model::{Secret, SecretReference};

use super::files;
use crate::read_file;

/// A file larger than this holds no secret.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How long a program may take to print one: so many ticks.
const COMMAND_TICK: Duration = Duration::from_millis(20);
const COMMAND_TICKS_MAX: u32 = 1_500;

/// Why a secret cannot be had. Never holds the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretReferenceError {
    #[error("the secret's file {} cannot be read: {error}{}", .path.display(), hint(.error))]
    File { path: PathBuf, error: std::io::Error },
    #[error("the environment variable {0} is not set")]
    Env(String),
    #[error("the secret's command `{program}` failed: {detail}")]
    Command {
        /// Its name, without its arguments.
        program: String,
        detail: String,
    },
    /// It is too large for a secret.
    #[error("the secret's file {} is larger than a secret can be", .0.display())]
    TooLarge(PathBuf),
    #[error("the secret in {0} is no text (UTF-8)")]
    NotText(String),
    /// Not started by systemd with this credential.
    #[error(
        "there is no systemd credential `{0}`: the unit needs LoadCredential={0}:/path/to/the/secret, and only the service sees it"
    )]
    Systemd(String),
    /// The vault has not been asked.
    #[error("the Key Vault secret {url} cannot be had: {why}")]
    NotFetched { url: String, why: String },
    /// It was saved in a way that nobody sees, and that no receiver takes.
    #[error(
        "the secret in {place} {how}, which would be sent along: save it as plain text, UTF-8 without a mark"
    )]
    Encoding { place: String, how: &'static str },
    #[error("the secret in {0} is empty")]
    Empty(String),
}

/// Reads secrets from their places. Relative paths start from `folder`.
pub trait ReadSecret {
    /// The secret, without blanks and newlines at its end.
    fn read(&self, folder: &Path) -> Result<Secret<String>, SecretReferenceError>;

    /// The secret as it is, such as a certificate in PKCS#12.
    fn read_bytes(&self, folder: &Path) -> Result<Secret<Vec<u8>>, SecretReferenceError>;
}

impl ReadSecret for SecretReference {
    fn read(&self, folder: &Path) -> Result<Secret<String>, SecretReferenceError> {
        let bytes = self.read_bytes(folder)?;
        if let Some(how) = files::odd_encoding(bytes.expose()) {
            return Err(SecretReferenceError::Encoding { place: self.to_string(), how });
        }
        let text = std::str::from_utf8(bytes.expose());
        let text = text.map_err(|_| SecretReferenceError::NotText(self.to_string()))?.trim_end();
        if text.is_empty() {
            return Err(SecretReferenceError::Empty(self.to_string()));
        }
        Ok(Secret::from(text))
    }

    fn read_bytes(&self, folder: &Path) -> Result<Secret<Vec<u8>>, SecretReferenceError> {
        let bytes = match self {
            Self::File(path) => read_file::secret(&folder.join(path), FILE_BYTES_MAX)
                .map_err(|error| file_error(folder.join(path), error))?,
            Self::Env(name) => {
                let secret = super::environment(name);
                Secret::new(secret.ok_or_else(|| SecretReferenceError::Env(name.clone()))?.into_bytes())
            }
            Self::Command(command) => run(command, folder)?,
            Self::Systemd(name) => {
                let credentials = super::environment("CREDENTIALS_DIRECTORY").map(PathBuf::from);
                let path = credentials.ok_or_else(|| SecretReferenceError::Systemd(name.clone()))?.join(name);
                read_file::secret(&path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => SecretReferenceError::Systemd(name.clone()),
                    _ => file_error(path, error),
                })?
            }
            Self::KeyVault(secret) => {
                let not_fetched = || SecretReferenceError::NotFetched {
                    url: secret.url().to_string(),
                    why: secret.trouble().unwrap_or_else(|| "it has not been fetched".to_owned()),
                };
                Secret::new(secret.value().ok_or_else(not_fetched)?.expose().clone().into_bytes())
            }
        };
        if bytes.expose().is_empty() {
            return Err(SecretReferenceError::Empty(self.to_string()));
        }
        Ok(bytes)
    }
}

impl SecretReferenceError {
    /// Whether there is nothing at the place at all.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::File { error, .. } => error.kind() == std::io::ErrorKind::NotFound,
            Self::Env(_) | Self::Systemd(_) => true,
            _ => false,
        }
    }
}

/// What to do about a file that cannot be read.
fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "; let the user that Muster runs as read it",
        std::io::ErrorKind::NotFound => "; put the secret there, or name where it is",
        _ => "",
    }
}

fn file_error(path: PathBuf, error: std::io::Error) -> SecretReferenceError {
    match error.kind() {
        std::io::ErrorKind::FileTooLarge => SecretReferenceError::TooLarge(path),
        _ => SecretReferenceError::File { path, error },
    }
}

fn run(command: &[String], folder: &Path) -> Result<Secret<Vec<u8>>, SecretReferenceError> {
    let failed = |detail: String| SecretReferenceError::Command { program: command[0].clone(), detail };
    let mut child = std::process::Command::new(&command[0])
        .args(&command[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let stdout = child.stdout.take().expect("it was asked for");
    // Read beside the wait, so that a program that prints much does not hang.
    let (sender, output) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        sender.send(read.map(|_| Secret::new(bytes))).ok();
    });
    for _ in 0..COMMAND_TICKS_MAX {
        if let Some(status) = child.try_wait().map_err(|error| failed(error.to_string()))? {
            if !status.success() {
                return Err(failed(status.to_string()));
            }
            // Something that it started may hold its output open for good.
            let read = output.recv_timeout(Duration::from_secs(2));
            let read = read.map_err(|_| failed("it ended, but its output does not".to_owned()))?;
            let bytes = read.map_err(|error| failed(error.to_string()))?;
            if bytes.expose().len() as u64 > FILE_BYTES_MAX {
                return Err(failed("it prints more than a secret can be".to_owned()));
            }
            return Ok(bytes);
        }
        std::thread::sleep(COMMAND_TICK);
    }
    child.kill().ok();
    child.wait().ok();
    Err(failed(format!("it did not end within {} s", (COMMAND_TICK * COMMAND_TICKS_MAX).as_secs())))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

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
        std::fs::write(folder.path().join("binary"), [0x30, 0x82, 0xff]).expect("written");
        let binary = SecretReference::File("binary".into());
        assert_eq!(binary.read_bytes(folder.path()).expect("bytes").expose(), &[0x30, 0x82, 0xff]);
        assert!(matches!(read(binary), Err(SecretReferenceError::NotText(_))));
        std::fs::write(folder.path().join("huge"), vec![b'x'; (1 << 20) + 1]).expect("written");
        let huge = SecretReference::File("huge".into());
        assert!(matches!(read(huge), Err(SecretReferenceError::TooLarge(_))));
        for (bytes, words) in [
            (&b"\xef\xbb\xbfhunter2"[..], "begins with a byte-order mark"),
            (b"\xff\xfeh\0u\0n\0t\0", "is UTF-16"),
            (b"\xfe\xff\0h\0u", "is UTF-16"),
            (b"h\0u\0n\0t\0", "is UTF-16"),
        ] {
            std::fs::write(folder.path().join("marked"), bytes).expect("written");
            let error = read(SecretReference::File("marked".into())).expect_err("marked").to_string();
            assert!(error.contains(words) && !error.contains("hunter"), "{error}");
        }
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .expect("a pipe");
        let error = read(SecretReference::File(pipe)).expect_err("nobody writes into it").to_string();
        assert!(error.contains("it is a pipe, not a file"), "{error}");
        let error = read(SecretReference::Systemd("main".to_owned())).expect_err("not a service");
        assert!(error.to_string().contains("LoadCredential=main:"), "{error}");
    }

    #[test]
    fn a_reference_names_one_place() {
        let parse = |text: &str| {
            #[derive(Deserialize)]
            struct Section {
                secret: SecretReference,
            }
            toml::from_str::<Section>(&format!("secret = {text}")).map(|section| section.secret)
        };
        let vault = parse(r#"{ key_vault = "https://mssp.vault.azure.net/secrets/main" }"#).expect("a place");
        assert!(matches!(vault.read(Path::new(".")), Err(SecretReferenceError::NotFetched { .. })));
        let SecretReference::KeyVault(secret) = &vault else { panic!("{vault:?}") };
        secret.fetched(Secret::from("hunter4"));
        assert_eq!(vault.read(Path::new(".")).expect("fetched").expose(), "hunter4");
        for wrong in [
            "{}",
            r#"{ file = "a", env = "B" }"#,
            r#"{ command = [] }"#,
            r#"{ systemd = "../a" }"#,
            r#"{ key_vault = "mssp" }"#,
            r#"{ key_vault = "https://u:p@mssp.vault.azure.net/secrets/main" }"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
