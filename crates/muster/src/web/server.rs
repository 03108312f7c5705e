//! Health and metrics.

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
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::listener::{self, Bounds, Visitors};
use crate::heartbeat::{self, Pulse};
use crate::shown::status::{Expected, Snapshot};
use crate::shown::{gauges, tenant_series};

#[derive(Clone)]
pub struct Served {
    pub store: Arc<dyn Store>,
    pub metrics: PrometheusHandle,
    pub clock: Arc<dyn Clock>,
    /// Whether the store could be written to lately.
    pub pulse: Arc<Pulse>,
    /// What the settings in use let one expect.
    pub expected: watch::Receiver<Expected>,
}

/// Binds the address, which `listen` of a section names.
///
/// # Errors
/// When it is in use, or cannot be bound; the message names it.
pub async fn bind(address: SocketAddr, section: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| anyhow::anyhow!(crate::config::listen_trouble(section, address, &error)))
}

/// Serves until told to stop, at most so many connections at a time.
pub async fn serve(listener: TcpListener, served: Served, connections_max: usize, stop: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(served);
    let visitors = Visitors::new("health", Bounds::health(connections_max), Vec::new());
    listener::serve(listener, None, router, visitors, stop).await;
}

/// Ready means: the store can be written to, and work goes on. A sink that is down or a tenant without consent is no reason
/// to be restarted.
async fn ready(State(served): State<Served>) -> Response {
    let expected = served.expected.borrow().clone();
    let why_not = match served.store.trouble().or_else(|| served.pulse.failure()) {
        Some(failure) => Ok(Some(failure)),
        None => heartbeat::stuck(served.store.as_ref(), &expected, served.clock.now()).await,
    };
    match why_not {
        Ok(None) => "ready\n".into_response(),
        Ok(Some(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")).into_response(),
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    let expected = served.expected.borrow().clone();
    let taken = Snapshot::take(served.store.as_ref(), &expected, served.clock.now()).await;
    let snapshot = match taken {
        Ok(snapshot) => snapshot,
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    };
    gauges::set(&snapshot);
    let mut text = served.metrics.render();
    text.push_str(&tenant_series::write(&snapshot, expected.metrics_tenants));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
