//! Waits that were set by a clock which has stepped back since.
//!
//! Every wait and every lease carries when it was written. Where that is later than now, the clock was wrong then or is now;
//! either way the wait says nothing, and could last until the year that the clock once showed. So it is over.

use jiff::Timestamp;

use crate::failure::Failure;
use crate::sql::{Connection, query};
use crate::stored::nanoseconds;

/// Clocks of two tasks differ by the time that one waits for the writer, and clocks are set by seconds all the time: less
/// than this is no step back. A wait may last so much longer.
pub(super) const STEP_NANOSECONDS: i64 = 60_000_000_000;

/// The latest that a wait can have been set if the clock is right.
pub(super) fn latest_set(now: Timestamp) -> i64 {
    nanoseconds(now).saturating_add(STEP_NANOSECONDS)
}

/// Whether a cursor's wait was set later than `?1`.
pub(super) const CURSORS_AHEAD: &str = "SELECT 1 FROM cursor WHERE set_at > ? LIMIT 1";

/// Ends the waits and leases of cursors that were set later than now.
pub(super) async fn end_cursor_waits(connection: &mut Connection, now: Timestamp) -> Result<(), Failure> {
    let done = query(
        "UPDATE cursor SET next_at = min(next_at, ?1), leased_until = 0, set_at = ?1 WHERE set_at > ?2",
    )
    .bind(nanoseconds(now))
    .bind(latest_set(now))
    .execute(&mut *connection)
    .await?;
    tell(done.rows_affected(), "sources");
    Ok(())
}

/// Whether a wait of a queue of sink `?1` was set later than `?2`.
pub(super) const QUEUES_AHEAD: &str = "SELECT 1 FROM queue WHERE sink = ? AND set_at > ? LIMIT 1";

/// The same for the queues of a sink.
pub(super) async fn end_queue_waits(
    connection: &mut Connection,
    sink: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let done = query(
        "UPDATE queue SET next_at = min(next_at, ?1), leased_until = 0, set_at = ?1
         WHERE sink = ?3 AND set_at > ?2",
    )
    .bind(nanoseconds(now))
    .bind(latest_set(now))
    .bind(sink)
    .execute(&mut *connection)
    .await?;
    tell(done.rows_affected(), "queues");
    Ok(())
}

fn tell(waits: u64, what: &'static str) {
    if waits > 0 {
        tracing::warn!(waits, what, "the clock has stepped back: waits set by the later time are over");
    }
}
