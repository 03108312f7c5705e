//! The settings of an object store sink.

use std::path::PathBuf;

use muster_model::{ByteSize, SecretReference, Span};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::address::ObjectUrl;
use super::path::PathTemplate;
use crate::formats::{BigEvents, EcsOptions, Encoding, MappingOptions, OcsfOptions};
use crate::sinks::settings::{EncodingKeys, FormatName, FormatOptions, Settings, one_url, seconds, word};

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
        self.named_secrets().into_iter().filter_map(|(key, secret)| Some((key, secret?))).collect()
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
        mistakes.extend(self.wrong_way());
        mistakes
    }
}

impl ObjectStoreSettings {
    fn named_secrets(&self) -> [(&'static str, Option<&SecretReference>); 7] {
        [
            ("access_key_id", self.access_key_id.as_ref()),
            ("secret_access_key", self.secret_access_key.as_ref()),
            ("session_token", self.session_token.as_ref()),
            ("account_key", self.account_key.as_ref()),
            ("sas", self.sas.as_ref()),
            ("client_secret", self.client_secret.as_ref()),
            ("service_account", self.service_account.as_ref()),
        ]
    }

    /// What is wrong with the credentials and the address: keys of another service are refused, so that nobody thinks
    /// that they are used.
    fn wrong_way(&self) -> Vec<String> {
        let words: [(&str, bool); 4] = [
            ("account", self.account.is_some()),
            ("entra_tenant", self.entra_tenant.is_some()),
            ("client_id", self.client_id.is_some()),
            ("endpoint", self.endpoint.is_some()),
        ];
        let secrets = self.named_secrets().into_iter().map(|(key, secret)| (key, secret.is_some()));
        let set = secrets.chain(words).filter(|(_, is_set)| *is_set).map(|(key, _)| key);
        let (scheme, taken): (&str, &[&str]) = match &self.url {
            ObjectUrl::S3 { .. } => {
                ("s3", &["access_key_id", "secret_access_key", "session_token", "endpoint"])
            }
            ObjectUrl::Azure { .. } => (
                "az",
                &["account", "account_key", "sas", "entra_tenant", "client_id", "client_secret", "endpoint"],
            ),
            ObjectUrl::Google { .. } => ("gs", &["service_account", "endpoint"]),
            ObjectUrl::Folder(_) => ("file", &[]),
        };
        let mut mistakes: Vec<String> = set
            .filter(|key| !taken.contains(key))
            .map(|key| format!("{key} means nothing with a url of `{scheme}:`"))
            .collect();
        match &self.url {
            ObjectUrl::S3 { .. } => {
                if self.access_key_id.is_none() || self.secret_access_key.is_none() {
                    mistakes.push(
                        "s3 needs access_key_id and secret_access_key (and session_token, where the key is temporary)"
                            .to_owned(),
                    );
                }
                if self.region.is_none() {
                    mistakes.push(
                        "s3 needs region, such as \"eu-west-1\": requests are signed for it".to_owned(),
                    );
                }
            }
            ObjectUrl::Azure { .. } => {
                let of_app =
                    [self.entra_tenant.is_some(), self.client_id.is_some(), self.client_secret.is_some()];
                let ways = usize::from(self.account_key.is_some())
                    + usize::from(self.sas.is_some())
                    + usize::from(of_app.contains(&true));
                if self.account.is_none() {
                    mistakes.push("az needs account, the name of the storage account".to_owned());
                }
                if ways != 1 || of_app.contains(&true) && of_app.contains(&false) {
                    mistakes.push(
                        "az needs one of: account_key; sas; or entra_tenant, client_id and client_secret together"
                            .to_owned(),
                    );
                }
            }
            ObjectUrl::Google { .. } if self.service_account.is_none() => {
                mistakes.push("gs needs service_account, the JSON key of a service account".to_owned());
            }
            ObjectUrl::Google { .. } | ObjectUrl::Folder(_) => {}
        }
        if let Some(region) = &self.region
            && (region.is_empty()
                || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
        {
            mistakes.push("region has letters, digits, `-` and `_` only".to_owned());
        }
        mistakes
    }
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    one_url(deserializer, "https://s3.example:9000").map(Some)
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
