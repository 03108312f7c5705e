//! Destinations. Each sink formats a delivery batch, sends it, waits for whatever acknowledgement its receiver can give,
//! and answers for each record. What a sink's acknowledgement is worth stands at the head of its file.
//!
//! A closed list. To add a sink: copy the file nearest to it (its settings, limits, `build`, `deliver` and `test` are
//! there), add a line to each list here, follow the compiler, and run the suite on it. A sink never retries by itself and
//! keeps nothing that is owed: it answers [`Outcome::Retry`] and the delivery stays in the store.
//!
//! [`Outcome::Retry`]: muster_model::Outcome::Retry

mod address;
mod amqp;
mod batch;
mod bearer;
mod elasticsearch;
mod error;
mod file;
mod headers;
mod http;
mod kafka;
mod kept;
mod nats;
mod object_store;
mod otlp;
mod outcomes;
mod place;
mod record_ids;
mod sentinel;
mod servers;
mod settings;
mod splunk_hec;
mod splunk_search;
mod stdout;
mod stream;
mod syslog;
mod tickets;
mod tls;
mod waiting;
mod webhook;
mod wire;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod testing;

use std::time::Duration;

use muster_model::{DeliveryBatch, Report, SinkMemory, Ticket};

use crate::formats::Template;

pub use address::{Address, Addresses};
pub use amqp::{Amqp, AmqpSettings, Mechanism};
pub use bearer::{BearerTokens, OpenTokens, TokenApi, WantedTokens};
pub use elasticsearch::{Elasticsearch, ElasticsearchSettings};
pub use error::SinkError;
pub use file::{FileSettings, FileSink, TenantFiles};
pub use headers::HeaderSource;
pub use kafka::{
    BrokerAddress, Kafka, KafkaCompression, KafkaSettings, Mechanism as SaslMechanism, OauthSettings,
    SecurityProtocol,
};
pub use nats::{Deduplicate, Nats, NatsSettings};
pub use object_store::{
    Listing, ObjectKind, ObjectPlace, ObjectReader, ObjectStoreSettings, ObjectStoreSink, ObjectUrl,
    PathTemplate, Piece, ReadTrouble, endpoint,
};
pub use otlp::{Otlp, OtlpSettings};
pub use place::PlaceTemplate;
pub use sentinel::{
    COLUMNS as SENTINEL_COLUMNS, Column, ColumnType, FIELD_BYTES_MAX, Sentinel, SentinelSettings,
};
pub use settings::{FormatName, FormatOptions, NoSecret, ReadSecret, Settings, Surroundings};
pub use splunk_hec::{Acknowledge, SplunkHec, SplunkHecSettings};
pub use splunk_search::{FoundVersion, RECORDS_MAX, SearchedFor, SplunkSearch};
pub use stdout::{Stdout, StdoutSettings};
pub use syslog::{Confirm, Framing, Rfc, Syslog, SyslogSettings, Transport};
pub use tickets::{AskedTicket, HearAnswers, KeepTickets, Said};
pub use webhook::{BatchAs, Hook, HookSettings, HookUrl, Webhook, WebhookSettings};

/// A sink's section of the settings.
#[derive(Debug, Clone)]
pub enum SinkSettings {
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHecSettings),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(ElasticsearchSettings),
    /// Kafka, or Azure Event Hubs.
    Kafka(KafkaSettings),
    /// NATS JetStream.
    Nats(NatsSettings),
    /// Microsoft Sentinel.
    Sentinel(SentinelSettings),
    /// A webhook.
    Webhook(WebhookSettings),
    /// OpenTelemetry logs.
    Otlp(OtlpSettings),
    /// RabbitMQ, by AMQP.
    Amqp(AmqpSettings),
    /// A syslog receiver.
    Syslog(SyslogSettings),
    /// A local file.
    File(FileSettings),
    /// The standard output.
    Stdout(StdoutSettings),
    /// A bucket, container or folder of objects.
    ObjectStore(ObjectStoreSettings),
}

impl SinkSettings {
    /// The `type` of every sink.
    pub const TYPES: [&'static str; 12] = [
        "splunk_hec",
        "elasticsearch",
        "sentinel",
        "kafka",
        "nats",
        "amqp",
        "webhook",
        "otlp",
        "syslog",
        "file",
        "stdout",
        "object_store",
    ];

