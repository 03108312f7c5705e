//! RabbitMQ: the user of a sink and what it may do, and definitions of exchange, queues and bindings (RabbitMQ "Schema
//! Definition Export and Import", "Access Control", "Quorum Queues").

use std::collections::BTreeSet;
use std::fmt::Write as _;

use muster_model::Source;
use muster_siem::sinks::{AmqpSettings, Mechanism, SinkSettings};
use serde_json::{Value, json};

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("amqp", amqp)?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type amqp; add one, and this tells what its broker needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::from(
        "# On a node of RabbitMQ. Queues are quorum queues: what is confirmed is on the disks of most of their members. How long they may\n\
         # become is for you to say (max-length, max-length-bytes): with overflow reject-publish, what does not fit stays owed in Muster.\n\
         # A dead-letter exchange or a policy with drop-head would lose what was confirmed.\n",
    );
    let (mut files, all) = (Vec::new(), known.all_sinks(amqp));
    let mut written: Vec<&AmqpSettings> = Vec::new();
    for (name, settings) in sinks {
        let file = format!("amqp-{}.json", plain(name));
        let queues = queues(known, settings);
        // Writing to a String cannot fail.
        writeln!(
            text,
            "\n# Sink `{name}`: {count} queue(s) in virtual host {vhost}\nrabbitmqctl import_definitions {file}",
            name = plain(name),
            count = queues.len(),
            vhost = plain(settings.vhost()),
        )
        .ok();
        if !written.iter().any(|other| share_user(other, settings)) {
            let sharing = all.iter().map(|(_, other)| *other).filter(|other| share_user(other, settings));
            write_user(&mut text, settings, &sharing.map(exchange).collect());
            written.push(settings);
        }
        files.push(File::new(file, format!("{:#}\n", definitions(settings, &queues))));
    }
    files.insert(0, File::new("amqp.txt", text));
    Ok(files)
}

fn amqp(sink: &SinkSettings) -> Option<&AmqpSettings> {
    match sink {
        SinkSettings::Amqp(settings) => Some(settings),
        _ => None,
    }
}

/// Whether both are the same user of the same virtual host: permissions that are set for one are then the other's, too.
fn share_user(one: &AmqpSettings, other: &AmqpSettings) -> bool {
    let share_host = one.url.0.iter().any(|address| other.url.0.contains(address));
    let share_certificate = one.client_certificate == other.client_certificate;
    share_host && one.user == other.user && (one.user.is_some() || share_certificate)
}

/// The exchange as permissions name it: the default one is `amq.default` there.
fn exchange(settings: &AmqpSettings) -> &str {
    if settings.exchange.is_empty() { "amq.default" } else { &settings.exchange }
}

/// Queues, each with the routing key that leads to it: one for each tenant where the key has the tenant in it.
fn queues(known: &Known<'_>, settings: &AmqpSettings) -> BTreeSet<(String, String)> {
    let key = settings.key();
    // Where there is no exchange, the key is a queue's name; otherwise any source's records go into the tenant's
    // queue.
    let ours = &known.context.settings;
    let named = ours.hunts.keys().chain(ours.streams.keys());
    let sources: Vec<Source> = match settings.exchange.is_empty() {
        true => Source::ALL.iter().chain(named).copied().collect(),
        false => vec![Source::ALL[0]],
    };
    let of_tenants = known.tenants.iter().flat_map(|tenant| {
        let (label, key) = (tenant.label(), &key);
        sources.iter().map(move |source| {
            let whole = key.expand(&label, *source);
            match settings.exchange.is_empty() {
                true => (whole.clone(), whole),
                false => {
                    let words =
                        whole.split('.').map(|word| if word.contains(source.as_str()) { "*" } else { word });
                    let binding = words.collect::<Vec<_>>().join(".");
                    (binding.replace(".*", "").replace('*', "all"), binding)
                }
            }
        })
    });
    of_tenants.collect()
}

/// What `rabbitmqctl import_definitions` takes.
fn definitions(settings: &AmqpSettings, queues: &BTreeSet<(String, String)>) -> Value {
    let vhost = settings.vhost();
    let queue = |name: &str| {
        json!({
            "name": name, "vhost": vhost, "durable": true, "auto_delete": false,
            "arguments": { "x-queue-type": "quorum", "x-overflow": "reject-publish" },
        })
    };
    let mut definitions = json!({
        "vhosts": [{ "name": vhost }],
        "queues": queues.iter().map(|(name, _)| queue(name)).collect::<Vec<_>>(),
    });
    if !settings.exchange.is_empty() {
        definitions["exchanges"] = json!([{
            "name": settings.exchange, "vhost": vhost, "type": "topic", "durable": true, "auto_delete": false,
            "internal": false, "arguments": {},
        }]);
        let binding = |(name, key): &(String, String)| {
            json!({
                "source": settings.exchange, "vhost": vhost, "destination": name, "destination_type": "queue",
                "routing_key": key, "arguments": {},
            })
        };
        definitions["bindings"] = queues.iter().map(binding).collect();
    }
    definitions
}

/// The user, who may write to these exchanges.
fn write_user(text: &mut String, settings: &AmqpSettings, exchanges: &BTreeSet<&str>) {
    let user = settings.user.as_deref().unwrap_or("<USER-OF-THE-CERTIFICATE>");
    let literal = |exchange: &&str| -> String {
        exchange
            .chars()
            .flat_map(|letter| match letter.is_alphanumeric() || "_-".contains(letter) {
                true => vec![letter],
                false => vec!['\\', letter],
            })
            .collect()
    };
    let exchanges: Vec<String> = exchanges.iter().map(literal).collect();
    let (write, what) = match &exchanges[..] {
        [one] => (one.clone(), "the exchange"),
        several => (format!("({})", several.join("|")), "the exchanges of its sinks"),
    };
    let password = match settings.mechanism {
        Mechanism::Plain => "rabbitmqctl add_user USER '<PASSWORD>'",
        Mechanism::External => "rabbitmqctl add_user USER '<NONE>' && rabbitmqctl clear_password USER",
    };
    // Writing to a String cannot fail.
    write!(
        text,
        "{password}\n\
         # It may write to {what}, and no more.\n\
         rabbitmqctl set_permissions -p '{vhost}' '{user}' '^$' '^{write}$' '^$'\n",
        vhost = plain(settings.vhost()),
        user = plain(user),
        password = password.replace("USER", &format!("'{}'", plain(user))),
    )
    .ok();
}
