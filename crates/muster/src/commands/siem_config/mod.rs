//! `muster siem-config`: what a SIEM's side needs, filled in from the settings and the tenants.
//!
//! What only its operators know (where certificates lie, secrets that Muster keeps hashes of) is left to be filled in, in
//! capitals between angle brackets.

mod amqp;
mod arcsight;
mod elasticsearch;
mod kafka;
mod kibana;
mod known;
mod nats;
mod object_store;
mod otlp;
mod qradar;
mod rsyslog;
mod sentinel;
mod splunk;
mod syslog_ng;
mod webhook;

use std::path::{Path, PathBuf};

use uuid::Uuid;

use self::known::{File, Known};
use super::{Context, Except};
use crate::exit_code::{Exit, Failed, writing_cure};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which SIEM or receiver.
    siem: Siem,
    /// For these tenants: slugs, ids or domains, or tag:NAME; several by commas. All when left out.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// For this sink; may be left out where only one fits.
    #[arg(long)]
    sink: Option<String>,
    /// For this client of the old pull API (`muster client list`).
    #[arg(long, value_name = "ID")]
    client: Option<Uuid>,
    /// Write the files into this folder, which is made; files that are there already are left as they are, and told.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Siem {
    /// A FlexConnector for the old pull API, and a syslog SmartConnector for CEF.
    Arcsight,
    /// Indexes and HEC tokens, and the modular input of the old pull API.
    Splunk,
    /// An API key, a life cycle and an index template.
    Elasticsearch,
    /// A data view and a dashboard for ECS documents.
    Kibana,
    /// Topics, the rights of the sink's user, and what consumers need to know; Kafka or Azure Event Hubs.
    Kafka,
    /// A stream, and the permissions of its user.
    Nats,
    /// Table, data collection rule and role as an ARM template, and the function that takes each version once.
    Sentinel,
    /// What a webhook's receiver has to know.
    Webhook,
    /// A receiver of an OpenTelemetry Collector.
    Otlp,
    /// What a bucket, container or folder must allow, and the custom sources of Amazon Security Lake.
    #[value(name = "object_store")]
    ObjectStore,
    /// An exchange, queues and bindings of RabbitMQ, and the permissions of its user.
    Amqp,
    /// Log sources for LEEF or CEF over syslog.
    Qradar,
    /// A receiver of the syslog sink.
    Rsyslog,
    /// A receiver of the syslog sink.
    SyslogNg,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let tenants = context.chosen(&args.tenant, &args.except).await?;
    if tenants.is_empty() {
        return Err(Failed::say(Exit::NotFound, "there is no tenant yet; `muster tenant add` adds one"));
    }
    let now = context.clock.now();
    let mut clients = context.store.pull_clients().await?;
    clients.retain(|client| client.works(now) && tenants.iter().any(|tenant| tenant.id == client.tenant));
    if let Some(id) = args.client {
        clients.retain(|client| client.id == id);
        if clients.is_empty() {
            let said = format!(
                "there is no client {id} of these tenants that works; `muster client list` shows all"
            );
            return Err(Failed::say(Exit::NotFound, said));
        }
    }
    let known = Known { context, tenants, clients, sink: args.sink.clone() };
    let files = match args.siem {
        Siem::Arcsight => arcsight::files(&known)?,
        Siem::Splunk => splunk::files(&known)?,
        Siem::Elasticsearch => elasticsearch::files(&known)?,
        Siem::Kibana => kibana::files(&known)?,
        Siem::Kafka => kafka::files(&known)?,
        Siem::Nats => nats::files(&known)?,
        Siem::Sentinel => sentinel::files(&known)?,
        Siem::Webhook => webhook::files(&known)?,
        Siem::Otlp => otlp::files(&known)?,
        Siem::ObjectStore => object_store::files(&known)?,
        Siem::Amqp => amqp::files(&known)?,
        Siem::Qradar => qradar::files(&known)?,
        Siem::Rsyslog => rsyslog::files(&known)?,
        Siem::SyslogNg => syslog_ng::files(&known)?,
    };
    if let Some(folder) = &args.folder {
        return write(folder, &files, context);
    }
    context.output.print(&files, |_| match &files[..] {
        [file] => file.text.trim_end().to_owned(),
        files => {
            let parts = files.iter().map(|file| format!("##### {}\n\n{}", file.name, file.text.trim_end()));
            parts.collect::<Vec<_>>().join("\n\n")
        }
    })
}

fn write(folder: &Path, files: &[File], context: &Context) -> Result<Exit, Failed> {
    let failed = |path: &Path, error: std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "it is there already; nothing was changed".to_owned(),
            _ => format!("it cannot be written: {error}{}", writing_cure(&error)),
        };
        Failed::say(Exit::Failure, format!("{}: {why}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut written = Vec::new();
    for file in files {
        let path = folder.join(&file.name);
        let mut made = std::fs::File::create_new(&path).map_err(|error| failed(&path, error))?;
        std::io::Write::write_all(&mut made, file.text.as_bytes()).map_err(|error| failed(&path, error))?;
        written.push(path.display().to_string());
    }
    context.output.print(&written, |_| format!("wrote {}", written.join(", ")))
}
