//! `muster key …`: the master key that seals what is secret in the store.

use muster_model::SecretReference;
use muster_store::{MasterKey, RotateError};
use serde::Serialize;

use super::Context;
use crate::audit::actor;
use crate::exit_code::{Exit, Failed};
use crate::shown::progress::Progress;
use crate::wiring;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new master key, seal everything with it, and forget the old one. `muster run` may go on meanwhile.
    Rotate,
    /// Show the names of the keys at hand and of the one that seals the store.
    Show,
}

pub(crate) async fn run(command: &KeyCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        KeyCommand::Show => show(context).await,
        KeyCommand::Rotate => rotate(context).await,
    }
}

#[derive(Serialize)]
struct Keys {
    /// The key that seals the store.
    sealed_with: String,
    /// Where the settings keep the master key.
    place: String,
    /// The keys that lie there.
    at_hand: Vec<String>,
}

async fn show(context: &Context) -> Result<Exit, Failed> {
    let ring = wiring::key_ring(&context.settings)?;
    let keys = Keys {
        sealed_with: context.store.master_key_id().await?,
        place: context.settings.store.master_key.to_string(),
        at_hand: std::iter::once(&ring.current).chain(&ring.older).map(MasterKey::id).collect(),
    };
    context.output.print(&keys, |_| {
        let mut text = format!(
            "the store is sealed with key {}\nin {}: {}",
            keys.sealed_with,
            keys.place,
            keys.at_hand.join(", ")
        );
        if keys.at_hand.len() > 1 {
            text.push_str("\na rotation was interrupted: `muster key rotate` completes it");
        }
        text
    })
}

#[derive(Serialize)]
struct Rotated {
    from: String,
    to: String,
    resumed: bool,
}

async fn rotate(context: &Context) -> Result<Exit, Failed> {
    let now = context.clock.now();
    let actor = actor();
    let place = &context.settings.store.master_key;
    let SecretReference::File(file) = place else { return rotate_elsewhere(context).await };
    let path = context.settings.path(file);
    let key = MasterKey::generate();
    let rotating = muster_store::rotate_key_file(context.store.as_ref(), &path, &key, &actor, now);
    let rotation = waited(context, rotating).await.map_err(|error| match error {
        RotateError::Store(error) => error.into(),
        other => Failed::new(Exit::Settings, other),
    })?;
    let rotated = Rotated { from: rotation.from, to: rotation.to, resumed: rotation.resumed };
    context.output.print(&rotated, |_| {
        let what =
            if rotated.resumed { "completed an interrupted rotation" } else { "rotated the master key" };
        format!(
            "{what}: {} became {}. Copy {} somewhere safe and apart from the store now; the old copy opens earlier backups only",
            rotated.from,
            rotated.to,
            path.display()
        )
    })
}

/// All is sealed anew in one transaction: how long that takes is all that can be told.
async fn waited<T>(context: &Context, work: impl Future<Output = T>) -> T {
    Progress::of(context.output)
        .during(context.clock.as_ref(), |_| "sealing the store anew".to_owned(), Box::pin(work))
        .await
}

/// Where Muster cannot write the key itself, the operator puts the new key before the old one, and the store is sealed
/// with whatever comes first. At every moment the key that seals the store is one of the two.
async fn rotate_elsewhere(context: &Context) -> Result<Exit, Failed> {
    let place = &context.settings.store.master_key;
    let ring = wiring::key_ring(&context.settings)?;
    let from = context.store.master_key_id().await?;
    let to = ring.current.id();
    if from == to {
        let message = format!(
            "Muster cannot write to {place}. Make a key with `openssl rand -base64 32`, put it there as the first line with the old one as the second, and run this again"
        );
        return Err(Failed::say(Exit::Usage, message));
    }
    let actor = actor();
    let rotating = context.store.rotate_master_key(&ring.current, &actor, context.clock.now());
    waited(context, rotating).await?;
    let rotated = Rotated { from, to, resumed: false };
    context.output.print(&rotated, |_| {
        format!(
            "rotated the master key: {} became {}. Leave only the new key, the first line, in {place} now",
            rotated.from, rotated.to
        )
    })
}
