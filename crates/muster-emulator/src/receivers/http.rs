//! What the receivers that speak HTTP have in common: a request's body, and the faults that are the same for all.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::ReceiverFault;
use super::identify::Sighting;
use super::wire::{FaultSeen, is_stalled, until_not};

/// How much more of a body that is too large is read away, so that its sender gets to read the answer.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("cut by a fault")]
    Cut,
    #[error("the request could not be read")]
    Read(#[from] hyper::Error),
}

/// Serves one connection until either side closes it.
pub(super) async fn serve<S, F>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<Response<Full<Bytes>>, Unanswered>>,
{
    let connection = hyper::server::conn::http1::Builder::new();
    let service = hyper::service::service_fn(answer);
    if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a receiver's connection broke");
    }
}

/// The body of a request, or that it was too large to keep.
pub(super) enum Body {
    Whole(Bytes),
    TooLarge,
}

pub(super) async fn read_body(mut body: Incoming, limit: usize) -> Result<Body, hyper::Error> {
    let mut parts: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame?.into_data() else { continue };
        length += part.len();
        if length > limit {
            parts.clear();
            if length > limit + DRAIN_BYTES_MAX {
                return Ok(Body::TooLarge);
            }
        } else {
            parts.push(part);
        }
    }
    Ok(match parts.len() {
        _ if length > limit => Body::TooLarge,
        0 => Body::Whole(Bytes::new()),
        1 => Body::Whole(parts.swap_remove(0)),
        _ => Body::Whole(parts.concat().into()),
    })
}

/// Does what the fault of the moment asks of every receiver; gives the status to answer with, if it asks for one.
pub(super) async fn misbehave(fault: &FaultSeen) -> Result<Option<(u16, Option<u32>)>, Unanswered> {
    let mut fault = fault.clone();
    let now = *fault.borrow();
    match now {
        Some(ReceiverFault::Status { status, retry_after_seconds }) => {
            Ok(Some((status, retry_after_seconds)))
        }
        Some(ReceiverFault::Stall) => {
            until_not(&mut fault, is_stalled).await;
            Err(Unanswered::Cut)
        }
        Some(ReceiverFault::Slow { milliseconds }) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok(None)
        }
        Some(ReceiverFault::Down) => Err(Unanswered::Cut),
        _ => Ok(None),
    }
}

/// Whether a firewall that refuses one event in so many refuses this one.
pub(super) fn is_refused(event: &Sighting<'_>, one_event_in: u32) -> bool {
    match event {
        _ if one_event_in == 0 => true,
        Sighting::Record(record) => {
            let hash = record.id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            (hash >> 16).is_multiple_of(u64::from(one_event_in))
        }
        Sighting::IncidentAlert | Sighting::Unreadable => false,
    }
}
