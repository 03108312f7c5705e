//! Objects in S3, Azure Blob Storage or Google Cloud Storage.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use ::object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use ::object_store::azure::{MicrosoftAzureBuilder, split_sas};
use ::object_store::gcp::GoogleCloudStorageBuilder;
use ::object_store::path::Path;
use ::object_store::{
    Attribute, Attributes, ClientOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig,
};
use muster_http::{Client, TransportError};
use muster_model::{SecretReference, Trouble};

use super::address::ObjectUrl;
use super::connector::{Answer, Connector, Heard};
use super::credentials::{Credentials, NoCredentials};
use super::found::{Found, Made};
use super::object::Object;
use super::settings::ObjectStoreSettings;
use crate::sinks::error::shown;
use crate::sinks::http::{self, ReceiverWords};
use crate::sinks::settings::Surroundings;

/// The name under which an object's metadata says its digest. Letters and digits only: Azure wants a name of C#, and
/// proxies drop headers with `_`.
const DIGEST: &str = "mustersha256";
/// How much of an object is read back at once, below the bound on answers.
const PIECE_BYTES: u64 = 512 << 10;

/// A bucket or container.
#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// What every name begins with.
    prefix: String,
    /// What it is called in messages.
    service: Service,
    timeout: Duration,
    credentials: Option<Arc<Credentials>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    S3,
    Azure,
    Google,
}

impl Service {
    fn words(self) -> ReceiverWords {
        match self {
            Self::S3 => ReceiverWords { product: "S3", service: "S3", place: "the bucket" },
            Self::Azure => ReceiverWords {
                product: "Azure Blob Storage",
                service: "Azure Blob Storage",
                place: "the container",
            },
            Self::Google => ReceiverWords {
                product: "Google Cloud Storage",
                service: "Google Cloud Storage",
                place: "the bucket",
            },
        }
    }
}

/// Whether a refusal is about another object of that name, and not, as Azure's other 409s are, about the container.
fn is_of_a_name(Answer { status, code, .. }: &Answer) -> bool {
    const OF_A_NAME: [&str; 5] =
        ["", "BlobAlreadyExists", "ConditionNotMet", "ConditionalRequestConflict", "OperationAborted"];
    *status != 409 || OF_A_NAME.contains(&code.as_str())
}

