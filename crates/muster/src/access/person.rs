//! How a person signs in at the command line: with a code on another device, in this machine's browser, or in any browser
//! with the address pasted. What the sign-in is for, and how its answer is told from a forged one, is the caller's.

use std::io::{self, BufRead, IsTerminal, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Html;
use axum::routing::get;
use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::App;
use muster_microsoft::entra::delegated::Granted;
use muster_microsoft::entra::device_code::DevicePoll;
use muster_microsoft::entra::error::TokenError;
use muster_model::text::plain;
use muster_model::{Secret, TenantId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::access::sign_in::{self, Returned};
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::duration;

/// How a person signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SignInFlow {
    /// In the browser of this machine, or at the registered redirect URI that `muster run` serves.
    Browser,
    /// With a code on any device.
    Device,
    /// In any browser; the address it ends at is pasted here.
    Paste,
}

/// A pasted address longer than this is none.
const ADDRESS_BYTES_MAX: u64 = 64 * 1024;

/// Lets a person type a code on any device, and waits until they have. `whom` says who is to sign in. Instructions go to
/// standard error, so that standard output is the result alone.
///
/// # Errors
/// When nobody enters the code in time, the person says no, or Microsoft does.
pub async fn by_device(
    microsoft: &Microsoft,
    app: &App,
    tenant: TenantId,
    resource: &str,
    whom: &str,
    now: Timestamp,
) -> Result<Granted, Failed> {
    let refused = |error: TokenError| Failed::new(Exit::Microsoft, error);
    let code = microsoft.start_device_code(app, tenant, resource).await.map_err(refused)?;
    let left = Duration::try_from(code.expires_at.duration_since(now)).unwrap_or_default();
    note!(
        "Open {} and enter the code {}. Sign in as {whom}. Waiting, at most {} …",
        plain(&code.verification_uri),
        plain(&code.user_code),
        duration(left),
    );
    let mut pause = code.interval;
    loop {
        tokio::time::sleep(pause).await;
        match microsoft.poll_device_code(app, tenant, &code).await.map_err(refused)? {
            DevicePoll::Pending { wait } => pause = wait,
            DevicePoll::Granted(granted) => return Ok(*granted),
            DevicePoll::Declined => {
                return Err(Failed::say(Exit::Microsoft, "the person said no to the sign-in"));
            }
            DevicePoll::Expired => {
                return Err(Failed::say(Exit::Microsoft, "nobody entered the code in time; start again"));
            }
        }
    }
}

/// A port of this machine at which the redirect of a sign-in is caught.
pub struct Loopback {
    listener: TcpListener,
    redirect: String,
}

impl Loopback {
    /// Listens at `port`, or at any that is free.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(port: Option<u16>) -> Result<Self, Failed> {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.unwrap_or(0));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failed::say(Exit::Failure, format!("cannot listen on {address} for the redirect: {error}"))
        })?;
        let redirect = format!("http://localhost:{}", listener.local_addr()?.port());
        Ok(Self { listener, redirect })
    }

    /// The redirect URI that leads here.
    pub fn redirect(&self) -> &str {
        &self.redirect
    }

    /// Hands each answer that comes to `take`, until one is taken: `Ok(None)` passes over it, since anything on this machine
    /// can send some and a forged answer must not end the wait for the real one.
    ///
    /// # Errors
    /// What `take` says; when nobody signs in within [`sign_in::LIFETIME`].
    pub async fn answer<T>(
        self,
        mut take: impl AsyncFnMut(Returned) -> Result<Option<T>, Failed>,
    ) -> Result<T, Failed> {
        // Only a few answers wait to be looked at.
        let (sender, mut answers) = mpsc::channel::<Returned>(8);
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(caught)).with_state(sender);
        let server =
            axum::serve(self.listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let wait = async {
            while let Some(returned) = answers.recv().await {
                if let Some(taken) = take(returned).await? {
                    return Ok(taken);
                }
            }
            Err(Failed::say(Exit::Failure, "the loopback server ended"))
        };
        let result = tokio::select! {
            result = wait => result,
            served = async { server.await } => Err(Failed::say(Exit::Failure, format!("the loopback server ended: {served:?}"))),
            () = tokio::time::sleep(sign_in::LIFETIME) => Err(Failed::say(Exit::Failure, "nobody signed in in time; start again")),
        };
        stop.cancel();
        result
    }
}

async fn caught(
    State(answers): State<mpsc::Sender<Returned>>,
    RawQuery(query): RawQuery,
) -> Html<&'static str> {
    let returned = Returned::from_query(query.as_deref().unwrap_or_default());
    if returned.state.is_some() {
        answers.try_send(returned).ok();
    }
    Html(
        "<!doctype html><meta charset=utf-8><title>Muster</title><p>Muster has the answer. Look at the terminal; this window can be closed.",
    )
}

/// Shows the address at which `whom` is to sign in, and opens it on a terminal unless `no_open`.
pub fn open_browser(url: &str, whom: &str, no_open: bool) {
    note!("Sign in as {whom}:\n\n{url}\n");
    if !no_open && io::stderr().is_terminal() {
        // Where there is no browser, the address was shown.
        open::that_detached(url).ok();
    }
}

/// Waits for the address that the browser ended at, pasted into standard input, and reads what it brought.
///
/// # Errors
/// When it is no address, or brought nothing.
pub async fn pasted() -> Result<Returned, Failed> {
    let address = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().take(ADDRESS_BYTES_MAX).read_line(&mut line).map(|_| Secret::new(line))
    });
    let address = address.await.map_err(|error| Failed::new(Exit::Failure, error))??;
    Returned::from_address(address.expose()).map_err(|error| Failed::new(Exit::Failure, error))
}
