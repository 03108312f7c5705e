//! What both listeners for strangers have in common, customers' pages and the pull API: what is served can change while they do,
//! and whatever comes in is bounded.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use url::Url;

use super::gate::{self, PublicUrl};
use super::listener::Visit as Connection;

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a body may take to come.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// What is served: nothing before the settings name it, something else after they were read again.
pub struct Handle<S> {
    state: Arc<RwLock<Option<Arc<S>>>>,
    url: PublicUrl,
}

impl<S> Handle<S> {
    /// This is served from now on at this address, or nothing.
    pub(super) fn replace(&self, served: Option<(Url, S)>) {
        let (url, state) = served.unzip();
        self.url.set(url);
        *self.state.write().expect("no panic while the lock is held") = state.map(Arc::new);
    }

    pub(super) fn state(&self) -> Option<Arc<S>> {
        self.state.read().expect("no panic while the lock is held").clone()
    }
}

impl<S> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), url: self.url.clone() }
    }
}

impl<S> Default for Handle<S> {
    fn default() -> Self {
        Self { state: Arc::default(), url: PublicUrl::default() }
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Its address is too long.
    LongAddress,
    /// Too many are at work.
    Busy,
    /// It took too long.
    Slow,
}

/// How much may come in, and how who is turned away is answered.
pub(super) trait Bounded: Send + Sync + 'static {
    /// Requests at the same time; more are asked to come back.
    const SIDE_BY_SIDE: usize;
    /// Bytes of a body.
    const BODY_BYTES_MAX: usize;
    /// Bytes of an address with its query.
    const ADDRESS_BYTES_MAX: usize;
    /// What an answer needs to know of a request.
    type Asker: Send;

    fn asker(&self, head: &Parts) -> Self::Asker;

    fn turn_away(&self, asker: &Self::Asker, why: Turned) -> Response;
}

/// Puts bounds around what is served, and the gate before them.
pub(super) fn bound<S: Bounded>(router: Router<Handle<S>>, handle: Handle<S>) -> Router {
    let places = Arc::new(Semaphore::new(S::SIDE_BY_SIDE));
    let url = handle.url.clone();
    router
        .layer(DefaultBodyLimit::max(S::BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state((handle.clone(), places), pass::<S>))
        .with_state(handle)
        .layer(middleware::from_fn_with_state(url, gate::pass))
}

/// Lets in as many as there is room for, each for a while, and nothing that is too long.
async fn pass<S: Bounded>(
    State((handle, places)): State<(Handle<S>, Arc<Semaphore>)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(state) = handle.state() else { return StatusCode::NOT_FOUND.into_response() };
    let (head, body) = request.into_parts();
    let asker = state.asker(&head);
    if head.uri.path_and_query().map_or(0, |address| address.as_str().len()) > S::ADDRESS_BYTES_MAX {
        return state.turn_away(&asker, Turned::LongAddress);
    }
    // Before a place is taken: who sends slowly takes none from others.
    let body = match tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(body, S::BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let request = Request::from_parts(head, body.into());
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let _at_work = connection.as_ref().map(|connection| connection.at_work());
    let Ok(_place) = places.try_acquire() else { return state.turn_away(&asker, Turned::Busy) };
    match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => state.turn_away(&asker, Turned::Slow),
    }
}
