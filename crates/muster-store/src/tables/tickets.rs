//! Tickets: kept under a lease on deliveries, settled when their receiver has said what became of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Selection, Source, TenantLabel, Ticket};

use super::answers::{count_answers, write_answers};
use super::deliveries::{QueueLease, settle_records};
use super::rows::{odd, parsed};
use crate::counting::hour_of;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sealing::Sealed;
use crate::settling::{Answer, selected};
use crate::sql::{Connection, Row, query};
use crate::stored::{bits, bounded, count, nanoseconds, timestamp};
use crate::tickets::{open_cookies, seal_cookies};
use crate::writer::Durability;
use crate::{
    DeliveryLease, KeptTicket, NewTicket, SettledTickets, StoreError, TicketFate, TicketNumber, Tickets,
};

const KEEP: &str = "keep what a receiver handed out";

/// A ticket as it is written.
struct SealedTicket {
    ticket: Ticket,
    ticket_id: Vec<u8>,
    cookies: Option<Vec<u8>>,
    records: Vec<TicketRecords>,
}

/// Some records of a delivery that were in a request.
#[derive(Clone)]
struct TicketRecords {
    number: i64,
    batch_records: usize,
    selection: Selection,
    /// The hour of update of each that is selected.
    hours: Vec<i64>,
}

#[async_trait]
impl Tickets for SqlStore {
    async fn keep_tickets(
        &self,
        lease: &DeliveryLease,
        tickets: Vec<NewTicket>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let tenant = lease.tenant.id;
        let key = match tickets.iter().any(|new| new.ticket.cookies.is_some()) {
            true => Some(self.key_of(lease).await?),
            false => None,
        };
        let mut sealed = Vec::with_capacity(tickets.len());
        for NewTicket { ticket, records } in tickets {
            let records = records.into_iter().map(|(number, selection)| {
                let delivery = lease.deliveries.iter().find(|delivery| delivery.number == number);
                let delivery = delivery.ok_or_else(|| StoreError::Database {
                    doing: KEEP,
                    detail: format!("delivery {} is not part of the lease", number.0),
                })?;
                let chosen = delivery.batch.records().enumerate();
                let chosen = chosen.filter(|(index, _)| selection.contains(*index));
                Ok(TicketRecords {
                    number: number.0.cast_signed(),
                    batch_records: delivery.batch.len(),
                    hours: chosen.map(|(_, record)| hour_of(record.head.updated_at)).collect(),
                    selection,
                })
            });
            let records = records.collect::<Result<_, StoreError>>()?;
            let (ticket_id, cookies) = match &key {
                Some(key) => seal_cookies(key, tenant, ticket.cookies.as_ref()),
                None => (uuid::Uuid::new_v4().as_bytes().to_vec(), None),
            };
            sealed.push(SealedTicket { ticket, ticket_id, cookies, records });
        }
        let lease = QueueLease::of(lease);
        self.write(KEEP, Durability::AtOnce, move |connection| {
            Box::pin(async move {
                let (queue_no, _) = lease.held(connection).await?;
                let mut kept = sealed.len() as i64;
                let mut touched = BTreeSet::new();
                for ticket in sealed {
                    touched.extend(ticket.records.iter().map(|records| records.number));
                    insert(connection, queue_no, ticket, now).await?;
                }
                for number in touched {
                    let about = records_of(connection, queue_no, number).await?;
                    count_awaited(connection, queue_no, (number, &about), std::mem::take(&mut kept)).await?;
                }
                // A ticket that is about nothing is asked for, too.
                match kept {
                    0 => Ok(()),
                    kept => count_tickets(connection, queue_no, kept).await,
                }
            })
        })
        .await
    }

    async fn tickets(
        &self,
        sink: &str,
        after: TicketNumber,
        limit: u32,
    ) -> Result<Vec<KeptTicket>, StoreError> {
        let failed = self.failed("list what receivers are asked for");
        let rows = query(
            "SELECT k.*, t.id AS tenant, t.slug, t.name, CASE WHEN k.cookies IS NULL THEN NULL ELSE t.data_key END AS data_key
             FROM queue q JOIN ticket k ON k.queue_no = q.queue_no JOIN tenant t ON t.tenant_no = q.tenant_no
             WHERE q.sink = ? AND q.tickets > 0 AND k.ticket_no > ? ORDER BY k.ticket_no LIMIT ?",
        );
        let rows = rows
            .bind(sink)
            .bind(after.0.cast_signed())
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        let mut tickets = Vec::with_capacity(rows.len());
        for row in rows {
            let (mut kept, sealed) = read_ticket(&row).map_err(&failed)?;
            if let Some(SealedCookies { ticket_id, cookies, data_key }) = sealed {
                // Without them a balancer may ask another of Splunk's nodes, which costs an answer. One row that does not open
                // must not keep the sink from being asked for all others.
                let opened = match self.keys.data_key(data_key, kept.tenant.id).await {
                    Ok(key) => open_cookies(&key, kept.tenant.id, &ticket_id, cookies),
                    Err(error) => Err(error),
                };
                match opened {
                    Ok(cookies) => kept.ticket.cookies = Some(cookies),
                    Err(error) => tracing::debug!(
                        tenant = %kept.tenant.id,
                        sink,
                        ticket = kept.number.0,
                        %error,
                        "the cookies of a ticket cannot be opened: it is asked for without them"
                    ),
                }
            }
            tickets.push(kept);
        }
        Ok(tickets)
    }

