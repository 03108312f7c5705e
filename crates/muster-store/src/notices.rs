//! What people are told of where they are: conditions, the messages that tell of them and of alerts, who gets those, and what
//! nobody is told of for a while.
//!
//! A message is a row before it is sent, written in the transaction that notes why it is sent: so none is lost, and none is made
//! twice. Whoever writes presents the lease on the notices, which one process at a time holds.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{NamedLease, StoreError};

/// More alerts do not wait for one receiver: further ones are counted, and told as a number.
pub const WAITING_MAX: u64 = 1_000;

/// What people are told.
#[async_trait]
pub trait Notices: Send + Sync {
    /// The conditions that hold, or held lately, by key.
    async fn notice_conditions(&self) -> Result<Vec<NoticeCondition>, StoreError>;

    /// Writes down how conditions stand now and what is to be sent for that, in one transaction. What is of a tenant that was
    /// offboarded meanwhile is left out: nothing brings its name back.
    async fn note_conditions(
        &self,
        lease: &NamedLease,
        noted: NotedConditions,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Makes these the receivers of the settings. One that wants alerts gets those that are accepted from now on, and goes on
    /// where it was if it was among them before; what waits for one that is gone is not sent any more, and counts as refused.
    async fn keep_notice_receivers(
        &self,
        lease: &NamedLease,
        receivers: Vec<KeptReceiver>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Every receiver that is in the settings or has something that was refused, by name.
    async fn notice_receivers(&self) -> Result<Vec<NoticeReceiver>, StoreError>;

    /// Moves a receiver on in the journal, with the messages for the alerts on the way: in one transaction, so that each alert
    /// is told once. What more than [`WAITING_MAX`] would wait is counted in place of being told. `false` where the receiver
    /// was somewhere else.
    async fn note_alerts(
        &self,
        lease: &NamedLease,
        noted: NotedAlerts,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Puts messages, which say how many they are, in the place of so many of the alerts that were counted and not told; nothing
    /// happens where there are fewer.
    async fn tell_of_untold(
        &self,
        lease: &NamedLease,
        receiver: &str,
        told: (u64, Vec<NewNotice>),
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Some messages for a receiver that are due, the oldest first. One waits while an earlier one with its key for its target
    /// does, so that nothing is told to be over before it is told to have begun. What cannot be opened comes without content.
    async fn due_notices(
        &self,
        receiver: &str,
        most: u32,
        now: Timestamp,
    ) -> Result<Vec<NoticeMessage>, StoreError>;

    /// Writes down what became of messages for a receiver. One that was settled already stays as it is.
    async fn settle_notices(
        &self,
        lease: &NamedLease,
        receiver: &str,
        settled: Vec<(u64, NoticeFate)>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The last messages, the newest first; of those that wait and those that were refused with their content.
    async fn last_notices(&self, most: u32) -> Result<Vec<NoticeMessage>, StoreError>;

    /// Forgets what was sent or refused before this time, and conditions that ended before.
    async fn prune_notices(&self, lease: &NamedLease, before: Timestamp) -> Result<(), StoreError>;

    /// Tells nobody of what this key stands for until its time, and writes that into the audit log.
    async fn snooze_notices(&self, snooze: NoticeSnooze) -> Result<(), StoreError>;

    /// Ends a snooze, and writes that into the audit log; `false` where there was none.
    async fn unsnooze_notices(&self, key: &str, actor: &str, now: Timestamp) -> Result<bool, StoreError>;

    /// Snoozes that are not over, by key.
    async fn notice_snoozes(&self, now: Timestamp) -> Result<Vec<NoticeSnooze>, StoreError>;

    /// How active tenants were since a time: what the ledger's hours say of their habits. Tenants without a record are left out.
    async fn tenant_habits(&self, since: Timestamp) -> Result<Vec<TenantHabit>, StoreError>;
}

/// A condition, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeCondition {
    /// What it is, and of what: `KIND/SUBJECT`.
    pub key: String,
    /// A word for its kind.
    pub kind: String,
    /// The tenant that it is about, where it is one's.
    pub tenant: Option<TenantId>,
    /// How it is told, as JSON.
    #[serde(skip)]
    pub facts: String,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// When it was found to be over.
    pub ended_at: Option<Timestamp>,
    /// How often it has come back shortly after it was over.
    pub returns: u32,
    /// What each receiver was told.
    pub told: BTreeMap<String, NoticeTold>,
}

/// What a receiver was told of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeTold {
    /// When it was told that it holds.
    pub at: Timestamp,
    /// When it was told so last.
    pub last_at: Timestamp,
}

/// Conditions as they stand, and what is sent for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotedConditions {
    /// Conditions, in place of what was known by their keys.
    pub put: Vec<NoticeCondition>,
    /// Keys of conditions to forget.
    pub forget: Vec<String>,
    /// Messages to send.
    pub messages: Vec<NewNotice>,
}

impl NotedConditions {
    /// The same in pieces of so many conditions and messages, so that no transaction is long. Each is whole by itself: a condition
    /// is in one piece with what is sent for it, and what was not written yet when it ends between two is seen anew by the next
    /// look. What is sent goes first, since of what is gone by then nobody would be told.
    #[must_use]
    pub fn pieces(self, most: usize) -> Vec<Self> {
        let Self { put, forget, messages } = self;
        let mut of_key: HashMap<String, Vec<NewNotice>> = HashMap::new();
        for message in messages {
            of_key.entry(message.key.clone()).or_default().push(message);
        }
        let mut all: Vec<_> = put
            .into_iter()
            .map(|condition| (of_key.remove(&condition.key).unwrap_or_default(), condition))
            .collect();
        all.sort_by_key(|(messages, _)| messages.is_empty());
        // What is sent for no condition here.
        let mut piece = Self { messages: of_key.into_values().flatten().collect(), ..Self::default() };
        let mut pieces = Vec::new();
        let mut end = |piece: &mut Self, more: usize| {
            let has = piece.put.len().max(piece.forget.len()).max(piece.messages.len());
            if has > 0 && has + more > most {
                pieces.push(std::mem::take(piece));
            }
        };
        for (messages, condition) in all {
            end(&mut piece, messages.len().max(1));
            piece.messages.extend(messages);
            piece.put.push(condition);
        }
        for key in forget {
            end(&mut piece, 1);
            piece.forget.push(key);
        }
        if piece != Self::default() {
            pieces.push(piece);
        }
        pieces
    }
}

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// To which receiver.
    pub receiver: String,
    /// To whom of it, such as a mail address; empty where it is one.
    pub target: String,
    /// The tenant that it tells of. What it says of an alert is sealed with that tenant's key.
    pub tenant: Option<TenantId>,
    /// A word for what it tells, such as `began` or `alert`.
    pub event: String,
    /// The key of its condition, or the id of its alert.
    pub key: String,
    /// Not to be sent before.
    pub due_at: Timestamp,
    /// What it says, as JSON.
    pub content: String,
}

/// A receiver of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReceiver {
    /// Its name.
    pub name: String,
    /// A hash of its settings: one that wanted no more is tried again when they change.
    pub fingerprint: String,
    /// Whether it wants alerts.
    pub alerts: bool,
}

