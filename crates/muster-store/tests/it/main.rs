//! What holds for the store as its users see it.

mod grants;
mod killed;
mod model;
mod recorded;
mod suite;
