//! Whether `muster run` is at work, and answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use muster_http::{Client, ClientOptions};
use muster_model::Clock;
use muster_store::{Store, StoreLook};

use super::finding::{Finding, Part};
use crate::config::Settings;
use crate::shown::output::plain;
use crate::shown::run::{Run, RunState};

const ABOUT: &str = "muster run";
/// Whoever serves health on this machine answers sooner.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn look(
    settings: &Settings,
    (look, store): (Option<&StoreLook>, Option<&Arc<dyn Store>>),
    clock: &Arc<dyn Clock>,
    findings: &mut Vec<Finding>,
) {
    let (Some(look), Some(store)) = (look, store) else {
        let found = "not known: the store that tells it cannot be read";
        findings.push(Finding::warning(Part::Run, ABOUT, found, "mend the store first"));
        return;
    };
    let beats = match store.heartbeats().await {
        Ok(beats) => beats,
        Err(error) => {
            let found = format!("not known: {error}");
            findings.push(Finding::warning(Part::Run, ABOUT, found, "mend the store first"));
            return;
        }
    };
    let now = clock.now();
    let run = Run::of(&beats, look.is_owned, now);
    let found = run.in_words(now);
    findings.push(match run.state {
        RunState::Running => Finding::ok(Part::Run, ABOUT, found),
        RunState::Stopped | RunState::NeverRan => Finding::warning(
            Part::Run,
            ABOUT,
            found,
            "`muster run`, or `systemctl start muster` where it is a service",
        ),
        RunState::Died => Finding::problem(
            Part::Run,
            ABOUT,
            found,
            "look at the end of its log (`journalctl -u muster`), then `muster run`; the lock went with the process, so nothing is to be removed",
        ),
        RunState::Silent => Finding::problem(Part::Run, ABOUT, found, silent(&run)),
    });
    if run.state != RunState::Running {
        return;
    }
    for trouble in run.last.iter().flat_map(|last| &last.troubles) {
        let found = format!("does not work, says `muster run`: {}", plain(&trouble.reason));
        findings.push(Finding::problem(Part::Run, plain(&trouble.part), found, "muster status"));
    }
    if let Some(address) = settings.server.listen {
        findings.push(answers(address).await);
    }
}

fn silent(run: &Run) -> String {
    let cure = "look at its log (`journalctl -u muster`); if it hangs";
    match run.last.as_ref().filter(|last| last.stopped_at.is_none()) {
        Some(last) => format!("{cure}, `kill {}`, then `muster run`", last.pid),
        None => format!("{cure}, end the process that `fuser -v` names for the store, then `muster run`"),
    }
}

/// Asks it whether it is ready, at the address that it serves health at.
async fn answers(address: SocketAddr) -> Finding {
    let reached = match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
    };
    let url = format!("http://{reached}/readyz");
    let options = ClientOptions { total_timeout: ANSWER_WITHIN, ..ClientOptions::default() };
    let cure = "look at its log; if it was started with other settings, restart it";
    let client = match Client::new(&options) {
        Ok(client) => client,
        Err(error) => return Finding::warning(Part::Run, url, error.to_string(), "mend the host's roots"),
    };
    match client.send(client.get(&url, None)).await {
        Ok(answer) if answer.status == 200 => Finding::ok(Part::Run, url, "it is ready"),
        Ok(answer) => {
            let body = muster_http::shown(String::from_utf8_lossy(&answer.body).trim());
            let found = format!("it is not ready (HTTP {}): {body}", answer.status);
            Finding::problem(Part::Run, url, found, cure)
        }
        Err(error) => Finding::problem(Part::Run, url, format!("it does not answer: {error}"), cure),
    }
}
