//! How Muster speaks HTTP to strangers, whoever they are: one client with bounds on everything, the roots it trusts,
//! what an answer says about itself, and the door through which bearer tokens come.

mod causes;
mod client;
mod error;
mod local;
mod memory;
mod obstacle;
mod one_connection;
mod public;
mod response;
mod roots;
mod token_source;

pub use causes::with_causes;
pub use client::{Client, ClientOptions, Proxy, RATE_WINDOW};
pub use error::{ClientError, TransportError, shown};
pub use local::Local;
pub use memory::Held;
pub use obstacle::Obstacle;
pub use public::not_public_host;
pub use response::Response;
pub use roots::{RootsError, check_roots, read_roots, tls_config, trusted_roots};
pub use token_source::{NoToken, TokenSource};