/// A receiver, and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeReceiver {
    /// Its name.
    pub name: String,
    /// Whether the settings have it still.
    pub in_settings: bool,
    /// The last journal batch whose alerts were looked at, where it wants any.
    #[serde(skip)]
    pub alerts_after: Option<u64>,
    /// Since when it gets alerts.
    pub alerts_since: Option<Timestamp>,
    /// Messages that wait.
    pub waiting: u64,
    /// When the first of them was made.
    pub waiting_since: Option<Timestamp>,
    /// Messages that it has taken.
    pub sent: u64,
    /// Messages that it refused for good.
    pub refused: u64,
    /// Alerts that it was not told of one by one, because too many waited or, for each batch, what came could not be read.
    pub skipped: u64,
    /// Those of them of which it was not told as a number either so far.
    pub untold: u64,
    /// Alerts that it was not told of because they were snoozed.
    pub snoozed: u64,
    /// Alerts that it was not told of because they were old when they came, as those of a backfill.
    pub old: u64,
    /// Since when nothing gets through.
    pub failing_since: Option<Timestamp>,
    /// Why.
    pub last_error: Option<String>,
    /// When it last took a message.
    pub last_sent_at: Option<Timestamp>,
    /// When it last refused one for good.
    pub last_refused_at: Option<Timestamp>,
    /// When it said that it wants no more.
    pub stopped_at: Option<Timestamp>,
}

