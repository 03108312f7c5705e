//! `muster run`: collects and delivers until told to stop.

use std::io::IsTerminal;
use std::sync::Arc;

use muster_model::{Clock, SystemClock};

use super::Call;
use crate::exit_code::{Exit, Failed};
use crate::shown::telemetry;
use crate::{lifecycle, validation};

pub(crate) async fn run(call: &Call) -> Result<Exit, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = validation::settings_to_start(&call.config, &clock).await?;
    let level = match call.verbose {
        0 => settings.server.log_level.clone().unwrap_or_else(|| "info".to_owned()),
        1 => "debug".to_owned(),
        _ => "trace".to_owned(),
    };
    telemetry::start_logging(settings.server.log_format, Some(&level), std::io::stderr().is_terminal());
    lifecycle::run(&call.config, settings, clock).await
}
