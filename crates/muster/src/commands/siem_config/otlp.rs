//! OpenTelemetry Collector: a receiver for logs over OTLP/HTTP, as the sink sends them (Collector documentation, "OTLP Receiver").

use muster_siem::sinks::{OtlpSettings, SinkSettings};

use super::known::{File, Known};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

pub(super) fn files(known: &Known<'_>) -> Result<Vec<File>, Failed> {
    let sinks = known.sinks("otlp", |sink| match sink {
        SinkSettings::Otlp(settings) => Some(settings),
        _ => None,
    })?;
    if sinks.is_empty() {
        let said = "the settings have no sink of type otlp; add one, and this tells what its collector needs";
        return Err(Failed::say(Exit::NotFound, said));
    }
    // A file for each: in one, the second's receiver would take the place of the first's.
    let files = sinks
        .into_iter()
        .map(|(name, settings)| File::new(format!("otel-collector-{name}.yaml"), collector(name, settings)));
    Ok(files.collect())
}

fn collector(name: &str, settings: &OtlpSettings) -> String {
    let port = settings.url.port_or_known_default().unwrap_or(4318);
    let tls = match settings.url.scheme() {
        "https" => {
            "\n        tls:\n          cert_file: <CERTIFICATE>\n          key_file: <KEY>".to_owned()
                + if settings.client_key.is_some() {
                    "\n          client_ca_file: <CA OF MUSTER'S CLIENT CERTIFICATE>"
                } else {
                    ""
                }
        }
        _ => String::new(),
    };
    let headers: Vec<String> = settings.headers.keys().map(|key| plain(key)).collect();
    let headers = match headers.is_empty() {
        true => String::new(),
        false => format!("# The sink sends these headers: {}.\n", headers.join(", ")),
    };
    format!(
        "# For the OpenTelemetry Collector. Muster speaks OTLP over HTTP, not gRPC.\n\n# Sink `{name}`, service.name `{service}`, at {target}\n{headers}receivers:\n  otlp:\n    protocols:\n      http:\n        \
             endpoint: 0.0.0.0:{port}{tls}\n        # A request has up to 100 log records and {batch} bytes, or one that is bigger.\n        \
             max_request_body_size: 20971520\n\n# What comes twice is told by these attributes:\n#   muster.tenant.id, muster.source, \
             muster.record.id, muster.record.version, muster.part\nservice:\n  pipelines:\n    logs:\n      receivers: [otlp]\n      \
             exporters: [<EXPORTER>]\n",
        service = plain(&settings.service_name),
        target = plain(settings.url.as_str()),
        batch = settings.batch_size.0,
    )
}
