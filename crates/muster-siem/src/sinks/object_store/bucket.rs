//! Objects in S3, Azure Blob Storage or Google Cloud Storage.

use std::error::Error as _;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ::object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use ::object_store::azure::{MicrosoftAzureBuilder, split_sas};
use ::object_store::gcp::GoogleCloudStorageBuilder;
use ::object_store::list::{PaginatedListOptions, PaginatedListStore};
use ::object_store::path::Path;
use ::object_store::{
    Attribute, Attributes, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};
use jiff::Timestamp;
use muster_http::{Client, TransportError};
use muster_model::{ListedBlob, SecretReference, Trouble};

use super::address::ObjectUrl;
use super::connector::{Answer, Connector, Heard};
use super::credentials::{Credentials, NoCredentials};
use super::found::{Found, Made, Piece, ReadTrouble};
use super::object::Object;
use super::place::ObjectPlace;
use crate::sinks::error::shown;
use crate::sinks::http::{self, ReceiverWords};
use crate::sinks::settings::Surroundings;

/// The name under which an object's metadata says its digest. Letters and digits only: Azure wants a name of C#, and
/// proxies drop headers with `_`.
const DIGEST: &str = "mustersha256";
/// How much of an object is read back at once, below the bound on answers.
const PIECE_BYTES: u64 = 512 << 10;
/// So many objects are listed by one request.
const LISTED_MAX: usize = 1_000;

/// A bucket or container.
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// The same, to be listed page by page.
    lists: Arc<dyn PaginatedListStore>,
    /// What every name begins with.
    prefix: String,
    /// What it is called in messages.
    service: Service,
    used_by: UsedBy,
    timeout: Duration,
    credentials: Option<Arc<Credentials>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("store", &self.store)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// For whom a place is used: what has to be allowed, and where the settings of it stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsedBy {
    Sink,
    Stream,
}

impl UsedBy {
    fn word(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Stream => "stream",
        }
    }
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

/// The tag of an object's content, which listings write with quotes or without; what is known of it, where there is none.
fn etag_of(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(tag) => tag.trim_start_matches("W/").trim_matches('"').to_owned(),
        None => format!("{}-{}", meta.last_modified.timestamp(), meta.size),
    }
}

impl Bucket {
    /// The bucket of the settings, to which nothing is sent yet; or what is wrong with them.
    pub(super) fn build(
        settings: &ObjectPlace,
        around: &Surroundings<'_>,
        client: Client,
        used_by: UsedBy,
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
        let (store, lists, service): (Arc<dyn ObjectStore>, Arc<dyn PaginatedListStore>, Service) =
            match &settings.url {
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
                    let store = Arc::new(builder.build().map_err(wrong)?);
                    (Arc::clone(&store) as _, store, Service::S3)
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
                    let store = Arc::new(store);
                    (Arc::clone(&store) as _, store, Service::Azure)
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
                    let store = Arc::new(store);
                    (Arc::clone(&store) as _, store, Service::Google)
                }
                ObjectUrl::Folder(_) => return Err("a folder is no bucket".to_owned()),
            };
        let prefix = settings.url.prefix().to_owned();
        Ok(Self { store, lists, prefix, service, used_by, timeout: settings.timeout.0, credentials })
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

