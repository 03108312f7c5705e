//! NATS: the stream that a sink delivers to, and what its user may do (NATS "nats CLI", "Authorization", "nsc").

use std::fmt::Write as _;

use muster_siem::sinks::{Deduplicate, NatsSettings, SinkSettings};
use serde_json::json;

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("nats", |sink| match sink {
        SinkSettings::Nats(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type nats; add one, and this tells what its server needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::from(
        "# As somebody who may manage JetStream. How long and how much the stream keeps is for you to say in its file (max_age,\n\
         # max_bytes): what is there no longer comes again when it is sent again. Three replicas need a cluster of three servers.\n",
    );
    let mut files = Vec::new();
    for (name, settings) in sinks {
        let file = format!("nats-{}.json", plain(name));
        write_commands(&mut text, name, &file, settings);
        files.push(File::new(file, format!("{:#}\n", stream(settings))));
    }
    files.insert(0, File::new("nats.txt", text));
    Ok(files)
}

/// The stream's configuration, as `nats stream add --config` takes it.
fn stream(settings: &NatsSettings) -> serde_json::Value {
    let is_once = settings.deduplicate == Deduplicate::Subject;
    let hour = 3_600_000_000_000_u64;
    json!({
        "name": settings.stream,
        "subjects": [settings.stream_subject()],
        "retention": "limits",
        "storage": "file",
        "num_replicas": 3,
        "discard": "new",
        "max_msgs_per_subject": if is_once { 1 } else { -1 },
        "discard_new_per_subject": is_once,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "duplicate_window": if is_once { hour / 30 } else { hour },
    })
}

fn write_commands(text: &mut String, name: &str, file: &str, settings: &NatsSettings) {
    let (stream, subject) = (&settings.stream, settings.stream_subject());
    let (info, inbox) = (settings.info_subject(), format!("{}.>", settings.inbox_prefix));
    let domain = settings.domain.as_ref().map(|domain| format!(" --js-domain {domain}")).unwrap_or_default();
    let about = match settings.deduplicate {
        Deduplicate::Subject => "it keeps the first message of each subject, of which each event has its own",
        Deduplicate::Window => {
            "it knows for an hour (duplicate_window) what it has. Longer costs memory; deduplicate = \"subject\" knows for good"
        }
    };
    // Writing to a String cannot fail.
    write!(
        text,
        "\n# Sink `{name}`: stream {stream}; {about}\n\
         nats{domain} stream add {stream} --config {file}\n\
         # What its user may do and no more: in the server's configuration\n\
         #   permissions: {{\n\
         #     publish: [\"{subject}\", \"{info}\"]\n\
         #     subscribe: [\"{inbox}\"]\n\
         #   }}\n\
         # or in an account\n\
         nsc add user --name muster-{name} --allow-pub '{subject},{info}' --allow-sub '{inbox}'\n\
         nsc generate creds --name muster-{name}\n",
        name = plain(name),
    )
    .ok();
}
