//! Notices: conditions, messages, receivers and snoozes.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;
use serde_json::json;
use uuid::Uuid;

use super::audit::append;
use super::rows::{odd, parsed, word};
use crate::counting::hour_begins_at;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::notices::WAITING_MAX;
use crate::sealing::{Binding, DataKey, Sealed};
use crate::sql::{Connection, Row, query};
use crate::stored::{bounded, count, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{
    KeptReceiver, NamedLease, NewAuditEvent, NewNotice, NotedAlerts, NotedConditions, NoticeCondition,
    NoticeFate, NoticeMessage, NoticeReceiver, NoticeSnooze, NoticeState, Notices, StoreError, TenantHabit,
};

const CONTENT: &str = "notice_message.sealed";
const NOTING: &str = "note what people are told";
const READING: &str = "read what people are told";

macro_rules! select_messages {
    ($tail:literal) => {
        concat!(
            "SELECT m.*, t.id AS tenant FROM notice_message m LEFT JOIN tenant t ON t.tenant_no = m.tenant_no ",
            $tail
        )
    };
}

/// A message, sealed where it is to be.
struct Draft {
    id: Uuid,
    message: NewNotice,
    sealed: Option<Vec<u8>>,
}

/// Messages as they are to be written.
#[derive(Default)]
struct Drafts {
    all: Vec<Draft>,
    /// The keys of those whose tenant's key does not open.
    unsealed: Vec<String>,
}

impl Drafts {
    fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.all.iter().filter_map(|draft| draft.message.tenant)
    }
}

/// What what is said of a tenant is sealed with.
enum ContentKey {
    Opened(DataKey),
    /// The tenant was offboarded.
    Gone,
    /// It is damaged.
    Unreadable,
}

