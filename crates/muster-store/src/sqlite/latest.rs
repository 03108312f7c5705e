//! The latest version of each record.

use std::collections::HashMap;
use std::fmt::Write;

use muster_model::Source;
use sqlx::{Row, SqliteConnection};

use super::engine::SqliteStore;
use super::failure::Failure;
use super::rows::odd;
use crate::changes::{History, KnownLatest, LatestRow, NewLatest, record_key};

/// A row is one text within the JSON that carries many to one statement: where its outline begins (ten digits) and how long
/// it is (six), its place in the batch (ten), the batch and the place of the version before (twenty each), the time in
/// twenty characters, the id.
macro_rules! row_columns {
    () => {
        "?1, substr(j.value, 87), CAST(substr(j.value, 67, 20) AS INTEGER), ?2, CAST(substr(j.value, 17, 10) AS INTEGER),
         nullif(substr(?4, 1 + CAST(substr(j.value, 1, 10) AS INTEGER), CAST(substr(j.value, 11, 6) AS INTEGER)), x'')
         FROM json_each(?3) j"
    };
}

impl SqliteStore {
    /// What is known of the latest versions of the records `ids`.
    pub(super) async fn history(
        &self,
        source_no: i64,
        source: Source,
        ids: &[&str],
    ) -> Result<History, Failure> {
        let ids: Vec<_> = ids.iter().map(|id| record_key(id)).collect();
        let mut known = HashMap::new();
        // `CROSS JOIN` keeps SQLite from reading all of a source's records first.
        let rows = sqlx::query(
            "SELECT l.id, l.updated_at, l.batch_no, l.ordinal, l.outline FROM json_each(?2) j
             CROSS JOIN record_latest l ON l.source_no = ?1 AND l.id = j.value",
        )
        .bind(source_no)
        .bind(serde_json::to_string(&ids).map_err(odd)?)
        .fetch_all(&self.readers)
        .await?;
        for row in rows {
            let latest = KnownLatest {
                updated_at: row.try_get("updated_at")?,
                batch_no: row.try_get("batch_no")?,
                ordinal: row.try_get("ordinal")?,
                outline: row.try_get("outline")?,
            };
            known.insert(row.try_get("id")?, latest);
        }
        Ok(History { source_no, kind: source.kind(), known })
    }
}

/// Remembers the latest versions that are in a batch. Where another writer was faster, it is a conflict, and the page is
/// to be looked at anew.
pub(super) async fn write_latest(
    connection: &mut SqliteConnection,
    source_no: i64,
    batch_no: i64,
    latest: NewLatest,
) -> Result<(), Failure> {
    let NewLatest { first, next, outlines } = latest;
    if !first.is_empty() {
        // The key refuses what is known by now.
        sqlx::query(concat!(
            "INSERT INTO record_latest (source_no, id, updated_at, batch_no, ordinal, outline) SELECT ",
            row_columns!()
        ))
        .bind(source_no)
        .bind(batch_no)
        .bind(json_of(&first))
        .bind(&outlines)
        .execute(&mut *connection)
        .await?;
    }
    if !next.is_empty() {
        let replaced = sqlx::query(concat!(
            "INSERT OR REPLACE INTO record_latest (source_no, id, updated_at, batch_no, ordinal, outline) SELECT ",
            row_columns!(),
            " CROSS JOIN record_latest l ON l.source_no = ?1 AND l.id = substr(j.value, 87)
                 AND l.batch_no = CAST(substr(j.value, 27, 20) AS INTEGER)
                 AND l.ordinal = CAST(substr(j.value, 47, 20) AS INTEGER)"
        ))
        .bind(source_no)
        .bind(batch_no)
        .bind(json_of(&next))
        .bind(&outlines)
        .execute(&mut *connection)
        .await?;
        if replaced.rows_affected() != next.len() as u64 {
            return Err(Failure::Overtaken);
        }
    }
    Ok(())
}

fn json_of(rows: &[LatestRow]) -> String {
    let texts = rows.iter().map(|row| {
        let mut text = String::with_capacity(86 + row.id.len());
        let (start, length) = row.outline;
        let (batch_no, place) = row.replaces;
        write!(
            text,
            "{start:010}{length:06}{:010}{batch_no:020}{place:020}{:020}{}",
            row.ordinal, row.updated_at, row.id
        )
        .expect("writing to a string");
        text
    });
    serde_json::to_string(&texts.collect::<Vec<_>>()).expect("strings")
}
