//! A connection to a receiver.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use crate::sinks::stream::Stream;

/// What a receiver may say before it closes; it has nothing to say.
pub(super) const CHATTER_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) took_to_connect: Duration,
}

impl Connection {
    /// Whether the receiver has closed its half already; waits for nothing.
    pub(super) async fn has_ended(&mut self) -> bool {
        // The runtime looks at its sockets when a task yields; without that a close may have come unseen.
        tokio::task::yield_now().await;
        let mut heard = 0;
        let mut space = [0; 1024];
        std::future::poll_fn(|context| {
            loop {
                let mut buffer = ReadBuf::new(&mut space);
                match pin!(&mut self.stream).poll_read(context, &mut buffer) {
                    Poll::Pending => return Poll::Ready(false),
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() && heard <= CHATTER_BYTES_MAX => {
                        heard += buffer.filled().len();
                    }
                    Poll::Ready(_) => return Poll::Ready(true),
                }
            }
        })
        .await
    }
}
