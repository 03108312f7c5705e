//! The parts of a `muster run` that do not work while all else does: sinks that cannot be opened, apps without a
//! credential. Whoever meets one says so here; the heartbeat carries it to the store, and so to `muster status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use muster_store::PartTrouble;

/// What does not work, by part. Copies share it.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

impl Troubles {
    /// Says why a part, such as `sink splunk`, does not work; or with `None` that it does.
    pub fn set(&self, part: &str, reason: Option<&str>) {
        let mut troubles = self.0.lock().expect("no panic while the lock is held");
        match reason {
            Some(reason) => drop(troubles.insert(part.to_owned(), reason.to_owned())),
            None => drop(troubles.remove(part)),
        }
    }

    /// Forgets all: other settings have other parts.
    pub fn clear(&self) {
        self.0.lock().expect("no panic while the lock is held").clear();
    }

    pub fn all(&self) -> Vec<PartTrouble> {
        let troubles = self.0.lock().expect("no panic while the lock is held");
        let trouble =
            |(part, reason): (&String, &String)| PartTrouble { part: part.clone(), reason: reason.clone() };
        troubles.iter().map(trouble).collect()
    }
}
