//! The rules of a [`Store`](crate::Store) as tests that every engine runs: [`run_all`] with an [`Engine`].
//!
//! A suite that needs one noun alone asks for no more, so that an engine can grow noun by noun.
//!
//! Nothing here knows how an engine keeps things. Time is an argument throughout; nothing sleeps.

mod audit;
mod bound;
mod changes;
mod checks;
mod credentials;
mod dead_letters;
mod deliveries;
mod grants;
mod heartbeats;
mod identity;
mod journal;
mod kit;
mod leases;
mod ledger;
mod notices;
mod passes;
mod pull_clients;
mod replays;
mod searches;
mod sources;
mod tenants;
mod tickets;

pub use self::kit::Engine;
pub use self::leases::run_named as run_named_leases;

/// Runs every test of the suite.
///
/// # Panics
/// When the engine breaks a rule.
pub async fn run_all(engine: &mut dyn Engine) {
    tenants::run_all(engine).await;
    sources::run_all(engine).await;
    passes::run_all(engine).await;
    journal::run_all(engine).await;
    changes::run_all(engine).await;
    deliveries::run_all(engine).await;
    bound::run_all(engine).await;
    tickets::run_all(engine).await;
    pull_clients::run_all(engine).await;
    replays::run_all(engine).await;
    searches::run_all(engine).await;
    dead_letters::run_all(engine).await;
    identity::run_all(engine).await;
    grants::run_all(engine).await;
    credentials::run_all(engine).await;
    checks::run_all(engine).await;
    audit::run_all(engine).await;
    leases::run_all(engine).await;
    ledger::run_all(engine).await;
    heartbeats::run_all(engine).await;
    notices::run_all(engine).await;
}
