//! The settings of an AMQP sink.

use std::path::PathBuf;

use muster_model::{ByteSize, SecretReference, Span};
use serde::{Deserialize, Deserializer};

use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
};
use crate::sinks::address::{Addresses, Scheme};
use crate::sinks::place::PlaceTemplate;
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds, word};

/// Names of exchanges and routing keys are texts of so many bytes at most.
const NAME_BYTES_MAX: usize = 255;
const SCHEMES: [Scheme; 2] = [
    Scheme { name: "amqp", is_encrypted: false, port: 5672 },
    Scheme { name: "amqps", is_encrypted: true, port: 5671 },
];

/// `type = "amqp"`: RabbitMQ, or another broker that speaks AMQP 0.9.1 with publisher confirms.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmqpSettings {
    /// Where it is, with the virtual host behind it, such as `amqps://rabbit.example/soc`; or a list of nodes of one
    /// cluster.
    #[serde(deserialize_with = "addresses")]
    pub url: Addresses,
    /// The exchange; without it, the default one, which takes the routing key for the name of a queue.
    #[serde(default)]
    pub exchange: String,
    /// The routing key; `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ source }}` may stand in it.
    #[serde(default)]
    pub routing_key: Option<PlaceTemplate>,
    /// How the sink proves who it is: `plain`, `external`.
    #[serde(default, deserialize_with = "mechanism")]
    pub mechanism: Mechanism,
    /// A user.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<SecretReference>,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A PEM certificate, and those between it and its root, by which Muster proves itself.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(default)]
    pub client_key: Option<SecretReference>,
    /// How records are written.
    #[serde(default)]
    pub format: FormatName,
    /// `[sinks.NAME.cef]`
    #[serde(default)]
    pub cef: CefOptions,
    /// `[sinks.NAME.splunk]`
    #[serde(default)]
    pub splunk: SplunkOptions,
    /// `[sinks.NAME.leef]`
    #[serde(default)]
    pub leef: LeefOptions,
    /// `[sinks.NAME.ecs]`
    #[serde(default)]
    pub ecs: EcsOptions,
    /// `[sinks.NAME.ocsf]`
    #[serde(default)]
    pub ocsf: OcsfOptions,
    /// `[sinks.NAME.mapping]`: fields dropped, renamed, set and added.
    #[serde(default)]
    pub mapping: MappingOptions,
    /// The longest event.
    #[serde(default)]
    pub event_size_max: Option<ByteSize>,
    /// What is done with longer ones: `split`, `drop` or `refer`.
    #[serde(default)]
    pub big_events: BigEvents,
    /// The fields that `big_events = "drop"` leaves out, in this order.
    #[serde(default)]
    pub big_drop: Vec<String>,
    /// How long it may take to connect, and to confirm what was published together.
    #[serde(default = "half_minute")]
    pub timeout: Span,
    /// The events that are published together; one that is bigger goes alone.
    #[serde(default = "mebibyte")]
    pub batch_size: ByteSize,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

/// How the sink proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mechanism {
    /// By user and password.
    #[default]
    Plain,
    /// By its certificate.
    External,
}

impl Settings for AmqpSettings {
    fn target(&self) -> String {
        self.url.to_string()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let format = self.format.with(&FormatOptions {
            cef: self.cef.clone(),
            splunk: self.splunk.clone(),
            leef: self.leef.clone(),
            ecs: self.ecs.clone(),
            ocsf: self.ocsf.clone(),
        });
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (event_size_max, big_events) = (*event_size_max, *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        let password = self.password.iter().map(|password| ("password", password));
        password.chain(self.client_key.iter().map(|key| ("client_key", key))).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.user.is_some() != self.password.is_some() {
            mistakes.push("user and password belong together".to_owned());
        }
        match self.mechanism {
            Mechanism::Plain if self.user.is_none() => mistakes.push(
                "user and password are missing, or mechanism = \"external\" and a client_certificate"
                    .to_owned(),
            ),
            Mechanism::External if self.user.is_some() => {
                mistakes.push("user and password are not for mechanism = \"external\"".to_owned());
            }
            Mechanism::External if self.client_certificate.is_none() => {
                mistakes.push("mechanism = \"external\" needs client_certificate and client_key".to_owned());
            }
            _ => {}
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            mistakes.push("client_certificate and client_key belong together".to_owned());
        }
        if !self.url.is_encrypted() {
            let without_use = [("client_certificate", &self.client_certificate), ("ca_file", &self.ca_file)];
            for (key, _) in without_use.into_iter().filter(|(_, path)| path.is_some()) {
                mistakes.push(format!("{key} is for brokers whose url begins with amqps://"));
            }
        }
        let is_name = |name: &str| name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
        if !is_name(&self.exchange) {
            mistakes.push(format!("exchange is a name of up to {NAME_BYTES_MAX} bytes, without line ends"));
        }
        if !is_name(self.vhost()) {
            mistakes.push(format!("the virtual host of url is a name of up to {NAME_BYTES_MAX} bytes"));
        }
        if self.url.0.iter().any(|address| address.path != self.url.0[0].path) {
            mistakes.push(
                "the addresses of url are one cluster: let all end with the same virtual host".to_owned(),
            );
        }
        match &self.routing_key {
            None if self.exchange.is_empty() => mistakes
                .push("exchange is missing; or, to send into one queue, its name as routing_key".to_owned()),
            Some(key) if key.bytes_max() > NAME_BYTES_MAX || !is_name(&key.pattern()) => mistakes.push(
                format!("routing_key may become longer than {NAME_BYTES_MAX} bytes, or has line ends in it"),
            ),
            _ => {}
        }
        mistakes
    }
}

impl AmqpSettings {
    /// The virtual host.
    #[must_use]
    pub fn vhost(&self) -> &str {
        self.url.0.first().and_then(|address| address.path.as_deref()).unwrap_or("/")
    }

    /// The routing key as it is where nothing is said.
    #[must_use]
    pub fn key(&self) -> PlaceTemplate {
        self.routing_key
            .clone()
            .unwrap_or_else(|| "muster.{{ tenant.slug }}.{{ source }}".parse().expect("a template"))
    }
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
    Addresses::read(deserializer, &SCHEMES, "amqps://rabbit.example/soc")
}

fn mechanism<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mechanism, D::Error> {
    word(deserializer, "a mechanism", &[("plain", Mechanism::Plain), ("external", Mechanism::External)])
}

fn half_minute() -> Span {
    seconds(30)
}

fn mebibyte() -> ByteSize {
    ByteSize(1 << 20)
}

fn two() -> u32 {
    2
}
