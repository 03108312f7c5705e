//! How a store is opened, and how it ends.

use async_trait::async_trait;

use crate::StoreError;

/// How a store ends.
#[async_trait]
pub trait Lifetime: Send + Sync {
    /// Waits until nothing can be written any more, because the store was closed or a part of it has failed. Whoever
    /// works with the store ends then.
    async fn ended(&self);

    /// Whether a process has opened the store with [`OpenMode::Exclusive`].
    fn is_owned(&self) -> Result<bool, StoreError>;

    /// Waits for writes under way and closes the database.
    async fn close(&self);
}

/// How a store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// By the one process that collects and delivers.
    Exclusive,
    /// By a command, also while another process collects and delivers.
    Shared,
}
