//! The handle of an emulator that runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::client_config::{Addresses, ClientConfig, Tenant};
use crate::errors::RequestError;
use crate::faults::kind::Fault;
use crate::graph::api::GraphApi;
use crate::identity::change::{AppRegistration, DirectoryChange};
use crate::identity::traffic::TokenRequests;
use crate::receivers::{Produced, ReceiverTally, Receivers, tally_file};
use crate::shared::{NotedRequest, RequestCount, Shared, Tally};
use crate::world::changes::WorldChange;
use crate::world::hostile::hostile_records;
use crate::world::records;
use crate::world::tenants::ProducedCounts;
use crate::world::truth::TruthVersion;

/// A running emulator. It ends with [`Handle::stop`], or when this is dropped.
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// Where everything listens.
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// Scheme, host and port of login and Graph.
    pub fn base_url(&self) -> String {
        self.shared.addresses.base_url()
    }

    /// The app's id.
    pub fn app_id(&self) -> &str {
        &self.shared.identity.app_id
    }

    /// The app's secret.
    pub fn secret(&self) -> &str {
        &self.shared.identity.secret
    }

    /// The provider's own tenant, where its apps are registered. It is none of [`Handle::tenants`].
    pub fn provider(&self) -> Tenant {
        Tenant::from(self.shared.api.world.facts(self.shared.api.world.provider()))
    }

    /// The password of an account. Every tenant has `admin@`, a Global Administrator, `analyst@`, a Security Reader,
    /// and `user@`, who has no role.
    ///
    /// # Errors
    ///
    /// If there is no such account.
    pub fn password(&self, account: &str) -> Result<String, RequestError> {
        self.shared.identity.password_of(&self.shared.api.world, account)
    }

    /// Registers an app; gives its id.
    ///
    /// # Errors
    ///
    /// If its home is no tenant, a permission or a time cannot be read, or the certificate is none.
    pub fn register_app(&self, registration: AppRegistration) -> Result<String, RequestError> {
        self.shared.identity.register(&self.shared.api.world, registration)
    }

    /// Changes the directory: accounts, apps, consent, credentials, keys.
    ///
    /// # Errors
    ///
    /// If the change names something that is not there.
    pub fn change(&self, change: DirectoryChange) -> Result<(), RequestError> {
        self.shared.identity.change(&self.shared.api.world, change)
    }

    /// Goes through the pages of an address as a person in a browser does: signs in, consents if asked (or declines),
    /// and gives the address that the application is called back at.
    ///
    /// # Errors
    ///
    /// If the walk ends on a page; the error has what it says.
    pub fn sign_in(&self, address: &str, account: &str, consent: bool) -> Result<String, RequestError> {
        let password = self.password(account)?;
        self.shared.walk(address, account, &password, consent)
    }

    /// Sets a secret of a key vault: a new version of it.
    pub fn set_vault_secret(&self, vault: &str, name: &str, value: &str) {
        let now = self.shared.api.world.now();
        self.shared.key_vaults.set(vault, name, value.to_owned(), None, now);
    }

    /// The newest value of a key vault's secret.
    pub fn vault_secret(&self, vault: &str, name: &str) -> Option<String> {
        self.shared.key_vaults.newest(vault, name)
    }

    /// Lets a client (by its id) use a key vault, or not; at first all of the provider's tenant may.
    pub fn allow_vault(&self, vault: &str, client: &str, allowed: bool) {
        self.shared.key_vaults.allow(vault, client, allowed);
    }

    /// Requests of the token endpoint until now, by tenant, client and resource, with the most that were in flight at
    /// a time.
    pub fn token_requests(&self) -> Vec<TokenRequests> {
        self.shared.token_traffic.list()
    }

    /// Every secret that was handed out until now, the newest last: codes, access, refresh and identity tokens, device
    /// codes, secrets of apps. A test looks for them where they must not be.
    pub fn issued_secrets(&self) -> Vec<String> {
        self.shared.identity.issued()
    }

    /// How long every answer of the token endpoint takes from now on.
    pub fn set_token_delay(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.token_delay_ms.store(milliseconds, Ordering::Release);
    }

    /// The machine's own identities (client id, object id, resource id); the first is the one it has by itself.
    pub fn managed_identities(&self) -> Vec<(String, String, String)> {
        let own = |(client, object, resource): (&str, &str, &str)| {
            (client.to_owned(), object.to_owned(), resource.to_owned())
        };
        self.shared.identity.managed_identities().map(own).collect()
    }

    /// What App Service hands to its programs as `IDENTITY_HEADER`; its `IDENTITY_ENDPOINT` is `/msi/token` here.
    pub fn identity_header(&self) -> &str {
        &self.shared.identity.identity_header
    }

    /// The token of the HTTP Event Collector.
    pub fn hec_token(&self) -> &str {
        &self.shared.hec_token
    }

    /// All tenants, the first first.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.shared.api.world.all_facts().map(Tenant::from).collect()
    }

    /// The CA's certificate, if anything here speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.shared.ca_pem.as_deref()
    }

    /// All that settings of a client need, as the control API tells it.
    pub fn client_config(&self) -> ClientConfig {
        self.shared.client_config()
    }

    /// What of a folder of recordings is not served, and why.
    pub fn skipped_records(&self) -> &[records::Skipped] {
        &self.shared.skipped
    }

    /// The receivers, for what has no method here.
    pub fn receivers(&self) -> &Receivers {
        &self.shared.receivers
    }

    /// Lets something go wrong from now on.
    ///
    /// # Errors
    ///
    /// If there is no such tenant, or the fault means nothing in its area.
    pub fn add_fault(&self, fault: Fault) -> Result<(), RequestError> {
        self.shared.add_fault(fault)
    }

    /// Lets all go right again, receivers included.
    pub fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// Faults in force on the Microsoft side, with what is left of their counts.
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.api.faults.list()
    }

    /// Every version of every alert and incident that was ever visible, in order.
    pub fn produced(&self) -> Vec<Produced> {
        self.shared.api.world.produced()
    }

    /// How much was produced until now.
    pub fn produced_counts(&self) -> ProducedCounts {
        self.shared.api.world.produced_counts()
    }

    /// Whether all alerts that were to appear did, and no update is to come.
    pub fn production_finished(&self) -> bool {
        self.shared.finished()
    }

    /// Compares what the receivers saw with what was produced.
    pub fn tally(&self) -> Tally {
        self.shared.tally()
    }

    /// Compares a file (and its rotated siblings) with what was produced.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn tally_file(&self, path: &Path) -> std::io::Result<ReceiverTally> {
        tally_file(path, &self.shared.api.world.produced())
    }

    /// Lets new alerts of a tenant appear now; gives their ids. The title, if given, replaces the made-up one.
    ///
    /// # Errors
    ///
    /// If there is no such tenant.
    pub fn add_alerts(
        &self,
        tenant: &str,
        count: usize,
        title: Option<&str>,
    ) -> Result<Vec<String>, RequestError> {
        Ok(self.shared.api.world.add_alerts(self.shared.api.world.tenant(tenant)?, count, title))
    }

    /// Adds records written as attackers and accidents write them; gives the ids of those that have one.
    ///
    /// # Errors
    ///
    /// If there is no such tenant.
    pub fn add_hostile_records(&self, tenant: &str) -> Result<Vec<String>, RequestError> {
        let world = &self.shared.api.world;
        let tenant = world.tenant(tenant)?;
        Ok(world.add_written(tenant, hostile_records(world.facts(tenant), world.now())))
    }

    /// Graph's security API without sockets and tokens: the same world, faults and code.
    pub fn graph(&self) -> &GraphApi {
        &self.shared.api
    }

    /// Changes alerts and incidents; gives the ids of what is new or changed.
    ///
    /// # Errors
    ///
    /// If it names a tenant or a record that is not there, or a time that is none.
    pub fn change_world(&self, change: &WorldChange) -> Result<Vec<String>, RequestError> {
        self.shared.api.change(change)
    }

    /// Every version of every alert and incident, in the order they were made, whether visible or not.
    pub fn truth(&self) -> Vec<TruthVersion> {
        self.shared.api.truth()
    }

    /// Makes a new version of an alert now.
    ///
    /// # Errors
    ///
    /// If there is no such tenant or alert, or the alert comes from a file.
    pub fn update_alert(&self, tenant: &str, id: &str) -> Result<(), RequestError> {
        let found = self.shared.api.world.tenant(tenant)?;
        if self.shared.api.world.update_alert(found, id) {
            return Ok(());
        }
        Err(RequestError::UnknownAlert { tenant: tenant.to_owned(), id: id.to_owned() })
    }

    /// Holds production over time, and updates.
    pub fn pause(&self) {
        self.shared.producing.store(false, Ordering::Release);
    }

    /// Goes on with production.
    pub fn resume(&self) {
        self.shared.producing.store(true, Ordering::Release);
    }

    /// Requests until now, by area, tenant and status.
    pub fn requests(&self) -> Vec<RequestCount> {
        self.shared.request_counts()
    }

    /// From now on, notes each request to Graph for records of a tenant; that takes memory.
    pub fn note_requests(&self) {
        self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// What was noted since [`Handle::note_requests`], by the tenant's id, in order.
    pub fn noted_requests(&self) -> HashMap<String, Vec<NotedRequest>> {
        let mut by_tenant: HashMap<String, Vec<NotedRequest>> = HashMap::new();
        let noted = self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner);
        for &(tenant, at, from) in noted.iter().flatten() {
            let id = self.shared.api.world.facts(tenant).id.clone();
            by_tenant.entry(id).or_default().push(NotedRequest { at: at.timestamp(), from });
        }
        by_tenant
    }

    /// Waits until the emulator is told to stop, over the control API or otherwise.
    pub async fn stopped(&self) {
        self.shared.cancel.cancelled().await;
    }

    /// Ends all connections and listeners, and waits until that is done.
    pub async fn stop(self) {
        self.shared.cancel.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let shared = Arc::clone(&self.shared);
        drop(self);
        if let Some(shared) = Arc::into_inner(shared) {
            shared.receivers.stop().await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}
