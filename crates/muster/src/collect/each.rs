//! What belongs to a record, by a call of its own, where the service cannot put it into the page.

use muster_microsoft::FetchError;
use muster_microsoft::sources::{self, Target};
use muster_model::page::{self, List};
use muster_model::{RecordHead, RecordKind, Source, TenantId};
use muster_store::StoreError;

use super::caller::Caller;
use super::collector::Collector;
use super::page::hash;

/// How many pages one record's belongings may have.
const PAGES_MAX: usize = 100;
/// How many items one such page may have.
const ITEMS_MAX: usize = 10_000;
/// The largest record that is put together.
const RECORD_BYTES_MAX: usize = 32 << 20;

/// A page's records with what belongs to them.
pub(crate) struct Completed {
    pub(crate) records: Vec<(RecordHead, String)>,
    /// Hashes of those whose belongings could not be had: they come as they are.
    pub(crate) bare: Vec<u64>,
}

/// Puts what belongs to each record into it, under `key`.
///
/// # Errors
/// When it is not the record that stands in the way: access, budget, throttling, no connection.
pub(crate) async fn complete(
    caller: &Caller<'_>,
    key: &str,
    records: Vec<(RecordHead, &str)>,
) -> Result<Completed, FetchError> {
    let mut completed = Completed { records: Vec::with_capacity(records.len()), bare: Vec::new() };
    for (head, body) in records {
        let list = match list_of(caller, key, &head.id).await {
            Ok(list) => list,
            Err(
                FetchError::BadRequest { .. } | FetchError::Unavailable { .. } | FetchError::ForeignLink(_),
            ) => None,
            Err(FetchError::Transport(muster_http::TransportError::TooLarge { .. })) => None,
            Err(error) => return Err(error),
        };
        let whole = list.and_then(|list| with(body, key, &list));
        match whole
            .and_then(|whole| RecordHead::read(caller.source.kind(), &whole).ok().map(|head| (head, whole)))
        {
            Some(record) => completed.records.push(record),
            None => {
                completed.bare.push(hash([head.id.as_bytes()]));
                completed.records.push((head, body.to_owned()));
            }
        }
    }
    Ok(completed)
}

/// The items of one record's list, as they stand between its brackets; `None` where it cannot be read whole.
async fn list_of(caller: &Caller<'_>, key: &str, id: &str) -> Result<Option<String>, FetchError> {
    let mut list = String::new();
    let mut target = sources::belongings(caller.source, id, key);
    for _ in 0..PAGES_MAX {
        let page = caller.fetch(&target).await?;
        let list_key = List::Field("value");
        let Ok(split) = page::split(&page.body, RecordKind::GraphAlert, list_key, ITEMS_MAX) else {
            return Ok(None);
        };
        if !split.is_whole() || page.partial.is_some() {
            return Ok(None);
        }
        for item in &split.items {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(item.body);
        }
        if list.len() > RECORD_BYTES_MAX {
            return Ok(None);
        }
        match split.next_link {
            Some(link) => target = Target::Link(link.into_owned()),
            None => return Ok(Some(list)),
        }
    }
    Ok(None)
}

/// The record with its list.
fn with(body: &str, key: &str, list: &str) -> Option<String> {
    let open = body.trim_ascii_end().strip_suffix('}')?.trim_ascii_end();
    let comma = if open.ends_with('{') { "" } else { "," };
    Some(format!("{open}{comma}\"{key}\":[{list}]}}"))
}

impl Collector {
    /// The records whose belongings have to be asked for: those that the journal does not hold with them already.
    pub(super) async fn not_whole_yet<'a>(
        &self,
        of: (TenantId, Source),
        key: &str,
        records: Vec<(RecordHead, &'a str)>,
    ) -> Result<Vec<(RecordHead, &'a str)>, StoreError> {
        let known = self.store.known_whole(of, key, &records).await?;
        let seen_again = known.iter().filter(|known| **known).count() as u64;
        metrics::counter!("muster_records_known_total", "source" => of.1.as_str()).increment(seen_again);
        Ok(records.into_iter().zip(known).filter(|(_, known)| !known).map(|(record, _)| record).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::with;

    #[test]
    fn a_list_is_put_into_a_record() {
        assert_eq!(
            with(r#"{"id":"1" }"#, "alerts", r#"{"id":"a"}"#).as_deref(),
            Some(r#"{"id":"1","alerts":[{"id":"a"}]}"#)
        );
        assert_eq!(with("{}", "alerts", "").as_deref(), Some(r#"{"alerts":[]}"#));
        assert_eq!(with("7", "alerts", ""), None);
    }
}