#[async_trait]
impl Notices for SqlStore {
    async fn notice_conditions(&self) -> Result<Vec<NoticeCondition>, StoreError> {
        let failed = self.failed(READING);
        let rows = query(
            "SELECT c.*, t.id AS tenant FROM notice_condition c LEFT JOIN tenant t ON t.tenant_no = c.tenant_no
             ORDER BY c.key",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        rows.iter().map(read_condition).collect::<Result<_, _>>().map_err(failed)
    }

    async fn note_conditions(
        &self,
        lease: &NamedLease,
        noted: NotedConditions,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let NotedConditions { put, forget, messages } = noted;
        let (drafts, lease) = (self.drafts(messages, false).await?, held(lease));
        self.write(NOTING, Durability::Synced, move |connection| {
            Box::pin(async move {
                check(connection, &lease).await?;
                let tenants = put.iter().filter_map(|condition| condition.tenant);
                let living = living(connection, tenants.chain(drafts.tenants())).await?;
                for condition in put.into_iter().filter(|condition| is_told_of(condition.tenant, &living)) {
                    put_condition(connection, condition).await?;
                }
                for key in forget {
                    let gone = query("DELETE FROM notice_condition WHERE key = ?").bind(key);
                    gone.execute(&mut *connection).await?;
                }
                for draft in drafts.all {
                    if is_told_of(draft.message.tenant, &living) {
                        insert(connection, draft, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    async fn keep_notice_receivers(
        &self,
        lease: &NamedLease,
        receivers: Vec<KeptReceiver>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let lease = held(lease);
        self.write(NOTING, Durability::Synced, move |connection| {
            Box::pin(async move {
                check(connection, &lease).await?;
                let names: Vec<&String> = receivers.iter().map(|receiver| &receiver.name).collect();
                let names = serde_json::to_string(&names).map_err(odd)?;
                for receiver in receivers {
                    keep(connection, receiver, now).await?;
                }
                let gone =
                    "UPDATE notice_message SET state = 'refused', settled_at = ?, attempts = attempts + 1,
                         last_error = 'its receiver is not in the settings any more'
                     WHERE state = 'waiting' AND receiver NOT IN (SELECT value FROM json_each(?))";
                query(gone).bind(nanoseconds(now)).bind(&names).execute(&mut *connection).await?;
                let out =
                    "UPDATE notice_receiver SET in_settings = 0, alerts_after = NULL, alerts_since = NULL,
                         failing_since = NULL, last_error = NULL, stopped_at = NULL, untold = 0
                     WHERE name NOT IN (SELECT value FROM json_each(?))";
                query(out).bind(&names).execute(&mut *connection).await?;
                Ok(())
            })
        })
        .await
    }

    async fn notice_receivers(&self) -> Result<Vec<NoticeReceiver>, StoreError> {
        let failed = self.failed(READING);
        let rows = query(
            "SELECT r.*, (SELECT count(*) FROM notice_message m WHERE m.receiver = r.name AND m.state = 'waiting')
                     AS waiting,
                 (SELECT min(m.made_at) FROM notice_message m WHERE m.receiver = r.name AND m.state = 'waiting')
                     AS waiting_since
             FROM notice_receiver r WHERE r.in_settings = 1 ORDER BY r.name",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        rows.iter().map(read_receiver).collect::<Result<_, _>>().map_err(failed)
    }

    async fn note_alerts(
        &self,
        lease: &NamedLease,
        noted: NotedAlerts,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let NotedAlerts { receiver, from, to, messages, snoozed, old, unread } = noted;
        let is_quiet = messages.is_empty() && snoozed + old + unread == 0;
        let (drafts, lease) = (self.drafts(messages, true).await?, held(lease));
        let durability = if is_quiet { Durability::Relaxed } else { Durability::Synced };
        self.write(NOTING, durability, move |connection| {
            Box::pin(async move {
                check(connection, &lease).await?;
                let moved = query(
                    "UPDATE notice_receiver SET alerts_after = ?, snoozed = snoozed + ?, old_alerts = old_alerts + ?
                     WHERE name = ? AND alerts_after = ?",
                )
                .bind(to.cast_signed())
                .bind(snoozed.cast_signed())
                .bind(old.cast_signed())
                .bind(&receiver)
                .bind(from.cast_signed());
                if moved.execute(&mut *connection).await?.rows_affected() == 0 {
                    return Ok(false);
                }
                let living = living(connection, drafts.tenants()).await?;
                let mut room = room(connection, &receiver).await?;
                // An alert is a message for each target, and counts as one.
                let mut skipped = HashSet::new();
                for draft in drafts.all {
                    if !is_told_of(draft.message.tenant, &living)
                        || is_told(connection, &draft.message).await?
                    {
                        continue;
                    }
                    if room == 0 {
                        skipped.insert(draft.message.key);
                        continue;
                    }
                    room -= 1;
                    insert(connection, draft, now).await?;
                }
                skipped.extend(drafts.unsealed);
                let skipped = (skipped.len() as u64).saturating_add(unread).cast_signed();
                if skipped > 0 {
                    let sql = "UPDATE notice_receiver SET skipped = skipped + ?1, untold = untold + ?1 WHERE name = ?2";
                    query(sql).bind(skipped).bind(&receiver).execute(&mut *connection).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    async fn tell_of_untold(
        &self,
        lease: &NamedLease,
        receiver: &str,
        (told, messages): (u64, Vec<NewNotice>),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (drafts, lease, receiver) =
            (self.drafts(messages, false).await?, held(lease), receiver.to_owned());
        self.write(NOTING, Durability::Synced, move |connection| {
            Box::pin(async move {
                check(connection, &lease).await?;
                // More may have been added since it was counted.
                let sql = "UPDATE notice_receiver SET untold = untold - ?1 WHERE name = ?2 AND untold >= ?1 AND ?1 > 0";
                let told = query(sql).bind(told.cast_signed()).bind(receiver).execute(&mut *connection).await?;
                if told.rows_affected() > 0 {
                    for draft in drafts.all {
                        insert(connection, draft, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    async fn due_notices(
        &self,
        receiver: &str,
        most: u32,
        now: Timestamp,
    ) -> Result<Vec<NoticeMessage>, StoreError> {
        let rows = query(select_messages!(
            "WHERE m.receiver = ? AND m.state = 'waiting' AND m.due_at <= ? AND NOT EXISTS
                 (SELECT 1 FROM notice_message e WHERE e.receiver = m.receiver AND e.key = m.key AND e.target = m.target
                      AND e.state = 'waiting' AND e.message_no < m.message_no)
             ORDER BY m.due_at, m.message_no LIMIT ?"
        ));
        let rows = rows.bind(receiver).bind(nanoseconds(now)).bind(most).fetch_all(&self.readers).await;
        self.opened(rows.map_err(self.failed(READING))?).await
    }

    async fn settle_notices(
        &self,
        lease: &NamedLease,
        receiver: &str,
        settled: Vec<(u64, NoticeFate)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (lease, receiver) = (held(lease), receiver.to_owned());
        self.write("note what became of notices", Durability::Synced, move |connection| {
            Box::pin(async move {
                check(connection, &lease).await?;
                for (number, fate) in settled {
                    settle(connection, &receiver, number.cast_signed(), fate, now).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn last_notices(&self, most: u32) -> Result<Vec<NoticeMessage>, StoreError> {
        let rows = query(select_messages!("ORDER BY m.message_no DESC LIMIT ?"));
        let rows = rows.bind(most).fetch_all(&self.readers).await.map_err(self.failed(READING))?;
        self.opened(rows).await
    }

    async fn prune_notices(&self, lease: &NamedLease, before: Timestamp) -> Result<(), StoreError> {
        let (lease, before) = (held(lease), nanoseconds(before));
        self.write("forget old notices", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                check(connection, &lease).await?;
                for sql in [
                    "DELETE FROM notice_message WHERE settled_at IS NOT NULL AND settled_at < ?",
                    "DELETE FROM notice_condition WHERE ended_at IS NOT NULL AND ended_at < ?",
                    "DELETE FROM notice_snooze WHERE until < ?",
                ] {
                    query(sql).bind(before).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn snooze_notices(&self, snooze: NoticeSnooze) -> Result<(), StoreError> {
        let key = self.signing_key.clone();
        self.write("snooze notices", Durability::Synced, move |connection| {
            Box::pin(async move {
                let NoticeSnooze { key: of, tenant, until, reason, actor, set_at } = snooze;
                query(
                    "INSERT INTO notice_snooze (key, tenant_no, until, reason, actor, set_at)
                     VALUES (?1, (SELECT tenant_no FROM tenant WHERE id = ?2), ?3, ?4, ?5, ?6)
                     ON CONFLICT (key) DO UPDATE SET until = excluded.until, reason = excluded.reason,
                         actor = excluded.actor, set_at = excluded.set_at, tenant_no = excluded.tenant_no",
                )
                .bind(&of)
                .bind(tenant.map(|tenant| tenant.to_string()))
                .bind(nanoseconds(until))
                .bind(bounded(&reason))
                .bind(&actor)
                .bind(nanoseconds(set_at))
                .execute(&mut *connection)
                .await?;
                let details = json!({ "until": until, "reason": bounded(&reason) });
                let event =
                    NewAuditEvent { actor, action: "notice.snoozed".to_owned(), subject: of, details };
                append(connection, &key, event, set_at).await.map(drop)
            })
        })
        .await
    }

    async fn unsnooze_notices(&self, key: &str, actor: &str, now: Timestamp) -> Result<bool, StoreError> {
        let (of, actor, key) = (key.to_owned(), actor.to_owned(), self.signing_key.clone());
        self.write("end the snooze", Durability::Synced, move |connection| {
            Box::pin(async move {
                let gone = query("DELETE FROM notice_snooze WHERE key = ?").bind(&of);
                if gone.execute(&mut *connection).await?.rows_affected() == 0 {
                    return Ok(false);
                }
                let (action, details) = ("notice.unsnoozed".to_owned(), json!({}));
                let event = NewAuditEvent { actor, action, subject: of, details };
                append(connection, &key, event, now).await.map(|_| true)
            })
        })
        .await
    }

    async fn notice_snoozes(&self, now: Timestamp) -> Result<Vec<NoticeSnooze>, StoreError> {
        let failed = self.failed(READING);
        let rows = query(
            "SELECT s.*, t.id AS tenant FROM notice_snooze s LEFT JOIN tenant t ON t.tenant_no = s.tenant_no
             WHERE s.until > ? ORDER BY s.key",
        );
        let rows = rows.bind(nanoseconds(now)).fetch_all(&self.readers).await.map_err(&failed)?;
        let read = |row: &Row| {
            Ok(NoticeSnooze {
                key: row.try_get("key")?,
                tenant: tenant_of(row)?,
                until: timestamp(row.try_get("until")?),
                reason: row.try_get("reason")?,
                actor: row.try_get("actor")?,
                set_at: timestamp(row.try_get("set_at")?),
            })
        };
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }

    async fn tenant_habits(&self, since: Timestamp) -> Result<Vec<TenantHabit>, StoreError> {
        let failed = self.failed("look at the tenants' habits");
        let rows = query(
            "SELECT t.id AS tenant, count(*) AS hours, min(g.hour) AS first_hour, max(g.hour) AS last_hour,
                 coalesce(max(g.hour - g.hour_before), 0) AS longest_gap
             FROM (SELECT h.tenant_no, h.hour, lag(h.hour) OVER (PARTITION BY h.tenant_no ORDER BY h.hour) AS hour_before
                   FROM (SELECT DISTINCT s.tenant_no, l.hour FROM source s JOIN ledger l ON l.source_no = s.source_no
                         WHERE l.hour >= ? AND l.new > 0) h) g
             JOIN tenant t ON t.tenant_no = g.tenant_no GROUP BY t.id ORDER BY t.id",
        );
        let hour = nanoseconds(since).div_euclid(3_600_000_000_000);
        let rows = rows.bind(hour).fetch_all(&self.readers).await.map_err(&failed)?;
        let read = |row: &Row| {
            Ok(TenantHabit {
                tenant: parsed(row, "tenant")?,
                hours: count(row.try_get("hours")?),
                first: hour_begins_at(row.try_get("first_hour")?),
                last: hour_begins_at(row.try_get("last_hour")?),
                longest_gap_hours: count(row.try_get("longest_gap")?),
            })
        };
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }
}

impl SqlStore {
    /// What is to be written of messages; with `seal`, what they say of a tenant is sealed. Those of a tenant that was offboarded
    /// meanwhile are left out.
    async fn drafts(&self, messages: Vec<NewNotice>, seal: bool) -> Result<Drafts, StoreError> {
        let mut keys = HashMap::new();
        let mut drafts = Drafts::default();
        for mut message in messages {
            let id = Uuid::new_v4();
            let sealed = match message.tenant.filter(|_| seal) {
                None => None,
                Some(tenant) => {
                    let key = match self.content_key(&mut keys, tenant).await? {
                        ContentKey::Opened(key) => key,
                        ContentKey::Gone => continue,
                        ContentKey::Unreadable => {
                            drafts.unsealed.push(message.key);
                            continue;
                        }
                    };
                    let binding = Binding { column: CONTENT, tenant, row: id.as_bytes() };
                    let content = std::mem::take(&mut message.content);
                    Some(key.seal(binding, content.as_bytes()).into_bytes())
                }
            };
            drafts.all.push(Draft { id, message, sealed });
        }
        Ok(drafts)
    }

    async fn content_key<'k>(
        &self,
        keys: &'k mut HashMap<TenantId, ContentKey>,
        tenant: TenantId,
    ) -> Result<&'k ContentKey, StoreError> {
        Ok(match keys.entry(tenant) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(match self.living_tenant(tenant, NOTING).await {
                Ok(found) => ContentKey::Opened(found.data_key),
                Err(StoreError::NoTenant(_) | StoreError::Offboarded(_)) => ContentKey::Gone,
                Err(StoreError::Sealing { .. }) => ContentKey::Unreadable,
                Err(error) => return Err(error),
            }),
        })
    }

    /// Messages with what they say; without, where that cannot be opened: one that is damaged is no reason to tell nobody anything.
    async fn opened(&self, rows: Vec<Row>) -> Result<Vec<NoticeMessage>, StoreError> {
        let failed = self.failed(READING);
        let mut keys = HashMap::new();
        let mut messages = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut message = read_message(row).map_err(&failed)?;
            let sealed: Option<Vec<u8>> = row.try_get("sealed").map_err(&failed)?;
            if let (Some(sealed), Some(tenant)) = (sealed, message.tenant)
                && let ContentKey::Opened(key) = self.content_key(&mut keys, tenant).await?
            {
                let binding = Binding { column: CONTENT, tenant, row: message.id.as_bytes() };
                let content = key.open(binding, Sealed::from_stored(sealed)).ok();
                message.content = content.and_then(|content| String::from_utf8(content).ok());
            }
            messages.push(message);
        }
        Ok(messages)
    }
}

/// What a lease is checked by.
fn held(lease: &NamedLease) -> (&'static str, i64) {
    (lease.name, lease.fence.cast_signed())
}

/// Refuses what a process would write that has lost the lease.
async fn check(connection: &mut Connection, (name, fence): &(&'static str, i64)) -> Result<(), Failure> {
    let row = query("SELECT count(*) FROM lease WHERE name = ? AND fence = ? AND leased_until > 0");
    let row = row.bind(*name).bind(*fence).fetch_one(&mut *connection).await?;
    match row.try_get::<i64, _>(0)? {
        0 => Err(StoreError::LeaseLost { what: (*name).to_owned() }.into()),
        _ => Ok(()),
    }
}

/// Those of these tenants that are customers still. Whoever writes looked before: since then one may have been offboarded, and
/// nothing is to bring back what was forgotten of it.
async fn living(
    connection: &mut Connection,
    tenants: impl Iterator<Item = TenantId>,
) -> Result<HashSet<TenantId>, Failure> {
    let asked: HashSet<String> = tenants.map(|tenant| tenant.to_string()).collect();
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = query(
        "SELECT t.id FROM tenant t WHERE t.state <> 'offboarded' AND t.id IN (SELECT value FROM json_each(?))",
    );
    let rows = rows.bind(serde_json::to_string(&asked).map_err(odd)?).fetch_all(&mut *connection).await?;
    Ok(rows.iter().map(|row| parsed(row, "id")).collect::<Result<_, _>>()?)
}

fn is_told_of(tenant: Option<TenantId>, living: &HashSet<TenantId>) -> bool {
    tenant.is_none_or(|tenant| living.contains(&tenant))
}

async fn put_condition(connection: &mut Connection, condition: NoticeCondition) -> Result<(), Failure> {
    query(
        "INSERT INTO notice_condition
             (key, kind, tenant_no, facts, first_seen_at, last_seen_at, ended_at, returns, told)
         VALUES (?1, ?2, (SELECT tenant_no FROM tenant WHERE id = ?3), ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (key) DO UPDATE SET facts = excluded.facts, first_seen_at = excluded.first_seen_at,
             last_seen_at = excluded.last_seen_at, ended_at = excluded.ended_at, returns = excluded.returns,
             told = excluded.told, tenant_no = excluded.tenant_no",
    )
    .bind(&condition.key)
    .bind(&condition.kind)
    .bind(condition.tenant.map(|tenant| tenant.to_string()))
    .bind(&condition.facts)
    .bind(nanoseconds(condition.first_seen_at))
    .bind(nanoseconds(condition.last_seen_at))
    .bind(condition.ended_at.map(nanoseconds))
    .bind(condition.returns)
    .bind(serde_json::to_string(&condition.told).map_err(odd)?)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Notes a receiver of the settings.
async fn keep(connection: &mut Connection, receiver: KeptReceiver, now: Timestamp) -> Result<(), Failure> {
    let KeptReceiver { name, fingerprint, alerts } = receiver;
    // With other settings it may work at once.
    query(
        "UPDATE notice_message SET due_at = ?3 WHERE receiver = ?1 AND state = 'waiting' AND attempts > 0
             AND EXISTS (SELECT 1 FROM notice_receiver r WHERE r.name = ?1 AND r.fingerprint <> ?2)",
    )
    .bind(&name)
    .bind(&fingerprint)
    .bind(nanoseconds(now))
    .execute(&mut *connection)
    .await?;
    query(
        "INSERT INTO notice_receiver (name, fingerprint, in_settings) VALUES (?, ?, 1)
         ON CONFLICT (name) DO UPDATE SET in_settings = 1, fingerprint = excluded.fingerprint,
             stopped_at = CASE WHEN notice_receiver.fingerprint = excluded.fingerprint THEN notice_receiver.stopped_at END,
             last_refused_at = CASE WHEN notice_receiver.fingerprint = excluded.fingerprint
                 THEN notice_receiver.last_refused_at END",
    )
    .bind(&name)
    .bind(fingerprint)
    .execute(&mut *connection)
    .await?;
    let sql = match alerts {
        false => {
            "UPDATE notice_receiver SET alerts_after = NULL, alerts_since = NULL, untold = 0
             WHERE name = ?1 AND alerts_after IS NOT NULL AND ?2 > 0"
        }
        true => {
            "UPDATE notice_receiver SET alerts_since = ?2,
                 alerts_after = (SELECT coalesce(max(b.batch_no), 0) FROM journal_batch b)
             WHERE name = ?1 AND alerts_after IS NULL"
        }
    };
    query(sql).bind(&name).bind(nanoseconds(now)).execute(&mut *connection).await?;
    Ok(())
}

/// Whether there is a message about the same already, such as of an alert whose record came into the journal a second time.
async fn is_told(connection: &mut Connection, message: &NewNotice) -> Result<bool, Failure> {
    let row = query(
        "SELECT count(*) FROM notice_message m WHERE m.receiver = ? AND m.key = ? AND m.target = ? AND m.event = ?
             AND m.tenant_no = (SELECT t.tenant_no FROM tenant t WHERE t.id = ?)",
    )
    .bind(&message.receiver)
    .bind(bounded(&message.key))
    .bind(&message.target)
    .bind(&message.event)
    .bind(message.tenant.map(|tenant| tenant.to_string()))
    .fetch_one(&mut *connection)
    .await?;
    Ok(row.try_get::<i64, _>(0)? > 0)
}

/// How many more messages may wait for a receiver.
async fn room(connection: &mut Connection, receiver: &str) -> Result<u64, Failure> {
    let row = query("SELECT count(*) FROM notice_message WHERE receiver = ? AND state = 'waiting'");
    let row = row.bind(receiver).fetch_one(&mut *connection).await?;
    Ok(WAITING_MAX.saturating_sub(count(row.try_get(0)?)))
}

async fn insert(
    connection: &mut Connection,
    Draft { id, message, sealed }: Draft,
    now: Timestamp,
) -> Result<(), Failure> {
    let content = sealed.is_none().then_some(message.content);
    query(
        "INSERT INTO notice_message
             (id, receiver, target, tenant_no, event, key, state, made_at, due_at, content, sealed)
         VALUES (?1, ?2, ?3, (SELECT tenant_no FROM tenant WHERE id = ?4), ?5, ?6, 'waiting', ?7, ?8, ?9, ?10)",
    )
    .bind(id.as_bytes().to_vec())
    .bind(message.receiver)
    .bind(message.target)
    .bind(message.tenant.map(|tenant| tenant.to_string()))
    .bind(message.event)
    .bind(bounded(&message.key))
    .bind(nanoseconds(now))
    .bind(nanoseconds(message.due_at))
    .bind(content)
    .bind(sealed)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Writes down what became of one message, and what that says of its receiver.
async fn settle(
    connection: &mut Connection,
    receiver: &str,
    number: i64,
    fate: NoticeFate,
    now: Timestamp,
) -> Result<(), Failure> {
    let now = nanoseconds(now);
    let (of_message, reason, due_at) = match &fate {
        NoticeFate::Sent => (
            "UPDATE notice_message SET state = 'sent', settled_at = ?2, content = NULL, sealed = NULL, last_error = ?3
             WHERE message_no = ?1 AND state = 'waiting'",
            None,
            now,
        ),
        NoticeFate::Retry { due_at, reason } => (
            "UPDATE notice_message SET attempts = attempts + 1, due_at = ?2, last_error = ?3
             WHERE message_no = ?1 AND state = 'waiting'",
            Some(reason),
            nanoseconds(*due_at),
        ),
        NoticeFate::Refused { reason } => (
            "UPDATE notice_message SET state = 'refused', settled_at = ?2, attempts = attempts + 1, last_error = ?3
             WHERE message_no = ?1 AND state = 'waiting'",
            Some(reason),
            now,
        ),
        NoticeFate::Stopped { reason } => (
            "UPDATE notice_message SET attempts = attempts + 1, due_at = ?2, last_error = ?3
             WHERE message_no = ?1 AND state = 'waiting'",
            Some(reason),
            now,
        ),
    };
    let reason = reason.map(|reason| bounded(reason));
    let settled = query(of_message).bind(number).bind(due_at).bind(reason.clone());
    if settled.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(());
    }
    let of_receiver = match fate {
        NoticeFate::Sent => {
            "UPDATE notice_receiver SET sent = sent + 1, last_sent_at = ?2, failing_since = NULL, last_error = ?3,
                 stopped_at = NULL WHERE name = ?1"
        }
        NoticeFate::Retry { .. } => {
            "UPDATE notice_receiver SET failing_since = coalesce(failing_since, ?2), last_error = ?3 WHERE name = ?1"
        }
        // That it answers does not say that anything gets through.
        NoticeFate::Refused { .. } => {
            "UPDATE notice_receiver SET refused = refused + 1, last_refused_at = ?2, last_error = ?3 WHERE name = ?1"
        }
        NoticeFate::Stopped { .. } => {
            "UPDATE notice_receiver SET failing_since = coalesce(failing_since, ?2), last_error = ?3,
                 stopped_at = coalesce(stopped_at, ?2) WHERE name = ?1"
        }
    };
    query(of_receiver).bind(receiver).bind(now).bind(reason).execute(&mut *connection).await?;
    Ok(())
}

fn tenant_of(row: &Row) -> Result<Option<TenantId>, sqlx::Error> {
    row.try_get::<Option<String>, _>("tenant")?.map(|id| id.parse()).transpose().map_err(odd)
}

fn time(row: &Row, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(timestamp))
}

fn read_condition(row: &Row) -> Result<NoticeCondition, sqlx::Error> {
    Ok(NoticeCondition {
        key: row.try_get("key")?,
        kind: row.try_get("kind")?,
        tenant: tenant_of(row)?,
        facts: row.try_get("facts")?,
        first_seen_at: timestamp(row.try_get("first_seen_at")?),
        last_seen_at: timestamp(row.try_get("last_seen_at")?),
        ended_at: time(row, "ended_at")?,
        returns: row.try_get("returns")?,
        told: serde_json::from_str(row.try_get("told")?).map_err(odd)?,
    })
}

fn read_receiver(row: &Row) -> Result<NoticeReceiver, sqlx::Error> {
    let number = |column: &str| row.try_get::<i64, _>(column).map(count);
    Ok(NoticeReceiver {
        name: row.try_get("name")?,
        in_settings: row.try_get("in_settings")?,
        alerts_after: row.try_get::<Option<i64>, _>("alerts_after")?.map(count),
        alerts_since: time(row, "alerts_since")?,
        waiting: number("waiting")?,
        waiting_since: time(row, "waiting_since")?,
        sent: number("sent")?,
        refused: number("refused")?,
        skipped: number("skipped")?,
        untold: number("untold")?,
        snoozed: number("snoozed")?,
        old: number("old_alerts")?,
        failing_since: time(row, "failing_since")?,
        last_error: row.try_get("last_error")?,
        last_sent_at: time(row, "last_sent_at")?,
        last_refused_at: time(row, "last_refused_at")?,
        stopped_at: time(row, "stopped_at")?,
    })
}

fn read_message(row: &Row) -> Result<NoticeMessage, sqlx::Error> {
    let id: Vec<u8> = row.try_get("id")?;
    Ok(NoticeMessage {
        number: count(row.try_get("message_no")?),
        id: Uuid::from_slice(&id).map_err(odd)?,
        receiver: row.try_get("receiver")?,
        target: row.try_get("target")?,
        tenant: tenant_of(row)?,
        event: row.try_get("event")?,
        key: row.try_get("key")?,
        state: word(row, "state", NoticeState::ALL, NoticeState::as_str)?,
        made_at: timestamp(row.try_get("made_at")?),
        due_at: timestamp(row.try_get("due_at")?),
        attempts: row.try_get("attempts")?,
        last_error: row.try_get("last_error")?,
        settled_at: time(row, "settled_at")?,
        content: row.try_get("content")?,
    })
}
