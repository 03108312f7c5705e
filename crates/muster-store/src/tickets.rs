//! What receivers handed out for requests that they answered and have not stored yet.
//!
//! A ticket is kept before anybody asks for what it stands for, so that after a crash a receiver is asked, and not sent the
//! same again. Its records stay owed meanwhile, and no lease gives them out.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{DeliveryNumber, Secret, Selection, TenantId, TenantLabel, Ticket};
use uuid::Uuid;

use crate::sealing::{Binding, DataKey, Sealed, random};
use crate::{DeliveryLease, StoreError};

/// The tickets of each tenant's queues.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// Keeps what a receiver handed out for requests with deliveries of `lease`, all or none of it. On disk when it returns.
    async fn keep_tickets(
        &self,
        lease: &DeliveryLease,
        tickets: Vec<NewTicket>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The tickets of `sink` that are waited for and were kept after `after`, oldest first, at most `limit` of them.
    async fn tickets(
        &self,
        sink: &str,
        after: TicketNumber,
        limit: u32,
    ) -> Result<Vec<KeptTicket>, StoreError>;

    /// Writes down that a receiver has confirmed a ticket, as fast as can be: it says so once. On disk when it returns; the ticket
    /// is there until it is settled.
    async fn confirm_ticket(&self, number: TicketNumber, now: Timestamp) -> Result<(), StoreError>;

    /// Settles tickets, in one transaction. Records whose tickets are all confirmed are delivered; those of one that is void are
    /// owed again at once, or when it says. Tickets that are gone meanwhile change nothing.
    async fn settle_tickets(
        &self,
        settled: Vec<(TicketNumber, TicketFate)>,
        now: Timestamp,
    ) -> Result<SettledTickets, StoreError>;
}

/// Number of a ticket; never given twice, and rising. The default is before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TicketNumber(pub u64);

/// A ticket with the records that were in the request. A record that went in several requests has several tickets, and is
/// delivered when all of them are confirmed.
#[derive(Debug, Clone)]
pub struct NewTicket {
    /// The ticket.
    pub ticket: Ticket,
    /// The records, by delivery of the lease.
    pub records: Vec<(DeliveryNumber, Selection)>,
}

/// A ticket that is waited for.
#[derive(Debug, Clone)]
pub struct KeptTicket {
    /// Its number.
    pub number: TicketNumber,
    /// Whose records were in the request.
    pub tenant: TenantLabel,
    /// The ticket.
    pub ticket: Ticket,
    /// Since when it is kept.
    pub kept_at: Timestamp,
    /// Whether its receiver has confirmed it, and the process ended before its records were settled: it is not to be asked again.
    pub is_confirmed: bool,
}

/// What became of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketFate {
    /// The receiver says that all of the request is stored.
    Confirmed,
    /// It will never say so: the records are owed again.
    Void {
        /// Why, in words for the operator.
        reason: String,
        /// When they are sent again.
        retry_at: Timestamp,
    },
}

/// What settling tickets came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SettledTickets {
    /// Records that are delivered by it.
    pub delivered: u64,
    /// Records that are owed again by it.
    pub owed_again: u64,
}

/// The column that sealed cookies are bound to.
const COLUMN: &str = "ticket.cookies";

/// Seals the cookies of a ticket; with the random name of its row.
pub(crate) fn seal_cookies(
    key: &DataKey,
    tenant: TenantId,
    cookies: Option<&Secret<String>>,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let row = random::<16>();
    let binding = Binding { column: COLUMN, tenant, row: &row };
    let sealed = cookies.map(|cookies| key.seal(binding, cookies.expose().as_bytes()).into_bytes());
    (row.to_vec(), sealed)
}

/// Opens the cookies of a ticket.
pub(crate) fn open_cookies(
    key: &DataKey,
    tenant: TenantId,
    row: &[u8],
    sealed: Vec<u8>,
) -> Result<Secret<String>, StoreError> {
    let opened = key.open_text(Binding { column: COLUMN, tenant, row }, Sealed::from_stored(sealed));
    let what = || format!("the cookies of ticket {}", Uuid::from_slice(row).unwrap_or_default());
    opened.map_err(|source| StoreError::Sealing { what: what(), source })
}
