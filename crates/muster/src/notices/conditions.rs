//! Conditions, made of the picture that `muster status` shows: one truth, and no second look at anything.
//!
//! What many tenants have for one reason (an app's wrong secret, a sink that is down) is one condition; what each has by itself
//! (a lost consent) is one for each.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::{Fault, SourceWord};
use muster_model::TenantId;
use muster_store::CheckOutcome;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::shown::cause::{Cause, Level};
use crate::shown::output::{duration, number};
use crate::shown::state::since;
use crate::shown::status::{Snapshot, TenantStatus};

/// Something that people are told of, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub kind: Kind,
    /// Of what: a tenant's id, a sink's or an app's name, a part.
    pub subject: String,
    pub facts: Facts,
}

/// How a condition is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// What people call what it is of.
    pub named: String,
    pub tenant: Option<TenantNamed>,
    pub level: Urgency,
    /// In words.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Since when, where that is known better than from having seen it.
    pub since: Option<Timestamp>,
}

/// A tenant, as people know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantNamed {
    pub id: TenantId,
    pub slug: String,
    pub name: String,
}

/// A tenant that is silent for longer than is its habit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    pub tenant: TenantId,
    pub since: Timestamp,
    pub habit: Option<Habit>,
}

/// What it was before. It is forgotten while a silence lasts, of which it is no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habit {
    /// The longest that nothing came.
    pub longest_before: Duration,
    /// In how long.
    pub watched: Duration,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    Critical,
    Warning,
}

impl Urgency {
    /// The word in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

impl From<Level> for Urgency {
    fn from(level: Level) -> Self {
        match level {
            Level::Critical => Self::Critical,
            Level::Warning => Self::Warning,
        }
    }
}

impl Condition {
    /// What it is known by: `KIND/SUBJECT`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.subject)
    }
}

/// The conditions of a picture, and the tenants that are silent. Where nothing runs, nothing else is known.
#[must_use]
pub fn of(now: &Snapshot, silent: &[Silence]) -> Vec<Condition> {
    let mut found = Found::default();
    for cause in &now.causes {
        if !now.run.is_running() && cause.about != RUN {
            continue;
        }
        match cause.about.as_str() {
            TENANTS => of_tenants(cause, now, &mut found),
            _ => of_cause(cause, now, &mut found),
        }
    }
    if now.run.is_running() {
        credentials(now, &mut found);
        dead_letters(now, &mut found);
        for silence in silent {
            if let Some(tenant) = now.tenants.iter().find(|tenant| tenant.id == silence.tenant) {
                of_silence(tenant, silence, now.at, &mut found);
            }
        }
    }
    found.0.into_values().collect()
}

/// How the causes are called that this tells apart.
const TENANTS: &str = "tenants";
const RUN: &str = "run";
const MICROSOFT: &str = "microsoft";
const ROUTES: &str = "routes";
const JOURNAL: &str = "journal";
/// The part of `muster run` that says that the disk will be full.
pub const DISK: &str = "disk";
const SINK: &str = "sink ";
const APP: &str = "app ";
/// What a receiver of notices that fails is called.
pub const RECEIVER: &str = "notices ";

/// Conditions by key: what has several reasons is one, as bad as the worst of them.
#[derive(Default)]
struct Found(BTreeMap<String, Condition>);

impl Found {
    fn add(&mut self, condition: Condition) {
        let key = condition.key();
        let Some(known) = self.0.get_mut(&key) else {
            self.0.insert(key, condition);
            return;
        };
        let Facts { level, what, remedy, since, .. } = condition.facts;
        if !known.facts.what.contains(&what) {
            known.facts.what = format!("{}; {what}", known.facts.what);
        }
        if known.facts.remedy.is_empty() {
            known.facts.remedy = remedy;
        }
        known.facts.level = known.facts.level.min(level);
        known.facts.since = known.facts.since.into_iter().chain(since).min();
    }
}

