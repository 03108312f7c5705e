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
    let sinks = known.sinks("amqp", |sink| match sink {
        SinkSettings::Amqp(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type amqp; add one, and this tells what its broker needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::from(
        "# On a node of RabbitMQ. Queues are quorum queues: what is confirmed is on the disks of most of their members. How long they may\n\
         # become is for you to say (max-length, max-length-bytes): with overflow reject-publish, what does not fit stays owed in Muster.\n\
         # A dead-letter exchange or a policy with drop-head would lose what was confirmed.\n",
    );
    let mut files = Vec::new();
    for (name, settings) in sinks {
        let file = format!("amqp-{}.json", plain(name));
        let queues = queues(known, settings);
        write_commands(&mut text, (name, &file), settings, &queues);
        files.push(File::new(file, format!("{:#}\n", definitions(settings, &queues))));
    }
    files.insert(0, File::new("amqp.txt", text));
    Ok(files)
}

fn vhost(settings: &AmqpSettings) -> &str {
    settings.url.0.first().and_then(|address| address.path.as_deref()).unwrap_or("/")
}

/// Queues, each with the routing key that leads to it: one for each tenant where the key has the tenant in it.
fn queues(known: &Known<'_>, settings: &AmqpSettings) -> BTreeSet<(String, String)> {
    let key = settings.key();
    let of_tenants = known.tenants.iter().flat_map(|tenant| {
        let label = tenant.label();
        let key = key.clone();
        // Where there is no exchange, the key is a queue's name; otherwise any source's records go into the tenant's
        // queue.
        let sources = if settings.exchange.is_empty() { &Source::ALL[..] } else { &Source::ALL[..1] };
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
    let vhost = vhost(settings);
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

fn write_commands(
    text: &mut String,
    (name, file): (&str, &str),
    settings: &AmqpSettings,
    queues: &BTreeSet<(String, String)>,
) {
    let (vhost, user) = (vhost(settings), settings.user.as_deref().unwrap_or("<USER-OF-THE-CERTIFICATE>"));
    // The default exchange is written to as `amq.default`.
    let exchange = if settings.exchange.is_empty() { "amq.default" } else { &settings.exchange };
    let write: String = exchange
        .chars()
        .flat_map(|letter| match letter.is_alphanumeric() || "_-".contains(letter) {
            true => vec![letter],
            false => vec!['\\', letter],
        })
        .collect();
    let password = match settings.mechanism {
        Mechanism::Plain => "rabbitmqctl add_user USER '<PASSWORD>'",
        Mechanism::External => "rabbitmqctl add_user USER '<NONE>' && rabbitmqctl clear_password USER",
    };
    // Writing to a String cannot fail.
    write!(
        text,
        "\n# Sink `{name}`: {count} queue(s) in virtual host {vhost}\n\
         rabbitmqctl import_definitions {file}\n\
         {password}\n\
         # It may write to the exchange, and no more.\n\
         rabbitmqctl set_permissions -p '{vhost}' '{user}' '^$' '^{write}$' '^$'\n",
        name = plain(name),
        count = queues.len(),
        vhost = plain(vhost),
        user = plain(user),
        password = password.replace("USER", &format!("'{}'", plain(user))),
    )
    .ok();
}
