//! What cannot be had any more.

use jiff::Timestamp;
use muster_microsoft::sources;
use muster_model::{Clocks, Cursor, Purpose};
use muster_store::SourceLease;

/// Where a source could not be read for longer than Microsoft keeps its records, some are gone for good. That is told, and
/// stands in the cursor `after` the first page of the round that comes too late.
pub(super) fn mind(lease: &SourceLease, before: &Cursor, after: &mut Cursor, clocks: Clocks) {
    let kept_for = sources::declaration(lease.source).kept_for;
    let Some((kept_for, (_, read_up_to))) = kept_for.zip(before.proved()) else { return };
    let kept_since = clocks.earlier().checked_sub(kept_for).unwrap_or(Timestamp::MIN);
    // A server's clock that lies may keep the proof far behind what was read: what counts is that nothing was.
    let idle = before.last_round_at().is_none_or(|at| at < kept_since);
    if lease.purpose == Purpose::Live && !before.in_round() && idle && read_up_to < kept_since {
        tracing::error!(
            from = %read_up_to,
            to = %kept_since,
            "nothing was read for longer than Microsoft keeps records: what was updated in this span is gone"
        );
        after.is_gone(read_up_to, kept_since, clocks.local);
    }
}