/// A cause that is each tenant's own.
fn of_tenants(cause: &Cause, now: &Snapshot, found: &mut Found) {
    let kind = kind_of_fault(&cause.code);
    for tenant in now.tenants.iter().filter(|tenant| cause.all.contains(tenant.slug.as_str())) {
        let detail = tenant
            .sources
            .iter()
            .filter(|source| match source.fault {
                Some(fault) => fault.as_str() == cause.code,
                None => source.state.as_str() == cause.code,
            })
            .find_map(|source| source.last_error.clone())
            .or_else(|| tenant.reason.clone());
        let detail = detail.filter(|detail| !detail.is_empty() && *detail != cause.meaning);
        let what = match detail {
            Some(detail) => format!("{}: {detail}", cause.meaning),
            None => cause.meaning.clone(),
        };
        let since = tenant.sources.iter().filter_map(|source| source.trouble_since).min();
        found.add(Condition {
            kind,
            subject: tenant.id.to_string(),
            facts: Facts {
                named: tenant.slug.to_string(),
                tenant: Some(named(tenant)),
                level: cause.level.into(),
                what,
                remedy: cause.remedy.clone(),
                since: since.or(cause.since),
            },
        });
    }
}

/// What kind of condition a kind of trouble of one tenant is.
fn kind_of_fault(code: &str) -> Kind {
    match Fault::named(code).map(|fault| fault.meaning().state) {
        Some(SourceWord::ConsentLost | SourceWord::NoLicence) => Kind::ConsentLost,
        Some(SourceWord::NoToken) => Kind::SignInRefused,
        _ if code == "partial" => Kind::LedgerHole,
        _ => Kind::SourceBehind,
    }
}

/// A cause that is one thing, however many suffer from it.
fn of_cause(cause: &Cause, now: &Snapshot, found: &mut Found) {
    let about = cause.about.as_str();
    let (kind, subject) = if let Some(sink) = about.strip_prefix(SINK) {
        let kind = match cause.code.as_str() {
            "behind" => Kind::SinkBehind,
            // Told with how many lie there.
            "refused" => return,
            "given_up" => Kind::JournalBound,
            _ => Kind::SinkDown,
        };
        (kind, sink)
    } else if let Some(app) = about.strip_prefix(APP) {
        match cause.level {
            Level::Critical => (Kind::SignInRefused, app),
            // Told with the day on which it ends.
            Level::Warning if ends(now, app) => return,
            Level::Warning => (Kind::CredentialEnds, app),
        }
    } else if let Some(receiver) = about.strip_prefix(RECEIVER) {
        (Kind::ReceiverFailing, receiver)
    } else {
        match about {
            RUN => (Kind::NotRunning, "run"),
            MICROSOFT => (Kind::SourceBehind, MICROSOFT),
            ROUTES => (Kind::Unrouted, ROUTES),
            JOURNAL => (Kind::JournalBound, JOURNAL),
            DISK => (Kind::DiskFull, DISK),
            part => (Kind::PartDown, part),
        }
    };
    let mut what = cause.what.clone();
    let why = now.sinks.iter().find(|sink| about == format!("{SINK}{}", sink.sink));
    if let Some(why) = why.and_then(|sink| sink.last_error.as_deref()).filter(|_| kind == Kind::SinkDown) {
        what.push_str(&format!(": {why}"));
    }
    if !cause.examples.is_empty() {
        let more = cause.tenants.saturating_sub(cause.examples.len() as u64);
        let more = if more > 0 { format!(", {} more", number(more)) } else { String::new() };
        what.push_str(&format!(" ({}{more})", cause.examples.join(", ")));
    }
    found.add(Condition {
        kind,
        subject: subject.to_owned(),
        facts: Facts {
            named: subject.to_owned(),
            tenant: None,
            level: cause.level.into(),
            what,
            remedy: cause.remedy.clone(),
            since: cause.since,
        },
    });
}

