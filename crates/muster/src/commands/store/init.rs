//! `muster store init`: the store that the settings name.

use std::sync::Arc;

use muster_model::{Clock, SystemClock};
use serde::Serialize;

use crate::commands::Call;
use crate::exit_code::{Exit, Failed};
use crate::wiring;

#[derive(Serialize)]
struct Made {
    store: String,
}

pub(super) async fn run(call: &Call) -> Result<Exit, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = wiring::read_settings(&call.config, &clock).await?;
    let keys = wiring::key_ring(&settings)?;
    let address = wiring::store_address(&settings)?;
    muster_store::make(&address, &keys.current).await?.close().await;
    let store = settings.store.url.clone();
    let store = store.unwrap_or_else(|| settings.path(&settings.store.path).display().to_string());
    let made = Made { store };
    call.output.print(&made, |_| {
        format!(
            "the store is at {}\n\nNext:\n\n    muster validate\n    muster tenant add contoso.example\n    muster run",
            made.store
        )
    })
}
