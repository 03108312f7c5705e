//! What all connections of one emulator share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client_config::{Addresses, ClientConfig, Tenant};
use crate::errors::RequestError;
use crate::faults::kind::{Area, Fault, FaultKind};
use crate::graph::api::GraphApi;
use crate::http::answer::{Answer, Transport};
use crate::identity::platform::Identity;
use crate::identity::traffic::TokenTraffic;
use crate::identity::walk::{Platform, walk};
use crate::key_vault::KeyVaults;
use crate::receivers::{IngestTally, ReceiverTally, Receivers};
use crate::world::records::Skipped;
use crate::world::tenants::{ProducedCounts, UpdatePolicy};
use crate::world::ticks::Ticks;

/// Requests by area, tenant and status.
type RequestCounters = BTreeMap<(Area, Option<u32>, u16), u64>;

/// One emulator.
pub(crate) struct Shared {
    pub(crate) api: GraphApi,
    pub(crate) identity: Identity,
    pub(crate) key_vaults: KeyVaults,
    pub(crate) token_traffic: TokenTraffic,
    pub(crate) token_delay_ms: AtomicU64,
    pub(crate) receivers: Receivers,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) ca_pem: Option<String>,
    pub(crate) ca_file: Option<std::path::PathBuf>,
    pub(crate) addresses: Addresses,
    pub(crate) hec_token: String,
    pub(crate) updates: UpdatePolicy,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) producing: AtomicBool,
    pub(crate) all_appeared: AtomicBool,
    pub(crate) requests: Mutex<RequestCounters>,
    /// When Graph was asked for which tenant, and from which port, once somebody wants to know.
    pub(crate) noted: Mutex<Option<Vec<(u32, Ticks, u16)>>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

/// How many requests of one kind came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCount {
    /// Which API was called.
    pub area: Area,
    /// The tenant's GUID, if the request named one.
    pub tenant: Option<String>,
    /// The status of the answer; 0 if it was never sent.
    pub status: u16,
    /// How many.
    pub count: u64,
}

/// A request to Graph for records of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotedRequest {
    /// Before the world was looked at for its answer.
    pub at: Timestamp,
    /// From which port of its machine the client had connected.
    pub from: u16,
}

/// What the receivers saw, against what was produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How much was produced until now.
    pub produced: ProducedCounts,
    /// Whether all alerts that were to appear did, and no update is to come.
    pub finished: bool,
    /// Lost over all receivers that are used; over all where none is, since nothing arrived anywhere then.
    pub lost: u64,
    /// Doubled over all receivers.
    pub doubled: u64,
    /// Each receiver's own numbers.
    pub receivers: Vec<ReceiverTally>,
    /// What Azure Monitor's rule has done to rows in silence, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<IngestTally>,
}

fn lost(receivers: &[ReceiverTally]) -> u64 {
    let any_used = receivers.iter().any(|receiver| receiver.used);
    receivers.iter().filter(|receiver| receiver.used || !any_used).map(|receiver| receiver.lost).sum()
}

/// How many tenants a client is told of at once.
const FIRST_TENANTS: usize = 10;

