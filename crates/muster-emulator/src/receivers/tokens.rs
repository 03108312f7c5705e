//! The tokens of the HTTP Event Collector: which indexes each may write to, and what came with it.
//!
//! The first token may write everywhere. A further one has a list of indexes, as in Splunk's `indexes`: an event that names
//! none goes to the first of them, and one that names another is refused with its whole request.

use std::collections::HashMap;

use tokio::time::Instant;

/// What came with a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HecTokenTally {
    /// Events that were taken, by tenant.
    pub events: HashMap<String, u64>,
    /// Requests that were refused since an event named an index that the token may not write to.
    pub wrong_indexes: u64,
    /// When the first event was taken.
    pub first_at: Option<Instant>,
    /// When the last event was taken.
    pub last_at: Option<Instant>,
}

/// All tokens that are taken.
#[derive(Debug, Default)]
pub(super) struct HecTokens {
    by_token: HashMap<String, HecToken>,
}

#[derive(Debug, Default)]
struct HecToken {
    /// Empty: all.
    indexes: Vec<String>,
    tally: HecTokenTally,
}

impl HecTokens {
    pub(super) fn new(token: String) -> Self {
        Self { by_token: HashMap::from([(token, HecToken::default())]) }
    }

    /// Takes a token from now on, for these indexes.
    pub(super) fn add(&mut self, token: String, indexes: Vec<String>) {
        self.by_token.entry(token).or_default().indexes = indexes;
    }

    /// Takes a token no more.
    pub(super) fn remove(&mut self, token: &str) {
        self.by_token.remove(token);
    }

    pub(super) fn takes(&self, token: &str) -> bool {
        self.by_token.contains_key(token)
    }

    /// Whether a token may write to an index; `None` for that of the token.
    pub(super) fn allows(&self, token: &str, index: Option<&str>) -> bool {
        let Some(HecToken { indexes, .. }) = self.by_token.get(token) else { return false };
        indexes.is_empty() || index.is_none_or(|index| indexes.iter().any(|allowed| allowed == index))
    }

    pub(super) fn refused(&mut self, token: &str) {
        if let Some(token) = self.by_token.get_mut(token) {
            token.tally.wrong_indexes += 1;
        }
    }

    /// An event of this tenant was taken.
    pub(super) fn took(&mut self, token: &str, tenant: &str) {
        let Some(HecToken { tally, .. }) = self.by_token.get_mut(token) else { return };
        match tally.events.get_mut(tenant) {
            Some(events) => *events += 1,
            None => drop(tally.events.insert(tenant.to_owned(), 1)),
        }
        let now = Instant::now();
        tally.first_at.get_or_insert(now);
        tally.last_at = Some(now);
    }

    pub(super) fn tallies(&self) -> HashMap<String, HecTokenTally> {
        self.by_token.iter().map(|(token, of)| (token.clone(), of.tally.clone())).collect()
    }
}
