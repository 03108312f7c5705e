//! What is PostgreSQL's own: how it is reached, its tables, what it says, and what happens when a connection breaks.
//!
//! Everything is in one schema. Each statement is part of a transaction that sets what it needs (`SET LOCAL`), and none has a
//! name, so that a pooler may stand between. Who writes has the lock of the whole store until the transaction ends
//! (`pg_advisory_xact_lock`): what the tables do within a transaction they do alone, as with SQLite. A process that is paused
//! within one loses it after five seconds, by the database's clock.

pub(crate) mod address;
pub(crate) mod connect;
pub(crate) mod database;
pub(crate) mod failure;
pub(crate) mod look;
pub(crate) mod open;

pub use self::address::{PostgresAddress, PostgresSettings, SslMode};
