//! Notes for live cursors: left beside them, and taken in when they are leased.

use std::collections::HashMap;

use muster_model::{Cursor, Note};

use super::rows::odd;
use crate::failure::Failure;
use crate::sql::{Connection, query};

/// Leaves notes for the live cursor of a source.
pub(super) async fn leave_notes(
    connection: &mut Connection,
    source_no: i64,
    notes: &[Note],
) -> Result<(), Failure> {
    if notes.is_empty() {
        return Ok(());
    }
    let texts = notes.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>().map_err(odd)?;
    query("INSERT INTO cursor_note (source_no, note) SELECT ?1, value FROM json_each(?2)")
        .bind(source_no)
        .bind(serde_json::to_string(&texts).map_err(odd)?)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Has live cursors that have just been leased, by number of their source, take their notes in.
pub(super) async fn take_notes_in(
    connection: &mut Connection,
    mut live: HashMap<i64, (i64, &mut Cursor)>,
) -> Result<(), Failure> {
    let sources = serde_json::to_string(&live.keys().collect::<Vec<_>>()).map_err(odd)?;
    let rows = query(
        "SELECT source_no, note FROM cursor_note WHERE source_no IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
         ORDER BY note_no",
    )
    .bind(&sources)
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut changed = HashMap::new();
    for row in rows {
        let source_no: i64 = row.try_get("source_no")?;
        let note: Note = serde_json::from_str(row.try_get("note")?).map_err(odd)?;
        if let Some((cursor_no, cursor)) = live.get_mut(&source_no) {
            cursor.note(&note);
            changed.insert(*cursor_no, serde_json::to_string(cursor).map_err(odd)?);
        }
    }
    for (cursor_no, cursor) in changed {
        query("UPDATE cursor SET cursor = ? WHERE cursor_no = ?")
            .bind(cursor)
            .bind(cursor_no)
            .execute(&mut *connection)
            .await?;
    }
    query("DELETE FROM cursor_note WHERE source_no IN (SELECT CAST(value AS BIGINT) FROM json_each(?))")
        .bind(sources)
        .execute(&mut *connection)
        .await?;
    Ok(())
}