    async fn confirm_ticket(&self, number: TicketNumber, now: Timestamp) -> Result<(), StoreError> {
        self.write("write down what a receiver confirmed", Durability::AtOnce, move |connection| {
            Box::pin(async move {
                // One statement and no more: until it is committed, a process that is killed has the request sent again.
                query("UPDATE ticket SET confirmed_at = ? WHERE ticket_no = ?")
                    .bind(nanoseconds(now))
                    .bind(number.0.cast_signed())
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn settle_tickets(
        &self,
        settled: Vec<(TicketNumber, TicketFate)>,
        now: Timestamp,
    ) -> Result<SettledTickets, StoreError> {
        self.write("settle what a receiver confirmed", Durability::Synced, move |connection| {
            Box::pin(async move {
                let mut sums = SettledTickets::default();
                let mut failed = HashMap::new();
                for (number, fate) in settled {
                    let ticket_no = number.0.cast_signed();
                    let Some(queue) = take_ticket(connection, ticket_no).await? else { continue };
                    let records = take_records(connection, ticket_no).await?;
                    match fate {
                        TicketFate::Confirmed => {
                            sums.delivered += count(confirm(connection, &queue, records, now).await?);
                        }
                        TicketFate::Void { reason, retry_at } => {
                            sums.owed_again += count(forget(connection, &queue, records).await?);
                            failed.insert(queue.queue_no, (reason, retry_at));
                        }
                    }
                }
                for (queue_no, (reason, retry_at)) in failed {
                    query(
                        "UPDATE queue SET failures = failures + 1, last_error = ?2, next_at = max(next_at, ?3), set_at = ?4
                         WHERE queue_no = ?1",
                    )
                    .bind(queue_no)
                    .bind(bounded(&reason))
                    .bind(nanoseconds(retry_at))
                    .bind(nanoseconds(now))
                    .execute(&mut *connection)
                    .await?;
                }
                Ok(sums)
            })
        })
        .await
    }
}

/// The queue of a ticket.
struct TicketQueue {
    queue_no: i64,
    tenant_no: i64,
    sink: String,
}

/// The cookies of a ticket as they are stored.
struct SealedCookies {
    ticket_id: Vec<u8>,
    cookies: Vec<u8>,
    data_key: Sealed,
}

fn read_ticket(row: &Row) -> Result<(KeptTicket, Option<SealedCookies>), sqlx::Error> {
    let ticket = Ticket {
        endpoint: row.try_get("endpoint")?,
        channel: parsed(row, "channel")?,
        ack_id: parsed(row, "ack_id")?,
        cookies: None,
    };
    let kept = KeptTicket {
        number: TicketNumber(count(row.try_get("ticket_no")?)),
        tenant: TenantLabel {
            id: parsed(row, "tenant")?,
            slug: parsed(row, "slug")?,
            name: row.try_get("name")?,
        },
        ticket,
        kept_at: timestamp(row.try_get("kept_at")?),
        is_confirmed: row.try_get::<Option<i64>, _>("confirmed_at")?.is_some(),
    };
    let sealed = match row.try_get::<Option<Vec<u8>>, _>("cookies")? {
        Some(cookies) => Some(SealedCookies {
            ticket_id: row.try_get("ticket_id")?,
            cookies,
            data_key: Sealed::from_stored(row.try_get("data_key")?),
        }),
        None => None,
    };
    Ok((kept, sealed))
}

async fn insert(
    connection: &mut Connection,
    queue_no: i64,
    ticket: SealedTicket,
    now: Timestamp,
) -> Result<(), Failure> {
    let SealedTicket { ticket, ticket_id, cookies, records } = ticket;
    let inserted = query(
        // `digest` was of the request, and nobody read it; the version before wants some bytes there.
        "INSERT INTO ticket (queue_no, endpoint, channel, ack_id, digest, kept_at, ticket_id, cookies)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING ticket_no",
    )
    .bind(queue_no)
    .bind(ticket.endpoint)
    .bind(ticket.channel.to_string())
    .bind(ticket.ack_id.to_string())
    .bind(Vec::new())
    .bind(nanoseconds(now))
    .bind(ticket_id)
    .bind(cookies)
    .fetch_one(&mut *connection)
    .await?;
    let ticket_no: i64 = inserted.try_get(0)?;
    for TicketRecords { number, batch_records, selection, hours } in records {
        query(
            "INSERT INTO ticket_record (queue_no, number, ticket_no, batch_records, selection, hours)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(queue_no)
        .bind(number)
        .bind(ticket_no)
        .bind(batch_records as i64)
        .bind(bits(selection))
        .bind(serde_json::to_string(&hours).expect("numbers"))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Counts anew how many records of a delivery are waited for, given what all tickets are about of it, and in all of its queue;
/// and so many more tickets there.
async fn count_awaited(
    connection: &mut Connection,
    queue_no: i64,
    (number, awaited): (i64, &[TicketRecords]),
    more_tickets: i64,
) -> Result<(), Failure> {
    let union = awaited.iter().try_fold(None::<Selection>, |union, records| {
        Some(Some(match union {
            None => records.selection.clone(),
            Some(union) => union.with(&records.selection, records.batch_records)?,
        }))
    });
    let union = union.flatten().zip(awaited.first());
    let now = union.map_or(0, |(union, records)| union.count(records.batch_records)) as i64;
    // A delivery that is gone has taken what it waited for along.
    query(
        "UPDATE queue SET tickets = tickets + ?4, awaited = awaited + coalesce(
             (SELECT CAST(?3 AS BIGINT) - d.awaited FROM delivery d WHERE d.queue_no = ?1 AND d.number = ?2), 0)
         WHERE queue_no = ?1",
    )
    .bind(queue_no)
    .bind(number)
    .bind(now)
    .bind(more_tickets)
    .execute(&mut *connection)
    .await?;
    query("UPDATE delivery SET awaited = ? WHERE queue_no = ? AND number = ?")
        .bind(now)
        .bind(queue_no)
        .bind(number)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn records_of(
    connection: &mut Connection,
    queue_no: i64,
    number: i64,
) -> Result<Vec<TicketRecords>, Failure> {
    let rows = query("SELECT * FROM ticket_record WHERE queue_no = ? AND number = ?")
        .bind(queue_no)
        .bind(number)
        .fetch_all(&mut *connection)
        .await?;
    Ok(rows.iter().map(read_records).collect::<Result<_, _>>()?)
}

fn read_records(row: &Row) -> Result<TicketRecords, sqlx::Error> {
    Ok(TicketRecords {
        number: row.try_get("number")?,
        batch_records: usize::try_from(count(row.try_get("batch_records")?)).unwrap_or(usize::MAX),
        selection: row.try_get::<Option<Vec<u8>>, _>("selection")?.map_or(Selection::All, Selection::Some),
        hours: serde_json::from_str(row.try_get("hours")?).map_err(odd)?,
    })
}

/// Takes a ticket away; its queue, if it was there.
async fn take_ticket(connection: &mut Connection, ticket_no: i64) -> Result<Option<TicketQueue>, Failure> {
    let row = query(
        "DELETE FROM ticket WHERE ticket_no = ? RETURNING queue_no,
             (SELECT q.tenant_no FROM queue q WHERE q.queue_no = ticket.queue_no) AS tenant_no,
             (SELECT q.sink FROM queue q WHERE q.queue_no = ticket.queue_no) AS sink",
    );
    let Some(row) = row.bind(ticket_no).fetch_optional(&mut *connection).await? else { return Ok(None) };
    let queue = TicketQueue {
        queue_no: row.try_get("queue_no")?,
        tenant_no: row.try_get("tenant_no")?,
        sink: row.try_get("sink")?,
    };
    Ok(Some(queue))
}

/// Takes away what a ticket was about.
async fn take_records(connection: &mut Connection, ticket_no: i64) -> Result<Vec<TicketRecords>, Failure> {
    let rows = query("DELETE FROM ticket_record WHERE ticket_no = ? RETURNING *").bind(ticket_no);
    let rows = rows.fetch_all(&mut *connection).await?;
    Ok(rows.iter().map(read_records).collect::<Result<_, _>>()?)
}

/// So many more tickets of a queue, or fewer.
async fn count_tickets(connection: &mut Connection, queue_no: i64, more: i64) -> Result<(), Failure> {
    query("UPDATE queue SET tickets = max(tickets + ?, 0) WHERE queue_no = ?")
        .bind(more)
        .bind(queue_no)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Settles the records of a confirmed ticket that has been taken away, but for those that other tickets are about, too; how many that are.
async fn confirm(
    connection: &mut Connection,
    queue: &TicketQueue,
    all: Vec<TicketRecords>,
    now: Timestamp,
) -> Result<i64, Failure> {
    let mut delivered = 0;
    let mut hours: BTreeMap<(Source, i64), (i64, i64)> = BTreeMap::new();
    for TicketRecords { number, batch_records, selection, hours: of_each } in all {
        let others = records_of(connection, queue.queue_no, number).await?;
        let row = query(
            "SELECT d.selection, s.source FROM delivery d JOIN journal_batch b ON b.batch_no = d.batch_no
                 JOIN source s ON s.source_no = b.source_no
             WHERE d.queue_no = ? AND d.number = ?",
        );
        let row = row.bind(queue.queue_no).bind(number).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { continue };
        let owed = row.try_get::<Option<Vec<u8>>, _>(0)?.map_or(Selection::All, Selection::Some);
        let source: Source = parsed(&row, "source")?;
        let waits_on = |index| others.iter().any(|other| other.selection.contains(index));
        let done = Selection::of(batch_records, |index| {
            selection.contains(index) && owed.contains(index) && !waits_on(index)
        });
        if let Some(done) = &done {
            let records = selected(batch_records, done);
            delivered += records;
            let chosen = (0..batch_records).filter(|index| selection.contains(*index)).zip(of_each);
            for (_, hour) in chosen.filter(|(index, _)| done.contains(*index)) {
                hours.entry((source, hour)).or_default().0 += 1;
            }
            let answer =
                Answer { number, outcome: "delivered", records, selection: done.clone(), batch_records };
            write_answers(connection, queue.queue_no, &queue.sink, vec![answer], now).await?;
        }
        count_awaited(connection, queue.queue_no, (number, &others), 0).await?;
        if let Some(done) = done {
            settle_records(connection, queue.queue_no, number, &done, batch_records).await?;
        }
    }
    count_answers(connection, queue.tenant_no, &queue.sink, hours).await?;
    query(
        "UPDATE queue SET tickets = max(tickets - 1, 0), owed = owed - ?2, delivered = delivered + ?2,
             last_success_at = CASE WHEN ?2 > 0 THEN ?3 ELSE last_success_at END,
             failures = CASE WHEN ?2 > 0 THEN 0 ELSE failures END,
             last_error = CASE WHEN ?2 > 0 THEN NULL ELSE last_error END
         WHERE queue_no = ?1",
    )
    .bind(queue.queue_no)
    .bind(delivered)
    .bind(nanoseconds(now))
    .execute(&mut *connection)
    .await?;
    Ok(delivered)
}

/// Owes the records of a void ticket that has been taken away again, whatever other tickets are about them, too; how many that are.
async fn forget(
    connection: &mut Connection,
    queue: &TicketQueue,
    all: Vec<TicketRecords>,
) -> Result<i64, Failure> {
    let queue_no = queue.queue_no;
    let mut owed_again = 0;
    count_tickets(connection, queue_no, -1).await?;
    for TicketRecords { number, batch_records, selection, .. } in all {
        owed_again += selected(batch_records, &selection);
        let rows = query("SELECT * FROM ticket_record WHERE queue_no = ? AND number = ?");
        for row in rows.bind(queue_no).bind(number).fetch_all(&mut *connection).await? {
            let (other_no, other) = (row.try_get::<i64, _>("ticket_no")?, read_records(&row)?);
            let chosen = (0..batch_records).filter(|index| other.selection.contains(*index)).zip(other.hours);
            let hours: Vec<i64> =
                chosen.filter(|(index, _)| !selection.contains(*index)).map(|(_, hour)| hour).collect();
            match other.selection.without(&selection, batch_records) {
                Some(left) => {
                    query(
                        "UPDATE ticket_record SET selection = ?, hours = ? WHERE queue_no = ? AND number = ? AND ticket_no = ?",
                    )
                    .bind(bits(left))
                    .bind(serde_json::to_string(&hours).expect("numbers"))
                    .bind(queue_no)
                    .bind(number)
                    .bind(other_no)
                    .execute(&mut *connection)
                    .await?;
                }
                None => {
                    query("DELETE FROM ticket_record WHERE queue_no = ? AND number = ? AND ticket_no = ?")
                        .bind(queue_no)
                        .bind(number)
                        .bind(other_no)
                        .execute(&mut *connection)
                        .await?;
                    let left = query("SELECT 1 FROM ticket_record WHERE ticket_no = ? LIMIT 1");
                    if left.bind(other_no).fetch_optional(&mut *connection).await?.is_none() {
                        let gone = query("DELETE FROM ticket WHERE ticket_no = ?").bind(other_no);
                        gone.execute(&mut *connection).await?;
                        count_tickets(connection, queue_no, -1).await?;
                    }
                }
            }
        }
        let left = records_of(connection, queue_no, number).await?;
        count_awaited(connection, queue_no, (number, &left), 0).await?;
    }
    Ok(owed_again)
}
