//! Whether a node is at work.

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
