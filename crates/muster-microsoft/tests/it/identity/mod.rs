//! The client side of identity against a server that answers as each test says: right, wrong and hostile.

mod apis;
mod apps;
mod cache;
mod people;
mod server;
mod support;
mod verification;
