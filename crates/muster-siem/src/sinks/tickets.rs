//! How sinks hand over what their receivers handed out, and what receivers say when they are asked about it.

use async_trait::async_trait;
use muster_model::{TenantLabel, Ticket, Trouble};

/// Keeps tickets where they outlive the process.
#[async_trait]
pub trait KeepTickets: Send + Sync {
    /// Keeps tickets, all or none, each with the records that were in its request, as places in the order of
    /// [`DeliveryBatch::records`](muster_model::DeliveryBatch::records). On disk when it returns.
    ///
    /// # Errors
    /// When they cannot be kept, in words for the operator: what was sent is then sent again.
    async fn keep(&self, tickets: Vec<(Ticket, Vec<usize>)>) -> Result<(), String>;
}

/// A ticket that is asked about.
#[derive(Debug, Clone, Copy)]
pub struct AskedTicket<'a> {
    /// Whose records were in the request.
    pub tenant: &'a TenantLabel,
    /// The ticket.
    pub ticket: &'a Ticket,
}

/// Hears what receivers say about tickets, and does at once what is to be done about it.
#[async_trait]
pub trait HearAnswers: Send + Sync {
    /// What was said about the ticket at this place. Nothing more is asked over the same connection until it returns: a receiver
    /// says that something is stored only once, so that is on disk by then.
    async fn said(&self, place: usize, said: Said);

    /// Whether more is to be asked.
    fn goes_on(&self) -> bool;
}

/// What a receiver says about a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// All of the request is stored.
    Stored,
    /// Not yet; or it does not know the ticket any more, which sounds the same.
    NotYet,
    /// Asking is refused. It may help to wait, as for a token that comes back.
    Refused(Trouble),
    /// There was no answer that means anything.
    Unclear(Trouble),
    /// It cannot be asked any more.
    Gone(String),
}
