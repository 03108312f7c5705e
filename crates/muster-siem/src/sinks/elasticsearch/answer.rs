//! What the answer to a bulk request says of each event.

use std::borrow::Cow;
use std::collections::BTreeMap;

use muster_model::Trouble;
use serde::Deserialize;

use crate::sinks::batch::Fate;
use crate::sinks::error::shown;

/// How much of a reason is kept.
const REASON_CHARS_MAX: usize = 500;

/// The answer, as far as `filter_path` lets it through.
#[derive(Deserialize)]
pub(super) struct BulkAnswer<'a> {
    #[serde(borrow)]
    items: Vec<BTreeMap<Cow<'a, str>, Item<'a>>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "_id")]
    id: Option<Cow<'a, str>>,
    status: u16,
    #[serde(borrow)]
    error: Option<ItemError<'a>>,
}

#[derive(Deserialize)]
struct ItemError<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

impl<'a> BulkAnswer<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// What became of each event, in the order of `ids`; or why the answer cannot be believed.
    pub(super) fn fates(
        &self,
        ids: &[String],
        trouble: impl Fn(&str) -> Trouble,
    ) -> Result<Vec<Fate>, String> {
        if self.items.len() != ids.len() {
            return Err(format!(
                "the answer names {} events where {} were sent, so none counts as delivered",
                self.items.len(),
                ids.len()
            ));
        }
        let items = self.items.iter().zip(ids).map(|(item, id)| {
            let item = item.get("create").filter(|item| item.id.as_deref() == Some(id));
            let item =
                item.ok_or("the answer is not about the events that were sent, so none counts as delivered")?;
            Ok(item.fate(&trouble))
        });
        items.collect()
    }
}

impl Item<'_> {
    fn fate(&self, trouble: impl Fn(&str) -> Trouble) -> Fate {
        let kind = self.error.as_ref().map_or("", |error| &error.kind);
        let reason = self.error.as_ref().and_then(|error| error.reason.as_deref()).unwrap_or_default();
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let said = shown(&format!("{kind}: {reason}, HTTP {}", self.status));
        match (self.status, kind) {
            (200..=299, "") => Fate::Delivered,
            // It is there already: this very event, sent before.
            (409, "version_conflict_engine_exception") => Fate::Delivered,
            // Nothing about the event: who may write, whether anything may be written, whether there is room.
            (401 | 403, _) => Fate::Retry(trouble(&format!(
                "it may not be written ({said}): check the privileges, and whether the index is blocked, as it is when the disk is full"
            ))),
            (404, _) => Fate::Retry(trouble(&format!(
                "there is nothing to write into ({said}): create the index, or allow that it creates itself"
            ))),
            (400, "invalid_index_name_exception" | "index_closed_exception") => {
                Fate::Retry(trouble(&format!("the index cannot be written ({said}): check the sink's index")))
            }
            // The index that the event would begin: no event's fault.
            (400, _) if reason.contains("this action would add") => Fate::Retry(trouble(&format!(
                "the cluster has no room for another index ({said}): delete old ones, or raise cluster.max_shards_per_node"
            ))),
            (400 | 413, _) => Fate::Refused(format!("Elasticsearch refuses the event ({said})")),
            _ => Fate::Retry(trouble(&format!(
                "Elasticsearch is busy or down ({said}); tried again later, by itself"
            ))),
        }
    }
}
