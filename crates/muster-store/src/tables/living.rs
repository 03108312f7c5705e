//! Whether a node is at work, and how its leases end when it is not.

use crate::failure::Failure;
use crate::sql::{Connection, query};

/// Whether a node has been heard of lately. One that was heard of in a time to come says nothing: the clock was wrong then or
/// is now, or somebody wrote it by hand; believed, it would keep its tenants until then.
macro_rules! lives {
    () => {
        "seen_at BETWEEN clock_timestamp() - interval '10 seconds' AND clock_timestamp() + interval '10 seconds'"
    };
}
pub(super) use lives;

/// Whether a process is at work, by the database's clock.
pub(crate) async fn has_living_node(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    let row = query(concat!("SELECT count(*) FROM node WHERE ", lives!()));
    Ok(row.fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? > 0)
}

/// Ends the leases on sources and deliveries that an instance holds.
pub(crate) async fn end_leases_of(connection: &mut Connection, instance: &[u8]) -> Result<(), Failure> {
    for sql in [
        "UPDATE cursor SET lease_owner = NULL, leased_until = 0, fence = fence + 1 WHERE lease_owner = ?",
        "UPDATE queue SET lease_owner = NULL, leased_until = 0, fence = fence + 1 WHERE lease_owner = ?",
    ] {
        query(sql).bind(instance).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Ends the leases by name that an instance holds.
pub(crate) async fn end_named_leases_of(connection: &mut Connection, instance: &[u8]) -> Result<(), Failure> {
    query("UPDATE lease SET leased_until = 0, fence = fence + 1 WHERE lease_owner = ?")
        .bind(instance)
        .execute(&mut *connection)
        .await?;
    Ok(())
}
