//! What was last told of each source's clock.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::SignedDuration;
use muster_model::{Source, TenantId};

/// A smaller difference is none.
const APART_MAX: SignedDuration = SignedDuration::from_mins(1);

/// What was last told of each source: how far Microsoft's clock is ahead of ours; zero: no difference.
#[derive(Debug, Default)]
pub struct Skews(Mutex<HashMap<(TenantId, Source), SignedDuration>>);

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The same as before.
    None,
    /// The first answer since the start, and nothing is wrong.
    First,
    /// The clocks differ by so much, or no more.
    Changed(SignedDuration),
}

impl Skews {
    pub(super) fn news(&self, of: (TenantId, Source), apart: SignedDuration) -> News {
        let apart = if apart.abs() > APART_MAX { apart } else { SignedDuration::ZERO };
        let mut told = self.0.lock().expect("no panic while the lock is held");
        let before = told.get(&of).copied();
        let is_news = match before {
            None => true,
            Some(before) => before.is_zero() != apart.is_zero() || (before - apart).abs() > APART_MAX,
        };
        if !is_news {
            return News::None;
        }
        told.insert(of, apart);
        if before.is_none() && apart.is_zero() { News::First } else { News::Changed(apart) }
    }
}
