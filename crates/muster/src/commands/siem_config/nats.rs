//! NATS: the stream that a sink delivers to, and what its user may do (NATS "nats CLI", "Authorization", "nsc").

use std::collections::BTreeSet;
use std::fmt::Write as _;

use muster_siem::sinks::{Deduplicate, NatsSettings, SinkSettings};
use serde_json::json;

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("nats", nats)?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type nats; add one, and this tells what its server needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::from(
        "# As somebody who may manage JetStream. How long and how much the stream keeps is for you to say in its file (max_age,\n\
         # max_bytes): what is there no longer comes again when it is sent again. Three replicas need a cluster of three servers.\n",
    );
    let (mut files, all) = (Vec::new(), known.all_sinks(nats));
    let mut written: Vec<&NatsSettings> = Vec::new();
    for (name, settings) in sinks {
        if !written.iter().any(|other| share_stream(other, settings)) {
            let sharing: Vec<_> =
                all.iter().copied().filter(|(_, other)| share_stream(other, settings)).collect();
            if let Some((other, _)) =
                sharing.iter().find(|(_, other)| other.deduplicate != settings.deduplicate)
            {
                let said = format!(
                    "sinks `{name}` and `{other}` share stream `{}` and differ in deduplicate, which a stream can do in one way \
                     only: let them be alike, or give each a stream of its own",
                    settings.stream
                );
                return Err(Failed::say(Exit::Settings, said));
            }
            let file = format!("nats-{}.json", plain(name));
            write_stream(&mut text, &file, settings, &sharing);
            files.push(File::new(file, format!("{:#}\n", stream(settings, &sharing))));
            written.push(settings);
        }
        write_user(&mut text, name, settings);
    }
    files.insert(0, File::new("nats.txt", text));
    Ok(files)
}

fn nats(sink: &SinkSettings) -> Option<&NatsSettings> {
    match sink {
        SinkSettings::Nats(settings) => Some(settings),
        _ => None,
    }
}

/// Whether both deliver to the same stream.
fn share_stream(one: &NatsSettings, other: &NatsSettings) -> bool {
    let share_server = one.url.0.iter().any(|address| other.url.0.contains(address));
    share_server && (&one.stream, &one.domain) == (&other.stream, &other.domain)
}

/// The stream's configuration, as `nats stream add --config` takes it, with the subjects of all sinks that share it.
fn stream(settings: &NatsSettings, sharing: &[(&str, &NatsSettings)]) -> serde_json::Value {
    let subjects: BTreeSet<String> = sharing.iter().map(|(_, sink)| sink.stream_subject()).collect();
    let is_once = settings.deduplicate == Deduplicate::Subject;
    let hour = 3_600_000_000_000_u64;
    json!({
        "name": settings.stream,
        "subjects": subjects,
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

fn write_stream(text: &mut String, file: &str, settings: &NatsSettings, sharing: &[(&str, &NatsSettings)]) {
    let names = sharing.iter().map(|(name, _)| format!("`{}`", plain(name))).collect::<Vec<_>>().join(", ");
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
        "\n# Stream {stream}, of sink {names}; {about}\n\
         nats{domain} stream add {stream} --config {file}\n",
        stream = settings.stream,
    )
    .ok();
}

fn write_user(text: &mut String, name: &str, settings: &NatsSettings) {
    let (subject, info) = (settings.stream_subject(), settings.info_subject());
    let inbox = format!("{}.>", settings.inbox_prefix);
    // Writing to a String cannot fail.
    write!(
        text,
        "\n# What the user of sink `{name}` may do and no more: in the server's configuration\n\
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