impl NoticeReceiver {
    /// When it refused a message for good, where it has taken none since: it may refuse everything, of which nothing waits.
    #[must_use]
    pub fn refuses_since(&self) -> Option<Timestamp> {
        self.last_refused_at.filter(|refused| self.last_sent_at.is_none_or(|sent| sent < *refused))
    }
}

/// A receiver's way through the journal, with what is to be sent for the alerts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedAlerts {
    /// Which receiver.
    pub receiver: String,
    /// Behind which batch it was.
    pub from: u64,
    /// Behind which batch it is now.
    pub to: u64,
    /// What is sent.
    pub messages: Vec<NewNotice>,
    /// Alerts that were snoozed.
    pub snoozed: u64,
    /// Alerts that were old when they came.
    pub old: u64,
    /// Batches that could not be read: they count as alerts that were not told.
    pub unread: u64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeMessage {
    /// Its number.
    pub number: u64,
    /// What it is known by to whoever gets it: the same however often it is sent.
    pub id: Uuid,
    /// To which receiver.
    pub receiver: String,
    /// To whom of it.
    pub target: String,
    /// The tenant that it tells of.
    pub tenant: Option<TenantId>,
    /// A word for what it tells.
    pub event: String,
    /// The key of its condition, or the id of its alert.
    pub key: String,
    /// What became of it.
    pub state: NoticeState,
    /// When it was made.
    pub made_at: Timestamp,
    /// Not to be sent before.
    pub due_at: Timestamp,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// Why that failed.
    pub last_error: Option<String>,
    /// When it was sent or refused.
    pub settled_at: Option<Timestamp>,
    /// What it says, as JSON; nothing once it was sent.
    #[serde(skip)]
    pub content: Option<String>,
}

/// What is left of how a condition is told whose tenant was offboarded: its end is told, without a word of the customer.
#[must_use]
pub fn offboarded_facts(slug: &str) -> String {
    let nothing: Option<()> = None;
    serde_json::json!({
        "named": slug, "tenant": nothing, "level": "warning", "what": "the tenant was offboarded", "remedy": "", "since": nothing,
    })
    .to_string()
}

/// Whether a message waits still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// It is to be sent.
    Waiting,
    /// Its receiver took it.
    Sent,
    /// Its receiver refused it for good, or is not in the settings any more.
    Refused,
}

impl NoticeState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Sent, Self::Refused];

    /// The word in the store and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Refused => "refused",
        }
    }
}

/// What became of an attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeFate {
    /// The receiver has it.
    Sent,
    /// It is tried again.
    Retry {
        /// When.
        due_at: Timestamp,
        /// Why it failed.
        reason: String,
    },
    /// The receiver refuses it for good.
    Refused {
        /// Why.
        reason: String,
    },
    /// The receiver wants nothing any more: it stays, and is not tried until the receiver's settings change.
    Stopped {
        /// In its words.
        reason: String,
    },
}

/// What nobody is told of for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeSnooze {
    /// The key of a condition, in which `*` stands for any letters.
    pub key: String,
    /// The tenant that it is about, where it is one's.
    pub tenant: Option<TenantId>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub actor: String,
    /// When.
    pub set_at: Timestamp,
}

/// How active a tenant was, by the hours in which its records were updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantHabit {
    /// Which.
    pub tenant: TenantId,
    /// Hours with something new.
    pub hours: u64,
    /// When the first of them began.
    pub first: Timestamp,
    /// When the last of them began.
    pub last: Timestamp,
    /// The most hours from one of them to the next.
    pub longest_gap_hours: u64,
}
