//! What a receiver hands out for a request that it has answered and not stored yet.

use uuid::Uuid;

use crate::Secret;

/// What a receiver handed out for a request: with it, and with nothing else, it can be asked whether what was in the
/// request is stored. It outlives the process, so that a request that was answered need not be sent again after a crash.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Who handed it out, as an address.
    pub endpoint: String,
    /// The channel within which the number counts. No other request is under way on it while it is waited for.
    pub channel: Uuid,
    /// The number. Some receivers count, some draw at random.
    pub ack_id: u64,
    /// What a balancer on the way wants to see again, as the value of a `Cookie` header.
    pub cookies: Option<Secret<String>>,
}
