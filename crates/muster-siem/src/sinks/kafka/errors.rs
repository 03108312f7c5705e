//! What the error codes of Kafka's brokers mean to a producer, and what is to be done about each.
//!
//! The question is always whether records may be in the log all the same. A leader that loses its office, or its disk,
//! while it waits for its followers answers with an error after it has written; only what is checked before anything
//! is written says that nothing was.
//!
//! Source: Apache Kafka, "Protocol guide", error codes; `ReplicaManager`, `DelayedProduce` and `ProducerStateManager`
//! of the broker.

/// What an error says of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in the log.
    Taken,
    /// The broker has had its numbers: a batch that was sent before is in the log, and one that was not is not.
    Repeated,
    /// It is in the log or not: the same batch is sent again, with the same numbers.
    Unknown,
    /// The same, and nobody knows whether that will ever help.
    Unclear,
    /// It was not written; nothing is wrong with its records.
    NotTaken,
    /// It was not written, and never will be as it is; put together anew, it may be.
    Unfit,
    /// It was not written since it is too large.
    TooLarge,
    /// It was not written since the broker takes some of its records for invalid.
    Invalid,
    /// It was not written, and nothing more of this producer will be: brokers do not remember it, or its numbers.
    Forgotten,
}

/// One error code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meaning {
    code: i16,
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What happened, and what to do about it.
    pub(super) advice: &'static str,
}

/// No error.
pub(super) const NONE: i16 = 0;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub(super) const LEADER_NOT_AVAILABLE: i16 = 5;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
pub(super) const TOPIC_AUTHORIZATION_FAILED: i16 = 29;

const fn meaning(code: i16, name: &'static str, verdict: Verdict, advice: &'static str) -> Meaning {
    Meaning { code, name, verdict, advice }
}

const BUSY: &str = "tried again later, by itself";
const MOVED: &str = "the partition's leader is moving; tried again, by itself";
const NO_TOPIC: &str =
    "create it (`muster siem-config kafka` prints the command); Muster makes none by itself";
const NO_RIGHT: &str =
    "give the sink's user WRITE and DESCRIBE on the topic (`muster siem-config kafka` prints the command)";

use Verdict::{Forgotten, Invalid, NotTaken, Repeated, Taken, TooLarge, Unclear, Unfit, Unknown};

