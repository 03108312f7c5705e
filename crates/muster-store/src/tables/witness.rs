//! Streams as witnesses: which alerts they name that a source has never brought.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::Witness;
use crate::counting::{hour_begin, hour_of};
use crate::failure::Failure;
use crate::sql::{Connection, query};
use crate::stored::timestamp;

/// So long an alert may take from a stream to the API.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// So many ids of an hour are told.
const IDS_MAX: usize = 10;
/// The alerts that streams of a source's tenant name, each with when it was made first, and whether the source has it. Rows
/// of other tables are known by their content, as 32 hexadecimal digits. What was made before the tenant is read is not
/// missing.
pub(crate) const NAMED: &str = "SELECT v.id, min(v.updated_at) AS made_at, NOT EXISTS (
         SELECT 1 FROM record_version a INDEXED BY record_version_of_record
         WHERE a.source_no = ?1 AND a.id = v.id AND a.ordinal >= 0) AS missing
     FROM source g JOIN tenant t ON t.tenant_no = g.tenant_no
         JOIN source s ON s.tenant_no = g.tenant_no AND s.enabled = 1 AND s.source LIKE 'streaming/%'
         CROSS JOIN record_version v ON v.source_no = s.source_no
     WHERE g.source_no = ?1 AND g.enabled = 1 AND v.updated_at >= max(?2, t.since) AND v.updated_at < ?3
         AND (length(v.id) <> 32 OR ltrim(v.id, '0123456789abcdef') <> '')
     GROUP BY v.id ORDER BY made_at, v.id";

/// What streams say of a source's hours, by number. Hours of which they say nothing are left out.
pub(crate) async fn named(
    connection: &mut Connection,
    source_no: i64,
    (first, last): (i64, i64),
    now: Timestamp,
) -> Result<HashMap<i64, Witness>, Failure> {
    let rows = query(NAMED)
        .bind(source_no)
        .bind(hour_begin(first))
        .bind(hour_begin(last.saturating_add(1)))
        .fetch_all(&mut *connection)
        .await?;
    let mut hours: HashMap<i64, Witness> = HashMap::new();
    for row in rows {
        let made_at = timestamp(row.try_get("made_at")?);
        let hour = hours.entry(hour_of(Some(made_at))).or_default();
        hour.named += 1;
        if row.try_get::<bool, _>("missing")? {
            hour.missing += 1;
            hour.is_overdue |= now.duration_since(made_at) >= OVERDUE_AFTER;
            if hour.first_missing.len() < IDS_MAX {
                hour.first_missing.push(row.try_get("id")?);
            }
        }
    }
    Ok(hours)
}