    /// A page of the objects below the prefix, and by what the next one is asked for.
    pub(super) async fn list(
        &self,
        token: Option<String>,
    ) -> Result<(Vec<ListedBlob>, Option<String>), Trouble> {
        let heard = Heard::default();
        let prefix = match self.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let mut options = PaginatedListOptions {
            max_keys: Some(LISTED_MAX),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        options.extensions.insert(heard.clone());
        let listed = self
            .lists
            .list_paginated(Some(&prefix).filter(|prefix| !prefix.is_empty()).map(String::as_str), options);
        let page = match listed.await {
            Ok(page) => page,
            Err(Error::InvalidPath { source }) => {
                let reason = format!(
                    "something lies there whose name cannot be a path ({}): move it away, or set the {}'s url to the folder with \
                     the blobs",
                    shown(&source.to_string()),
                    self.used_by.word()
                );
                return Err(Trouble { reason, after: None });
            }
            Err(error) => return Err(self.trouble("list", &error, &heard)),
        };
        let blob = |meta: ObjectMeta| {
            let name = meta.location.as_ref().strip_prefix(&prefix)?.to_owned();
            let modified =
                Timestamp::from_nanosecond(meta.last_modified.timestamp_nanos_opt()?.into()).ok()?;
            Some(ListedBlob { name, etag: etag_of(&meta), size: meta.size, modified })
        };
        Ok((page.result.objects.into_iter().filter_map(blob).collect(), page.page_token))
    }

    /// Some bytes of an object as it is now, fewer where it ends; its tag, and its whole length.
    pub(super) async fn read(&self, name: &str, range: Range<u64>) -> Result<Piece, ReadTrouble> {
        let heard = Heard::default();
        let mut options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        options.extensions.insert(heard.clone());
        // As it was listed: a name that is made anew has what is odd in it escaped.
        let path = match self.prefix.as_str() {
            "" => Path::parse(name),
            prefix => Path::parse(format!("{prefix}/{name}")),
        };
        let found = match path {
            Ok(path) => match self.store.get_opts(&path, options).await {
                Ok(found) => {
                    let (etag, size) = (etag_of(&found.meta), found.meta.size);
                    found.bytes().await.map(|bytes| Piece { bytes, etag, size })
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error.into()),
        };
        found.map_err(|error| {
            let answer = heard.answer();
            let of_the_bucket = answer.as_ref().is_some_and(|answer| self.lacks_the_bucket(answer));
            match (&error, answer.map(|answer| answer.status)) {
                (Error::NotFound { .. }, _) if !of_the_bucket => ReadTrouble::Gone,
                (_, Some(412 | 416)) => ReadTrouble::Changed,
                (_, Some(400..=407 | 409..=428)) => {
                    ReadTrouble::Refused(self.trouble("read", &error, &heard))
                }
                _ => ReadTrouble::Down(self.trouble("read", &error, &heard)),
            }
        })
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
                "it answers, but not like {} ({said}): check the {}'s url and endpoint, and its credentials",
                words.product,
                self.used_by.word()
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

    /// What has to be allowed.
    fn rights(&self) -> &'static str {
        match (self.used_by, self.service) {
            (UsedBy::Sink, Service::S3) => {
                "`s3:PutObject` and `s3:GetObject` on the objects, and `s3:ListBucket` on the bucket; `muster siem-config \
                 object_store` prints what is needed"
            }
            (UsedBy::Sink, Service::Azure) => {
                "the role `Storage Blob Data Contributor` on the container, or a SAS with `rcw`; `muster siem-config \
                 object_store` prints what is needed"
            }
            (UsedBy::Sink, Service::Google) => {
                "the roles `Storage Object Creator` and `Storage Object Viewer` on the bucket; `muster siem-config \
                 object_store` prints what is needed"
            }
            (UsedBy::Stream, Service::S3) => {
                "`s3:ListBucket` on the bucket, and `s3:GetObject` on its objects"
            }
            (UsedBy::Stream, Service::Azure) => {
                "the role `Storage Blob Data Reader` on the container, or a SAS with `rl`"
            }
            (UsedBy::Stream, Service::Google) => "the role `Storage Object Viewer` on the bucket",
        }
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
        let whose = self.used_by.word();
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
                format!("{product} does not take the credentials ({said}): check the {whose}'s keys")
            }
            (403, "AuthorizationFailure") => format!(
                "{product} does not take the request ({said}): check the {whose}'s keys, and which networks the account lets in"
            ),
            (403, _) => format!(
                "the credentials do not allow to {doing} objects there ({said}): give them {}",
                self.rights()
            ),
            (404, _) => format!("{place} is not there ({said}): check the {whose}'s url, or make it"),
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
