//! `muster restore`: puts a copy of the store back, keeps what was there, and tells what that undoes and may double.

use std::path::{Path, PathBuf};

use muster_model::{Clock, SystemClock};
use muster_store::{AuditEvent, CheckedCopy, CopyContents, OpenMode, StoreError};
use serde::Serialize;

use super::Call;
use super::backup::{holds, moment};
use crate::audit::actor;
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::progress::Progress;
use crate::wiring;

/// How many events that are undone are shown.
const SHOWN_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The copy: made by `muster backup`, by `cp` while `muster run` was stopped, or by an atomic snapshot. A WAL beside it
    /// belongs to it.
    from: PathBuf,
}

#[derive(Serialize)]
struct Restored {
    store: String,
    from: String,
    #[serde(flatten)]
    contents: CopyContents,
    /// Where the store that was there is now.
    kept_aside: Option<String>,
    /// What was done since the copy was taken, and is undone now; `null` where that cannot be read.
    undone: Option<Vec<AuditEvent>>,
}

pub(crate) async fn run(args: &Args, call: &Call) -> Result<Exit, Failed> {
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock);
    let settings = wiring::read_settings(&call.config, &clock).await?;
    let keys = wiring::key_ring(&settings)?;
    if settings.store.url.is_some() {
        return Err(StoreError::NotByThisEngine {
            what: "put back",
            instead: "stop every `muster run`, put the database's own backup back, and start them again; what was delivered \
                      since may come twice, and nothing is lost"
                .to_owned(),
        }
        .into());
    }
    let store = settings.path(&settings.store.path);
    std::fs::metadata(&args.from)
        .map_err(|error| Failed { exit: Exit::Store, ..Failed::unreadable(&args.from, &error) })?;
    let reading = Box::pin(CheckedCopy::of(&args.from, &store, &keys));
    let said = |_| "copying and reading the copy".to_owned();
    let reading = Progress::of(call.output).during(clock.as_ref(), said, reading).await;
    let copy = reading.map_err(|error| match error {
        StoreError::Locked { .. } => Failed::say(
            Exit::Store,
            format!("`muster run` works with {}: stop it first; nothing was changed", store.display()),
        ),
        error => error.into(),
    })?;
    let contents = copy.contents.clone();
    let undone = undone(&settings, &store, contents.audit_events).await;
    let kept_aside = copy.put(clock.now())?;
    // Says in its log and in `status` that it was put back, whoever looks first.
    let opening = Box::pin(wiring::open_store(&settings, OpenMode::Exclusive));
    let opened =
        Progress::of(call.output).during(clock.as_ref(), |_| "opening the store".to_owned(), opening).await?;
    let marked = opened.mark(&actor(), clock.now()).await;
    opened.close().await;
    marked?;
    let restored = Restored {
        store: store.display().to_string(),
        from: args.from.display().to_string(),
        contents,
        kept_aside: kept_aside.map(|path| path.display().to_string()),
        undone,
    };
    call.output.print(&restored, |_| told(&restored))
}

/// What the audit log of the store that is replaced says beyond the copy's.
async fn undone(settings: &Settings, store: &Path, after: u64) -> Option<Vec<AuditEvent>> {
    if !store.exists() {
        return Some(Vec::new());
    }
    let opened = wiring::open_store(settings, OpenMode::Shared).await.ok()?;
    let events = opened.audit(after, 10_000).await.ok();
    opened.close().await;
    // That settings were loaded or a copy was made is nothing to be done again.
    let is_done =
        |event: &AuditEvent| !matches!(event.action.as_str(), "settings.loaded" | "store.backed_up");
    Some(events?.into_iter().filter(is_done).collect())
}

fn told(restored: &Restored) -> String {
    let Restored { store, from, contents, kept_aside, undone } = restored;
    let mut text = format!(
        "{from} was read, found whole and put back as {store}: {}, as of {}.\n",
        holds(contents),
        moment(contents.as_of)
    );
    if let Some(aside) = kept_aside {
        text.push_str(&format!(
            "The store that was there is {aside} now; delete it when you need it no more.\n"
        ));
    }
    text.push_str(
        "\nNothing is lost: what came since is fetched and delivered again. What sinks had since then, and what was owed \
         then, may come twice; `muster status` counts it.\n",
    );
    match undone {
        None => text.push_str(
            "\nWhat was done since the copy was taken cannot be read from the store that was there: look whether tenants, \
             credentials and invitations are as they should be.\n",
        ),
        Some(events) if events.is_empty() => {}
        Some(events) => {
            text.push_str(&format!("\n{} things that were done since are undone; do them again where needed:\n", events.len()));
            for event in events.iter().take(SHOWN_MAX) {
                let (at, action, subject) = (moment(Some(event.at)), &event.action, &event.subject);
                text.push_str(&format!("  {at}  {action}  {}\n", muster_model::text::plain(subject)));
            }
            if events.len() > SHOWN_MAX {
                text.push_str(&format!("  … and {} more; `--output json` shows all\n", events.len() - SHOWN_MAX));
            }
        }
    }
    text.push_str(
        "\nNext: `muster app check` where a secret or certificate was changed since, `muster validate`, then start `muster run`. \
         Leave the files of file sinks as they are.",
    );
    text
}
