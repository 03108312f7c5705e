//! What a stream is like, and what that means for what it is given.

use serde::Deserialize;

use super::answer::ApiError;
use super::settings::{Deduplicate, NatsSettings};
use crate::sinks::error::shown;

/// The answer to a question about a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) error: Option<ApiError>,
    pub(super) config: Option<StreamConfig>,
}

/// The configuration of a stream, as far as it concerns whoever publishes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    subjects: Vec<String>,
    retention: String,
    max_msgs: i64,
    max_bytes: i64,
    max_msgs_per_subject: i64,
    max_msg_size: i64,
    /// Nanoseconds, as all durations are.
    max_age: i64,
    discard: String,
    discard_new_per_subject: bool,
    storage: String,
    num_replicas: u32,
    no_ack: bool,
    sealed: bool,
    duplicate_window: i64,
    mirror: Option<serde::de::IgnoredAny>,
    subject_transform: Option<serde::de::IgnoredAny>,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            subjects: Vec::new(),
            retention: "limits".to_owned(),
            max_msgs: -1,
            max_bytes: -1,
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            max_age: 0,
            discard: "old".to_owned(),
            discard_new_per_subject: false,
            storage: "file".to_owned(),
            num_replicas: 1,
            no_ack: false,
            sealed: false,
            duplicate_window: 0,
            mirror: None,
            subject_transform: None,
        }
    }
}

impl StreamConfig {
    /// Why nothing could be delivered there as the settings promise, and what to do.
    pub(super) fn unfit(&self, settings: &NatsSettings) -> Option<String> {
        let stream = &settings.stream;
        let subject = settings.stream_subject();
        if self.name != *stream {
            return Some(format!("asked for stream `{stream}`, it tells of `{}`", shown(&self.name)));
        }
        if self.no_ack {
            return Some(format!(
                "stream `{stream}` acknowledges nothing (no_ack), so nothing could ever count as delivered: set no_ack to false"
            ));
        }
        if self.sealed {
            return Some(format!("stream `{stream}` is sealed, and takes nothing: name another one"));
        }
        if self.mirror.is_some() {
            return Some(format!(
                "stream `{stream}` is a mirror, and takes only what its origin has: name that one"
            ));
        }
        if !self.subjects.iter().any(|wide| covers(wide, &subject)) {
            return Some(format!(
                "stream `{stream}` does not have the subject `{subject}`: add it (`muster siem-config nats`), or change the \
                 sink's subject"
            ));
        }
        if settings.deduplicate == Deduplicate::Window {
            return None;
        }
        if self.subject_transform.is_some() {
            // Of two events whose subjects become one it would keep the first, and say that it has the other.
            return Some(format!(
                "deduplicate = \"subject\" needs a stream that keeps each event under its own subject, and `{stream}` changes \
                 subjects: take its subject_transform away, or name another stream"
            ));
        }
        let is_once = self.max_msgs_per_subject == 1 && self.discard == "new" && self.discard_new_per_subject;
        (!is_once).then(|| {
            format!(
                "deduplicate = \"subject\" needs a stream that keeps the first message of each subject, and `{stream}` does not: \
                 set max_msgs_per_subject to 1, discard to new and discard_new_per_subject to true (`muster siem-config nats`)"
            )
        })
    }

    /// What may be lost there after it was acknowledged, or come twice.
    pub(super) fn warnings(&self, settings: &NatsSettings) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.storage == "memory" {
            warnings.push("it is in memory, and a restart of the server loses it (storage)".to_owned());
        }
        if self.num_replicas < 2 {
            warnings
                .push("it has no replica: what its server's disk loses is lost (num_replicas)".to_owned());
        }
        let has_limit = self.max_msgs > 0 || self.max_bytes > 0;
        if self.discard != "new" && (has_limit || self.max_msgs_per_subject > 0) {
            warnings.push(
                "it drops old messages without a word when it is full, whether anybody has read them or not: set discard to new"
                    .to_owned(),
            );
        }
        if self.retention == "interest" {
            warnings.push("it keeps nothing that no consumer asks for (retention = interest)".to_owned());
        }
        if self.max_age > 0 {
            warnings.push(format!(
                "it drops what is older than {} s, read or not (max_age)",
                self.max_age / 1_000_000_000
            ));
        }
        let window = self.duplicate_window / 1_000_000_000;
        if settings.deduplicate == Deduplicate::Window && window < 120 {
            warnings.push(format!(
                "it knows what it has for {window} s only: what is sent again later is there twice (duplicate_window)"
            ));
        }
        if let Ok(bytes @ 1..) = u64::try_from(self.max_msg_size)
            && settings.event_bytes_max() > bytes
        {
            warnings.push(format!(
                "it takes messages of up to {bytes} bytes (max_msg_size): set event_size_max lower, with some room for headers"
            ));
        }
        warnings
    }
}

/// Whether every subject that fits `narrow` fits `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('.');
    for token in wide.split('.') {
        match (token, narrow.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(narrow)) if token == narrow => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_cover_each_other() {
        for (wide, narrow, is_covered) in [
            ("muster.>", "muster.*.*", true),
            ("muster.*.*", "muster.*.*", true),
            ("muster.*", "muster.*.*", false),
            ("muster.a.>", "muster.*.*", false),
            (">", "a", true),
            ("a.>", "a", false),
            ("a", "a", true),
            ("a.b", "a.*", false),
        ] {
            assert_eq!(covers(wide, narrow), is_covered, "{wide} {narrow}");
        }
    }
}