impl Shared {
    /// What a client needs to know of a running emulator.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let base = self.addresses.base_url();
        ClientConfig {
            addresses: self.addresses.clone(),
            login: base.clone(),
            graph: base,
            app_id: self.identity.app_id.clone(),
            secret: self.identity.secret.clone(),
            provider: Tenant::from(self.api.world.facts(self.api.world.provider())),
            password: self.identity.password.clone(),
            identity_header: self.identity.identity_header.clone(),
            hec_token: self.hec_token.clone(),
            ca_pem: self.ca_pem.clone(),
            ca_file: self.ca_file.clone(),
            tenant_count: self.api.world.tenant_count(),
            tenants: self.api.world.all_facts().take(FIRST_TENANTS).map(Tenant::from).collect(),
        }
    }

    /// A person's walk through the sign-in pages.
    pub(crate) fn walk(
        &self,
        address: &str,
        account: &str,
        password: &str,
        consent: bool,
    ) -> Result<String, RequestError> {
        let platform =
            Platform { identity: &self.identity, world: &self.api.world, faults: &self.api.faults };
        walk(&platform, address, account, password, consent)
    }

    pub(crate) fn add_fault(&self, fault: Fault) -> Result<(), RequestError> {
        if matches!(fault.area, Area::Hec | Area::Syslog | Area::Ingest) {
            let (receivers, what) = fault
                .for_receivers()
                .ok_or_else(|| RequestError::MeaninglessFault(fault.kind.clone(), fault.area))?;
            for receiver in receivers {
                self.receivers.set_fault(*receiver, what);
            }
            return Ok(());
        }
        match fault.kind {
            FaultKind::Refuse { code, .. } if !crate::identity::error::is_known(code) => {
                return Err(RequestError::UnknownCode(code));
            }
            FaultKind::Refuse { .. } if !matches!(fault.area, Area::Token | Area::Authorize) => {
                return Err(RequestError::MeaninglessFault(fault.kind, fault.area));
            }
            FaultKind::Down | FaultKind::NeverAcknowledge => {
                return Err(RequestError::MeaninglessFault(fault.kind, fault.area));
            }
            _ => self.api.add_fault(fault)?,
        }
        Ok(())
    }

    pub(crate) fn clear_faults(&self) {
        self.api.clear_faults();
        self.receivers.clear_faults();
    }

    pub(crate) fn count(&self, area: Area, tenant: Option<u32>, answer: &Answer) {
        let status = match answer.transport {
            Transport::Stall { .. } | Transport::Silence | Transport::Reset => 0,
            _ => answer.status.as_u16(),
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((area, tenant, status)).or_default() += 1;
    }

    /// Notes that Graph is asked for a tenant, before it looks at the world.
    pub(crate) fn note_request(&self, tenant: u32, from: u16) {
        if let Some(noted) = self.noted.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            noted.push((tenant, self.api.world.now(), from));
        }
    }

    pub(crate) fn request_counts(&self) -> Vec<RequestCount> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests
            .iter()
            .map(|(&(area, tenant, status), &count)| RequestCount {
                area,
                tenant: tenant.map(|tenant| self.api.world.facts(tenant).id.clone()),
                status,
                count,
            })
            .collect()
    }

    pub(crate) fn finished(&self) -> bool {
        self.all_appeared.load(Ordering::Acquire) && self.api.world.updates_due_later() == 0
    }

    pub(crate) fn tally(&self) -> Tally {
        // Asked before the ledger is read: what is finished is in it.
        let finished = self.finished();
        let receivers = self.receivers.tally(&self.api.world.produced());
        Tally {
            produced: self.api.world.produced_counts(),
            finished,
            lost: lost(&receivers),
            doubled: receivers.iter().map(|receiver| receiver.doubled).sum(),
            receivers,
            ingest: self.receivers.ingest_tally(),
        }
    }

    /// Lets alerts appear at a rate, and updates come, until the emulator stops.
    pub(crate) async fn produce(self: Arc<Self>, alerts: Option<u64>, rate_per_second: Option<f64>) {
        const STEP: Duration = Duration::from_millis(20);
        let mut appeared: u64 = 0;
        let mut owed = 0.0;
        let mut before = self.api.world.now();
        if rate_per_second.is_none() {
            self.all_appeared.store(true, Ordering::Release);
        }
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(STEP) => {}
            }
            let now = self.api.world.now();
            let seconds = (now.0 - before.0).max(0) as f64 / crate::world::ticks::TICKS_PER_SECOND as f64;
            before = now;
            if !self.producing.load(Ordering::Acquire) {
                continue;
            }
            if let Some(rate) = rate_per_second.filter(|_| !self.all_appeared.load(Ordering::Acquire)) {
                owed += rate * seconds;
                let left = alerts.map_or(u64::MAX, |alerts| alerts - appeared);
                let count = (owed as u64).min(left);
                owed -= count as f64;
                self.api.world.produce(count, self.updates);
                appeared += count;
                if count == left {
                    self.all_appeared.store(true, Ordering::Release);
                }
            }
            self.api.world.run_due_updates(self.updates);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_loses_nothing_unless_nobody_uses_anything() {
        let receiver = |used, lost| ReceiverTally { used, lost, ..ReceiverTally::default() };
        assert_eq!(lost(&[receiver(true, 0), receiver(false, 9)]), 0);
        assert_eq!(lost(&[receiver(true, 3), receiver(false, 9)]), 3);
        assert_eq!(lost(&[receiver(false, 9), receiver(false, 9)]), 18);
        assert_eq!(lost(&[]), 0);
    }
}
