//! Which part of the outside world a request is for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{DATE, HOST};
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;

use crate::defender::feed;
use crate::defender::service as defender;
use crate::faults::kind::{Area, FaultKind};
use crate::faults::spoil::spoil;
use crate::graph::api::Asked;
use crate::graph::directory::endpoints as directory;
use crate::graph::service::{self as graph, Caller, Target};
use crate::http::answer::{Answer, AnswerBody, ResetOnRequest};
use crate::http::call::Call;
use crate::http::hosts::{self, Destination};
use crate::http::listener::{Listener, Peer};
use crate::hunting::service::HuntingApi;
use crate::identity::endpoints::USER_INFO_PATH;
use crate::identity::platform::Identity;
use crate::identity::resources::AAD_GRAPH_APP_ID;
use crate::identity::traffic::TokenTraffic;
use crate::shared::Shared;
use crate::world::view::View;
use crate::{control, key_vault};

/// An answer on its way.
type Sent = Result<Response<AnswerBody>, ResetOnRequest>;

/// Bodies that clients send are small.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Answers what comes in until the emulator is told to stop.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let parts =
        Listener { tls: shared.tls.clone(), tasks: shared.tasks.clone(), cancel: shared.cancel.clone() };
    let respond = move |request, secure| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request, secure).await }
    };
    parts.accept(listener, respond).await;
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>, secure: bool) -> Sent {
    let (parts, body) = request.into_parts();
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = format!("{}://{host}", if secure { "https" } else { "http" });
    let body = match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            return sent(shared, Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"))
                .await;
        }
    };
    let call = Call {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &parts.headers,
        body,
        base: &base,
    };
    if let Some(asked) = call.path.strip_prefix("/control/ask/") {
        return answer_asked(shared, &call, asked).await;
    }
    if call.path.starts_with("/control/") {
        return sent(shared, control::answer(shared, &call).await).await;
    }
    // The metadata of a machine is always asked for in plain HTTP.
    let metadata = hosts::destination(host) == Destination::Metadata;
    if shared.tls.is_some() && !secure && !metadata {
        return sent(shared, Answer::text(StatusCode::BAD_REQUEST, "this emulator speaks HTTPS")).await;
    }
    let below_vault = call.path.strip_prefix(key_vault::PREFIX).and_then(|path| path.split_once('/'));
    match (hosts::destination(host), below_vault) {
        (Destination::Vault(vault), _) => answer_vault(shared, &call, vault, call.path).await,
        (Destination::Anywhere, Some((vault, path))) => answer_vault(shared, &call, vault, path).await,
        (Destination::Anywhere | Destination::Graph, _) if call.path.starts_with(graph::PREFIX) => {
            let from = parts.extensions.get().map_or(0, |Peer(from)| from.port());
            answer_graph(shared, &call, from).await
        }
        (Destination::Feed, _) => answer_feed(shared, &call).await,
        // A custom cloud has one address for all: the token tells, and who has none is known by what is asked.
        (Destination::Anywhere, _) if feed::is_path(call.path) && is_for_feed(shared, &call) => {
            answer_feed(shared, &call).await
        }
        (Destination::Anywhere | Destination::Defender { .. }, _)
            if call.path.starts_with(defender::PREFIX) =>
        {
            answer_defender(shared, &call, hosts::destination(host)).await
        }
        (Destination::Graph, _) if call.path == USER_INFO_PATH => answer_identity(shared, &call).await,
        (Destination::Anywhere | Destination::Login | Destination::Metadata, _)
            if Identity::owns(call.path) =>
        {
            answer_identity(shared, &call).await
        }
        _ => nothing(shared).await,
    }
}

async fn nothing(shared: &Shared) -> Sent {
    sent(shared, Answer::text(StatusCode::NOT_FOUND, "nothing is emulated here")).await
}

async fn answer_identity(shared: &Shared, call: &Call<'_>) -> Sent {
    let _in_flight = TokenTraffic::is_token_request(call).then(|| shared.token_traffic.begin(call));
    if Identity::area_of(call.path) == Some(Area::Token) {
        let delay = shared.token_delay_ms.load(Ordering::Acquire);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }
    let tenant = Identity::tenant_of(&shared.api.world, call.path);
    let area = Identity::area_of(call.path);
    let fault = area.and_then(|area| shared.api.faults.take(area, tenant));
    let answer = shared.identity.answer(&shared.api.world, &shared.api.faults, call, fault.as_ref());
    shared.count(area.unwrap_or(Area::Authorize), tenant, &answer);
    finish(shared, answer, fault.as_ref()).await
}

async fn answer_vault(shared: &Shared, call: &Call<'_>, vault: &str, path: &str) -> Sent {
    let fault = shared.api.faults.take(Area::KeyVault, None);
    let answer =
        shared.key_vaults.answer(&shared.api.world, &shared.identity, call, vault, path, fault.as_ref());
    shared.count(Area::KeyVault, None, &answer);
    finish(shared, answer, fault.as_ref()).await
}

