//! Kafka: the topics of a sink, what its user may do, and what whoever reads the topics needs to know. For Azure Event
//! Hubs the same by Azure's command line, since no client may make topics there.
//!
//! Source: Apache Kafka, "Topic configs", "Authorization and ACLs"; Microsoft, "az eventhubs eventhub create".

use std::collections::BTreeSet;
use std::fmt::Write as _;

use muster_siem::sinks::{KafkaSettings, SaslMechanism, SinkSettings};

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};

/// What a broker counts in a batch beside the records of a request.
const BATCH_HEAD_BYTES: u64 = 4 << 10;

const CONSUMERS: &str = "\
# For those who read the topics

# One record is one event; its headers say which:
#   event_id         the same for an event that comes again, and for no other event: drop what was seen
#   tenant_id, source, record_id, record_version (when Microsoft last changed it), record_digest, content_type
#   part             2/3, where an event was too long for one record and was split
# The key is tenant_id/source/record_id: all versions of a record are in one partition. Keep each version, or the one with the
# latest record_version where only the last counts: a version that had to be sent again stands behind later ones.
# After a crash of Muster, what had no answer yet is sent again, at once after its start. Remember the event_ids of the last
# days at least, or those of a replay (muster replay) as long as you want one to do no harm. A compacted topic
# (cleanup.policy=compact) keeps one version of each record only.
";

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("kafka", |sink| match sink {
        SinkSettings::Kafka(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type kafka; add one, and this tells what its cluster needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::new();
    for (name, settings) in sinks {
        let topics: BTreeSet<String> =
            known.tenants.iter().map(|tenant| settings.topic.expand(&tenant.label())).collect();
        match settings.is_event_hubs() {
            true => event_hubs(&mut text, name, settings, &topics),
            false => kafka(&mut text, name, settings, &topics),
        }
    }
    text.push_str(CONSUMERS);
    Ok(vec![File::new("kafka.txt", text)])
}

fn kafka(text: &mut String, name: &str, settings: &KafkaSettings, topics: &BTreeSet<String>) {
    let brokers: Vec<String> = settings.brokers.iter().map(ToString::to_string).collect();
    let server =
        format!("--bootstrap-server {} --command-config <ADMIN.PROPERTIES>", quoted(&brokers.join(",")));
    let message_bytes = settings.record_size_max.0.max(settings.batch_size.0) + BATCH_HEAD_BYTES;
    // Writing to a String cannot fail.
    write!(
        text,
        "# Sink `{name}`: its topics. Partitions are for as many readers as you want; to add some later moves keys. With three\n\
         # replicas and min.insync.replicas=2, what Muster calls delivered outlives the loss of a broker; unclean elections lose it.\n\n"
    )
    .ok();
    for topic in topics {
        writeln!(
            text,
            "kafka-topics.sh {server} --create --if-not-exists --topic {topic} \\\n  --partitions 6 --replication-factor 3 \\\n  \
             --config min.insync.replicas=2 --config unclean.leader.election.enable=false \\\n  --config \
             max.message.bytes={message_bytes} --config retention.ms=604800000\n"
        )
        .ok();
    }
    let user = match (settings.sasl_mechanism, &settings.user) {
        (Some(SaslMechanism::OauthBearer), _) => "<THE TOKEN'S SUBJECT>",
        (_, Some(user)) => user,
        _ => "<THE CERTIFICATE'S NAME>",
    };
    let principal = quoted(&format!("User:{user}"));
    writeln!(text, "# What its user may do, and nothing else\n").ok();
    for topic in topics {
        writeln!(
            text,
            "kafka-acls.sh {server} --add --allow-principal {principal} \\\n  --operation Write --operation Describe --topic {topic}\n"
        )
        .ok();
    }
    writeln!(
        text,
        "# Brokers before Kafka 3.0 only: the right to write idempotently\n\nkafka-acls.sh {server} --add --allow-principal \
         {principal} \\\n  --operation IdempotentWrite --cluster\n"
    )
    .ok();
    if let (Some(mechanism @ (SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512)), Some(user)) =
        (settings.sasl_mechanism, &settings.user)
    {
        let hash = if mechanism == SaslMechanism::ScramSha256 { "SCRAM-SHA-256" } else { "SCRAM-SHA-512" };
        writeln!(
            text,
            "# The user itself\n\nkafka-configs.sh {server} --alter --entity-type users --entity-name {} \\\n  --add-config \
             '{hash}=[password=<PASSWORD>]'\n",
            quoted(user)
        )
        .ok();
    }
}

/// A text as one word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn event_hubs(text: &mut String, name: &str, settings: &KafkaSettings, topics: &BTreeSet<String>) {
    let host = settings.brokers.first().map_or("", |broker| &*broker.host);
    let namespace = host.split('.').next().unwrap_or_default();
    let at = format!("--resource-group <RESOURCE GROUP> --namespace-name {namespace}");
    writeln!(
        text,
        "# Sink `{name}`: its event hubs (topics), in a namespace of the Standard tier or above: Basic has no Kafka endpoint.\n"
    )
    .ok();
    for topic in topics {
        writeln!(
            text,
            "az eventhubs eventhub create {at} --name {topic} \\\n  --partition-count 4 --cleanup-policy Delete --retention-time \
             168\n"
        )
        .ok();
    }
    match settings.sasl_mechanism {
        Some(SaslMechanism::OauthBearer) => writeln!(
            text,
            "# What its app may do\n\naz role assignment create --role 'Azure Event Hubs Data Sender' --assignee {} \\\n  --scope \
             <THE NAMESPACE'S RESOURCE ID>\n",
            settings.oauth.as_ref().map_or("<CLIENT ID>".to_owned(), |oauth| quoted(&oauth.client_id))
        )
        .ok(),
        _ => writeln!(
            text,
            "# A key that may send, and nothing else; its connection string is the sink's password, its user $ConnectionString\n\n\
             az eventhubs namespace authorization-rule create {at} \\\n  --name muster --rights Send\naz eventhubs namespace \
             authorization-rule keys list {at} \\\n  --name muster --query primaryConnectionString --output tsv\n"
        )
        .ok(),
    };
}
