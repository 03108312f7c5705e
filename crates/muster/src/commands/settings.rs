//! `muster settings …`

use std::sync::Arc;

use muster_model::{Clock, SystemClock};
use serde::Serialize;

use super::Call;
use crate::config::{Fingerprints, RouteSettings, Settings, schema};
use crate::exit_code::{Exit, Failed};
use crate::route_changes;
use crate::shown::output::plain;
use crate::validation::{self, AtStart};
use crate::wiring;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SettingsCommand {
    /// What a reload (SIGHUP) of the `muster run` at work would change. Changes nothing.
    Diff,
    /// Print the JSON Schema of the settings file, for editors.
    Schema,
}

pub(crate) async fn run(command: &SettingsCommand, call: &Call) -> Result<Exit, Failed> {
    match command {
        SettingsCommand::Diff => diff(call).await,
        SettingsCommand::Schema => {
            // It is JSON either way.
            let text = serde_json::to_string_pretty(&schema()).map_err(std::io::Error::other)?;
            call.output.print(&schema(), |_| text)
        }
    }
}

/// What a reload would do.
#[derive(Debug, Serialize)]
struct Diff {
    /// Whether a `muster run` is at work; where none is, this is against the one that was last.
    running: bool,
    /// Whether a reload would be taken; the mistakes say why not.
    taken: bool,
    mistakes: Vec<String>,
    changes: Vec<Change>,
    /// What the changed routes come to, in words.
    routes: Vec<String>,
}

/// A key that says something else than the `muster run` at work has read.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    section: String,
    /// Empty where the section as a whole is new, gone, or a list.
    key: String,
    what: What,
    /// When it comes into use: `reload` or `restart`.
    takes: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Added,
    Removed,
    Changed,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

async fn diff(call: &Call) -> Result<Exit, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = Settings::read(&call.config)?;
    let keys = wiring::key_ring(&settings).ok();
    let look = wiring::look_at_store(&settings, keys.as_ref()).await?;
    let missing = || {
        let message = "no `muster run` of this version has left in the store which settings it uses: start it, or restart it, with these";
        Failed::say(Exit::NotFound, message)
    };
    let loaded = look.settings_loaded.as_ref().ok_or_else(missing)?;
    let part = |name: &str| loaded.get(name).cloned().ok_or_else(missing);
    let before: Fingerprints = serde_json::from_value(part("sections")?).map_err(|_| missing())?;
    let at_start: AtStart = serde_json::from_value(part("at_start")?).map_err(|_| missing())?;
    let routes: Vec<RouteSettings> =
        serde_json::from_value(part("route_settings")?).map_err(|_| missing())?;
    let needed = at_start.differing(&AtStart::of(&settings));
    let at_start =
        |section: &str, key: &str| needed.iter().any(|needed| needed.section == section && needed.key == key);
    let mut changes = changes(&before, &settings.sections, &at_start);
    // What an earlier reload has read and not put to use.
    for waiting in &needed {
        if !changes.iter().any(|change| change.section == waiting.section && change.key == waiting.key) {
            let (section, key) = (waiting.section.clone(), waiting.key.clone());
            changes.push(Change { section, key, what: What::Changed, takes: "restart" });
        }
    }
    // As the reload itself decides. What works now and would be down is known to the running process alone.
    let mistakes = match validation::settings_to_reload(&call.config, &clock).await {
        Ok(_) => Vec::new(),
        Err(failed) => failed.error.to_string().lines().map(str::to_owned).collect(),
    };
    let routes = route_changes::changes(&routes, &settings.routes, &look.tenants);
    let diff = Diff {
        running: look.is_owned,
        taken: mistakes.is_empty(),
        mistakes,
        changes,
        routes: routes.iter().map(route_changes::RouteChange::in_words).collect(),
    };
    call.output.print(&diff, |_| shown(&diff))?;
    Ok(if diff.taken { Exit::Success } else { Exit::Settings })
}

fn changes(
    before: &Fingerprints,
    after: &Fingerprints,
    at_start: &dyn Fn(&str, &str) -> bool,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let none = std::collections::BTreeMap::new();
    let sections: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for section in sections {
        let (had, has) = (before.get(section), after.get(section));
        let change = |key: &str, what: What| {
            let takes = if at_start(section, key) { "restart" } else { "reload" };
            Change { section: section.clone(), key: key.to_owned(), what, takes }
        };
        // A section with a name stands for something; of another, only the keys count.
        if section.contains('.') && (had.is_none() || has.is_none()) {
            changes.push(change("", if had.is_none() { What::Added } else { What::Removed }));
            continue;
        }
        let (had, has) = (had.unwrap_or(&none), has.unwrap_or(&none));
        let keys: std::collections::BTreeSet<&String> = had.keys().chain(has.keys()).collect();
        for key in keys {
            match (had.get(key), has.get(key)) {
                (None, _) => changes.push(change(key, What::Added)),
                (_, None) => changes.push(change(key, What::Removed)),
                (Some(had), Some(has)) if had != has => changes.push(change(key, What::Changed)),
                _ => {}
            }
        }
    }
    changes
}

fn shown(diff: &Diff) -> String {
    let mut lines = Vec::new();
    if !diff.running {
        lines.push("no `muster run` is at work: this is against the settings of the last one".to_owned());
    }
    for Change { section, key, what, takes } in &diff.changes {
        let place = match key.as_str() {
            "" => format!("[{section}]"),
            key => format!("[{section}] {key}"),
        };
        let after = if *takes == "restart" { "; only a restart takes it up" } else { "" };
        lines.push(format!("{} {}{after}", plain(&place), what.as_str()));
    }
    lines.extend(diff.routes.iter().map(|route| format!("routes: {}", plain(route))));
    if diff.changes.is_empty() {
        lines.push("nothing: the settings say what `muster run` has read".to_owned());
    }
    lines.push(
        "A reload also reads again what the settings name (secrets, certificates, queries); whether those changed is not told here, nor a changed user or password in an address."
            .to_owned(),
    );
    if !diff.taken {
        lines.push("A reload would be refused:".to_owned());
        lines.extend(diff.mistakes.iter().map(|mistake| format!("  {}", plain(mistake))));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sections: &[(&str, &[(&str, &str)])]) -> Fingerprints {
        let keys = |keys: &[(&str, &str)]| {
            keys.iter().map(|(key, hash)| ((*key).to_owned(), (*hash).to_owned())).collect()
        };
        sections.iter().map(|(section, of)| ((*section).to_owned(), keys(of))).collect()
    }

    #[test]
    fn a_change_is_told_by_its_key_and_when_it_comes_into_use() {
        let before =
            of(&[("server", &[("listen", "1")]), ("sinks.a", &[("url", "1")]), ("sinks.b", &[("url", "1")])]);
        let after = of(&[
            ("server", &[("listen", "2")]),
            ("sinks.b", &[("url", "1"), ("index", "1")]),
            ("sinks.c", &[]),
        ]);
        let told: Vec<String> = changes(&before, &after, &|section, _| section == "server")
            .into_iter()
            .map(|change| {
                format!("{} {} {} {}", change.section, change.key, change.what.as_str(), change.takes)
            })
            .collect();
        assert_eq!(
            told,
            [
                "server listen changed restart",
                "sinks.a  removed reload",
                "sinks.b index added reload",
                "sinks.c  added reload"
            ]
        );
    }
}
