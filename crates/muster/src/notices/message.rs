//! What a message says, before a template says it in the words of its receiver.

use jiff::Timestamp;
use muster_model::text::shown;
use serde::{Deserialize, Serialize};

use super::conditions::{Facts, TenantNamed, Urgency};
use super::kind::Kind;
use crate::shown::output::duration;
use crate::shown::state::since;

/// The longest line that a message has of others' words.
const LINE_MAX: usize = 300;
/// The longest text.
const TEXT_MAX: usize = 1_000;

/// Why somebody is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A condition holds.
    Began,
    /// It still does.
    Reminder,
    /// It is over.
    Ended,
    /// There is a new alert.
    Alert,
    /// There were more alerts than are told one by one.
    Untold,
    /// Somebody wants to see a message.
    Test,
}

impl Event {
    /// The word in the store and in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Reminder => "reminder",
            Self::Ended => "ended",
            Self::Alert => "alert",
            Self::Untold => "untold",
            Self::Test => "test",
        }
    }
}

/// What one message says. All of it may hold words of strangers; none has a control character or a line break.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub event: Event,
    /// What goes together: the condition's key, or the alert's. The end of something has the key of its beginning.
    pub key: String,
    pub kind: Option<Kind>,
    /// What people call what it is about.
    pub named: String,
    pub tenant: Option<TenantNamed>,
    pub level: Urgency,
    /// One line.
    pub title: String,
    /// In words, of one line.
    pub what: String,
    /// What to do; may be empty.
    pub remedy: String,
    /// When it was made.
    pub at: Timestamp,
    /// Since when it holds, or when the alert was made.
    pub since: Option<Timestamp>,
    /// Of what is over: for how many seconds it lasted.
    pub lasted_seconds: Option<u64>,
    /// Of an alert: its severity, services, devices, …
    pub facts: Vec<(String, String)>,
    /// Of an alert: where it is looked at. Always an address of Microsoft's.
    pub link: Option<String>,
    /// Of alerts that are not told one by one: how many.
    pub count: u64,
}

impl Notice {
    /// What is said of a condition.
    #[must_use]
    pub fn of_condition(
        event: Event,
        kind: Kind,
        key: &str,
        facts: &Facts,
        since_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        let whom = match &facts.tenant {
            Some(tenant) => format!("{} ({})", tenant.name, tenant.slug),
            None => facts.named.clone(),
        };
        let lasted = since(since_at, now);
        let word = kind.as_str().replace('_', " ");
        let title = match event {
            Event::Ended => format!("Over after {}: {word}, {whom}", duration(lasted)),
            Event::Reminder => format!("Still, for {}: {word}, {whom}", duration(lasted)),
            _ => format!("{word}, {whom}"),
        };
        Self {
            event,
            key: key.to_owned(),
            kind: Some(kind),
            named: shown(&facts.named, LINE_MAX),
            tenant: facts.tenant.clone(),
            level: facts.level,
            title: first_upper(&shown(&title, LINE_MAX)),
            what: shown(&facts.what, TEXT_MAX),
            remedy: if event == Event::Ended { String::new() } else { shown(&facts.remedy, TEXT_MAX) },
            at: now,
            since: Some(since_at),
            lasted_seconds: (event == Event::Ended).then_some(lasted.as_secs()),
            facts: Vec::new(),
            link: None,
            count: 0,
        }
    }

    /// What is said of alerts that are not told one by one.
    #[must_use]
    pub fn untold(count: u64, now: Timestamp) -> Self {
        Self {
            event: Event::Untold,
            key: "alerts/untold".to_owned(),
            kind: None,
            named: "alerts".to_owned(),
            tenant: None,
            level: Urgency::Warning,
            title: format!("{count} more alerts are not told one by one"),
            what: "more came than are told one by one, or what came could not be read; the SIEM has every one of them, and \
                   what cannot be read is told in the log and by `muster status`"
                .to_owned(),
            remedy: "narrow `alerts` of the receiver, such as to a severity or to some tenants".to_owned(),
            at: now,
            since: None,
            lasted_seconds: None,
            facts: Vec::new(),
            link: None,
            count,
        }
    }

    /// What is said to see whether it arrives.
    #[must_use]
    pub fn test(receiver: &str, now: Timestamp) -> Self {
        Self {
            event: Event::Test,
            key: format!("test/{receiver}"),
            named: receiver.to_owned(),
            title: format!("A test of the receiver {receiver}"),
            what: "somebody ran `muster notice test`; nothing is wrong".to_owned(),
            remedy: String::new(),
            count: 0,
            ..Self::untold(0, now)
        }
    }

    /// Whether what it tells of is over, or never was.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.event == Event::Ended
    }

    /// What alerting services know it by: short, of letters, digits and few signs, and the same from its beginning to its end.
    #[must_use]
    pub fn dedup_key(&self) -> String {
        let hash = muster_model::ContentHash::of(self.key.as_bytes());
        let hash: String = hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("muster-{hash}")
    }
}

/// One line of somebody else's words, of a length that can be read.
#[must_use]
pub fn line(text: &str) -> String {
    shown(text, LINE_MAX)
}

fn first_upper(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
