//! Objects in S3, Azure Blob Storage, Google Cloud Storage or a folder: NDJSON compressed with zstd, or Parquet of
//! OCSF.
//!
//! Each delivery becomes an object, or some: named by its range in the journal (tenant, lineage, number), always with
//! the same bytes, and made only where there is none of that name. So a delivery that comes again, after a crash or a
//! lost answer, meets its own object, and that counts as delivered only when it holds these very bytes: by a digest in
//! its metadata, or by reading it. Where something else has the name, the object is made under a name with its digest:
//! nothing is overwritten, and nothing kept waiting by what somebody put there.
//!
//! A delivery is delivered as a whole or not at all: its name stays that of the same records. Several deliveries are
//! never in one object: what comes again together may be others than the first time, and only the range of one
//! delivery is always the same.
//!
//! What may double: a delivery whose object was made and not acknowledged, when before it came again the settings, the
//! version of Muster, or which of its records are owed were changed. A replay makes new objects.
//!
//! Source: Amazon S3 "Conditional writes"; Azure "Specifying conditional headers for Blob service operations"; Google
//! "Request preconditions".

mod address;
mod bucket;
mod connector;
mod credentials;
mod folder;
mod found;
mod object;
mod parquet;
mod path;
mod place;
mod reader;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use muster_model::{Delivery, DeliveryBatch, Outcome, Report, TenantLabel, Trouble};
use uuid::Uuid;

pub use self::address::ObjectUrl;
pub use self::found::{Piece, ReadTrouble};
pub use self::path::PathTemplate;
pub use self::place::{ObjectPlace, endpoint};
pub use self::reader::{Listing, ObjectReader};
pub use self::settings::{ObjectKind, ObjectStoreSettings};

use self::bucket::{Bucket, UsedBy};
use self::found::{Found, Made};
use self::object::{Cut, Object, Shape};
use super::error::SinkError;
use super::http;
use super::outcomes::Outcomes;
use super::settings::{Settings, Surroundings, bytes};

/// Objects of one delivery batch that are on their way at once.
const REQUESTS_MAX: usize = 4;

/// A bucket, container or folder.
#[derive(Debug)]
pub struct ObjectStoreSink {
    name: String,
    target: String,
    shape: Arc<Shape>,
    place: Place,
    /// Whether an object was found as it was written: something that answers 200 to everything is no bucket.
    is_known: AtomicBool,
}

#[derive(Debug)]
enum Place {
    Bucket(Bucket),
    Folder(PathBuf),
}

impl ObjectStoreSink {
    /// A sink with this name; nothing is connected yet.
    pub(super) fn build(
        name: &str,
        settings: ObjectStoreSettings,
        around: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        let target = settings.target();
        let made = settings.encoding().map_err(|mistakes| mistakes.join("; ")).and_then(|encoding| {
            if let Some(mistake) = settings.mistakes().into_iter().next() {
                return Err(mistake);
            }
            let place = match &settings.url {
                ObjectUrl::Folder(folder) => Place::Folder(folder.clone()),
                _ => {
                    let ca_file = around.path(settings.ca_file.as_ref());
                    let (proxy, timeout) = (around.proxy.clone()?, settings.timeout.0);
                    let headers = reqwest::header::HeaderMap::new();
                    let client = http::client(headers, timeout, ca_file.as_deref(), proxy, REQUESTS_MAX)?;
                    Place::Bucket(Bucket::build(&settings.place(), around, client, UsedBy::Sink)?)
                }
            };
            let shape = Shape {
                encoding,
                kind: settings.objects,
                path: settings.path(),
                region: settings.region.clone().unwrap_or_default(),
                bytes_max: bytes(settings.batch_size),
            };
            Ok((Arc::new(shape), place))
        });
        let (shape, place) =
            made.map_err(|problem| SinkError::Settings { sink: name.to_owned(), problem })?;
        Ok(Self { name: name.to_owned(), target, shape, place, is_known: AtomicBool::new(false) })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let stopped = AtomicBool::new(false);
        let mut attempts = Vec::with_capacity(batch.deliveries.len());
        for delivery in batch.deliveries {
            attempts.push(self.attempt(batch.tenant, delivery, &stopped));
        }
        let delivered: Vec<_> = futures_util::stream::iter(attempts).buffered(REQUESTS_MAX).collect().await;
        let mut outcomes = Outcomes::default();
        for (delivery, delivered) in batch.deliveries.iter().zip(delivered) {
            match delivered {
                Ok(unwritable) => {
                    for why in unwritable {
                        outcomes.push(why.map_or(Outcome::Delivered, Outcome::Rejected));
                    }
                }
                Err(trouble) => {
                    // Those that cannot be written, too: the object's name says which records were owed.
                    delivery.records().for_each(|_| outcomes.push(Outcome::Retry));
                    trouble.into_iter().for_each(|trouble| outcomes.trouble(trouble));
                }
            }
        }
        outcomes.report()
    }

