//! What a history tells of itself, for whoever reads a failure.

use std::sync::{Arc, Mutex};

/// The story of a history, kept only where somebody wants to read it.
#[derive(Clone)]
pub(crate) struct Log(Option<Arc<Mutex<Vec<String>>>>);

impl Log {
    pub(crate) fn new(kept: bool) -> Self {
        Self(kept.then(Arc::default))
    }

    pub(crate) fn line(&self, text: &str) {
        self.line_with(|| text.to_owned());
    }

    pub(crate) fn line_with(&self, text: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            lines.lock().expect("no panic while the lock is held").push(text());
        }
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.0.as_ref().map(|lines| lines.lock().expect("no panic while the lock is held"));
        lines.map(|lines| lines.join("\n")).unwrap_or_default()
    }
}
