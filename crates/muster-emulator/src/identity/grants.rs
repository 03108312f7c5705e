//! What the platform has handed out and must recognise: codes, refresh tokens, device codes, sessions of browsers and
//! the pages that they are on.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::world::ticks::Ticks;

use super::application::Platform;
use super::claims::Version;
use super::flow::{Challenge, OpenPage, Person, RequestedAccess};

/// How long an authorisation code works.
pub(crate) const CODE_SECONDS: i64 = 600;
/// How long a refresh token that is not used works.
pub(crate) const REFRESH_SECONDS: i64 = 90 * 86_400;
/// How long a device code works.
pub(crate) const DEVICE_SECONDS: i64 = 900;
/// How long a client of the device flow waits between two polls.
pub(crate) const DEVICE_INTERVAL_SECONDS: i64 = 5;
/// How long a page may stay open.
pub(crate) const PAGE_SECONDS: i64 = 900;

/// How many of the secrets that were handed out are remembered.
const ISSUED_MAX: usize = 20_000;

/// A map that forgets its oldest entries.
pub(crate) struct Bounded<V> {
    entries: HashMap<String, V>,
    order: VecDeque<String>,
    most: usize,
}

impl<V> Bounded<V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), most }
    }

    pub(crate) fn insert(&mut self, key: String, value: V) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.entries.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Takes an entry out. Its place in the order is kept until it is the oldest: keys are never made twice.
    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        self.entries.remove(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &V)> {
        self.entries.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut()
    }
}

/// An authorisation code.
pub(crate) struct Code {
    pub(crate) app_id: String,
    pub(crate) person: Person,
    pub(crate) wanted: Option<RequestedAccess>,
    pub(crate) version: Version,
    pub(crate) redirect: String,
    pub(crate) platform: Platform,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) nonce: Option<String>,
    pub(crate) issued: Ticks,
    pub(crate) used: bool,
}

/// A refresh token.
pub(crate) struct Refresh {
    pub(crate) app_id: String,
    pub(crate) person: Person,
    pub(crate) oidc: BTreeSet<String>,
    pub(crate) wanted: Option<RequestedAccess>,
    pub(crate) issued: Ticks,
    /// Whether the client proved itself by nothing.
    pub(crate) public: bool,
    /// The code that it is refused with, once it was ended.
    pub(crate) ended: Option<u32>,
}

/// A sign-in on another device.
pub(crate) struct Device {
    pub(crate) user_code: String,
    pub(crate) app_id: String,
    /// `None`: whatever tenant the person is of.
    pub(crate) tenant: Option<u32>,
    pub(crate) wanted: Option<RequestedAccess>,
    pub(crate) issued: Ticks,
    pub(crate) outcome: DeviceOutcome,
}

/// What became of a sign-in on another device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceOutcome {
    Pending,
    Approved(Person),
    Declined,
    Redeemed,
}

/// A browser that somebody signed in with.
pub(crate) struct Session {
    pub(crate) person: Person,
    pub(crate) since: Ticks,
}

/// Everything that was handed out.
pub(crate) struct Grants {
    pub(crate) codes: Bounded<Code>,
    pub(crate) refresh: Bounded<Refresh>,
    pub(crate) devices: Bounded<Device>,
    pub(crate) sessions: Bounded<Session>,
    pub(crate) pages: Bounded<OpenPage>,
    /// Every secret that was handed out, the newest last, whatever became of it.
    issued: VecDeque<String>,
    /// What the `claims` parameter asked for, by `uti` of the token that it gave.
    pub(crate) asked_claims: Bounded<serde_json::Value>,
}

impl Grants {
    pub(crate) fn new() -> Self {
        Self {
            codes: Bounded::new(50_000),
            refresh: Bounded::new(200_000),
            devices: Bounded::new(10_000),
            sessions: Bounded::new(10_000),
            pages: Bounded::new(10_000),
            issued: VecDeque::new(),
            asked_claims: Bounded::new(20_000),
        }
    }

    /// Notes a secret that goes out.
    pub(crate) fn note_issued(&mut self, secret: &str) {
        if self.issued.len() >= ISSUED_MAX {
            self.issued.pop_front();
        }
        self.issued.push_back(secret.to_owned());
    }

    pub(crate) fn issued(&self) -> impl Iterator<Item = &String> {
        self.issued.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut map = Bounded::new(2);
        for key in ["a", "b", "c"] {
            map.insert(key.to_owned(), key);
        }
        assert_eq!((map.get("a"), map.get("b"), map.get("c")), (None, Some(&"b"), Some(&"c")));
        map.insert("c".to_owned(), "again");
        assert_eq!((map.remove("c"), map.remove("c")), (Some("again"), None));
    }
}
