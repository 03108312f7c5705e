//! One rotation at a time.

use std::time::Duration;

use muster_model::Clock;
use muster_store::{InstanceId, Store, StoreError};
use uuid::Uuid;

use super::error::RotationError;

/// The lease under which credentials of a store's apps are changed.
const LEASE_NAME: &str = "rotation";
/// How long others wait at most for a process that hangs, and on an engine that cannot tell, for one that was killed.
const LEASE: Duration = Duration::from_secs(60);

/// Does `work`, which changes credentials of the store's apps, while no other process does such work.
///
/// # Errors
/// When another process is at it, or has taken it over because this one hung.
pub async fn exclusively<T>(
    store: &dyn Store,
    clock: &dyn Clock,
    work: impl Future<Output = T>,
) -> Result<T, RotationError> {
    let taken = store.take_lease(LEASE_NAME, InstanceId(Uuid::new_v4()), LEASE, clock.now()).await?;
    let lease = taken.ok_or(RotationError::Busy)?;
    let lost = async {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            match store.extend_lease(&lease, LEASE, clock.now()).await {
                Ok(()) => {}
                Err(error @ StoreError::LeaseLost { .. }) => break error,
                Err(error) => tracing::warn!(%error, "cannot keep the lease on the apps' credentials"),
            }
        }
    };
    let done = tokio::select! {
        done = work => Ok(done),
        lost = lost => Err(lost.into()),
    };
    if let Err(error) = store.release_lease(lease).await {
        tracing::warn!(%error, "cannot give the lease on the apps' credentials back; it runs out by itself");
    }
    done
}

#[cfg(test)]
mod tests {
    use muster_model::SystemClock;
    use muster_store::{MasterKey, SqlStore};

    use super::*;

    #[tokio::test]
    async fn one_rotation_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("muster.db");
        let store = SqlStore::create(&path, &MasterKey::generate()).await.expect("created");
        let second = || exclusively(&store, &SystemClock, async {});
        let first = exclusively(&store, &SystemClock, async { second().await });
        assert!(matches!(first.await.expect("taken"), Err(RotationError::Busy)));
        second().await.expect("taken again");
    }
}