    /// Delivers a delivery, unless another has failed: one refused object tells about the others, and what has not
    /// started does not start.
    async fn attempt(
        &self,
        tenant: &TenantLabel,
        delivery: &Delivery,
        stopped: &AtomicBool,
    ) -> Result<Vec<Option<String>>, Option<Trouble>> {
        if stopped.load(Ordering::Relaxed) {
            return Err(None);
        }
        let delivered = self.deliver_one(tenant, delivery).await;
        if delivered.is_err() {
            stopped.store(true, Ordering::Relaxed);
        }
        delivered.map_err(Some)
    }

    /// Delivers all of a delivery, and says which of its records cannot be written; or why it stays owed.
    async fn deliver_one(
        &self,
        tenant: &TenantLabel,
        delivery: &Delivery,
    ) -> Result<Vec<Option<String>>, Trouble> {
        let (shape, tenant, delivery) = (Arc::clone(&self.shape), tenant.clone(), delivery.clone());
        // Formatting, compressing and hashing take tens of milliseconds: too long for a thread that others wait for.
        let cut = tokio::task::spawn_blocking(move || object::cut(&shape, &tenant, &delivery)).await;
        let Cut { objects, unwritable } = match cut {
            Ok(Ok(cut)) => cut,
            Ok(Err(why)) => return Err(self.trouble(&format!("the object cannot be made: {why}"))),
            Err(error) => return Err(self.trouble(&format!("the object cannot be made: {error}"))),
        };
        for object in objects {
            self.put(object).await?;
        }
        Ok(unwritable)
    }

    /// Makes sure that the object is there, whole.
    async fn put(&self, object: Object) -> Result<(), Trouble> {
        match self.make(&object).await? {
            Found::Same => return Ok(()),
            Found::Other => {}
            Found::Nothing => return Err(self.at_odds(&object.name)),
        }
        let renamed = object.renamed();
        tracing::warn!(
            sink.name = self.name,
            object = object.name,
            "another object has the name; what belongs there is written beside it, as {}",
            renamed.name
        );
        match self.make(&renamed).await? {
            Found::Same => Ok(()),
            Found::Other => Err(self.trouble(&format!(
                "`{}` and `{}` hold something else, and are not overwritten: find out who writes there",
                object.name, renamed.name
            ))),
            Found::Nothing => Err(self.at_odds(&renamed.name)),
        }
    }

    /// Makes the object where there is none, and says what is there then.
    async fn make(&self, object: &Object) -> Result<Found, Trouble> {
        let made = match self.create(object).await {
            Ok(made) => made,
            Err(trouble) => {
                // The next one that is made is looked at again.
                self.is_known.store(false, Ordering::Relaxed);
                return Err(trouble);
            }
        };
        if made == Made::Created && self.is_known.load(Ordering::Relaxed) {
            return Ok(Found::Same);
        }
        let found = self.look(object).await?;
        if made == Made::Created && found != Found::Same {
            let there = if found == Found::Other { "something else" } else { "nothing" };
            return Err(self.trouble(&format!(
                "it says that `{}` was made, and {there} is there: check the url, and that nobody else writes there",
                object.name
            )));
        }
        self.is_known.store(found == Found::Same, Ordering::Relaxed);
        Ok(found)
    }