impl Bucket {
    /// The bucket of the settings, to which nothing is sent yet; or what is wrong with them.
    pub(super) fn build(
        settings: &ObjectStoreSettings,
        around: &Surroundings<'_>,
        client: Client,
    ) -> Result<Self, String> {
        // A sink tries nothing twice: what failed stays owed.
        let retry =
            RetryConfig { max_retries: 0, retry_timeout: settings.timeout.0, ..RetryConfig::default() };
        let is_plain = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
        let options = ClientOptions::new().with_allow_http(is_plain);
        let endpoint =
            settings.endpoint.as_ref().map(|endpoint| endpoint.as_str().trim_end_matches('/').to_owned());
        let secret = |reference: &Option<SecretReference>| {
            let secret = reference.as_ref().map(|reference| (around.secret)(reference)).transpose();
            let secret = secret.map_err(|error| error.reason)?;
            Ok::<_, String>(secret.map(|secret| secret.expose().trim().to_owned()))
        };
        let connector = Connector(client);
        let mut credentials = None;
        let wrong = |error: Error| shown(&error.to_string());
        let (store, service): (Arc<dyn ObjectStore>, Service) = match &settings.url {
            ObjectUrl::S3 { bucket, .. } => {
                let (Some(id), Some(key)) = (&settings.access_key_id, &settings.secret_access_key) else {
                    return Err("s3 needs access_key_id and secret_access_key".to_owned());
                };
                // Secrets that are not there are told now.
                secret(&settings.access_key_id)?;
                secret(&settings.secret_access_key)?;
                secret(&settings.session_token)?;
                let provider = Arc::new(Credentials::new(
                    Arc::clone(&around.secret),
                    id.clone(),
                    key.clone(),
                    settings.session_token.clone(),
                ));
                credentials = Some(Arc::clone(&provider));
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region(settings.region.clone().unwrap_or_default())
                    .with_credentials(provider)
                    .with_conditional_put(S3ConditionalPut::ETagMatch)
                    // One object is removed, by a plain request.
                    .with_disable_bulk_delete(true)
                    // A wildcard certificate has one name before the dot. What is like S3 elsewhere has seldom names
                    // for buckets.
                    .with_virtual_hosted_style_request(endpoint.is_none() && !bucket.contains('.'))
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(connector);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                (Arc::new(builder.build().map_err(wrong)?), Service::S3)
            }
            ObjectUrl::Azure { container, .. } => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_container_name(container)
                    .with_account(settings.account.clone().unwrap_or_default())
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(connector);
                if let Some(key) = secret(&settings.account_key)? {
                    builder = builder.with_access_key(key);
                }
                if let Some(sas) = secret(&settings.sas)? {
                    let pairs = split_sas(&sas).map_err(|_| {
                        "sas is no shared access signature, such as sv=2024-11-04&sr=c&sp=rcw&sig=…"
                            .to_owned()
                    })?;
                    builder = builder.with_sas_authorization(pairs);
                }
                if let (Some(tenant), Some(id), Some(secret)) =
                    (&settings.entra_tenant, &settings.client_id, secret(&settings.client_secret)?)
                {
                    builder = builder.with_client_secret_authorization(id, secret, tenant);
                }
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                // What is wrong with a key may hold some of it.
                let store = builder.build().map_err(|_| {
                    "the account, its key or the endpoint cannot be used: account_key is the base64 text that Azure shows"
                        .to_owned()
                })?;
                (Arc::new(store), Service::Azure)
            }
            ObjectUrl::Google { bucket, .. } => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_bucket_name(bucket)
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(connector);
                if let Some(key) = secret(&settings.service_account)? {
                    builder = builder.with_service_account_key(key);
                }
                if let Some(endpoint) = &endpoint {
                    builder = builder.with_base_url(endpoint);
                }
                let store = builder.build().map_err(|_| {
                    "service_account is no key of a service account, as the JSON that Google gives out"
                        .to_owned()
                })?;
                (Arc::new(store), Service::Google)
            }
            ObjectUrl::Folder(_) => return Err("a folder is no bucket".to_owned()),
        };
        let prefix = settings.url.prefix().to_owned();
        Ok(Self { store, prefix, service, timeout: settings.timeout.0, credentials })
    }

    fn path(&self, name: &str) -> Path {
        match self.prefix.as_str() {
            "" => Path::from(name),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    /// Makes the object, unless there is one of this name. One request.
    pub(super) async fn create(&self, object: &Object) -> Result<Made, Trouble> {
        let heard = Heard::default();
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, object.media_type.into());
        attributes.insert(Attribute::Metadata(DIGEST.into()), object.digest.clone().into());
        let mut options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        options.extensions.insert(heard.clone());
        let put = self.store.put_opts(&self.path(&object.name), object.bytes.clone().into(), options).await;
        match put {
            Ok(_) => Ok(Made::Created),
            // Also S3's 409, which says that another writer is at it: what is there then is looked at.
            Err(Error::AlreadyExists { .. }) if heard.answer().is_none_or(|answer| is_of_a_name(&answer)) => {
                Ok(Made::Exists)
            }
            Err(error) => Err(self.trouble("write", &error, &heard)),
        }
    }

    /// What there is under the object's name: by the digest in its metadata, and its length; or, where it has no such
    /// metadata, by reading it.
    pub(super) async fn look(&self, object: &Object) -> Result<Found, Trouble> {
        let heard = Heard::default();
        let path = self.path(&object.name);
        let mut options = GetOptions { head: true, ..GetOptions::default() };
        options.extensions.insert(heard.clone());
        let found = match self.store.get_opts(&path, options).await {
            Ok(found) => found,
            Err(Error::NotFound { .. })
                if !heard.answer().is_some_and(|answer| self.lacks_the_bucket(&answer)) =>
            {
                return Ok(Found::Nothing);
            }
            Err(error) => return Err(self.trouble("look at", &error, &heard)),
        };
        let length = object.bytes.len() as u64;
        if found.meta.size != length {
            return Ok(Found::Other);
        }
        if let Some(digest) = found.attributes.get(&Attribute::Metadata(DIGEST.into())) {
            return Ok(if digest.as_ref() == object.digest { Found::Same } else { Found::Other });
        }
        let mut start = 0;
        while start < length {
            let end = length.min(start + PIECE_BYTES);
            let mut options =
                GetOptions { range: Some(GetRange::Bounded(start..end)), ..GetOptions::default() };
            options.extensions.insert(heard.clone());
            let piece = match self.store.get_opts(&path, options).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            let piece = piece.map_err(|error| self.trouble("read", &error, &heard))?;
            let range = usize::try_from(start).unwrap_or_default()..usize::try_from(end).unwrap_or_default();
            if object.bytes.get(range) != Some(&piece[..]) {
                return Ok(Found::Other);
            }
            start = end;
        }
        Ok(Found::Same)
    }

    /// Removes an object, and says whether that is allowed.
    pub(super) async fn remove(&self, name: &str) -> bool {
        self.store.delete(&self.path(name)).await.is_ok()
    }

    fn lacks_the_bucket(&self, answer: &Answer) -> bool {
        matches!(answer.code.as_str(), "NoSuchBucket" | "ContainerNotFound")
    }

    /// Why it went wrong, and what to do.
    fn trouble(&self, doing: &str, error: &Error, heard: &Heard) -> Trouble {
        let mut source = error.source();
        let mut transport = None;
        while let Some(cause) = source {
            if let Some(why) = cause.downcast_ref::<NoCredentials>() {
                return Trouble { reason: why.to_string(), after: None };
            }
            transport = transport.or_else(|| cause.downcast_ref::<TransportError>());
            source = cause.source();
        }
        if let Some(transport) = transport {
            return Trouble { reason: self.no_answer(transport), after: None };
        }
        let Some(answer) = heard.answer() else {
            // Of a request for a token, or a good answer that means nothing.
            let words = self.service.words();
            let said = shown(&error.to_string());
            let reason = format!(
                "it answers, but not like {} ({said}): check the sink's url and endpoint, and its credentials",
                words.product
            );
            return Trouble { reason, after: None };
        };
        if matches!(answer.status, 400 | 401 | 403)
            && let Some(credentials) = &self.credentials
        {
            credentials.forget();
        }
        Trouble { reason: self.refusal(doing, &answer), after: answer.wait }
    }

    fn no_answer(&self, error: &TransportError) -> String {
        match error {
            TransportError::Redirect { status, .. } if self.service == Service::S3 => format!(
                "S3 sends elsewhere (HTTP {status}), which is not followed since requests are signed for one host: set region to \
                 the bucket's, or endpoint"
            ),
            error => http::no_answer(error, self.timeout, self.service.words()),
        }
    }

    fn refusal(&self, doing: &str, Answer { status, code, .. }: &Answer) -> String {
        let words = self.service.words();
        let (product, place) = (words.product, words.place);
        let said = if code.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {code}") };
        let rights = match self.service {
            Service::S3 => {
                "`s3:PutObject` and `s3:GetObject` on the objects, and `s3:ListBucket` on the bucket"
            }
            Service::Azure => {
                "the role `Storage Blob Data Contributor` on the container, or a SAS with `rcw`"
            }
            Service::Google => "the roles `Storage Object Creator` and `Storage Object Viewer` on the bucket",
        };
        match (*status, code.as_str()) {
            (400 | 403, "RequestTimeTooSkewed") => {
                format!("{product} finds this machine's clock wrong ({said}): set it right")
            }
            (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                format!("the bucket is in another region ({said}): set region to the bucket's")
            }
            (400 | 403, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
                format!("the temporary credentials are over ({said}): renew them at their place")
            }
            (401, _) | (403, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthenticationFailed") => {
                format!("{product} does not take the credentials ({said}): check the sink's keys")
            }
            (403, "AuthorizationFailure") => format!(
                "{product} does not take the request ({said}): check the sink's keys, and which networks the account lets in"
            ),
            (403, _) => format!(
                "the credentials do not allow to {doing} objects there ({said}): give them {rights}; `muster siem-config \
                 object_store` prints what is needed"
            ),
            (404, _) => format!("{place} is not there ({said}): check the sink's url, or make it"),
            (400 | 413, "EntityTooLarge") | (413, _) => {
                format!("{product} takes no object of this size ({said}): set a smaller batch_size")
            }
            (501, _) => format!(
                "{product} does not know how to make an object only where there is none ({said}): it must take `If-None-Match`"
            ),
            (408 | 429 | 500..=599, _) => {
                format!("{product} is busy or down ({said}); tried again later, by itself")
            }
            _ => format!("{product} refuses to {doing} an object ({said})"),
        }
    }
}
