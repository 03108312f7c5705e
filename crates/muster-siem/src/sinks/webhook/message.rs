//! What is posted: one event or several, under an id made from what their records are known by.

use bytes::Bytes;
use muster_model::{ContentHash, DeliveryBatch};

use super::settings::{BatchAs, WebhookSettings};
use crate::formats::Event;
use crate::sinks::batch::Part;
use crate::sinks::http;
use crate::sinks::record_ids::RecordIds;

/// What each message of a delivery batch is.
pub(super) struct Messages {
    ids: RecordIds,
    batch: BatchAs,
}

impl Messages {
    pub(super) fn of(batch: DeliveryBatch<'_>, settings: &WebhookSettings) -> Self {
        Self { ids: RecordIds::of(batch), batch: settings.batch }
    }

    /// Appends an event as it stands in a message: on a line of its own, or before a comma.
    pub(super) fn write(&self, event: &Event<'_>, buffer: &mut Vec<u8>) -> Result<(), String> {
        if self.batch == BatchAs::Ndjson {
            event.push_line(buffer);
            return Ok(());
        }
        buffer.extend_from_slice(event.bytes);
        if self.batch == BatchAs::Array {
            buffer.push(b',');
        }
        Ok(())
    }

    /// The id of the message that these events are: the same whenever the same events are sent together.
    pub(super) fn id_of(&self, part: &Part) -> String {
        let mut ids = part.events().map(|event| self.ids.of_event(&event));
        let id = match (ids.next(), ids.next()) {
            (Some(only), None) => only,
            (first, second) => {
                let all: Vec<String> = first.into_iter().chain(second).chain(ids).collect();
                format!("{:032x}", u128::from_be_bytes(ContentHash::of(all.join(" ").as_bytes()).0))
            }
        };
        format!("msg_{id}")
    }

    pub(super) fn body_of(&self, part: &Part) -> Bytes {
        let events = part.bytes();
        if self.batch == BatchAs::Array { http::json_list(&events) } else { events }
    }
}
