//! The settings: one TOML file, or a folder of them. One file per section.
//!
//! Unknown keys are mistakes, all mistakes are told at once, each with its line. Secrets are named by reference and
//! read only here. This is the one part of the product that reads the environment.

mod address_range;
mod apps;
mod cloud;
mod collect;
mod contradictions;
mod document;
mod environment;
mod files;
mod find;
mod fingerprints;
mod hunts;
mod key_vault;
mod mistake;
mod network;
mod notices;
mod onboarding;
mod places;
mod public_address;
mod pull_api;
mod read;
mod routes;
pub mod schema;
mod secret_reference;
mod section;
mod server;
mod settings;
mod siem_feed;
mod sinks;
mod store;
mod streams;
mod wording;
mod words;

pub use address_range::AddressRange;
pub use apps::{AppError, AppSettings, CredentialOrigin, FederatedToken, Which};
pub use cloud::CloudSettings;
pub use collect::CollectSettings;
pub(crate) use environment::environment;
pub use find::{Found, find};
pub use fingerprints::Fingerprints;
pub use hunts::{Hunt, HuntApi, HuntSettings};
pub use key_vault::KeyVaultSettings;
pub use mistake::{Consequence, Mistake, Mistakes};
pub use network::NetworkSettings;
pub use notices::{
    AlertSettings, MailSettings, MailTls, NoticeHookSettings, NoticeKeys, NoticeSettings, NoticeWay,
    QuietSettings, TemplateName,
};
pub use onboarding::OnboardingSettings;
pub use pull_api::PullApiSettings;
pub use routes::{Objection, RouteSettings};
pub use schema::schema;
pub use secret_reference::{ReadSecret, SecretReferenceError};
pub use section::parse_redirect_uri;
pub use server::{LogFormat, ServerSettings, listen_trouble};
pub use settings::Settings;
pub use siem_feed::SiemFeedSettings;
pub use sinks::{SearchSettings, SinkKeys};
pub use store::{JournalBound, StoreSettings, WhenFull};
pub use streams::{Stream, StreamSettings};
pub use words::{Fit, Words};
