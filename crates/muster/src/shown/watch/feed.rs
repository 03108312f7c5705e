//! Where pictures come from.

use std::future::Future;
use std::pin::Pin;

use jiff::Timestamp;
use muster_store::{Store, StoreError};

use super::tap::Tap;
use crate::shown::status::{Expected, Snapshot};

/// What is read at a time.
#[derive(Debug)]
pub struct Reading {
    pub picture: Snapshot,
    /// The tap, where it was asked for.
    pub tap: Option<Tap>,
    /// A line above all others.
    pub title: Option<String>,
}

/// What a reading came to: an error in words, with what to do.
pub type Read = Result<Reading, String>;

/// Takes pictures. A reading may take long, or hang: the screen goes on.
pub trait Feed: Send + Sized + 'static {
    /// Takes one; with `tap`, also what has passed since.
    fn read(self, tap: Option<Tap>) -> Pin<Box<dyn Future<Output = (Self, Read)> + Send>>;
}

/// Reads a store by short questions.
pub async fn read(
    store: &dyn Store,
    expected: &Expected,
    now: Timestamp,
    tap: Option<Tap>,
) -> Result<Reading, StoreError> {
    let picture = Snapshot::take(store, expected, now).await?;
    let tap = match tap {
        None => None,
        Some(mut tap) => {
            tap.look(store).await?;
            Some(tap)
        }
    };
    Ok(Reading { picture, tap, title: None })
}
