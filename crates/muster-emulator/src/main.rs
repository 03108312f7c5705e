//! Command line of the emulator.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use muster_emulator::receivers::RecordKind;
use muster_emulator::{ClientConfig, Config, SettingsText, Tally, Tenant};

/// Plays Microsoft's cloud and the SIEM receivers, offline.
#[derive(Parser)]
#[command(name = "muster-emulator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the emulator until it is told to stop; prints one line of JSON when it is ready
    Run(Box<Run>),
    /// Prints a complete muster.toml for the emulator that runs
    Config(Target),
    /// Prints what the receivers saw against what was produced; exit status 1 if anything is lost or doubled
    Tally(TallyArgs),
    /// Prints the tenants as CSV, for import
    Tenants(Target),
}

#[derive(Args)]
struct Run {
    /// Where the Microsoft side and the control API listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9800")]
    listen: SocketAddr,
    /// Speak HTTPS, with a CA made at start
    #[arg(long)]
    tls: bool,
    /// Write the CA's certificate to this file
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    /// How many tenants
    #[arg(long, default_value_t = 25)]
    tenants: usize,
    /// What everything is made up from
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How many alerts over all tenants; without a rate all are there at start
    #[arg(long, value_name = "N")]
    alerts: Option<u64>,
    /// Alerts a second that appear
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Share of alerts that are updated later [default: 0.1 with a rate, else 0]
    #[arg(long, value_name = "SHARE")]
    update_share: Option<f64>,
    /// One alert in so many is half a megabyte large; 0 for none
    #[arg(long, value_name = "N", default_value_t = 5000)]
    large_one_in: u32,
    /// Write all bodies at start, so that reading them costs nothing later
    #[arg(long)]
    write_bodies_at_start: bool,
    /// Serve recorded alerts and incidents of this folder instead of made-up ones
    #[arg(long, value_name = "DIR")]
    records: Option<PathBuf>,
    /// A folder into which the alerts are streamed, as Defender streams its tables into a storage account
    #[arg(long, value_name = "DIR")]
    stream: Option<PathBuf>,
    /// Where the HTTP Event Collector listens, or "off"
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9801")]
    hec: Listen,
    /// Let the HTTP Event Collector speak HTTPS
    #[arg(long)]
    hec_tls: bool,
    /// Turn indexer acknowledgement of the HTTP Event Collector off
    #[arg(long)]
    hec_no_acknowledge: bool,
    /// Where syslog over UDP and TCP is received, or "off"
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9802")]
    syslog: Listen,
    /// Where syslog over TLS is received
    #[arg(long, value_name = "ADDR")]
    syslog_tls: Option<SocketAddr>,
    /// Where Azure Monitor's data collection rule listens; its columns are declared over the control API
    #[arg(long, value_name = "ADDR")]
    ingest: Option<SocketAddr>,
    /// Requests a minute for each app and tenant before Graph answers 429
    #[arg(long, value_name = "N")]
    quota_per_minute: Option<u32>,
    /// Keep to the caps of `$skip` and `$top` that Microsoft has, with opaque links, and to the Defender APIs' quotas
    #[arg(long)]
    strict: bool,
    /// The sources whose records receivers are measured by
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = kind_of, default_value = "graph_alerts,graph_incidents")]
    sources: Vec<RecordKind>,
    /// Let no tenant have consented to the app yet
    #[arg(long)]
    without_consent: bool,
    /// Put a nonce into the header of tokens for Graph, as Microsoft does: only Graph can check their signature then
    #[arg(long)]
    graph_nonce: bool,
    /// A further redirect address of the app
    #[arg(long, value_name = "URL")]
    redirect_uri: Vec<String>,
    /// The password of the accounts admin@, analyst@ and user@ of every tenant [default: made from the seed]
    #[arg(long, value_name = "TEXT")]
    password: Option<String>,
    /// How long every answer of the token endpoint takes, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    token_delay: u64,
    /// How long new secrets and certificates are not known yet, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    credential_delay: u64,
    /// How long tokens are good for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3599)]
    token_lifetime: u64,
}

/// An address, or none.
#[derive(Clone, Copy)]
struct Listen(Option<SocketAddr>);

impl FromStr for Listen {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" { Ok(Self(None)) } else { text.parse().map(|address| Self(Some(address))) }
    }
}

#[derive(Args)]
struct Target {
    /// Address of the emulator that runs
    #[arg(long, default_value = "http://127.0.0.1:9800")]
    url: String,
}