async fn answer_applications(shared: &Shared, call: &Call<'_>, segments: &[&str]) -> Sent {
    let area = Area::Applications;
    let caller = match shared.api.graph.authenticate(
        &shared.api.world,
        &shared.identity,
        &shared.api.faults,
        call,
        area,
    ) {
        Ok(caller) => caller,
        Err(answer) => {
            shared.count(area, None, &answer);
            return finish(shared, answer, None).await;
        }
    };
    let fault = shared.api.faults.take(area, Some(caller.tenant));
    let (world, identity) = (&shared.api.world, &shared.identity);
    let answer =
        directory::answer(&shared.api.graph, world, identity, call, &caller, segments, fault.as_ref());
    shared.count(area, Some(caller.tenant), &answer);
    finish(shared, answer, fault.as_ref()).await
}

async fn answer_graph(shared: &Shared, call: &Call<'_>, from: u16) -> Sent {
    if let Some(segments) = directory::segments(call.path) {
        return answer_applications(shared, call, &segments).await;
    }
    let asked = match (Target::of(call.path), HuntingApi::of(call.path)) {
        (Some(target), _) => Asked::Graph(target),
        (None, Some(hunting)) => Asked::Hunting(hunting),
        (None, None) => {
            let answer = shared.api.graph.no_such_path(&shared.api.world, call);
            shared.count(Area::Graph, None, &answer);
            return finish(shared, answer, None).await;
        }
    };
    let area = asked.area();
    match shared.api.graph.authenticate(&shared.api.world, &shared.identity, &shared.api.faults, call, area) {
        Ok(caller) => {
            shared.note_request(caller.tenant, from);
            let answer = shared.api.respond(call, &caller, asked);
            shared.count(area, Some(caller.tenant), &answer);
            answer.send().await
        }
        Err(answer) => {
            shared.count(area, None, &answer);
            finish(shared, answer, None).await
        }
    }
}

async fn answer_defender(shared: &Shared, call: &Call<'_>, destination: Destination<'_>) -> Sent {
    let api = &shared.api;
    let listed = defender::target(call.path).map(|(view, target)| (view, Asked::Defender(view, target)));
    let hunted = || HuntingApi::of(call.path).map(|hunting| (hunting.view(), Asked::Hunting(hunting)));
    // What is Defender XDR's is at its hosts only; alerts at both, since its own are the newer names.
    let elsewhere =
        |view| view == View::Xdr && matches!(destination, Destination::Defender { has_incidents: false });
    let Some((view, asked)) = listed.or_else(hunted).filter(|(view, _)| !elsewhere(*view)) else {
        return finish(shared, api.defender.no_such_path(), None).await;
    };
    answer_as(shared, call, view, asked).await
}

/// Answers whoever may ask this of the Defender API.
async fn answer_as(shared: &Shared, call: &Call<'_>, view: View, asked: Asked<'_>) -> Sent {
    let (api, area) = (&shared.api, asked.area());
    match api.defender.authenticate(&api.world, &shared.identity, &api.faults, call, (view, area)) {
        Ok(caller) => {
            let answer = api.respond(call, &caller, asked);
            shared.count(area, Some(caller.tenant), &answer);
            answer.send().await
        }
        Err(answer) => {
            shared.count(area, None, &answer);
            finish(shared, answer, None).await
        }
    }
}

/// Whether a request is meant for the retired SIEM API, by its token or its words.
fn is_for_feed(shared: &Shared, call: &Call<'_>) -> bool {
    let token = shared.identity.check(&shared.api.world, call, AAD_GRAPH_APP_ID);
    token.is_ok() || feed::speaks(call.query)
}

async fn answer_feed(shared: &Shared, call: &Call<'_>) -> Sent {
    match feed::is_path(call.path) {
        true => answer_as(shared, call, View::Siem, Asked::Feed).await,
        false => finish(shared, shared.api.defender.no_such_path(), None).await,
    }
}

/// An API's answer for somebody at a terminal, who names the tenant in the address in place of a token.
async fn answer_asked(shared: &Shared, call: &Call<'_>, asked: &str) -> Sent {
    let (name, path) = asked.split_once('/').unwrap_or((asked, ""));
    let (path, base) = (format!("/{path}"), format!("{}/control/ask/{name}", call.base));
    let inner = Call { path: &path, base: &base, body: call.body.clone(), ..*call };
    match (shared.api.world.tenant(name), Asked::of(&path, call.query)) {
        (Ok(tenant), Some(asked)) => shared.api.respond(&inner, &Caller::trusted(tenant), asked).send().await,
        (Err(error), _) => sent(shared, Answer::text(StatusCode::NOT_FOUND, error.to_string())).await,
        (_, None) => nothing(shared).await,
    }
}

async fn sent(shared: &Shared, answer: Answer) -> Sent {
    finish(shared, answer, None).await
}

async fn finish(shared: &Shared, answer: Answer, fault: Option<&FaultKind>) -> Sent {
    spoil(answer, fault).with(DATE, shared.api.world.now().http_date()).send().await
}
