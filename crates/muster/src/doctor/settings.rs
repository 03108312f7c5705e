//! The settings, and what they name.

use std::path::Path;
use std::sync::Arc;

use muster_model::Clock;

use super::finding::{Finding, Level, Part};
use crate::config::{Consequence, Mistake, Settings};
use crate::validation::{self, Validation};

/// Everything that `muster validate` finds, and the settings as far as they can be read; where nothing can, those of an empty
/// file, and false.
pub(super) async fn look(config: &Path, clock: &Arc<dyn Clock>) -> (Settings, bool, Vec<Finding>) {
    let Validation { settings, mistakes } = validation::validate(config, clock).await;
    let (settings, is_read) = match settings {
        Some(settings) => (settings, true),
        None => Settings::read_what_can_be(config),
    };
    // The key and the store are looked at once more, with their own cures.
    let is_elsewhere = |mistake: &&Mistake| {
        mistake.section == "store" && matches!(mistake.key.as_deref(), Some("path" | "master_key"))
    };
    let mut findings: Vec<Finding> =
        mistakes.iter().filter(|mistake| !is_elsewhere(mistake)).map(finding).collect();
    if findings.iter().all(|finding| finding.level != Level::Problem) {
        let (apps, sinks, routes) = (settings.apps.len(), settings.sinks.len(), settings.routes.len());
        let found = format!("{apps} app(s), {sinks} sink(s), {routes} route(s)");
        findings.insert(0, Finding::ok(Part::Settings, config.display().to_string(), found));
    }
    (settings, is_read, findings)
}

fn finding(mistake: &Mistake) -> Finding {
    let place = match mistake.line {
        Some(line) => format!("{}:{line}", mistake.file.display()),
        None => mistake.file.display().to_string(),
    };
    let about = match mistake.section.as_str() {
        "" => place.clone(),
        section => section.to_owned(),
    };
    let found = match &mistake.key {
        Some(key) => format!("{key}: {}", mistake.message),
        None => mistake.message.clone(),
    };
    let is_taken = mistake.key.as_deref() == Some("listen") && mistake.message.contains("in use");
    let cure = match mistake.consequence {
        _ if is_taken => {
            format!("`ss -ltnp` shows who listens there: stop it, or edit `listen` in {place}")
        }
        Consequence::Advice => format!("look at {place}"),
        _ if mistake.message.contains("`muster init`") => {
            "`muster init`, or name the settings with `--config`".to_owned()
        }
        _ => format!("edit {place}, then `muster validate`"),
    };
    match mistake.consequence {
        Consequence::Advice => Finding::warning(Part::Settings, about, found, cure),
        _ => Finding::problem(Part::Settings, about, found, cure),
    }
}
