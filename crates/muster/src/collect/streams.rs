//! The streams of the settings, and the places that were opened to read them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use muster_http::Client;
use muster_model::{Source, TenantId, TenantLabel};
use muster_siem::sinks::{ObjectPlace, ObjectReader};

use crate::config::Stream;

/// Opens a place with a client, or makes the client for it.
pub type OpenPlace =
    dyn Fn(&ObjectPlace, Option<Client>) -> Result<(ObjectReader, Client), String> + Send + Sync;

/// The streams of the settings, and the places that were opened to read them.
#[derive(Default)]
pub struct Streams {
    of: BTreeMap<Source, Stream>,
    open: Option<Arc<OpenPlace>>,
    clients: Mutex<HashMap<Source, Client>>,
    readers: Mutex<HashMap<(TenantId, Source), Arc<ObjectReader>>>,
}

impl Streams {
    pub fn new(of: BTreeMap<Source, Stream>, open: Arc<OpenPlace>) -> Self {
        Self { of, open: Some(open), ..Self::default() }
    }

    pub(super) fn of(&self) -> &BTreeMap<Source, Stream> {
        &self.of
    }

    /// The place of a tenant's stream, opened.
    ///
    /// # Errors
    /// Why it cannot be, in words for the operator.
    pub async fn reader(&self, tenant: &TenantLabel, source: Source) -> Result<Arc<ObjectReader>, String> {
        let key = (tenant.id, source);
        if let Some(reader) = self.readers.lock().expect("no panic while the lock is held").get(&key) {
            return Ok(Arc::clone(reader));
        }
        let (Some(stream), Some(open)) = (self.of.get(&source), self.open.clone()) else {
            let name = source.stream().map_or("", |name| name.as_str());
            return Err(format!(
                "the settings have no stream of this name: add [streams.{name}], or reload them"
            ));
        };
        let place = stream.place_of(tenant)?;
        let client = self.clients.lock().expect("no panic while the lock is held").get(&source).cloned();
        // Secrets lie in files that may be slow, and come from programs.
        let opened = tokio::task::spawn_blocking(move || open(&place, client)).await;
        let (reader, client) = opened.map_err(|error| error.to_string())??;
        self.clients.lock().expect("no panic while the lock is held").insert(source, client);
        let reader = Arc::new(reader);
        self.readers.lock().expect("no panic while the lock is held").insert(key, Arc::clone(&reader));
        Ok(reader)
    }

    /// What could not be read may have other keys by now: it is opened anew.
    pub(super) fn forget(&self, tenant: TenantId, source: Source) {
        self.readers.lock().expect("no panic while the lock is held").remove(&(tenant, source));
    }
}
