//! Connections that stay open between deliveries, for a while: what nobody takes is closed before its receiver, or a
//! firewall on the way, wonders about the silence.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long they do so unused. Brokers ask for a sign of life every minute or two.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// A connection that ends in good manners.
pub(super) trait Close: Send + 'static {
    /// Tells the receiver, and closes; waits no longer than a moment.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The connections of one sink that are open and unused.
#[derive(Debug)]
pub(super) struct Kept<C> {
    max: usize,
    idle: Arc<Mutex<VecDeque<(C, Instant)>>>,
    /// Closes those that are unused for too long; it ends with the sink.
    keeper: Mutex<JoinSet<()>>,
}

impl<C: Close> Kept<C> {
    /// None yet, and `max` at most.
    pub(super) fn new(max: usize) -> Self {
        Self { max, idle: Arc::default(), keeper: Mutex::default() }
    }

    /// The connection that was used last.
    pub(super) fn take(&self) -> Option<C> {
        let mut idle = self.idle.lock().expect("no panic while the lock is held");
        idle.pop_back().map(|(connection, _)| connection)
    }

    /// Keeps a connection for the next one who wants it. What is too many is dropped.
    pub(super) fn put(&self, connection: C) {
        let mut idle = self.idle.lock().expect("no panic while the lock is held");
        if idle.len() < self.max {
            idle.push_back((connection, Instant::now()));
        }
        drop(idle);
        let mut keeper = self.keeper.lock().expect("no panic while the lock is held");
        if keeper.is_empty() {
            keeper.spawn(close_unused(Arc::clone(&self.idle)));
        }
    }

    /// Closes all of them.
    pub(super) async fn close(&self) {
        self.keeper.lock().expect("no panic while the lock is held").abort_all();
        while let Some(connection) = self.take() {
            connection.close().await;
        }
    }
}

async fn close_unused<C: Close>(idle: Arc<Mutex<VecDeque<(C, Instant)>>>) {
    loop {
        tokio::time::sleep(IDLE_MAX / 2).await;
        loop {
            let unused = {
                let mut idle = idle.lock().expect("no panic while the lock is held");
                match idle.front() {
                    Some((_, since)) if since.elapsed() >= IDLE_MAX => idle.pop_front(),
                    _ => break,
                }
            };
            if let Some((connection, _)) = unused {
                connection.close().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Told(Arc<AtomicUsize>);

    impl Close for Told {
        async fn close(self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_closed() {
        let (kept, closed) = (Kept::new(2), Arc::new(AtomicUsize::new(0)));
        kept.put(Told(closed.clone()));
        assert!(kept.take().is_some() && kept.take().is_none());
        for _ in 0..2 {
            kept.put(Told(closed.clone()));
            kept.put(Told(closed.clone()));
            let before = closed.load(Ordering::Relaxed);
            tokio::time::sleep(IDLE_MAX / 4 * 3).await;
            assert_eq!(closed.load(Ordering::Relaxed), before, "it may be wanted yet");
            tokio::time::sleep(IDLE_MAX).await;
            assert_eq!(closed.load(Ordering::Relaxed), before + 2);
            assert!(kept.take().is_none());
        }
    }

    #[tokio::test]
    async fn a_sink_that_closes_closes_all_of_them() {
        let (kept, closed) = (Kept::new(8), Arc::new(AtomicUsize::new(0)));
        (0..11).for_each(|_| kept.put(Told(closed.clone())));
        kept.close().await;
        assert_eq!(closed.load(Ordering::Relaxed), 8);
    }
}
