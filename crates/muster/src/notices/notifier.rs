//! Looks how things stand, and writes down what people are to be told. One process at a time does: whoever holds the lease.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future;
use jiff::Timestamp;
use muster_model::{Clock, ContentHash, Tenant, TenantId, TenantState};
use muster_store::{
    InstanceId, KeptReceiver, NamedLease, NotedConditions, NoticeReceiver, Store, StoreError, TenantHabit,
    WAITING_MAX,
};
use tokio_util::sync::CancellationToken;

use super::alerts::{self, Portal};
use super::conditions;
use super::habits;
use super::kind::Kind;
use super::message::Notice;
use super::plan::{Seen, plan, push};
use super::receiver::Receiver;
use super::sender::Sender;
use super::snoozes;
use crate::config::{NoticeSettings, Settings};
use crate::shown::state::since;
use crate::shown::status::{Expected, Snapshot};
use crate::told::Told;

/// What whoever tells people holds.
const LEASE: &str = "notices";
const LEASE_FOR: Duration = Duration::from_secs(60);
const EXTEND_EVERY: Duration = Duration::from_secs(20);
/// How often it is tried to get the lease, where another has it.
const TRY_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked how things stand,
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// for new alerts,
const ALERTS_EVERY: Duration = Duration::from_secs(2);
/// and for what is due.
const SEND_EVERY: Duration = Duration::from_secs(2);
/// The same while there is more than is sent in one step.
const SEND_MORE_EVERY: Duration = Duration::from_secs(10);
/// Batches that are looked at in one step, for each receiver.
const BATCHES_MAX: usize = 64;
/// Conditions, and messages, of one transaction: others write meanwhile.
const NOTED_AT_ONCE: usize = 100;
/// How long it is kept what was sent.
const KEEP: Duration = Duration::from_secs(30 * 86_400);

/// How the way to a receiver is made, as often as is needed: a secret may come later.
pub type BuildReceiver = Arc<dyn Fn(&str) -> Result<Receiver, String> + Send + Sync>;

/// Tells people.
pub struct Notifier {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub instance: InstanceId,
    pub receivers: BTreeMap<String, NoticeSettings>,
    /// A hash of what the settings say of each.
    pub fingerprints: BTreeMap<String, String>,
    pub build: BuildReceiver,
    pub expected: Expected,
    pub portal: Portal,
    pub told: Arc<Told>,
    pub watched: Watched,
}

/// What was seen by this process.
#[derive(Debug, Default)]
pub struct Watched(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    since: Option<Timestamp>,
    habits: Option<(Timestamp, Vec<TenantHabit>)>,
    pruned_at: Option<Timestamp>,
}

impl Notifier {
    /// For these settings. `build` makes the way to a receiver.
    pub fn new(
        settings: &Settings,
        (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
        instance: InstanceId,
        told: &Arc<Told>,
        build: BuildReceiver,
    ) -> Self {
        let hash = |name: &String| {
            let keys = settings.sections.get(&format!("notices.{name}"));
            (name.clone(), format!("{keys:?}"))
        };
        Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            instance,
            receivers: settings.notices.clone(),
            fingerprints: settings.notices.keys().map(hash).collect(),
            build,
            expected: Expected::of(settings),
            portal: Portal {
                defender: settings.cloud.cloud().ok().and_then(|cloud| cloud.portals().defender),
            },
            told: Arc::clone(told),
            watched: Watched::default(),
        }
    }

