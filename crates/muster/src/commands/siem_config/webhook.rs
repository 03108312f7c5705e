//! A webhook's receiver: what comes, how it is signed, and how to take each message once.

use std::fmt::Write as _;

use muster_siem::sinks::{BatchAs, SinkSettings};

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("webhook", |sink| match sink {
        SinkSettings::Webhook(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type webhook; add one, and this tells what its receiver has to know";
        return Err(Failed::say(Exit::NotFound, said));
    }
    let mut text = String::from("For whoever runs the receiver of Muster's webhooks.\n");
    for (name, settings) in sinks {
        let what = match (&settings.body, settings.batch) {
            (Some(_), BatchAs::Off) => {
                "one JSON body for each record, made by the sink's template".to_owned()
            }
            (Some(_), _) => "several JSON bodies, each made by the sink's template".to_owned(),
            (None, BatchAs::Off) => format!("one record in the format `{}`", settings.format.as_str()),
            (None, BatchAs::Array) => {
                format!("a JSON list of records in the format `{}`", settings.format.as_str())
            }
            (None, BatchAs::Ndjson) => {
                format!("a line for each record in the format `{}`", settings.format.as_str())
            }
        };
        let signed = match settings.signing_secrets.len() {
            0 => "Messages are not signed: add signing_secrets to the sink, and give the secret to the receiver.".to_owned(),
            count => format!(
                "Each is signed with {count} secret(s), as Standard Webhooks says: webhook-signature has `v1,` and HMAC-SHA256 over\n\
                 webhook-id.webhook-timestamp.body in Base64, once for each. The libraries of Standard Webhooks check it; in Python:\n\n    \
                 from standardwebhooks.webhooks import Webhook\n    event = Webhook(\"<whsec_…>\").verify(body, headers)"
            ),
        };
        // Writing to a String cannot fail.
        write!(
            text,
            "\nSink `{name}`: POST to its address at {target}, which may be a secret and stands in Muster's settings\n\nA request holds {what}.\n\n{signed}\n\nAnswer 2xx within {timeout:?} once the message is kept: it \
             counts as delivered then. What had no answer comes again with\nthe same webhook-id: keep the ids of some days, and \
             answer 2xx to one that is known. Answer 400 or 422 only to a message\nthat can never be taken, 429 or 503 with \
             Retry-After when it is too much, and 410 when nothing is wanted any more.\n",
            target = settings.url.origin(),
            timeout = settings.timeout.0,
        )
        .ok();
    }
    Ok(vec![File::new("webhook.txt", text)])
}
