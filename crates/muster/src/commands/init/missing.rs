//! `muster init --missing`: makes what is not there yet, and leaves the rest alone. For services and containers, whose settings
//! and key often come from elsewhere.

use std::path::Path;

use muster_model::SecretReference;
use muster_store::{Address, MasterKey};

use super::files::{KEEP_A_COPY, write_settings};
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Output;
use crate::wiring::key_ring;

pub(super) async fn run(folder: &Path, store: Option<&Path>, output: Output) -> Result<Exit, Failed> {
    let path = folder.join("muster.toml");
    let mut made = Vec::new();
    // A link that leads nowhere is no file to write over: opening it says so.
    if path.symlink_metadata().is_err() {
        write_settings(&path, store)?;
        made.push(path.display().to_string());
    }
    let settings = Settings::read(&path)?;
    let address = settings
        .store
        .address(&settings.folder, None)
        .map_err(|(key, error)| Failed::say(Exit::Settings, format!("[store] {key}: {error}")))?;
    let Address::Sqlite(store) = &address else {
        return Err(Failed::say(
            Exit::Usage,
            "the settings name a database as [store] url: `muster store init` makes its tables",
        ));
    };
    let has_store = store.symlink_metadata().is_ok();
    let key = match &settings.store.master_key {
        SecretReference::File(file) => Some(folder.join(file)).filter(|key| key.symlink_metadata().is_err()),
        // It comes from where Muster cannot write.
        _ => None,
    };
    if let Some(key) = key {
        if has_store {
            let message = format!(
                "there is a store at {}, and its master key is not at {}: put the key back from the copy that is kept apart from \
                 the store; a new one would not open it",
                store.display(),
                key.display()
            );
            return Err(Failed::say(Exit::Settings, message));
        }
        MasterKey::generate().write_new_file(&key).map_err(|error| Failed::new(Exit::Failure, error))?;
        made.push(key.display().to_string());
    }
    if !has_store {
        muster_store::make(&address, &key_ring(&settings)?.current).await?.close().await;
        made.push(store.display().to_string());
    }
    output.print(&made, |_| match made.is_empty() {
        true => "nothing is missing; nothing was changed".to_owned(),
        false => format!("made {}\n\n{KEEP_A_COPY}", made.join(", ")),
    })
}