/// Whether a check of the app tells when its credential ends, and warns of it.
fn ends(now: &Snapshot, app: &str) -> bool {
    let warns =
        |check: &muster_store::Check| check.outcome == CheckOutcome::Warning && check.expires_at.is_some();
    now.apps.iter().any(|status| status.app == app && status.checks.iter().any(warns))
}

/// What ends soon: of apps, and of people who signed in for a tenant.
fn credentials(now: &Snapshot, found: &mut Found) {
    let warns =
        |check: &&muster_store::Check| check.outcome == CheckOutcome::Warning && check.expires_at.is_some();
    for app in &now.apps {
        for check in app.checks.iter().filter(warns) {
            found.add(Condition {
                kind: Kind::CredentialEnds,
                subject: app.app.clone(),
                facts: Facts {
                    named: app.app.clone(),
                    tenant: None,
                    level: Urgency::Warning,
                    what: format!("app `{}`: {}", app.app, check.detail),
                    remedy: check.remedy.clone(),
                    since: None,
                },
            });
        }
    }
    for tenant in now.tenants.iter().filter(|tenant| tenant.is_worked_on()) {
        let idle = |check: &&muster_store::Check| warns(check) || check.code == "idle_grant";
        for check in tenant.checks.iter().filter(idle) {
            found.add(Condition {
                kind: Kind::CredentialEnds,
                subject: tenant.id.to_string(),
                facts: Facts {
                    named: tenant.slug.to_string(),
                    tenant: Some(named(tenant)),
                    level: Urgency::Warning,
                    what: check.detail.clone(),
                    remedy: check.remedy.clone(),
                    since: None,
                },
            });
        }
    }
}

/// Dead letters that lie there: of each sink, and of what could not be read.
fn dead_letters(now: &Snapshot, found: &mut Found) {
    let mut say = |subject: &str, what: String| {
        found.add(Condition {
            kind: Kind::DeadLetters,
            subject: subject.to_owned(),
            facts: Facts {
                named: subject.to_owned(),
                tenant: None,
                level: Urgency::Warning,
                what,
                remedy: "see `muster dead-letter list`; mend the cause, then `muster dead-letter replay`"
                    .to_owned(),
                since: None,
            },
        });
    };
    let mut of_sinks = 0;
    for sink in &now.sinks {
        of_sinks += sink.dead_letters;
        if sink.dead_letters > 0 && !sink.shadow {
            let letters = number(sink.dead_letters);
            say(
                &sink.sink,
                format!("sink `{}` has refused records for good; {letters} lie as dead letters", sink.sink),
            );
        }
    }
    if let unread @ 1.. = now.journal.dead_letters.saturating_sub(of_sinks) {
        say("sources", format!("what could not be read lies as dead letters: {}", number(unread)));
    }
}

fn of_silence(tenant: &TenantStatus, silence: &Silence, now: Timestamp, found: &mut Found) {
    let silent_for = duration(since(silence.since, now));
    let what = match silence.habit {
        Some(habit) => format!(
            "nothing new for {silent_for}, and never for more than {} before in {}; its sources can be read",
            duration(habit.longest_before),
            duration(habit.watched),
        ),
        None => format!("nothing new for {silent_for}, for longer than ever before; its sources can be read"),
    };
    found.add(Condition {
        kind: Kind::TenantSilent,
        subject: tenant.id.to_string(),
        facts: Facts {
            named: tenant.slug.to_string(),
            tenant: Some(named(tenant)),
            level: Urgency::Warning,
            what,
            remedy: "ask whether the customer's devices still report to Defender; `muster tenant show` and `muster ledger` tell what was read".to_owned(),
            since: Some(silence.since),
        },
    });
}

fn named(tenant: &TenantStatus) -> TenantNamed {
    TenantNamed { id: tenant.id, slug: tenant.slug.to_string(), name: tenant.name.clone() }
}
