//! `muster app rotate-secret` and `rotate-certificate`

use std::time::Duration;

use muster_microsoft::entra::credential::App;
use muster_model::{Span, TenantId};
use muster_store::{CredentialKind, CredentialSlot};

use super::authority::{SignInArgs, authority};
use super::named::{home, named, ready, stored};
use crate::access::rotation::{self, CredentialPlace, Rotated, Rotation, RotationError};
use crate::audit;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::plain;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app; may be left out when the settings have only one.
    app: Option<String>,
    /// The tenant that it is registered in, where the settings do not say.
    #[arg(long, short)]
    tenant: Option<String>,
    /// How long the new one is good for; as long as the one before when left out, or 180d.
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<Span>,
    /// Leave the old one valid at Microsoft for now; --finish removes it later.
    #[arg(long, conflicts_with = "finish")]
    keep_old: bool,
    /// Make nothing new: only finish an interrupted rotation, and remove an old one that was kept.
    #[arg(long)]
    finish: bool,
    /// Who signs in.
    #[command(flatten)]
    sign_in: SignInArgs,
}

/// How long a new credential is good for where nobody says.
pub(super) const LIFETIME: Duration = Duration::from_secs(180 * 86_400);

/// How long the one in use was made for, in whole days: who gave an app a secret of a year means that for the next one, too.
async fn lifetime_before(name: &str, kind: CredentialKind, context: &Context) -> Result<Duration, Failed> {
    let stored = stored(name, context).await?;
    let current = stored.iter().find(|one| one.slot == CredentialSlot::Current && one.kind == kind);
    let made_for = current
        .and_then(|current| Duration::try_from(current.not_after?.duration_since(current.created_at)).ok());
    let days = made_for.map(|made_for| (made_for.as_secs() + 43_200) / 86_400).filter(|days| *days > 0);
    Ok(days.map_or(LIFETIME, |days| Duration::from_secs(days * 86_400)))
}

pub(super) async fn run(args: &Args, kind: CredentialKind, context: &Context) -> Result<Exit, Failed> {
    let (name, settings) = named(args.app.as_deref(), &context.settings)?;
    let microsoft = context.microsoft()?;
    let place = CredentialPlace::of(settings, kind, &context.settings.folder, || opener(context))
        .map_err(|reason| Failed::say(Exit::Usage, format!("app `{name}`: {reason}")))?;
    let home = home(name, Some(settings), args.tenant.as_deref(), context, &microsoft).await?;
    let app = ready(name, settings, context).await?;
    let token = authority(&app, home, &args.sign_in, context, &microsoft).await?;
    // A running Muster reads a Key Vault only when it starts or reloads; until then it needs the old one.
    let is_vault = matches!(place, CredentialPlace::KeyVault { .. });
    let rotation = Rotation {
        store: &context.store,
        microsoft: &microsoft,
        clock: context.clock.as_ref(),
        app: &app,
        place,
        home,
        token: &token,
        actor: audit::actor(),
        progress: &progress,
    };
    let wanted = rotation::RotationRequest {
        kind,
        lifetime: match args.lifetime {
            Some(lifetime) => lifetime.0,
            None => lifetime_before(name, kind, context).await?,
        },
        withdraw: args.finish || !(args.keep_old || is_vault),
        finish_only: args.finish,
    };
    let mut rotated = rotation.run(&wanted).await.map_err(rotation_failed)?;
    if rotated.replaced && is_vault {
        rotated.notes.push(format!(
            "send SIGHUP to `muster run`, so that it reads the vault again, and then run `muster app rotate-{} {name} --finish`",
            kind.as_str()
        ));
    }
    let checks = vec![rotation::check(name, &stored(name, context).await?, context.clock.now())];
    context.store.put_app_checks(name, checks).await?;
    context.output.print(&rotated, |_| shown_rotated(&rotated).trim_end().to_owned())
}

/// Who opens Key Vaults.
fn opener(context: &Context) -> Result<(App, TenantId), String> {
    let opener = context
        .settings
        .key_vault
        .as_ref()
        .ok_or("its credential lies in a Key Vault, but the settings have no [key_vault]")?;
    let settings = context
        .settings
        .apps
        .get(&opener.app)
        .ok_or_else(|| format!("[key_vault] names app `{}`, which is not in the settings", opener.app))?;
    let app = settings
        .app(&opener.app, &context.settings.folder, None)
        .map_err(|error| format!("app `{}`, which opens the Key Vault: {error}", opener.app))?;
    Ok((app, opener.tenant))
}

pub(super) fn progress(words: &str) {
    note!("{words}");
}

pub(super) fn shown_rotated(rotated: &Rotated) -> String {
    let mut text = String::new();
    if rotated.resumed {
        text.push_str("an interrupted rotation was finished\n");
    }
    match (&rotated.key_id, rotated.replaced) {
        (Some(key_id), true) => text.push_str(&format!("a new credential is in use: {key_id}")),
        (Some(key_id), false) => text.push_str(&format!("the credential in use: {key_id}")),
        (None, _) => text.push_str("no credential is in use that Muster made"),
    }
    if let Some(until) = rotated.not_after.filter(|_| rotated.key_id.is_some()) {
        text.push_str(&format!(", good until {until:.0}"));
    }
    text.push('\n');
    if !rotated.withdrawn.is_empty() {
        text.push_str(&format!("removed at Microsoft: {}\n", rotated.withdrawn.join(", ")));
    }
    if let Some(still) = &rotated.still_valid {
        text.push_str(&format!("still valid at Microsoft: {still}; --finish removes it\n"));
    }
    for note in &rotated.notes {
        text.push_str(&format!("! {}\n", plain(note)));
    }
    text
}

/// Does `work` while no other process changes credentials of the store's apps.
pub(super) async fn exclusively(
    context: &Context,
    work: impl Future<Output = Result<Exit, Failed>>,
) -> Result<Exit, Failed> {
    let done = rotation::exclusively(context.store.as_ref(), context.clock.as_ref(), work).await;
    done.map_err(rotation_failed)?
}

pub(super) fn rotation_failed(error: RotationError) -> Failed {
    let exit = match &error {
        RotationError::Store(_) | RotationError::RolledBack { .. } | RotationError::Stored(_) => Exit::Store,
        RotationError::Directory(_)
        | RotationError::NotRolledBack { .. }
        | RotationError::NotProven(_)
        | RotationError::NotRegistered { .. }
        | RotationError::KeyVault(_) => Exit::Microsoft,
        RotationError::ClientId(_) => Exit::Settings,
        RotationError::NewCertificate(_)
        | RotationError::Certificate(_)
        | RotationError::File { .. }
        | RotationError::PreviousInUse { .. }
        | RotationError::Busy => Exit::Failure,
    };
    Failed::new(exit, error)
}
