//! What holds for the store as its users see it.

mod cluster;
mod grants;
mod killed;
mod killed_replays;
mod location;
mod model;
mod moved;
mod recorded;
mod refused;
mod suite;
mod worker;
