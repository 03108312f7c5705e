//! What the stream's answer to a message says of it.

use muster_model::Trouble;
use serde::Deserialize;

use super::connection::Answer;
use super::settings::Deduplicate;
use crate::sinks::batch::Fate;
use crate::sinks::error::shown;

/// The answer to a message, as JetStream has it.
#[derive(Debug, Deserialize)]
struct PubAck {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

/// Why JetStream did not do what it was asked.
#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    pub(super) code: u16,
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

impl ApiError {
    /// In its own words, safe to print.
    pub(super) fn words(&self) -> String {
        shown(&format!("{}, {} {}", self.description, self.code, self.err_code))
    }
}

/// The stream's own limits: nothing new is taken where one of them is reached.
const STREAM_STORE_FAILED: u32 = 10_077;
const MESSAGE_TOO_LARGE: u32 = 10_054;
const OTHER_STREAM: u32 = 10_060;
const STREAM_NOT_FOUND: u32 = 10_059;
pub(super) const WRONG_LAST_SEQUENCE: u32 = 10_071;

/// What became of one event, of which this is the answer.
pub(super) fn fate(
    answer: &Answer,
    (stream, subject): (&str, &str),
    deduplicate: Deduplicate,
    trouble: impl Fn(&str) -> Trouble,
) -> Fate {
    let retry = |reason: String| Fate::Retry(trouble(&reason));
    let message = match answer {
        Answer::Message(message) => message,
        Answer::Forbidden(said) => return retry(forbidden(said, subject)),
    };
    if message.status == Some(503) {
        return retry(nobody_listens(stream, subject));
    }
    let Ok(answer) = serde_json::from_slice::<PubAck>(&message.payload) else {
        return retry(not_a_stream(subject));
    };
    let Some(error) = answer.error else {
        return match (answer.stream == stream, answer.seq) {
            // Also what it calls a duplicate: it has stored it before, under this number.
            (true, 1..) => Fate::Delivered,
            (true, 0) => retry(not_a_stream(subject)),
            (false, _) => retry(format!(
                "stream `{}` answers for `{subject}`, not `{stream}`: check the sink's stream and subject",
                shown(&answer.stream)
            )),
        };
    };
    let (words, description) = (error.words(), error.description.to_ascii_lowercase());
    match error.err_code {
        STREAM_STORE_FAILED if description.contains("maximum messages per subject exceeded") => {
            match deduplicate {
                // The subject is this event's own: the stream has it.
                Deduplicate::Subject if answer.stream == stream => Fate::Delivered,
                Deduplicate::Subject => retry(not_a_stream(subject)),
                Deduplicate::Window => retry(format!(
                    "stream `{stream}` takes no more messages of `{subject}` ({words}): set deduplicate = \"subject\" for a \
                     stream that keeps one message for each subject, or raise its max_msgs_per_subject"
                )),
            }
        }
        STREAM_STORE_FAILED if description.contains("message size exceeds") => {
            Fate::Refused(format!("stream `{stream}` refuses the event ({words})"))
        }
        STREAM_STORE_FAILED => retry(format!(
            "stream `{stream}` is full, or cannot store ({words}): raise its limits, or let consumers take from it"
        )),
        MESSAGE_TOO_LARGE => Fate::Refused(format!(
            "stream `{stream}` refuses the event ({words}): set event_size_max below its max_msg_size"
        )),
        OTHER_STREAM => retry(format!(
            "`{subject}` belongs to another stream than `{stream}` ({words}): check the sink's stream and subject, and the \
             subjects of the streams"
        )),
        STREAM_NOT_FOUND => retry(nobody_listens(stream, subject)),
        _ => retry(format!("JetStream does not store it at present ({words}); tried again later, by itself")),
    }
}

pub(super) fn nobody_listens(stream: &str, subject: &str) -> String {
    format!(
        "nobody takes what is published to `{}` (no responders): create stream `{stream}` with this subject \
         (`muster siem-config nats`), or switch JetStream on, on the server and for the account",
        shown(subject)
    )
}

pub(super) fn forbidden(said: &str, subject: &str) -> String {
    format!("the user may not publish to `{}` (`{said}`): allow it", shown(subject))
}

fn not_a_stream(subject: &str) -> String {
    format!(
        "what answers for `{}` is not a stream of JetStream: check which service or subscriber has this subject",
        shown(subject)
    )
}
