//! `muster status --watch` on a terminal.

use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::pin::Pin;
use std::sync::Arc;

use muster_model::Clock;
use muster_store::{OpenMode, Store};

use crate::commands::Context;
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::status::Expected;
use crate::shown::watch::feed::{Feed, Read, read};
use crate::shown::watch::run::{Options, watch};
use crate::shown::watch::tap::Tap;
use crate::wiring;

pub(super) async fn run(options: Options, context: &Context) -> Result<Exit, Failed> {
    let feed = StoreFeed {
        store: Some(Arc::clone(&context.store)),
        file: file_of(&context.settings).ok().flatten(),
        expected: Expected::of(&context.settings),
        settings: context.settings.clone(),
        clock: Arc::clone(&context.clock),
    };
    watch(feed, options).await?;
    Ok(Exit::Success)
}

/// Reads the store of the settings, which is opened anew when it could not be read or is another one.
struct StoreFeed {
    store: Option<Arc<dyn Store>>,
    /// Which file the store is: its device and number.
    file: Option<(u64, u64)>,
    expected: Expected,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

/// Which file the store is, where it is one.
fn file_of(settings: &Settings) -> Result<Option<(u64, u64)>, String> {
    if settings.store.url.is_some() {
        return Ok(None);
    }
    let path = settings.path(&settings.store.path);
    let found = std::fs::metadata(&path);
    let found =
        found.map_err(|error| format!("the store {} cannot be looked at ({error})", path.display()))?;
    Ok(Some((found.dev(), found.ino())))
}

impl StoreFeed {
    async fn take(&mut self, tap: Option<Tap>) -> Read {
        // A file that was moved away can be read on, and would tell of what is no more.
        let file = file_of(&self.settings)?;
        if file != self.file {
            self.close().await;
            self.file = file;
        }
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => {
                let opened = wiring::open_store(&self.settings, OpenMode::Shared).await;
                Arc::clone(self.store.insert(opened.map_err(|failed| failed.told())?))
            }
        };
        let read = read(store.as_ref(), &self.expected, self.clock.now(), tap).await;
        match read {
            Ok(reading) => Ok(reading),
            Err(error) => {
                self.close().await;
                Err(Failed::from(error).told())
            }
        }
    }

    async fn close(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }
}

impl Feed for StoreFeed {
    fn read(mut self, tap: Option<Tap>) -> Pin<Box<dyn Future<Output = (Self, Read)> + Send>> {
        Box::pin(async move {
            let read = self.take(tap).await;
            (self, read)
        })
    }
}
