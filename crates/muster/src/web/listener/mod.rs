//! A server for connections of strangers: whatever comes in is bounded in number, bytes and time, so that nobody keeps
//! Muster from its main job. HTTP/1.1 only: a visit is one small page, for which HTTP/2 would win nothing and bring
//! streams, header tables and resets that would all need bounds of their own.

mod accept;
pub mod bounds;
pub mod certificate;
mod connection;
pub mod descriptors;
mod unhurried;
pub mod visitors;

pub use accept::serve;
pub use bounds::Bounds;
pub use certificate::{CertificateError, CertificateFiles, Certificates};
pub use visitors::{Refusal, Visit, Visitors};
