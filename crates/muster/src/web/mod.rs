//! What is served over HTTP: health and metrics (`/livez`, `/readyz`, `/metrics`) at one address, and customers' pages
//! (`/onboard/…`, `/SiemMsspConnector`) at another, which is for strangers.

mod gate;
pub(crate) mod invitation_mail;
pub mod language;
pub mod listener;
pub mod onboarding;
mod page;
pub mod public;
pub mod pull_api;
pub mod served;
pub mod server;
mod wording;
