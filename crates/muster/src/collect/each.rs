//! What belongs to a record, by a call of its own, where the service cannot put it into the page: the list alone, or the
//! record once more with it.

use muster_microsoft::FetchError;
use muster_microsoft::sources::{self, Rung, Target};
use muster_model::json::skim;
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
/// When so much is put together, it is accepted before more is: fifty incidents with hundreds of alerts are 150 MB.
const TOGETHER_BYTES: usize = 8 << 20;

/// Some records with what belongs to them.
pub(crate) struct Completed {
    pub(crate) records: Vec<(RecordHead, String)>,
    /// Hashes of those whose belongings could not be had: they come as they are.
    pub(crate) bare: Vec<u64>,
    /// What ended it where it was not the record that stood in the way: access, budget, throttling, no connection.
    pub(crate) ended: Option<FetchError>,
}

/// Puts what belongs to each record into it, as `rung` says; on other rungs it is there already. Stops with some megabytes, and
/// goes on with those that `records` has left then. What is complete is so whatever ends it: with a small budget it would begin
/// anew for ever.
pub(crate) async fn complete(
    caller: &Caller<'_>,
    rung: Rung,
    records: &mut std::vec::IntoIter<(RecordHead, &str)>,
) -> Completed {
    let mut completed =
        Completed { records: Vec::with_capacity(records.len()), bare: Vec::new(), ended: None };
    let mut bytes = 0;
    while bytes < TOGETHER_BYTES
        && let Some((head, body)) = records.next()
    {
        let whole = match rung {
            Rung::Each(key) => {
                list_of(caller, key, &head.id).await.map(|list| list.and_then(|list| with(body, key, &list)))
            }
            Rung::ByItself(_) => by_itself(caller, &head.id).await,
            Rung::Plain | Rung::Expand(_) => Ok(Some(body.to_owned())),
        };
        let whole = match whole {
            Ok(whole) => whole,
            Err(
                FetchError::BadRequest { .. } | FetchError::Unavailable { .. } | FetchError::ForeignLink(_),
            ) => None,
            Err(FetchError::Transport(muster_http::TransportError::TooLarge { .. })) => None,
            Err(error) => {
                completed.ended = Some(error);
                break;
            }
        };
        let whole = whole.and_then(|whole| {
            let read = RecordHead::read(caller.source.kind(), &whole).ok()?;
            (read.id == head.id).then_some((read, whole))
        });
        match whole {
            Some(record) => completed.records.push(record),
            None => {
                completed.bare.push(hash([head.id.as_bytes()]));
                completed.records.push((head, body.to_owned()));
            }
        }
        bytes += completed.records.last().map_or(0, |(_, body)| body.len());
    }
    completed
}

/// A record as it is by itself, which may be a newer version than the page's; `None` where it cannot be read whole.
async fn by_itself(caller: &Caller<'_>, id: &str) -> Result<Option<String>, FetchError> {
    let page = caller.fetch(&sources::one(caller.source, id, Rung::Plain)).await?;
    let whole = page.partial.is_none().then(|| without_annotations(&page.body)).flatten();
    Ok(whole.filter(|whole| whole.len() <= RECORD_BYTES_MAX))
}

/// The record in an answer, without what is the answer's own, so that it is like one of a page.
fn without_annotations(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}');
    if !body.trim_start().starts_with('{') {
        return None;
    }
    let mut fields = Vec::new();
    let read = skim::fields(body, |key, value| {
        if !key.starts_with("@odata.") {
            fields.push(format!("\"{key}\":{value}"));
        }
    });
    read.is_ok().then(|| format!("{{{}}}", fields.join(",")))
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
    // Megabytes, and so of the right length from the beginning.
    Some([open, comma, "\"", key, "\":[", list, "]}"].concat())
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
    use super::{with, without_annotations};

    #[test]
    fn a_list_is_put_into_a_record() {
        assert_eq!(
            with(r#"{"id":"1" }"#, "alerts", r#"{"id":"a"}"#).as_deref(),
            Some(r#"{"id":"1","alerts":[{"id":"a"}]}"#)
        );
        assert_eq!(with("{}", "alerts", "").as_deref(), Some(r#"{"alerts":[]}"#));
        assert_eq!(with("7", "alerts", ""), None);
    }

    #[test]
    fn a_record_by_itself_is_like_one_of_a_page() {
        let answer =
            "\u{feff}{ \"@odata.context\":\"x\" , \"id\": \"1\", \"t\":\"\\u00e9\",\"evidence\":[{}] }";
        let expected = r#"{"id":"1","t":"\u00e9","evidence":[{}]}"#;
        assert_eq!(without_annotations(answer.as_bytes()).as_deref(), Some(expected));
        for no_record in ["<html>", "7", "", "{\"id\":"] {
            assert_eq!(without_annotations(no_record.as_bytes()), None, "{no_record}");
        }
    }
}