#[derive(Args)]
struct TallyArgs {
    #[command(flatten)]
    target: Target,
    /// Tally this file (and its rotated siblings) instead of the receivers
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run_emulator(*run),
        Command::Config(target) => print_config(&target),
        Command::Tally(tally) => print_tally(&tally),
        Command::Tenants(target) => print_tenants(&target),
    };
    result.unwrap_or_else(|error| {
        eprintln!("muster-emulator: {error:#}");
        ExitCode::from(2)
    })
}

fn run_emulator(run: Run) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let usual = Config::default();
    let config = Config {
        consented: !run.without_consent,
        redirect_uris: usual.redirect_uris.iter().cloned().chain(run.redirect_uri).collect(),
        graph_nonce: run.graph_nonce,
        password: run.password,
        token_delay: Duration::from_millis(run.token_delay),
        credential_delay: Duration::from_secs(run.credential_delay),
        listen: run.listen,
        tls: run.tls,
        ca_out: run.ca_out,
        tenants: run.tenants,
        seed: run.seed,
        alerts: run.alerts,
        rate: run.rate,
        update_share: run.update_share,
        large_one_in: run.large_one_in,
        write_bodies_at_start: run.write_bodies_at_start,
        records: run.records,
        stream: run.stream,
        quota_per_minute: run.quota_per_minute,
        strict: run.strict,
        kinds: run.sources,
        token_lifetime: Duration::from_secs(run.token_lifetime),
        hec: run.hec.0,
        hec_acknowledge: !run.hec_no_acknowledge,
        hec_tls: run.hec_tls,
        syslog_udp: run.syslog.0,
        syslog_tcp: run.syslog.0,
        syslog_tls: run.syslog_tls,
        ingest: run.ingest,
        ..usual
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let emulator = muster_emulator::start(config).await?;
        for skipped in emulator.skipped_records() {
            eprintln!("not served: {} ({} x {})", skipped.file.display(), skipped.values, skipped.reason);
        }
        print_line(&serde_json::to_string(&emulator.client_config())?)?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
            () = emulator.stopped() => {}
        }
        emulator.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn kind_of(source: &str) -> Result<RecordKind, String> {
    RecordKind::of_source(source).ok_or_else(|| "there is no such source".to_owned())
}

fn print_config(target: &Target) -> anyhow::Result<ExitCode> {
    let config: ClientConfig = serde_json::from_slice(&control(&target.url, "GET", "config", "")?)?;
    print_line(SettingsText::new(&config).text().trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn print_tally(arguments: &TallyArgs) -> anyhow::Result<ExitCode> {
    let url = &arguments.target.url;
    let (body, lost, doubled) = match &arguments.file {
        None => {
            let body = control(url, "GET", "tally", "")?;
            let tally: Tally = serde_json::from_slice(&body)?;
            (body, tally.lost, tally.doubled)
        }
        Some(file) => {
            let file = std::path::absolute(file)?;
            let body = control(url, "POST", "tally/file", &serde_json::json!({"path": file}).to_string())?;
            let tally: muster_emulator::receivers::ReceiverTally = serde_json::from_slice(&body)?;
            (body, tally.lost, tally.doubled)
        }
    };
    let value: serde_json::Value = serde_json::from_slice(&body)?;
    print_line(&serde_json::to_string_pretty(&value)?)?;
    Ok(ExitCode::from(u8::from(lost > 0 || doubled > 0)))
}

fn print_tenants(target: &Target) -> anyhow::Result<ExitCode> {
    let tenants: Vec<Tenant> = serde_json::from_slice(&control(&target.url, "GET", "tenants", "")?)?;
    let mut text = "tenant_id,name,domain".to_owned();
    for tenant in tenants {
        // Names are made of letters, digits and blanks: nothing needs quotes.
        text.push_str(&format!("\n{},{},{}", tenant.id, tenant.name, tenant.domain));
    }
    print_line(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn print_line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// One request to the control API, which takes plain HTTP even beside HTTPS.
fn control(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<Vec<u8>> {
    let address = url::Url::parse(address).with_context(|| format!("{address:?} is no address"))?;
    let host = address.host_str().context("the address names no host")?;
    let port = address.port_or_known_default().unwrap_or(80);
    let failed = || format!("no emulator answers at {host}:{port}");
    let target = (host.trim_matches(['[', ']']), port);
    let mut stream = TcpStream::connect(target).with_context(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    write!(
        stream,
        "{method} /control/{path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(failed)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").with_context(failed)?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split_ascii_whitespace().nth(1).unwrap_or("").to_owned();
    if status != "200" {
        bail!("the emulator at {host}:{port} answered {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}
