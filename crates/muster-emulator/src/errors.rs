//! Why an emulator does not start, and why something asked of a running one cannot be done.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::faults::kind::{Area, FaultKind};
use crate::receivers::StartReceiverError;

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program listens there.
    #[error("start the emulator: port in use: {address}")]
    PortInUse {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("start the emulator: listen on {address}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A receiver did not start.
    #[error(transparent)]
    Receiver(#[from] StartReceiverError),
    /// The folder of recordings cannot be read.
    #[error("start the emulator: read recordings in {folder}")]
    Records {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The CA's certificate cannot be written.
    #[error("start the emulator: write the CA's certificate to {file}")]
    CaOut {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Keys or certificates could not be made.
    #[error("start the emulator: make keys")]
    Keys(#[source] anyhow::Error),
    /// An app of the configuration cannot be registered.
    #[error("start the emulator: register an app")]
    App(#[from] RequestError),
    /// A number of the configuration makes no sense.
    #[error("start the emulator: {0}")]
    Config(&'static str),
}

/// Why something asked of the running emulator could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No tenant has this id or domain.
    #[error("no tenant {0:?}")]
    UnknownTenant(String),
    /// The tenant has no such alert, or it comes from a file and cannot change.
    #[error("tenant {tenant}: no alert {id:?} that can be updated")]
    UnknownAlert {
        /// The tenant's name as asked.
        tenant: String,
        /// The alert's id as asked.
        id: String,
    },
    /// The tenant has no such incident, or it cannot change in this way.
    #[error("tenant {tenant}: no incident {id:?} that can be changed so")]
    UnknownIncident {
        /// The tenant's name as asked.
        tenant: String,
        /// The incident's id as asked.
        id: String,
    },
    /// The fault means nothing in that area.
    #[error("fault {0:?} means nothing in area {1:?}")]
    MeaninglessFault(FaultKind, Area),
    /// No app has this id.
    #[error("no app {0:?}")]
    UnknownApp(String),
    /// No account has this name.
    #[error("no account {0:?}")]
    UnknownAccount(String),
    /// No API offers this permission, or there is no such API or role.
    #[error("no permission, API or role {0:?}")]
    UnknownPermission(String),
    /// A time is not written as RFC 3339 has it.
    #[error("{0:?} is no time as RFC 3339 writes it")]
    NotATime(String),
    /// A certificate is none, or its key is not RSA.
    #[error("this is no PEM of a certificate with an RSA key")]
    NotACertificate,
    /// A signing key could not be made.
    #[error("make a signing key: {0}")]
    Keys(String),
    /// No refusal has this code.
    #[error("no AADSTS code {0} is known")]
    UnknownCode(u32),
    /// A person's walk through the pages did not end at the application.
    #[error("the sign-in ended on a page: {0}")]
    SignIn(String),
    /// A file could not be tallied.
    #[error("tally a file")]
    File(#[from] std::io::Error),
}