    /// Tells people until told to stop, whenever this process is the one that does.
    pub async fn run(self, stop: CancellationToken) {
        let mut wait = Duration::ZERO;
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            wait = TRY_EVERY;
            if self.receivers.is_empty()
                && matches!(self.store.notice_receivers().await, Ok(of) if of.is_empty())
            {
                // There is nobody to tell, and nobody to forget.
                return stop.cancelled().await;
            }
            match self.store.take_lease(LEASE, self.instance, LEASE_FOR, self.clock.now()).await {
                Ok(Some(lease)) => {
                    if let Err(error) = self.work(&lease, &stop).await
                        && !matches!(error, StoreError::LeaseLost { .. })
                    {
                        self.told.store.failed("tell people", &error, self.clock.now());
                    }
                    // One that is lost, or cannot be given back, runs out.
                    self.store.release_lease(lease).await.ok();
                }
                Ok(None) => {}
                Err(error) => {
                    self.told.store.failed("look whose turn it is to tell people", &error, self.clock.now())
                }
            }
        }
    }

    /// All that is done while the lease is held; ends with the first failure, or when told to stop. Nothing is dropped half-way:
    /// what has been sent is noted before it ends, or it would be sent once more.
    async fn work(&self, lease: &NamedLease, stop: &CancellationToken) -> Result<(), StoreError> {
        self.begin(lease).await?;
        if self.receivers.is_empty() {
            return Ok(());
        }
        let (stop, done) = (stop.child_token(), CancellationToken::new());
        let sending = self.receivers.keys().map(|name| ending(&stop, self.send(lease, name, &stop)));
        let work = async {
            let (looking, telling, sending) = tokio::join!(
                ending(&stop, self.keep_looking(lease, &stop)),
                ending(&stop, self.keep_telling(lease, &stop)),
                future::join_all(sending)
            );
            done.cancel();
            [looking, telling].into_iter().chain(sending).collect::<Result<(), StoreError>>()
        };
        let (worked, kept) = tokio::join!(work, ending(&stop, self.keep_lease(lease, &done)));
        worked.and(kept)
    }

    async fn keep_looking(&self, lease: &NamedLease, stop: &CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            self.look(lease).await?;
            stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
        }
        Ok(())
    }

    async fn keep_telling(&self, lease: &NamedLease, stop: &CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            if self.tell_alerts(lease).await? == 0 {
                stop.run_until_cancelled(tokio::time::sleep(ALERTS_EVERY)).await;
            }
        }
        Ok(())
    }

    /// Until all else is done: what is on its way is under the lease, too.
    async fn keep_lease(&self, lease: &NamedLease, done: &CancellationToken) -> Result<(), StoreError> {
        while done.run_until_cancelled(tokio::time::sleep(EXTEND_EVERY)).await.is_some() {
            self.store.extend_lease(lease, LEASE_FOR, self.clock.now()).await?;
        }
        Ok(())
    }

    /// Makes the receivers of the settings known.
    ///
    /// # Errors
    /// When the store fails, or the lease is another's now.
    pub async fn begin(&self, lease: &NamedLease) -> Result<(), StoreError> {
        let kept = self.receivers.iter().map(|(name, receiver)| KeptReceiver {
            name: name.clone(),
            fingerprint: self.fingerprint(name),
            alerts: receiver.keys.alerts.is_some(),
        });
        let now = self.clock.now();
        self.watched.0.lock().expect("no panic while the lock is held").since = Some(now);
        self.store.keep_notice_receivers(lease, kept.collect(), now).await?;
        self.forget_those_gone(lease, now).await
    }

    /// What stands for a receiver's settings and its address, which may be in a secret file of the same name.
    fn fingerprint(&self, name: &str) -> String {
        let of_settings = self.fingerprints.get(name).cloned().unwrap_or_default();
        let address = match (self.build)(name) {
            Ok(receiver) => receiver.address(),
            Err(_) => None,
        };
        match address {
            Some(address) => {
                let hash = ContentHash::of(address.as_bytes());
                let hash: String = hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{of_settings} {hash}")
            }
            None => of_settings,
        }
    }

    /// Forgets what receivers were told that are gone: one that comes back is told anew. Where nobody is left, nobody looks any
    /// more, and nothing is known of conditions.
    async fn forget_those_gone(&self, lease: &NamedLease, now: Timestamp) -> Result<(), StoreError> {
        let mut noted = NotedConditions::default();
        for mut condition in self.store.notice_conditions().await? {
            if self.receivers.is_empty() {
                noted.forget.push(condition.key);
            } else if condition.told.keys().any(|name| !self.receivers.contains_key(name)) {
                condition.told.retain(|name, _| self.receivers.contains_key(name));
                noted.put.push(condition);
            }
        }
        self.write(lease, noted, now).await
    }

    /// Writes it down in pieces, each in a transaction of its own.
    async fn write(
        &self,
        lease: &NamedLease,
        noted: NotedConditions,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for piece in noted.pieces(NOTED_AT_ONCE) {
            self.store.note_conditions(lease, piece, now).await?;
        }
        Ok(())
    }

    /// Takes the lease, where nobody has it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lease(&self) -> Result<Option<NamedLease>, StoreError> {
        self.store.take_lease(LEASE, self.instance, LEASE_FOR, self.clock.now()).await
    }

    /// Looks how things stand, once, and writes down what that means.
    ///
    /// # Errors
    /// When the store fails, or the lease is another's now.
    pub async fn look(&self, lease: &NamedLease) -> Result<(), StoreError> {
        let now = self.clock.now();
        let snapshot = Snapshot::take(self.store.as_ref(), &self.expected, now).await?;
        let known = self.store.notice_conditions().await?;
        let silent = habits::silent(&snapshot, &self.habits(now).await?, &known);
        let kinds = match snapshot.run.is_running() {
            true => Kind::ALL.into(),
            // Where nothing runs, nothing else is known.
            false => BTreeSet::from([Kind::NotRunning]),
        };
        self.note(lease, conditions::of(&snapshot, &silent), kinds, now).await?;
        self.tell_of_untold(lease, now).await?;
        self.prune(lease, now).await
    }

    async fn note(
        &self,
        lease: &NamedLease,
        conditions: Vec<conditions::Condition>,
        kinds: BTreeSet<Kind>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let known = self.store.notice_conditions().await?;
        let tenants = self.tenants().await?;
        let waiting = self.store.notice_receivers().await?;
        let waiting = waiting.into_iter().map(|receiver| (receiver.name, receiver.waiting)).collect();
        let watching_since =
            self.watched.0.lock().expect("no panic while the lock is held").since.unwrap_or(now);
        let seen = Seen {
            conditions,
            kinds,
            watching_since,
            now,
            receivers: &self.receivers,
            tenants: &tenants,
            snoozes: &self.store.notice_snoozes(now).await?,
            waiting: &waiting,
        };
        self.write(lease, plan(known, &seen), now).await
    }

    /// The tenants that are customers still.
    async fn tenants(&self) -> Result<HashMap<TenantId, Tenant>, StoreError> {
        let tenants = self.store.tenants().await?.into_iter();
        let living = tenants.filter(|tenant| tenant.state != TenantState::Offboarded);
        Ok(living.map(|tenant| (tenant.id, tenant)).collect())
    }

    /// The habits of the tenants, which are looked up now and then.
    async fn habits(&self, now: Timestamp) -> Result<Vec<TenantHabit>, StoreError> {
        let wanted = self.receivers.values().any(|of| of.keys.conditions.contains(&Kind::TenantSilent));
        if !wanted {
            return Ok(Vec::new());
        }
        {
            let memory = self.watched.0.lock().expect("no panic while the lock is held");
            if let Some((at, habits)) = &memory.habits
                && since(*at, now) < habits::LOOK_EVERY
                && *at <= now
            {
                return Ok(habits.clone());
            }
        }
        let from = now.checked_sub(habits::WATCHED).unwrap_or(Timestamp::MIN);
        let found = self.store.tenant_habits(from).await?;
        self.watched.0.lock().expect("no panic while the lock is held").habits = Some((now, found.clone()));
        Ok(found)
    }

    /// Looks through what was accepted since, for each receiver that wants alerts; how many batches that were.
    ///
    /// # Errors
    /// When the store fails, or the lease is another's now.
    pub async fn tell_alerts(&self, lease: &NamedLease) -> Result<usize, StoreError> {
        if self.receivers.values().all(|receiver| receiver.keys.alerts.is_none()) {
            return Ok(0);
        }
        let places = self.store.notice_receivers().await?;
        let mut looked_at = 0;
        let mut tenants = None;
        for place in places {
            let (Some(receiver), Some(mut after)) = (self.receivers.get(&place.name), place.alerts_after)
            else {
                continue;
            };
            for _ in 0..BATCHES_MAX {
                let Some(slice) = self.store.journal_slice(after, None, Timestamp::UNIX_EPOCH).await? else {
                    break;
                };
                if tenants.is_none() {
                    let snoozes = self.store.notice_snoozes(self.clock.now()).await?;
                    tenants = Some((self.tenants().await?, snoozes));
                }
                let Some((tenants, snoozes)) = &tenants else { break };
                let key = format!("{}/{}", snoozes::ALERTS, slice.tenant);
                let noted = alerts::of_batch(
                    &slice,
                    tenants.get(&slice.tenant),
                    (&place.name, receiver),
                    after,
                    self.portal,
                    snoozes::under(snoozes, &key).is_some(),
                    self.clock.now(),
                );
                if !self.store.note_alerts(lease, noted, self.clock.now()).await? {
                    break;
                }
                after = slice.batch;
                looked_at += 1;
            }
        }
        Ok(looked_at)
    }

    /// Says how many alerts were not told one by one, where there is room again.
    async fn tell_of_untold(&self, lease: &NamedLease, now: Timestamp) -> Result<(), StoreError> {
        let behind = |place: &NoticeReceiver| place.untold > 0 && place.waiting < WAITING_MAX / 2;
        for place in self.store.notice_receivers().await?.into_iter().filter(behind) {
            let Some(receiver) = self.receivers.get(&place.name) else { continue };
            let mut messages = Vec::new();
            push(&mut messages, (&place.name, receiver), &Notice::untold(place.untold, now), None, now);
            self.store.tell_of_untold(lease, &place.name, (place.untold, messages), now).await?;
        }
        Ok(())
    }

    /// Forgets what is old, now and then.
    async fn prune(&self, lease: &NamedLease, now: Timestamp) -> Result<(), StoreError> {
        {
            let mut memory = self.watched.0.lock().expect("no panic while the lock is held");
            if memory.pruned_at.is_some_and(|at| at <= now && since(at, now) < habits::LOOK_EVERY) {
                return Ok(());
            }
            memory.pruned_at = Some(now);
        }
        let before = now.checked_sub(KEEP).unwrap_or(Timestamp::MIN);
        self.store.prune_notices(lease, before).await
    }

    /// Sends to one receiver until told to stop, or the store fails.
    async fn send(&self, lease: &NamedLease, name: &str, stop: &CancellationToken) -> Result<(), StoreError> {
        let sender = Sender { stop: stop.clone(), ..self.sender(name) };
        let mut receiver = (self.build)(name);
        while !stop.is_cancelled() {
            let is_stopped = self.is_stopped(name).await?;
            let wait = match is_stopped {
                true => SEND_MORE_EVERY,
                false => {
                    let stepped = sender.step(lease, &receiver).await?;
                    // A secret that was missing may be there now.
                    if receiver.is_err() && stepped.failed > 0 {
                        receiver = (self.build)(name);
                    }
                    if stepped.more { SEND_MORE_EVERY } else { SEND_EVERY }
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    /// Whether a receiver has said that it wants no more.
    async fn is_stopped(&self, name: &str) -> Result<bool, StoreError> {
        let places = self.store.notice_receivers().await?;
        Ok(places.iter().any(|place| place.name == name && place.stopped_at.is_some()))
    }

    /// What sends to one receiver.
    #[must_use]
    pub fn sender(&self, name: &str) -> Sender {
        Sender {
            name: name.to_owned(),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            stop: CancellationToken::new(),
        }
    }

    /// Looks once and sends what is due, once: for a command, where nobody else is at it. Whether this was so, and how many
    /// messages were sent and failed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn once(&self) -> Result<Option<(usize, usize)>, StoreError> {
        let Some(lease) = self.lease().await? else { return Ok(None) };
        let done = async {
            self.begin(&lease).await?;
            self.look(&lease).await?;
            let steps = self.receivers.keys().map(|name| async {
                let sender = self.sender(name);
                let receiver = (self.build)(name);
                match self.is_stopped(name).await? {
                    true => Ok((0, 0)),
                    false => {
                        sender.step(&lease, &receiver).await.map(|stepped| (stepped.sent, stepped.failed))
                    }
                }
            });
            let steps: Vec<(usize, usize)> = future::try_join_all(steps).await?;
            let sum = |(sent, failed): (usize, usize), (more_sent, more_failed): (usize, usize)| {
                (sent + more_sent, failed + more_failed)
            };
            Ok(steps.into_iter().fold((0, 0), sum))
        };
        let done: Result<(usize, usize), StoreError> = done.await;
        self.store.release_lease(lease).await.ok();
        done.map(Some)
    }
}

/// Some of what is done at once: where it fails, the others are told to stop.
async fn ending(
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), StoreError>>,
) -> Result<(), StoreError> {
    let done = work.await;
    if done.is_err() {
        stop.cancel();
    }
    done
}
