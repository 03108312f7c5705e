//! What is served over HTTP: health and metrics (`/livez`, `/readyz`, `/metrics`), and customers' pages (`/onboard/…`,
//! `/SiemMsspConnector`).

pub mod language;
pub mod onboarding;
mod page;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use muster_model::Clock;
use muster_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::shown::gauges;
use crate::shown::status::Snapshot;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The counts.
    pub metrics: PrometheusHandle,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where customers' pages lead.
    pub door: onboarding::Door,
}

/// Binds the address.
///
/// # Errors
/// When it is in use, or cannot be bound; the message names it.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{address} is in use by another program: stop it, or change `listen` in [server]")
        }
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; change `listen` in [server]"),
    })
}

/// Serves until told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) -> std::io::Result<()> {
    let customers = onboarding::routes(pages.door.clone());
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(pages)
        .merge(customers);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Ready means: the store answers. A sink that is down or a tenant without consent is no reason to be restarted.
async fn ready(State(pages): State<Pages>) -> Response {
    match pages.store.next_source_due_at().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match Snapshot::take(pages.store.as_ref(), pages.clock.now()).await {
        Ok(snapshot) => gauges::set(&snapshot),
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], pages.metrics.render())
        .into_response()
}
