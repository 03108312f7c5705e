//! `muster run`: collects and delivers until told to stop.

use std::io::IsTerminal;
use std::path::Path;

use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::lifecycle;
use crate::shown::telemetry;

pub(crate) async fn run(config: &Path, verbose: u8) -> Result<Exit, Failed> {
    let settings = Settings::read(config)?;
    let level = match verbose {
        0 => settings.server.log_level.clone().unwrap_or_else(|| "info".to_owned()),
        1 => "debug".to_owned(),
        _ => "trace".to_owned(),
    };
    telemetry::start_logging(settings.server.log_format, Some(&level), std::io::stderr().is_terminal());
    lifecycle::run(config, settings).await
}
