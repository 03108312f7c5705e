//! The settings of an object store sink.

use std::path::PathBuf;

use muster_model::{ByteSize, SecretReference, Span};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::address::ObjectUrl;
use super::path::PathTemplate;
use super::place::{ObjectPlace, endpoint};
use crate::formats::{BigEvents, EcsOptions, Encoding, MappingOptions, OcsfOptions};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, seconds, word};

/// The events of one object that cannot be held in memory several times over.
const OBJECT_SIZE_MOST: u64 = 256 << 20;

/// `type = "object_store"`: objects in S3, Azure Blob Storage, Google Cloud Storage or a folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStoreSettings {
    /// Where objects go: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix` or `file:///folder`.
    pub url: ObjectUrl,
    /// The folders below it, with `{{ tenant.slug }}`, `{{ tenant.id }}`, `{source}`, `{yyyy}`, `{mm}`, `{dd}`,
    /// `{class}` and `{region}`.
    #[serde(default)]
    pub path: Option<PathTemplate>,
    /// What an object is: NDJSON or Parquet.
    #[serde(default)]
    pub objects: ObjectKind,
    /// How records are written: `raw`, `ecs` or `ocsf`; in Parquet `ocsf` only.
    #[serde(default)]
    pub format: Option<FormatName>,
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
    /// The region of an S3 bucket, and what `{region}` becomes.
    #[serde(default)]
    pub region: Option<String>,
    /// Where the service is, where that is not the cloud's own address.
    #[serde(default, deserialize_with = "endpoint")]
    pub endpoint: Option<Url>,
    /// S3: the id of an access key.
    #[serde(default)]
    pub access_key_id: Option<SecretReference>,
    /// S3: the access key.
    #[serde(default)]
    pub secret_access_key: Option<SecretReference>,
    /// S3: the session token of a temporary access key.
    #[serde(default)]
    pub session_token: Option<SecretReference>,
    /// Azure: the storage account.
    #[serde(default)]
    pub account: Option<String>,
    /// Azure: a key of the account.
    #[serde(default)]
    pub account_key: Option<SecretReference>,
    /// Azure: a shared access signature of the container, `sv=…&sig=…`.
    #[serde(default)]
    pub sas: Option<SecretReference>,
    /// Azure: the Entra tenant of an app that may write.
    #[serde(default)]
    pub entra_tenant: Option<String>,
    /// Azure: the app's client id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Azure: the app's client secret.
    #[serde(default)]
    pub client_secret: Option<SecretReference>,
    /// Google: the key of a service account, as the JSON that Google gives out.
    #[serde(default)]
    pub service_account: Option<SecretReference>,
    /// The events of one object before compression; one that is bigger goes alone.
    #[serde(default = "object_size")]
    pub batch_size: ByteSize,
    /// How long each request may take.
    #[serde(default = "minute")]
    pub timeout: Span,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Delivery batches under way at the same time.
    #[serde(default = "two")]
    pub concurrency: u32,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObjectKind {
    /// One JSON object a line, compressed with zstd.
    #[default]
    Ndjson,
    /// Parquet, a class of OCSF for each object.
    Parquet,
}

impl<'de> Deserialize<'de> for ObjectKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "a kind of object", &[("ndjson", Self::Ndjson), ("parquet", Self::Parquet)])
    }
}

impl ObjectStoreSettings {
    /// Where objects go, and by what right.
    #[must_use]
    pub fn place(&self) -> ObjectPlace {
        ObjectPlace {
            url: self.url.clone(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            account: self.account.clone(),
            account_key: self.account_key.clone(),
            sas: self.sas.clone(),
            entra_tenant: self.entra_tenant.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            service_account: self.service_account.clone(),
            timeout: self.timeout,
            ca_file: self.ca_file.clone(),
        }
    }

    /// How records are written.
    #[must_use]
    pub fn format_name(&self) -> FormatName {
        self.format.unwrap_or(match self.objects {
            ObjectKind::Ndjson => FormatName::Raw,
            ObjectKind::Parquet => FormatName::Ocsf,
        })
    }

    /// The folders below the url.
    #[must_use]
    pub fn path(&self) -> PathTemplate {
        self.path.clone().unwrap_or_else(|| PathTemplate::of(self.objects == ObjectKind::Parquet))
    }
}

impl Settings for ObjectStoreSettings {
    fn target(&self) -> String {
        self.url.to_string()
    }

    fn encoding(&self) -> Result<Encoding, Vec<String>> {
        let options =
            FormatOptions { ecs: self.ecs.clone(), ocsf: self.ocsf.clone(), ..FormatOptions::default() };
        let Self { mapping, event_size_max, big_events, big_drop, .. } = self;
        let (format, event_size_max) = (self.format_name().with(&options), *event_size_max);
        EncodingKeys { format, mapping, event_size_max, big_events: *big_events, big_drop }.encoding()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency.clamp(1, 64)
    }

    fn secrets(&self) -> Vec<(&'static str, &SecretReference)> {
        [
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", &self.secret_access_key),
            ("session_token", &self.session_token),
            ("account_key", &self.account_key),
            ("sas", &self.sas),
            ("client_secret", &self.client_secret),
            ("service_account", &self.service_account),
        ]
        .into_iter()
        .filter_map(|(key, secret)| Some((key, secret.as_ref()?)))
        .collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let format = self.format_name();
        match self.objects {
            ObjectKind::Ndjson
                if !matches!(format, FormatName::Raw | FormatName::Ecs | FormatName::Ocsf) =>
            {
                mistakes.push(format!(
                    "format = \"{}\" writes no JSON of its own: use raw, ecs or ocsf",
                    format.as_str()
                ));
            }
            ObjectKind::Parquet if format != FormatName::Ocsf => mistakes.push(format!(
                "objects = \"parquet\" has columns for OCSF only: leave format off, or set it to \"ocsf\" in place of \"{}\"",
                format.as_str()
            )),
            ObjectKind::Ndjson | ObjectKind::Parquet => {}
        }
        let path = self.path();
        if path.has("{class}") && self.objects == ObjectKind::Ndjson {
            mistakes.push("path has `{class}`, which only objects of objects = \"parquet\" have".to_owned());
        }
        if path.has("{region}") && self.region.is_none() {
            mistakes.push("path has `{region}`: set region".to_owned());
        }
        if !(1..=OBJECT_SIZE_MOST).contains(&self.batch_size.0) {
            mistakes.push("batch_size must be between 1 B and 256 MiB".to_owned());
        }
        mistakes.extend(self.place().mistakes());
        mistakes
    }
}

fn minute() -> Span {
    seconds(60)
}

fn object_size() -> ByteSize {
    ByteSize(64 << 20)
}

fn two() -> u32 {
    2
}
