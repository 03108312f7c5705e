//! `muster validate`: every mistake in the settings at once.

use std::path::Path;
use std::sync::Arc;

use muster_model::{Clock, SystemClock};
use serde::Serialize;

use crate::config::{Mistake, Settings};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, Tone};
use crate::wiring;
use muster_siem::sinks::SinkSettings;

#[derive(Serialize)]
struct Verdict {
    valid: bool,
    mistakes: Vec<Mistake>,
    apps: usize,
    sinks: usize,
    routes: usize,
}

pub(crate) async fn run(config: &Path, output: Output) -> Result<Exit, Failed> {
    let (mistakes, settings) = match Settings::read(config) {
        Ok(settings) => (unusable(&settings, config).await, Some(settings)),
        Err(mistakes) => (mistakes.0, None),
    };
    let valid = mistakes.is_empty();
    let count = |of: fn(&Settings) -> usize| settings.as_ref().map_or(0, of);
    let verdict = Verdict {
        valid,
        apps: count(|settings| settings.apps.len()),
        sinks: count(|settings| settings.sinks.len()),
        routes: count(|settings| settings.routes.len()),
        mistakes,
    };
    output.print(&verdict, |output| {
        if valid {
            return format!(
                "{} is valid: {} app(s), {} sink(s), {} route(s)",
                config.display(),
                verdict.apps,
                verdict.sinks,
                verdict.routes
            );
        }
        let mut table = output.table(&["where", "section", "mistake"]);
        for mistake in &verdict.mistakes {
            let place = match mistake.line {
                Some(line) => format!("{}:{line}", mistake.file.display()),
                None => mistake.file.display().to_string(),
            };
            table.add_row([
                output.text(place),
                output.text(&mistake.section),
                output.cell(&mistake.message, Tone::Bad),
            ]);
        }
        format!("{table}\n\n{} mistake(s)", verdict.mistakes.len())
    })?;
    Ok(if valid { Exit::Success } else { Exit::Settings })
}

/// What only shows when it is used: secrets that cannot be had, CA files that cannot be read.
async fn unusable(settings: &Settings, config: &Path) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let fetched = wiring::fetch_secrets(settings, &clock).await;
    let mut say = |section: String, message: String| {
        mistakes.push(Mistake { file: config.to_owned(), line: None, section, message });
    };
    // What lies in a vault that cannot be opened is one mistake, not one for each of its secrets.
    if let Err(error) = fetched {
        say("key_vault".to_owned(), error.to_string());
        return mistakes;
    }
    for (name, app) in &settings.apps {
        if let Err(error) = app.credential(&settings.folder) {
            say(format!("apps.{name}"), error.to_string());
        }
    }
    if let Err(error) = settings.network.proxy() {
        say("network".to_owned(), error);
    }
    for (name, sink) in &settings.sinks {
        // A file sink would be opened, and perhaps made, by this: `muster sink test` does that.
        if !matches!(sink, SinkSettings::File(_))
            && let Err(error) = wiring::open_sink(settings, name, sink, None, Arc::new(SystemClock))
        {
            say(format!("sinks.{name}"), error);
        }
    }
    if let Some(file) = &settings.cloud.ca_file
        && let Err(error) = std::fs::metadata(settings.path(file))
    {
        say("cloud".to_owned(), format!("ca_file {} cannot be read: {error}", file.display()));
    }
    mistakes
}
