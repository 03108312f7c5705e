//! The yardstick: the shortest program that does Muster's job for one sink, so that a figure says something on any machine.
//! Token, pages, a compressed and synced spool, Splunk's HEC with acknowledgement, a synced cursor, and nothing else: no
//! checks, no repeats, no limits, no second tenant's fairness, no errors but the end of it.
//!
//! It uses no code of the product, and is frozen: whoever changes it makes all earlier ratios worthless.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

/// The first argument with which the program is the yardstick.
pub(crate) const AS_YARDSTICK: &str = "as-yardstick";
/// Made in the folder when everything is delivered.
pub(crate) const DONE: &str = "done";
/// Tenants that are read at the same time.
const TENANTS_AT_ONCE: usize = 4;
const PAGE: u32 = 500;

/// What there is to do: a file of JSON, which a program measured by `--against` gets as well.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The login host, as `http://127.0.0.1:1`.
    pub(crate) login: String,
    /// Graph.
    pub(crate) graph: String,
    /// The app's id in every tenant.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: String,
    /// The tenants' ids.
    pub(crate) tenants: Vec<String>,
    /// Alerts updated from here on, RFC 3339.
    pub(crate) since: String,
    /// How many there are over all tenants.
    pub(crate) alerts: u64,
    /// The HTTP Event Collector, which acknowledges.
    pub(crate) hec: String,
    /// Its token.
    pub(crate) hec_token: String,
    /// Where files may be made.
    pub(crate) folder: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    id: &'a str,
    created_date_time: &'a str,
    last_update_date_time: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    ack_id: u64,
}

#[derive(Deserialize)]
struct Acks {
    acks: std::collections::HashMap<u64, bool>,
}

/// Does the work of the file at `path`, says that it is done, and waits to be stopped, so that what it used can be read.
pub(crate) async fn run(path: &Path) -> anyhow::Result<()> {
    // The client asks for it, though all here is plain HTTP.
    rustls::crypto::ring::default_provider().install_default().ok();
    let work: Work = serde_json::from_slice(&std::fs::read(path)?)?;
    let folder = Path::new(&work.folder).to_owned();
    let files = Arc::new(Mutex::new(Files::open(&folder)?));
    let mut tenants = work.tenants.clone().into_iter();
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let yardstick = Arc::new(Yardstick { http, files, work });
    let mut at_work = JoinSet::new();
    loop {
        while at_work.len() < TENANTS_AT_ONCE
            && let Some(tenant) = tenants.next()
        {
            at_work.spawn(Arc::clone(&yardstick).tenant(tenant));
        }
        match at_work.join_next().await {
            Some(tenant) => tenant??,
            None => break,
        }
    }
    File::create(folder.join(DONE))?;
    std::future::pending().await
}

/// What is synced: the spool, and how far each tenant has been delivered.
struct Files {
    spool: File,
    cursors: File,
}

impl Files {
    fn open(folder: &Path) -> std::io::Result<Self> {
        let open = |name| OpenOptions::new().create(true).append(true).open(folder.join(name));
        Ok(Self { spool: open("yardstick.spool")?, cursors: open("yardstick.cursors")? })
    }
}

struct Yardstick {
    http: reqwest::Client,
    files: Arc<Mutex<Files>>,
    work: Work,
}

impl Yardstick {
    async fn tenant(self: Arc<Self>, tenant: String) -> anyhow::Result<()> {
        let Work { login, graph, client_id, client_secret, since, .. } = &self.work;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", client_secret),
            ("scope", &format!("{graph}/.default")),
        ];
        let asked = self.http.post(format!("{login}/{tenant}/oauth2/v2.0/token")).form(&form);
        let token: Token = serde_json::from_slice(&asked.send().await?.error_for_status()?.bytes().await?)?;
        let channel = uuid::Uuid::new_v4().to_string();
        let mut next = Some(format!(
            "{graph}/v1.0/security/alerts_v2?$orderby=lastUpdateDateTime%20asc&$filter=lastUpdateDateTime%20ge%20{since}&$top={PAGE}"
        ));
        while let Some(link) = next {
            let asked = self.http.get(link).bearer_auth(&token.access_token);
            let body = asked.send().await?.error_for_status()?.bytes().await?;
            let (events, records, read_up_to, link) = events(&body, &tenant)?;
            next = link;
            if records == 0 {
                break;
            }
            self.synced(move |files| {
                let packed = zstd::bulk::compress(&body, 1)?;
                files.spool.write_all(&u64::try_from(packed.len()).unwrap_or(0).to_le_bytes())?;
                files.spool.write_all(&packed)?;
                files.spool.sync_data()
            })
            .await?;
            self.send(events, &channel).await?;
            let line = format!("{tenant} {read_up_to}\n");
            self.synced(move |files| {
                files.cursors.write_all(line.as_bytes())?;
                files.cursors.sync_data()
            })
            .await?;
        }
        Ok(())
    }

    async fn synced(
        &self,
        work: impl FnOnce(&mut Files) -> std::io::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let files = Arc::clone(&self.files);
        let done = tokio::task::spawn_blocking(move || work(&mut files.lock().expect("no panic with it")));
        Ok(done.await??)
    }

    async fn send(&self, events: Vec<u8>, channel: &str) -> anyhow::Result<()> {
        let Work { hec, hec_token, .. } = &self.work;
        let post = |path: &str| {
            self.http
                .post(format!("{hec}/services/collector/{path}"))
                .header("Authorization", format!("Splunk {hec_token}"))
                .header("X-Splunk-Request-Channel", channel)
        };
        let answer = post("event").body(events).send().await?.error_for_status()?.bytes().await?;
        let Taken { ack_id } = serde_json::from_slice(&answer).context("no ackId")?;
        for _ in 0..600 {
            let asked = post("ack").body(format!("{{\"acks\":[{ack_id}]}}"));
            let Acks { acks } =
                serde_json::from_slice(&asked.send().await?.error_for_status()?.bytes().await?)?;
            if acks.get(&ack_id) == Some(&true) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("never acknowledged")
    }
}

/// A page's records as HEC events, how many they are, up to when they were updated, and where the next page is.
fn events(body: &[u8], tenant: &str) -> anyhow::Result<(Vec<u8>, usize, String, Option<String>)> {
    let page: Page<'_> = serde_json::from_slice(body)?;
    let mut out = Vec::with_capacity(body.len() + page.value.len() * 300);
    let mut read_up_to = String::new();
    for record in &page.value {
        let head: Head<'_> = serde_json::from_str(record.get())?;
        let time: jiff::Timestamp = head.created_date_time.parse()?;
        write!(
            out,
            r#"{{"time":{}.{:06},"host":"{tenant}","source":"muster:graph_alerts","sourcetype":"ms:defender:atp:alerts","fields":{{"tenant_id":"{tenant}","id":"{}"}},"event":{}}}"#,
            time.as_second(),
            time.subsec_microsecond(),
            head.id,
            record.get(),
        )?;
        read_up_to.clear();
        read_up_to.push_str(head.last_update_date_time);
    }
    Ok((out, page.value.len(), read_up_to, page.next))
}
