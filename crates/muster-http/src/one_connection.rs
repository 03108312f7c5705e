//! A client that connects once: what belongs to one connection must never go over another.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

/// A connection that has answered is back in the pool a moment after its answer was read: so long a request waits for it
/// before it is told that there is none.
const BACK_IN_THE_POOL: Duration = Duration::from_millis(50);

/// Lets the first connection through and no other.
#[derive(Debug, Clone, Default)]
pub(crate) struct OneConnection {
    taken: Arc<AtomicBool>,
}

/// The one connection is gone, and nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("the connection is gone")]
struct Gone;

impl<S> Layer<S> for OneConnection {
    type Service = ConnectOnce<S>;

    fn layer(&self, inner: S) -> ConnectOnce<S> {
        ConnectOnce { inner, taken: Arc::clone(&self.taken) }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ConnectOnce<S> {
    inner: S,
    taken: Arc<AtomicBool>,
}

impl<S, R> Service<R> for ConnectOnce<S>
where
    S: Service<R, Error = Box<dyn Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        if !self.taken.swap(true, Ordering::AcqRel) {
            return Box::pin(self.inner.call(request));
        }
        Box::pin(async {
            tokio::time::sleep(BACK_IN_THE_POOL).await;
            Err(Gone.into())
        })
    }
}
