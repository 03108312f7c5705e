//! What gives out numbers goes on where it was: a number that somebody has seen is never given again.

use std::collections::BTreeMap;

use super::side::Side;
use crate::StoreError;
use crate::sql::{Connection, Query, query};

/// Has the target go on with the numbers of the source.
pub(super) async fn carry_over(source: &mut Side, target: &mut Side) -> Result<(), StoreError> {
    let given = source.read(async |connection| given(connection).await).await?;
    target
        .write(async |connection| match connection.is_postgres() {
            true => into_postgres(connection, &given).await,
            false => into_sqlite(connection, &given).await,
        })
        .await
}

/// The last number that each table has given.
async fn given(connection: &mut Connection) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let mut given = BTreeMap::new();
    if !connection.is_postgres() {
        for row in query("SELECT name, seq FROM sqlite_sequence").fetch_all(&mut *connection).await? {
            given.insert(row.try_get(0)?, row.try_get(1)?);
        }
        return Ok(given);
    }
    for (table, column) in identities(connection).await? {
        let last =
            query("SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(?, ?)::regclass), 0)");
        let row = last.bind(&table).bind(column).fetch_one(&mut *connection).await?;
        given.insert(table, row.try_get(0)?);
    }
    for row in query("SELECT name, seq FROM numbering").fetch_all(&mut *connection).await? {
        given.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(given)
}

async fn into_postgres(
    connection: &mut Connection,
    given: &BTreeMap<String, i64>,
) -> Result<(), sqlx::Error> {
    for (table, column) in identities(connection).await? {
        let highest = Query::of(format!("SELECT coalesce(max({column}), 0) FROM {table}"));
        let highest: i64 = highest.fetch_one(&mut *connection).await?.try_get(0)?;
        // Of a table that numbers by its rows alone, SQLite says nothing.
        let last = highest.max(given.get(&table).copied().unwrap_or(0));
        let set = query("SELECT setval(pg_get_serial_sequence(?1, ?2)::regclass, greatest(?3, 1), ?3 > 0)");
        set.bind(&table).bind(column).bind(last).fetch_one(&mut *connection).await?;
    }
    let batches = query("UPDATE numbering SET seq = ? WHERE name = 'journal_batch'");
    batches.bind(given.get("journal_batch").copied().unwrap_or(0)).execute(&mut *connection).await.map(drop)
}

async fn into_sqlite(connection: &mut Connection, given: &BTreeMap<String, i64>) -> Result<(), sqlx::Error> {
    let counting =
        query("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'");
    for row in counting.fetch_all(&mut *connection).await? {
        let table: String = row.try_get(0)?;
        let Some(last) = given.get(&table).filter(|last| **last > 0) else { continue };
        query("DELETE FROM sqlite_sequence WHERE name = ?").bind(&table).execute(&mut *connection).await?;
        let set = query("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)");
        set.bind(&table).bind(*last).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The tables of PostgreSQL that number by themselves, with the column.
async fn identities(connection: &mut Connection) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = query(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
         WHERE table_schema = current_schema() AND is_identity = 'YES' ORDER BY 1",
    );
    let rows = rows.fetch_all(&mut *connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