static MEANINGS: [Meaning; 34] = [
    meaning(NONE, "NONE", Taken, ""),
    meaning(-1, "UNKNOWN_SERVER_ERROR", Unclear, "look into the broker's own log"),
    meaning(2, "CORRUPT_MESSAGE", NotTaken, "it was damaged on the way; tried again, by itself"),
    meaning(UNKNOWN_TOPIC_OR_PARTITION, "UNKNOWN_TOPIC_OR_PARTITION", Unknown, NO_TOPIC),
    meaning(LEADER_NOT_AVAILABLE, "LEADER_NOT_AVAILABLE", Unknown, MOVED),
    meaning(6, "NOT_LEADER_OR_FOLLOWER", Unknown, MOVED),
    meaning(
        7,
        "REQUEST_TIMED_OUT",
        Unknown,
        "not all replicas in sync have written it in time; tried again, by itself",
    ),
    meaning(8, "BROKER_NOT_AVAILABLE", Unknown, BUSY),
    meaning(9, "REPLICA_NOT_AVAILABLE", Unknown, MOVED),
    meaning(
        10,
        "MESSAGE_TOO_LARGE",
        TooLarge,
        "raise the topic's max.message.bytes, or lower the sink's record_size_max",
    ),
    meaning(13, "NETWORK_EXCEPTION", Unknown, BUSY),
    meaning(INVALID_TOPIC_EXCEPTION, "INVALID_TOPIC_EXCEPTION", NotTaken, "check the sink's topic"),
    meaning(
        18,
        "RECORD_LIST_TOO_LARGE",
        TooLarge,
        "raise the topic's segment.bytes, or lower the sink's batch_size",
    ),
    meaning(
        19,
        "NOT_ENOUGH_REPLICAS",
        NotTaken,
        "fewer replicas are in sync than the topic's min.insync.replicas: brokers are down",
    ),
    meaning(
        20,
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        Unknown,
        "fewer replicas are in sync than the topic's min.insync.replicas: brokers are down",
    ),
    meaning(21, "INVALID_REQUIRED_ACKS", NotTaken, "it does not take acks=all, which Muster needs"),
    meaning(TOPIC_AUTHORIZATION_FAILED, "TOPIC_AUTHORIZATION_FAILED", NotTaken, NO_RIGHT),
    meaning(
        31,
        "CLUSTER_AUTHORIZATION_FAILED",
        NotTaken,
        "brokers before Kafka 3.0 want IDEMPOTENT_WRITE on the cluster for the sink's user (`muster siem-config kafka` prints the command)",
    ),
    meaning(
        32,
        "INVALID_TIMESTAMP",
        Unfit,
        "the clock of this machine or of the broker is wrong, for the topic's message.timestamp bounds",
    ),
    meaning(35, "UNSUPPORTED_VERSION", NotTaken, "Muster needs Kafka 1.0 or later"),
    meaning(42, "INVALID_REQUEST", NotTaken, "look into the broker's own log"),
    meaning(
        43,
        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
        NotTaken,
        "the topic's message.format.version is older than Kafka 0.11",
    ),
    meaning(
        44,
        "POLICY_VIOLATION",
        Unclear,
        "a policy of the cluster refuses it, or Event Hubs throttles: more throughput units help",
    ),
    meaning(
        45,
        "OUT_OF_ORDER_SEQUENCE_NUMBER",
        Forgotten,
        "the broker lacks what it acknowledged before, as after an unclean leader election: look into its log",
    ),
    meaning(
        46,
        "DUPLICATE_SEQUENCE_NUMBER",
        Repeated,
        "the broker has had other records under these numbers; another producer's number is taken, by itself",
    ),
    meaning(
        47,
        "INVALID_PRODUCER_EPOCH",
        Forgotten,
        "the broker knows a newer producer of this number; another number is taken, by itself",
    ),
    meaning(56, "KAFKA_STORAGE_ERROR", Unknown, "the broker's disk fails; tried again, by itself"),
    meaning(
        59,
        "UNKNOWN_PRODUCER_ID",
        Forgotten,
        "the broker has forgotten the producer; another number is taken, by itself",
    ),
    meaning(72, "LISTENER_NOT_FOUND", Unknown, MOVED),
    meaning(74, "FENCED_LEADER_EPOCH", Unknown, MOVED),
    meaning(76, "UNSUPPORTED_COMPRESSION_TYPE", Unfit, "set the sink's compression to \"gzip\" or \"none\""),
    meaning(87, "INVALID_RECORD", Invalid, "the broker takes a record for invalid"),
    meaning(89, "THROTTLING_QUOTA_EXCEEDED", Unknown, BUSY),
    meaning(90, "PRODUCER_FENCED", Forgotten, "another number is taken, by itself"),
];

static OTHER: Meaning = meaning(0, "an error that is not known", Unclear, "look into the broker's own log");

/// What `code` means.
pub(super) fn of(code: i16) -> &'static Meaning {
    MEANINGS.iter().find(|meaning| meaning.code == code).unwrap_or(&OTHER)
}

/// Whether it says that there is no such topic, or none for this user.
pub(super) fn is_without_topic(code: i16) -> bool {
    [UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED].contains(&code)
}

/// The error in words, with what to do.
pub(super) fn words(code: i16) -> String {
    let Meaning { name, advice, .. } = of(code);
    format!("{name} ({code}): {advice}")
}

#[cfg(test)]
mod tests {
    use kafka_protocol::ResponseError;

    use super::*;

    /// The names are those of Kafka's own list.
    #[test]
    fn codes_have_the_names_that_kafka_gives_them() {
        for meaning in &MEANINGS {
            let theirs = ResponseError::try_from_code(meaning.code).map(|error| format!("{error:?}"));
            let ours = meaning.name.replace('_', "");
            let theirs = theirs.map_or_else(|| "none".to_owned(), |theirs| theirs.to_lowercase());
            let ours = ours.to_lowercase();
            assert!(theirs == ours || theirs == ours.replace("exception", ""), "{theirs} is not {ours}");
            assert_eq!(meaning.advice.is_empty(), meaning.verdict == Verdict::Taken);
        }
        assert!(words(999).contains("not known (999)"));
    }
}