    async fn create(&self, object: &Object) -> Result<Made, Trouble> {
        match &self.place {
            Place::Bucket(bucket) => bucket.create(object).await.map_err(|trouble| self.named(trouble)),
            Place::Folder(root) => {
                let (root, object) = (root.clone(), object.clone());
                self.on_disk(move || folder::create(&root, &object.name, &object.bytes)).await
            }
        }
    }

    async fn look(&self, object: &Object) -> Result<Found, Trouble> {
        match &self.place {
            Place::Bucket(bucket) => bucket.look(object).await.map_err(|trouble| self.named(trouble)),
            Place::Folder(root) => {
                let (root, object) = (root.clone(), object.clone());
                self.on_disk(move || folder::look(&root, &object.name, &object.bytes)).await
            }
        }
    }

    /// Removes an object, and says whether it could.
    async fn remove(&self, name: &str) -> bool {
        match &self.place {
            Place::Bucket(bucket) => bucket.remove(name).await,
            Place::Folder(root) => {
                let (root, name) = (root.clone(), name.to_owned());
                self.on_disk(move || Ok(folder::remove(&root, &name))).await.unwrap_or(false)
            }
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, Trouble> {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done.map_err(|why| self.trouble(&why)),
            Err(error) => Err(self.trouble(&error.to_string())),
        }
    }

    /// Another writer was about to make it, and has not.
    fn at_odds(&self, name: &str) -> Trouble {
        self.trouble(&format!(
            "it says that `{name}` is there, and does not find it: perhaps another writer is at it; tried again later, by itself"
        ))
    }

    fn trouble(&self, reason: &str) -> Trouble {
        self.named(Trouble { reason: reason.to_owned(), after: None })
    }

    fn named(&self, Trouble { reason, after }: Trouble) -> Trouble {
        Trouble { reason: format!("sink `{}` ({}): {reason}", self.name, self.target), after }
    }

    /// Makes a small object that holds no record, tries to replace it, and removes it.
    pub(super) async fn test(&self) -> Result<String, SinkError> {
        let unusable = |trouble: Trouble| SinkError::unusable(&self.name, &trouble);
        let name = format!("muster-sink-test/{}.txt", Uuid::new_v4().simple());
        let probe = |text: &'static str| Object::new(name.clone(), text.as_bytes(), "text/plain");
        let (first, second) = (
            probe("Written by `muster sink test`. It holds no record, and can be removed.\n"),
            probe("Written by `muster sink test`, which tried to replace an object. It can be removed.\n"),
        );
        let outcome = self.probe(&first, &second).await;
        // What was found wrong is told; that the probe lies there still is not the trouble then.
        let removed = self.remove(&name).await;
        outcome.map_err(unusable)?;
        let place = &self.target;
        Ok(match removed {
            true => format!("{place} makes an object once, gives it back, and lets it be removed"),
            false => format!(
                "{place} makes an object once and gives it back; `{name}` could not be removed, which deliveries do not need: \
                 remove it, or leave it"
            ),
        })
    }

    async fn probe(&self, first: &Object, second: &Object) -> Result<(), Trouble> {
        if self.create(first).await? == Made::Exists {
            return Err(self.at_odds(&first.name));
        }
        if self.look(first).await? != Found::Same {
            return Err(self.trouble(&format!(
                "it says that `{}` was made, and gives back something else: check the url",
                first.name
            )));
        }
        let made = self.create(second).await?;
        match (made, self.look(first).await?) {
            (Made::Exists, Found::Same) => Ok(()),
            (_, Found::Same) => Err(self.trouble(
                "it says that it replaced an object, which it was asked not to do (`If-None-Match: *`), and has not: what it \
                 answers cannot be relied on",
            )),
            (_, Found::Other | Found::Nothing) => Err(self.trouble(
                "it replaces objects although it is asked not to (`If-None-Match: *`): use a store that knows this condition, as \
                 S3, Azure, Google, MinIO and Ceph do in versions of today",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