    /// The `type`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::SplunkHec(_) => "splunk_hec",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::Kafka(_) => "kafka",
            Self::Nats(_) => "nats",
            Self::Sentinel(_) => "sentinel",
            Self::Webhook(_) => "webhook",
            Self::Otlp(_) => "otlp",
            Self::Amqp(_) => "amqp",
            Self::Syslog(_) => "syslog",
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
            Self::ObjectStore(_) => "object_store",
        }
    }

    /// Whether it has files of its own, which one process at a time may have open.
    #[must_use]
    pub fn keeps_files(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// What every section can be asked.
    #[must_use]
    pub fn any(&self) -> &dyn Settings {
        match self {
            Self::SplunkHec(settings) => settings,
            Self::Elasticsearch(settings) => settings,
            Self::Kafka(settings) => settings,
            Self::Nats(settings) => settings,
            Self::Sentinel(settings) => settings,
            Self::Webhook(settings) => settings,
            Self::Otlp(settings) => settings,
            Self::Amqp(settings) => settings,
            Self::Syslog(settings) => settings,
            Self::File(settings) => settings,
            Self::Stdout(settings) => settings,
            Self::ObjectStore(settings) => settings,
        }
    }

    /// Makes the sink. Connects to nothing yet; a file is opened.
    ///
    /// # Errors
    /// When the settings cannot work, or the file cannot be used.
    pub fn build(&self, name: &str, around: &Surroundings<'_>) -> Result<Sink, SinkError> {
        match self.clone() {
            Self::SplunkHec(settings) => SplunkHec::build(name, settings, around).map(Sink::SplunkHec),
            Self::Elasticsearch(settings) => {
                Elasticsearch::build(name, settings, around).map(Sink::Elasticsearch)
            }
            Self::Kafka(settings) => Kafka::build(name, settings, around).map(Sink::Kafka),
            Self::Nats(settings) => Nats::build(name, settings, around).map(Sink::Nats),
            Self::Sentinel(settings) => Sentinel::build(name, settings, around).map(Sink::Sentinel),
            Self::Webhook(settings) => Webhook::build(name, settings, around).map(Sink::Webhook),
            Self::Otlp(settings) => Otlp::build(name, settings, around).map(Sink::Otlp),
            Self::Amqp(settings) => Amqp::build(name, settings, around).map(Sink::Amqp),
            Self::Syslog(settings) => Syslog::build(name, settings, around).map(Sink::Syslog),
            Self::Stdout(settings) => Stdout::build(name, settings, around).map(Sink::Stdout),
            Self::ObjectStore(settings) => {
                ObjectStoreSink::build(name, settings, around).map(Sink::ObjectStore)
            }
            Self::File(settings) => match tenants_path(name, &settings)? {
                Some(path) => TenantFiles::build(name, settings, path, around).map(Sink::TenantFiles),
                None => FileSink::build(name, settings, around).map(Sink::File),
            },
        }
    }

    /// What would keep the sink from being made, without making anything: no connection, no file.
    ///
    /// # Errors
    /// When the settings cannot work, or the file could not be used.
    pub fn inspect(&self, name: &str, around: &Surroundings<'_>) -> Result<(), SinkError> {
        let Self::File(settings) = self else { return self.build(name, around).map(drop) };
        match tenants_path(name, settings)? {
            Some(_) => TenantFiles::inspect(name, settings, around),
            None => FileSink::inspect(name, settings, around),
        }
    }

    /// Tries the way to the sink without sending a record, and says in a sentence what was found. Nothing is left behind,
    /// and a sink that is being written meanwhile is not disturbed.
    ///
    /// # Errors
    /// When a record could not be delivered that way: what is wrong, and what to do.
    pub async fn test(&self, name: &str, around: &Surroundings<'_>) -> Result<String, SinkError> {
        if let Self::File(settings) = self
            && tenants_path(name, settings)?.is_none()
        {
            return FileSink::try_place(name, settings, around).await;
        }
        let sink = self.build(name, around)?;
        let found = sink.test().await;
        sink.close().await;
        found
    }
}

/// The template in a file sink's path, where there is one.
fn tenants_path(name: &str, settings: &FileSettings) -> Result<Option<Template>, SinkError> {
    file::template(&settings.path).map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })
}

/// A destination.
#[derive(Debug)]
pub enum Sink {
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHec),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(Elasticsearch),
    /// Kafka, or Azure Event Hubs.
    Kafka(Kafka),
    /// NATS JetStream.
    Nats(Nats),
    /// Microsoft Sentinel.
    Sentinel(Sentinel),
    /// A webhook.
    Webhook(Webhook),
    /// OpenTelemetry logs.
    Otlp(Otlp),
    /// RabbitMQ, by AMQP.
    Amqp(Amqp),
    /// A syslog receiver.
    Syslog(Syslog),
    /// A local file.
    File(FileSink),
    /// A local file for each tenant.
    TenantFiles(TenantFiles),
    /// The standard output.
    Stdout(Stdout),
    /// A bucket, container or folder of objects.
    ObjectStore(ObjectStoreSink),
}

