//! Whether a node is at work.

use crate::sql::{Connection, query};

/// Whether a process is at work, by the database's clock.
pub(crate) async fn has_living_node(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    let row = query("SELECT count(*) FROM node WHERE seen_at > clock_timestamp() - interval '10 seconds'");
    Ok(row.fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? > 0)
}
