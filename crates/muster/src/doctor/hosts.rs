//! The way to each host of Microsoft that is asked and to each sink that speaks HTTP: DNS, proxy, TLS; and what each says
//! the time is. No token and no record is sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use jiff::SignedDuration;
use muster_http::{Client, TransportError};
use muster_microsoft::sources;
use muster_model::{Clock, Source, TenantState};
use muster_store::StoreLook;
use tokio::time::Instant;
use url::Url;

use super::finding::{Finding, Part};
use crate::config::Settings;
use crate::wiring;

const SIDE_BY_SIDE: usize = 8;
/// From here on Microsoft refuses what is signed by this machine's clock.
const SKEW_BAD: SignedDuration = SignedDuration::from_mins(5);
/// `Date` counts whole seconds, and an answer takes its time.
const SKEW_FAIR: SignedDuration = SignedDuration::from_secs(30);

/// A host that the settings lead to.
struct Host {
    /// `Microsoft`, or the sink's section.
    of: String,
    url: Url,
    ca_file: Option<PathBuf>,
}

pub(super) async fn look(
    settings: &Settings,
    look: Option<&StoreLook>,
    clock: &Arc<dyn Clock>,
    until: Instant,
) -> Vec<Finding> {
    let hosts = hosts(settings, look).into_iter().map(|host| async move {
        let about = host.url.origin().ascii_serialization();
        match tokio::time::timeout_at(until, ask(settings, &host, clock)).await {
            Ok(findings) => findings,
            Err(_) => vec![Finding::problem(
                Part::Host,
                about,
                "it did not answer in the time that was given",
                cure(&host, "check the network, its routes and the firewall"),
            )],
        }
    });
    let found: Vec<Vec<Finding>> =
        stream::iter(hosts).map(FutureExt::boxed).buffered(SIDE_BY_SIDE).collect().await;
    found.into_iter().flatten().collect()
}

/// Each host once.
fn hosts(settings: &Settings, look: Option<&StoreLook>) -> Vec<Host> {
    let mut found: BTreeMap<String, Host> = BTreeMap::new();
    let mut add = |of: &str, url: Url, ca_file: Option<PathBuf>| {
        let host = Host { of: of.to_owned(), url, ca_file };
        found.entry(host.url.origin().ascii_serialization()).or_insert(host);
    };
    if let Ok(cloud) = settings.cloud.cloud() {
        let tenants = look.into_iter().flat_map(|look| &look.tenants);
        let active = tenants.filter(|tenant| tenant.state == TenantState::Active);
        let read = active.flat_map(|tenant| tenant.asked());
        let apis = read.chain(Source::DEFAULT).filter_map(|source| sources::declaration(source).api);
        let origins = apis.map(|api| cloud.origin(api)).chain([cloud.login_origin()]);
        for url in origins.filter_map(|origin| Url::parse(&origin).ok()) {
            add("Microsoft", url, settings.cloud.ca_file.as_ref().map(|file| settings.path(file)));
        }
    }
    for (name, sink) in &settings.sinks {
        let ca_file = sink.any().ca_file().map(|file| settings.path(file));
        let target = sink.any().target();
        let urls = target.split(", ").filter_map(|target| Url::parse(target).ok());
        for url in urls.filter(|url| matches!(url.scheme(), "http" | "https")) {
            add(&format!("sinks.{name}"), url, ca_file.clone());
        }
    }
    found.into_values().collect()
}

async fn ask(settings: &Settings, host: &Host, clock: &Arc<dyn Clock>) -> Vec<Finding> {
    let about = host.url.origin().ascii_serialization();
    let client = match client(settings, host) {
        Ok(client) => client,
        Err(why) => {
            return vec![Finding::problem(Part::Host, about, why, cure(host, "mend what is wrong with it"))];
        }
    };
    let before = clock.now();
    let answer = client.send_for_status(client.get(&format!("{about}/"), None)).await;
    let now = clock.now();
    let answer = match answer {
        Ok(answer) => answer,
        // Who redirects is reached.
        Err(TransportError::Redirect { .. }) => {
            return vec![Finding::ok(Part::Host, about, reached(&host.url))];
        }
        Err(error) => {
            let (found, advice) = match &error {
                TransportError::Connect { obstacle: Some(obstacle), detail, .. }
                | TransportError::Broken { obstacle: Some(obstacle), detail, .. } => {
                    (format!("{obstacle} ({detail})"), obstacle.cure())
                }
                _ => (error.to_string(), "check DNS, firewall and proxy settings, and the host's own log"),
            };
            return vec![Finding::problem(Part::Host, about, found, cure(host, advice))];
        }
    };
    let mut findings = vec![Finding::ok(Part::Host, about.clone(), reached(&host.url))];
    let half = now.duration_since(before) / 2;
    if let (Some(date), Ok(asked)) = (answer.date(), before.checked_add(half)) {
        findings.push(clocks(about, host, asked.duration_since(date)));
    }
    findings
}

fn client(settings: &Settings, host: &Host) -> Result<Client, String> {
    wiring::client_for(settings, host.ca_file.as_deref())
}

fn reached(url: &Url) -> String {
    let how = if url.scheme() == "https" { "over TLS" } else { "in the clear" };
    format!("it answers {how}")
}

/// The host's section, where an edit may help.
fn cure(host: &Host, advice: &str) -> String {
    match host.of.as_str() {
        "Microsoft" => format!("{advice} ([network], [cloud])"),
        section => format!("{advice} ([{section}])"),
    }
}

/// How far the machine's clock is ahead of a host's.
fn clocks(about: String, host: &Host, ahead: SignedDuration) -> Finding {
    let apart = ahead.abs();
    let seconds = Duration::from_secs(apart.as_secs().unsigned_abs());
    let shown = crate::shown::output::duration(seconds);
    let found = match ahead.is_negative() {
        true => format!("this machine's clock is {shown} behind its clock"),
        false => format!("this machine's clock is {shown} ahead of its clock"),
    };
    if apart < SKEW_FAIR {
        return Finding::ok(Part::Clock, about, "its clock agrees with this machine's");
    }
    if host.of != "Microsoft" {
        let cure = "set the clock that is wrong: this machine's if Microsoft's differs as well (`timedatectl`), else the receiver's";
        return Finding::warning(Part::Clock, about, found, cure);
    }
    let cure = "`timedatectl set-ntp true`, or `chronyc makestep`";
    match apart < SKEW_BAD {
        true => Finding::warning(Part::Clock, about, found, cure),
        false => {
            let found =
                format!("{found}: what it signs is refused, and tokens seem to be over or not valid yet");
            Finding::problem(Part::Clock, about, found, cure)
        }
    }
}
