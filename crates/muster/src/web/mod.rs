//! What is served over HTTP: health and metrics (`/livez`, `/readyz`, `/metrics`), and customers' pages (`/onboard/…`,
//! `/SiemMsspConnector`).

pub mod language;
pub mod onboarding;
mod page;
pub mod server;
mod wording;
