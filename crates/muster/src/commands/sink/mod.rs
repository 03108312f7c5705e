//! `muster sink …`

mod diff;
mod verify;
mod written;

use std::sync::Arc;

use muster_model::{Clock, SystemClock};
use serde::Serialize;

use super::Call;
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, Tone};
use crate::wiring;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SinkCommand {
    /// Check the way to sinks without sending a record.
    Test {
        /// Names; all when left out.
        sinks: Vec<String>,
    },
    /// List the sinks of the settings.
    List,
    /// What one sink has and another has not, of the records that the journal holds. Changes nothing.
    Diff(diff::Args),
    /// Ask the receiver whether what it acknowledged is there: Splunk by a search, a raw file by reading it.
    Verify(verify::Args),
}

#[derive(Serialize)]
struct Tested {
    sink: String,
    works: bool,
    finding: String,
}

#[derive(Serialize)]
struct Listed<'a> {
    sink: &'a str,
    r#type: &'static str,
    /// Whether nothing depends on it.
    shadow: bool,
    target: String,
}

pub(crate) async fn run(command: &SinkCommand, call: &Call) -> Result<Exit, Failed> {
    let (config, output) = (call.config.as_path(), call.output);
    match command {
        SinkCommand::Diff(args) => call.open(async |context| diff::run(args, context).await).await,
        SinkCommand::Verify(args) => call.open(async |context| verify::run(args, context).await).await,
        SinkCommand::List => list(&Settings::read(config)?, output),
        SinkCommand::Test { sinks } => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            test(sinks, &wiring::read_settings(config, &clock).await?, output).await
        }
    }
}

fn list(settings: &Settings, output: Output) -> Result<Exit, Failed> {
    let shadows = settings.shadows();
    let sinks: Vec<Listed<'_>> = settings
        .sinks
        .iter()
        .map(|(sink, of)| {
            let (shadow, target) = (shadows.contains_key(sink), of.any().target());
            Listed { sink, r#type: of.type_name(), shadow, target }
        })
        .collect();
    output.print(&sinks, |output| {
        let mut table = output.table(&["sink", "type", "target"]);
        for sink in &sinks {
            let kind = if sink.shadow { format!("{}, shadow", sink.r#type) } else { sink.r#type.to_owned() };
            table.add_row([sink.sink, &kind, &sink.target].map(|text| output.text(text)));
        }
        table.to_string()
    })
}

async fn test(names: &[String], settings: &Settings, output: Output) -> Result<Exit, Failed> {
    if let Some(unknown) = names.iter().find(|name| !settings.sinks.contains_key(*name)) {
        let known = settings.sinks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Failed::say(
            Exit::NotFound,
            format!("there is no sink `{unknown}`; the sinks are: {known}"),
        ));
    }
    let mut tested = Vec::new();
    for (name, sink) in settings.sinks.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        let result = wiring::test_sink(settings, name, sink, Arc::new(SystemClock)).await;
        let works = result.is_ok();
        tested.push(Tested { sink: name.clone(), works, finding: result.unwrap_or_else(|error| error) });
    }
    output.print(&tested, |output| {
        let mut table = output.table(&["sink", "works", "finding"]);
        for sink in &tested {
            let (word, tone) = if sink.works { ("yes", Tone::Good) } else { ("no", Tone::Bad) };
            table.add_row([output.text(&sink.sink), output.cell(word, tone), output.text(&sink.finding)]);
        }
        table.to_string()
    })?;
    Ok(if tested.iter().all(|sink| sink.works) { Exit::Success } else { Exit::Sink })
}