impl Sink {
    /// Formats and sends, and answers for each record. What the receiver hands out a ticket for is waited for by whoever keeps
    /// `tickets`; any other acknowledgement is waited for here.
    pub async fn deliver(&self, batch: DeliveryBatch<'_>, tickets: &dyn KeepTickets) -> Report {
        match self {
            Self::SplunkHec(sink) => sink.deliver(batch, tickets).await,
            Self::Elasticsearch(sink) => sink.deliver(batch, tickets).await,
            Self::Kafka(sink) => sink.deliver(batch).await,
            Self::Nats(sink) => sink.deliver(batch, tickets).await,
            Self::Sentinel(sink) => sink.deliver(batch, tickets).await,
            Self::Webhook(sink) => sink.deliver(batch, tickets).await,
            Self::Otlp(sink) => sink.deliver(batch, tickets).await,
            Self::Amqp(sink) => sink.deliver(batch, tickets).await,
            Self::Syslog(sink) => sink.deliver(batch).await,
            Self::File(sink) => sink.deliver(batch).await,
            Self::TenantFiles(sink) => sink.deliver(batch).await,
            Self::Stdout(sink) => sink.deliver(batch).await,
            Self::ObjectStore(sink) => sink.deliver(batch).await,
        }
    }

    /// Asks the receiver what became of requests. What it says is told as it comes; of some tickets nothing may be said this
    /// time.
    pub async fn ask(&self, asked: &[AskedTicket<'_>], hears: &dyn HearAnswers) {
        if let Self::SplunkHec(sink) = self {
            return sink.ask(asked, hears).await;
        }
        for place in 0..asked.len() {
            hears.said(place, Said::Gone("the sink hands out no tickets".to_owned())).await;
        }
    }

    /// Nothing is waited for on these channels any more.
    pub fn forget(&self, tickets: &[Ticket]) {
        if let Self::SplunkHec(sink) = self {
            sink.forget(tickets);
        }
    }

    /// What is told of a request that was not acknowledged in time, given what its receiver said last when it was asked.
    #[must_use]
    pub fn unacknowledged(&self, ticket: &Ticket, last: Option<&muster_model::Trouble>) -> String {
        match self {
            Self::SplunkHec(sink) => sink.unacknowledged(ticket, last),
            _ => String::new(),
        }
    }

    /// How long a receiver may take to say that a request is stored.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self {
            Self::SplunkHec(sink) => sink.patience(),
            _ => Duration::ZERO,
        }
    }

    /// Checks the way to the sink without sending a record, and says in a sentence what was found.
    ///
    /// # Errors
    /// When a record could not be delivered that way: what is wrong, and what to do.
    pub async fn test(&self) -> Result<String, SinkError> {
        match self {
            Self::SplunkHec(sink) => sink.test().await,
            Self::Elasticsearch(sink) => sink.test().await,
            Self::Kafka(sink) => sink.test().await,
            Self::Nats(sink) => sink.test().await,
            Self::Sentinel(sink) => sink.test().await,
            Self::Webhook(sink) => sink.test().await,
            Self::Otlp(sink) => sink.test().await,
            Self::Amqp(sink) => sink.test().await,
            Self::Syslog(sink) => sink.test().await,
            Self::File(sink) => sink.test().await,
            Self::TenantFiles(sink) => Ok(sink.test()),
            Self::Stdout(sink) => Ok(sink.test()),
            Self::ObjectStore(sink) => sink.test().await,
        }
    }

    /// What the sink's own files say about what is in them, where it keeps such files.
    pub async fn memory(&self) -> Option<SinkMemory> {
        match self {
            Self::File(sink) => sink.memory().await,
            _ => None,
        }
    }

    /// Flushes and closes. Nothing may be delivered afterwards.
    pub async fn close(&self) {
        match self {
            Self::Kafka(sink) => sink.close().await,
            Self::Nats(sink) => sink.close().await,
            Self::SplunkHec(_)
            | Self::Elasticsearch(_)
            | Self::Sentinel(_)
            | Self::Webhook(_)
            | Self::Otlp(_)
            | Self::ObjectStore(_) => {}
            Self::Amqp(sink) => sink.close().await,
            Self::Syslog(sink) => sink.close().await,
            Self::File(sink) => sink.close().await,
            Self::TenantFiles(sink) => sink.close().await,
            Self::Stdout(sink) => sink.close().await,
        }
    }
}
