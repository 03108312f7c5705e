//! `muster doctor`: what is wrong with an installation, from the settings to the last sink, each with its cure.
//!
//! It goes on where a part fails: settings with mistakes are looked at as far as they can be read. It repeats no check that
//! `validate`, `tenant check` or `sink test` makes: it runs those and puts what they find into one list.

mod disk;
mod finding;
mod hosts;
mod run;
mod settings;
mod sinks;
mod store;
mod tenants;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_model::Clock;
use muster_store::{OpenMode, Store, StoreLook};
use tokio::time::Instant;

use crate::config::Settings;
use crate::exit_code::Exit;
use crate::wiring;

use finding::Part;
pub(crate) use finding::{Finding, Level};
pub(crate) use tenants::Sample;

/// What is looked at beside the machine.
pub(crate) struct Examination<'a> {
    pub(crate) config: &'a Path,
    pub(crate) sample: Sample<'a>,
    /// Tenants that are not asked, named as others are.
    pub(crate) except: &'a [String],
    /// How long everything that waits for others may take together.
    pub(crate) within: Duration,
}

/// Looks at everything, and changes nothing but what reading in a person's name renews.
pub(crate) async fn examine(of: &Examination<'_>, clock: &Arc<dyn Clock>) -> Vec<Finding> {
    let until = Instant::now() + of.within;
    let (settings, is_read, mut findings) = settings::look(of.config, clock).await;
    let keys = store::key(&settings, &mut findings).await;
    let look = store::look(&settings, keys.as_ref(), &mut findings).await;
    disk::look(&settings, &mut findings);
    let sound = look.as_ref().filter(|look| look.is_current && keys.is_some());
    let store = open(&settings, sound, &mut findings).await;
    run::look(&settings, (look.as_ref(), store.as_ref()), clock, &mut findings).await;
    if !is_read {
        // Nobody has said that the key and the store lie where they were looked for.
        for finding in findings.iter_mut().filter(|finding| matches!(finding.part, Part::Key | Part::Store)) {
            finding.level = finding.level.min(Level::Warning);
        }
        // The defaults lead to Microsoft's own hosts, which nobody may have meant.
        let found = "hosts, tenants and sinks were not looked at: no settings say which";
        findings.push(Finding::warning(Part::Host, "network", found, "mend the settings first"));
        if let Some(store) = store {
            store.close().await;
        }
        return sorted(findings);
    }
    let (hosts, tenants, sinks) = tokio::join!(
        hosts::look(&settings, look.as_ref(), clock, until),
        tenants::look(&settings, store.as_ref(), (of.sample, of.except), clock, until),
        sinks::look(&settings, look.as_ref(), clock, until),
    );
    if let Some(store) = store {
        store.close().await;
    }
    findings.extend(hosts);
    findings.extend(tenants);
    findings.extend(sinks);
    sorted(findings)
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.part);
    findings
}

/// How the command ends: 0 unless something is a problem; as the failing part ends where there is only one such part.
pub(crate) fn exit(findings: &[Finding]) -> Exit {
    let mut exits = findings.iter().filter(|finding| finding.level == Level::Problem);
    let Some(first) = exits.next().map(|finding| finding.part.exit()) else { return Exit::Success };
    match exits.all(|finding| finding.part.exit() == first) {
        true => first,
        false => Exit::Failure,
    }
}

/// Opens a store that a look found to be sound. One of an earlier version is left as it is.
async fn open(
    settings: &Settings,
    sound: Option<&StoreLook>,
    findings: &mut Vec<Finding>,
) -> Option<Arc<dyn Store>> {
    sound?;
    match wiring::open_store(settings, OpenMode::Shared).await {
        Ok(store) => Some(store),
        Err(failed) => {
            let path = settings.path(&settings.store.path).display().to_string();
            let cure = failed.error.downcast_ref().map_or("muster status", |error| store::cure(error, false));
            let found = format!("it cannot be opened: {}", failed.told());
            findings.push(Finding::problem(Part::Store, path, found, cure));
            None
        }
    }
}
