//! The tables, each in a file under the name of what it keeps. Their SQL is written once, for both engines.
//!
//! Who writes has the store to itself for that long, whichever engine it is (see `writer`): what is read within a
//! transaction stays true until it ends. What is sealed, compressed or read back is so on threads for such work, and only
//! as many at once as there are processors, so that the memory they take is bounded.

mod answers;
pub(crate) mod audit;
mod batches;
mod bound;
mod checks;
mod credentials;
pub(crate) mod damage;
mod dead_letters;
mod deliveries;
mod grants;
mod heartbeats;
pub(crate) mod history;
mod invitations;
mod journal;
mod keys;
pub(crate) mod known;
mod leased_source;
mod leases;
mod ledger;
pub(crate) mod living;
pub(crate) mod meta;
mod nodes;
mod notes;
mod notices;
mod owing;
mod passes;
mod promotion;
mod pruning;
mod pull_clients;
mod recall;
mod replays;
pub(crate) mod rows;
pub(crate) mod searches;
mod sign_ins;
mod sources;
mod standings;
mod tail;
mod tenants;
mod tickets;
pub(crate) mod trace;
mod unrouted;
mod waits;
mod whole;
pub(crate) mod witness;
