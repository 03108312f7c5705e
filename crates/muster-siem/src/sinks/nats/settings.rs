//! The settings of a NATS sink.

use std::path::PathBuf;

use muster_model::{ByteSize, SecretReference, Span};
use serde::{Deserialize, Deserializer};

use crate::formats::{
    BigEvents, CefOptions, EcsOptions, Encoding, LeefOptions, MappingOptions, OcsfOptions, SplunkOptions,
};
use crate::sinks::address::{Addresses, Scheme};
use crate::sinks::place::PlaceTemplate;
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds, word};

/// Where no port is named.
const PORT_USUAL: u16 = 4222;
/// What fits into a server's usual `max_payload` of 1 MiB, with the headers.
const EVENT_SIZE_USUAL: ByteSize = ByteSize(1_000_000);
/// Longer subjects are legal, and work in few places.
const SUBJECT_BYTES_MAX: usize = 255;
pub(super) const SCHEMES: [Scheme; 2] = [
    Scheme { name: "nats", is_encrypted: false, port: PORT_USUAL },
    Scheme { name: "tls", is_encrypted: true, port: PORT_USUAL },
];

/// `type = "nats"`: a stream of NATS JetStream.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsSettings {
    /// Where it is, such as `tls://nats.example:4222`; or a list of servers of one cluster.
    #[serde(deserialize_with = "addresses")]
    pub url: Addresses,
    /// The stream that everything must be stored in.
    pub stream: String,
    /// The subject; `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ source }}` may stand in it.
    #[serde(default = "muster_subject")]
    pub subject: PlaceTemplate,
    /// How the stream tells what it has already.
    #[serde(default, deserialize_with = "deduplicate")]
    pub deduplicate: Deduplicate,
    /// The JetStream domain, where the stream is behind a leaf node.
    #[serde(default)]
    pub domain: Option<String>,
    /// What subjects for answers begin with.
    #[serde(default = "usual_inbox")]
    pub inbox_prefix: String,
    /// A user.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<SecretReference>,
    /// A token, where there are no users.
    #[serde(default)]
    pub token: Option<SecretReference>,
    /// The seed of an nkey, `SU…`.
    #[serde(default)]
    pub nkey_seed: Option<SecretReference>,
    /// The text of a credentials file (`.creds`): a user's JWT and seed.
    #[serde(default)]
    pub credentials: Option<SecretReference>,
    /// Whether TLS begins before the server has said anything (`handshake_first`).
    #[serde(default)]
    pub tls_first: bool,
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
    /// How long it may take to connect, and to acknowledge what was published together.
    #[serde(default = "half_minute")]
    pub timeout: Span,
    /// The events that are published together; one that is bigger goes alone.
    #[serde(default = "mebibyte")]
    pub batch_size: ByteSize,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

/// How the stream tells what it has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deduplicate {
    /// By `Nats-Msg-Id`, for as long as its `duplicate_window` is.
    #[default]
    Window,
    /// By the subject, which is each event's own, for as long as it keeps the message.
    Subject,
}

impl Settings for NatsSettings {
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
        let (event_size_max, big_events) = (Some(event_size_max.unwrap_or(EVENT_SIZE_USUAL)), *big_events);
        EncodingKeys { format, mapping, event_size_max, big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        let keys = [
            ("password", &self.password),
            ("token", &self.token),
            ("nkey_seed", &self.nkey_seed),
            ("credentials", &self.credentials),
            ("client_key", &self.client_key),
        ];
        keys.into_iter().filter_map(|(key, secret)| Some((key, secret.as_ref()?))).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.user.is_some() != self.password.is_some() {
            mistakes.push("user and password belong together".to_owned());
        }
        let ways =
            [self.user.is_some(), self.token.is_some(), self.nkey_seed.is_some(), self.credentials.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            mistakes.push(
                "user and password, token, nkey_seed, or credentials: one of them, not several".to_owned(),
            );
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            mistakes.push("client_certificate and client_key belong together".to_owned());
        }
        if !self.url.is_encrypted() {
            let without_use = [
                ("client_certificate", self.client_certificate.is_some()),
                ("ca_file", self.ca_file.is_some()),
                ("tls_first", self.tls_first),
            ];
            for (key, _) in without_use.into_iter().filter(|(_, is_set)| *is_set) {
                mistakes.push(format!("{key} is for servers whose url begins with tls://"));
            }
        }
        if self.url.0.iter().any(|address| address.path.is_some()) {
            mistakes.push("its url must end with the port: the stream is a setting of its own".to_owned());
        }
        if !is_token(&self.stream) {
            mistakes.push(
                "stream is the name of one stream: letters, digits, `-` and `_`, without `.`, `*`, `>`, `/` and spaces"
                    .to_owned(),
            );
        }
        if self.domain.as_ref().is_some_and(|domain| !is_token(domain)) {
            mistakes.push("domain is a name without `.`, `*`, `>` and spaces".to_owned());
        }
        if self.inbox_prefix.starts_with('$') || !self.inbox_prefix.split('.').all(is_token) {
            mistakes.push("inbox_prefix is a subject without wildcards, such as _INBOX".to_owned());
        }
        // Whatever stands for a tenant or a source has letters, digits, `-` and `_` only.
        let pattern = self.subject.pattern().replace('*', "x");
        if pattern.starts_with('$') || !pattern.split('.').all(is_token) {
            mistakes.push(
                "subject is names with dots between them, such as muster.{{ tenant.slug }}: no `*`, `>`, spaces or empty \
                 names, and none that begins with `$`"
                    .to_owned(),
            );
        }
        if self.subject.bytes_max() > SUBJECT_BYTES_MAX {
            mistakes.push(format!("subject may become longer than {SUBJECT_BYTES_MAX} bytes"));
        }
        mistakes
    }
}

impl NatsSettings {
    /// The subjects that the stream must take, as its configuration has them: a name of which a part is a tenant's or a
    /// source's becomes `*`.
    #[must_use]
    pub fn stream_subject(&self) -> String {
        let pattern = self.subject.pattern();
        let mut names: Vec<&str> =
            pattern.split('.').map(|name| if name.contains('*') { "*" } else { name }).collect();
        if self.deduplicate == Deduplicate::Subject {
            names.push("*");
        }
        names.join(".")
    }

    /// A subject that is as those of records are, and that no record has.
    pub(super) fn test_subject(&self) -> String {
        self.stream_subject().replace('*', "muster-sink-test")
    }

    /// The longest event that is sent.
    pub(super) fn event_bytes_max(&self) -> u64 {
        self.event_size_max.unwrap_or(EVENT_SIZE_USUAL).0
    }

    /// What a question about the stream is published to.
    #[must_use]
    pub fn info_subject(&self) -> String {
        let domain = self.domain.as_ref().map(|domain| format!("{domain}.")).unwrap_or_default();
        format!("$JS.{domain}API.STREAM.INFO.{}", self.stream)
    }
}

/// Whether a text can be one name of a subject, and of a stream.
fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b".*>/\\".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
    Addresses::read(deserializer, &SCHEMES, "tls://nats.example:4222")
}

fn deduplicate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Deduplicate, D::Error> {
    word(deserializer, "a way", &[("window", Deduplicate::Window), ("subject", Deduplicate::Subject)])
}

fn muster_subject() -> PlaceTemplate {
    "muster.{{ tenant.slug }}.{{ source }}".parse().expect("a template")
}

fn usual_inbox() -> String {
    "_INBOX".to_owned()
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
