//! The embedded store: SQLite in WAL mode, one connection that writes, a few that read.
//!
//! Reads never wait for the writer. What is sealed, compressed or read back is so on threads for such work, and only
//! as many at once as there are processors, so that the memory they take is bounded.

mod answers;
mod audit;
mod batches;
mod bound;
mod checks;
mod copies;
mod credentials;
mod damage;
mod dead_letters;
mod deliveries;
mod engine;
mod failure;
mod grants;
mod heartbeats;
mod history;
mod invitations;
mod journal;
mod keys;
mod known;
mod leased_source;
mod leases;
mod ledger;
mod lock_file;
mod look;
mod marks;
mod meta;
mod notes;
mod open;
mod owing;
mod passes;
mod promotion;
mod pruning;
mod pull_clients;
mod recall;
mod replays;
mod rows;
mod sign_ins;
mod sources;
mod standings;
mod tenants;
#[cfg(test)]
mod tests;
mod tickets;
mod trace;
mod unrouted;
mod waits;
mod whole;
mod witness;
mod writer;

pub use self::copies::CheckedCopy;
pub use self::engine::SqliteStore;
pub(crate) use self::look::look;
