//! The identity platform seen from outside: every flow, every refusal, hostile input, Microsoft's own clients.

mod applications;
mod clients;
mod credentials;
mod hostile;
mod lifetimes;
mod sign_in;
mod support;
mod vault;
