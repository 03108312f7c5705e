//! What the log is told of trouble: a line when a cause begins, and one when it is over, however many tenants suffer from it.
//!
//! Trouble that lies in each tenant by itself is a cause of many, too, where it is of one kind: those that join it later are
//! named in a line at most once a minute. The state of things is in `muster status`; this is what changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::Fault;
use muster_model::{Source, Tenant, TenantId};
use muster_store::{Check, CheckOutcome, Grant};

use crate::shown::cause::{Subject, in_words, plural};
use crate::shown::output::duration;
use crate::shown::state::since;
use crate::store_told::StoreTold;

/// Those that join a cause are told at most so often.
const JOINED_EVERY: Duration = Duration::from_secs(60);
/// So many of them are named.
const NAMED: usize = 5;
/// An idle grant that could not be renewed is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(900);

/// How what suffers begins where it is a tenant's queue to a sink.
pub const SINK: &str = "sink ";

/// A cause: whose it is, and a word for its kind.
type Key = (Subject, String);
/// What suffers: a tenant, and what of it.
type Member = (TenantId, String);

/// What was last told in the log, and which idle grants were tried when.
#[derive(Debug, Default)]
pub struct Told {
    /// Of the store.
    pub store: StoreTold,
    causes: Mutex<Causes>,
    apps: Mutex<HashMap<(String, String), String>>,
    tried: Mutex<HashMap<(TenantId, String), Timestamp>>,
    first: Mutex<First>,
    /// Sinks on which nothing depends.
    shadows: Mutex<BTreeSet<String>>,
}

/// What was read to its end by this process.
#[derive(Debug, Default)]
struct First {
    sources: BTreeSet<(TenantId, Source)>,
    tenants: BTreeSet<TenantId>,
}

#[derive(Debug, Default)]
struct Causes {
    open: BTreeMap<Key, Open>,
    /// From which cause each suffers.
    of: BTreeMap<Member, Key>,
}

/// A cause that is not over.
#[derive(Debug)]
struct Open {
    since: Timestamp,
    meaning: String,
    remedy: String,
    /// A person has to act.
    severe: bool,
    /// Whatever suffers, with its tenant's slug.
    members: BTreeMap<Member, String>,
    /// All tenants that ever suffered from it.
    most: BTreeSet<TenantId>,
    /// Tenants that have joined since it was last told.
    joined: BTreeSet<String>,
    told_at: Timestamp,
}

/// Trouble that something has.
#[derive(Debug, Clone)]
pub struct Trouble<'a> {
    pub subject: Subject,
    /// A stable word for its kind.
    pub code: &'a str,
    /// What it means, in words that can follow the name of what it is about.
    pub meaning: &'a str,
    /// What was seen.
    pub detail: &'a str,
    pub remedy: &'a str,
    /// A person has to act.
    pub severe: bool,
}

impl Told {
    /// The trouble of these sinks is nobody's from now on.
    pub fn set_shadows(&self, shadows: BTreeSet<String>) {
        *self.shadows.lock().expect("no panic while the lock is held") = shadows;
    }

    /// `what` of the tenant is in trouble.
    pub fn trouble(&self, tenant: &Tenant, what: &str, trouble: Trouble<'_>, now: Timestamp) {
        self.begins((tenant.id, what.to_owned()), tenant.slug.as_str(), trouble, now);
    }

    fn begins(&self, member: Member, slug: &str, trouble: Trouble<'_>, now: Timestamp) {
        let key = (trouble.subject.clone(), trouble.code.to_owned());
        let mut causes = self.causes.lock().expect("no panic while the lock is held");
        if causes.of.get(&member) == Some(&key) {
            return;
        }
        causes.leave(&member, now);
        causes.of.insert(member.clone(), key.clone());
        let tenant = member.0;
        if let Some(open) = causes.open.get_mut(&key) {
            if open.most.insert(tenant) {
                open.joined.insert(slug.to_owned());
            }
            open.members.insert(member, slug.to_owned());
            tracing::debug!(tenant.id = %tenant, tenant.slug = slug, code = trouble.code, "suffers too: {}", trouble.detail);
            return;
        }
        let Trouble { subject, code, meaning, detail, remedy, severe } = trouble;
        let words = in_words(&subject, meaning);
        // What was seen often says the same in Microsoft's words.
        let seen = if detail.is_empty() || detail == meaning { String::new() } else { format!(": {detail}") };
        let shadows = self.shadows.lock().expect("no panic while the lock is held");
        let is_shadow = matches!(&subject, Subject::Sink(sink) if shadows.contains(sink));
        match severe {
            _ if is_shadow => {
                tracing::info!(about = %subject, code, tenant.id = %tenant, tenant.slug = slug, remedy, "{words}, a shadow on which nothing depends{seen}");
            }
            true => {
                tracing::error!(about = %subject, code, tenant.id = %tenant, tenant.slug = slug, remedy, "{words}{seen}");
            }
            false => {
                tracing::warn!(about = %subject, code, tenant.id = %tenant, tenant.slug = slug, remedy, "{words}{seen}");
            }
        }
        let open = Open {
            since: now,
            meaning: meaning.to_owned(),
            remedy: remedy.to_owned(),
            severe,
            members: BTreeMap::from([(member, slug.to_owned())]),
            most: BTreeSet::from([tenant]),
            joined: BTreeSet::new(),
            told_at: now,
        };
        causes.open.insert(key, open);
    }

    /// `what` of the tenant is well.
    pub fn well(&self, tenant: TenantId, what: &str, now: Timestamp) {
        let member = (tenant, what.to_owned());
        self.causes.lock().expect("no panic while the lock is held").leave(&member, now);
    }

    /// What a check of the tenant's access found.
    pub fn check(&self, tenant: &Tenant, check: &Check) {
        if check.outcome == CheckOutcome::Good {
            return self.well(tenant.id, &check.name, check.checked_at);
        }
        let fault = Fault::named(&check.code);
        let trouble = Trouble {
            subject: fault.map_or(Subject::Tenants, |fault| Subject::of(fault, &tenant.app)),
            code: &check.code,
            meaning: fault.map_or(check.detail.as_str(), |fault| fault.meaning().meaning),
            detail: &check.detail,
            remedy: &check.remedy,
            severe: check.outcome == CheckOutcome::Failing,
        };
        self.trouble(tenant, &check.name, trouble, check.checked_at);
    }

    /// Tells of those that have joined a cause since it was told, and lets go what is `gone`: of a tenant that is not read
    /// any more, or is no customer any more.
    pub fn tell_more(&self, gone: impl Fn(TenantId, &str) -> bool, now: Timestamp) {
        let mut causes = self.causes.lock().expect("no panic while the lock is held");
        let left: Vec<Member> =
            causes.of.keys().filter(|(tenant, what)| gone(*tenant, what)).cloned().collect();
        for member in left {
            causes.leave(&member, now);
        }
        for ((subject, code), open) in &mut causes.open {
            let waits = since(open.told_at, now) < JOINED_EVERY && open.told_at <= now;
            if open.joined.is_empty() || waits {
                continue;
            }
            let joined = std::mem::take(&mut open.joined);
            open.told_at = now;
            // What an app or an API has is one thing, however many suffer from it.
            if *subject != Subject::Tenants {
                continue;
            }
            let named: Vec<&str> = joined.iter().take(NAMED).map(String::as_str).collect();
            let more = joined.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let words = format!("{}: also {}{more}", open.meaning, named.join(", "));
            let (tenants, remedy) = (open.tenants(), open.remedy.as_str());
            match open.severe {
                true => tracing::error!(about = %subject, code, tenants, remedy, "{words}"),
                false => tracing::warn!(about = %subject, code, tenants, remedy, "{words}"),
            }
        }
    }

    /// A source has been read to its end; whether that is the first time in this process.
    pub fn is_first_round(&self, tenant: TenantId, source: Source) -> bool {
        self.first.lock().expect("no panic while the lock is held").sources.insert((tenant, source))
    }

    /// Whether a source was read to its end in this process.
    pub fn was_read(&self, tenant: TenantId, source: Source) -> bool {
        self.first.lock().expect("no panic while the lock is held").sources.contains(&(tenant, source))
    }

    /// Whether nobody was told yet that the tenant is read.
    pub fn is_first_word(&self, tenant: TenantId) -> bool {
        self.first.lock().expect("no panic while the lock is held").tenants.insert(tenant)
    }

    /// Whether this is news of an app: the code of a check has changed since it was last told.
    pub fn is_news(&self, app: &str, check: &Check) -> bool {
        let mut told = self.apps.lock().expect("no panic while the lock is held");
        let code = match check.outcome {
            CheckOutcome::Good => String::new(),
            _ => check.code.clone(),
        };
        let before = told.insert((app.to_owned(), check.name.clone()), code.clone());
        before.unwrap_or_default() != code
    }

    /// Whether an idle grant was not tried for a while; it is now.
    pub fn may_try(&self, grant: &Grant, now: Timestamp) -> bool {
        let mut tried = self.tried.lock().expect("no panic while the lock is held");
        let key = (grant.tenant, grant.app.clone());
        let lately = |at: &Timestamp| at.checked_add(TRY_AGAIN).is_ok_and(|again| again > now);
        if tried.get(&key).is_some_and(lately) {
            return false;
        }
        tried.insert(key, now);
        true
    }
}

impl Open {
    fn tenants(&self) -> usize {
        self.members.keys().map(|(tenant, _)| tenant).collect::<BTreeSet<_>>().len()
    }
}

impl Causes {
    /// Something suffers no more; with the last one its cause is over.
    fn leave(&mut self, member: &Member, now: Timestamp) {
        let Some(key) = self.of.remove(member) else { return };
        let Some(open) = self.open.get_mut(&key) else { return };
        open.members.remove(member);
        if !open.members.is_empty() {
            return;
        }
        let Some(open) = self.open.remove(&key) else { return };
        let (subject, code) = key;
        let words = in_words(&subject, &open.meaning);
        let tenants = open.most.len();
        tracing::info!(
            about = %subject,
            code,
            tenants,
            "over after {}: {words} ({})",
            duration(since(open.since, now)),
            plural(tenants as u64, "tenant")
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use muster_model::TenantState;
    use tracing_subscriber::fmt::MakeWriter;
    use uuid::Uuid;

    use super::*;

    /// The log of a test.
    #[derive(Clone, Default)]
    pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Log {
        /// The lines at `info` and above that `work` writes.
        pub(crate) fn of(work: impl FnOnce()) -> Vec<String> {
            let log = Self::default();
            let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
            tracing::subscriber::with_default(subscriber, work);
            let bytes = log.0.lock().expect("no panic").clone();
            String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn tenant(number: u128) -> Tenant {
        Tenant {
            id: TenantId::from(Uuid::from_u128(number)),
            slug: format!("customer-{number}").parse().expect("a slug"),
            name: format!("Customer {number}"),
            domain: None,
            app: "main".to_owned(),
            sources: BTreeSet::from(Source::ALL),
            tags: BTreeSet::new(),
            state: TenantState::Active,
            added_at: at(0),
            since: at(0),
        }
    }

    fn check(name: &str, fault: Fault, second: i64) -> Check {
        crate::access::checks::failing(name, fault, format!("no token: {fault}"), at(second))
    }

    #[test]
    fn the_trouble_of_a_thousand_tenants_with_one_cause_is_one_line() {
        let told = Told::default();
        let lines = Log::of(|| {
            for number in 0..1_000 {
                for name in ["token", "source graph_alerts", "source graph_incidents"] {
                    told.check(&tenant(number), &check(name, Fault::WrongSecret, number as i64 / 10));
                }
                told.tell_more(|_, _| false, at(number as i64 / 10));
            }
            told.tell_more(|_, _| false, at(3_600));
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("ERROR") && lines[0].contains("app `main`: the secret is wrong"),
            "{lines:?}"
        );
        let lines = Log::of(|| {
            for number in 0..1_000 {
                for name in ["token", "source graph_alerts", "source graph_incidents"] {
                    told.well(tenant(number).id, name, at(7_200));
                }
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("over after 2h 00m: app `main`: the secret is wrong (1"), "{lines:?}");
    }

    #[test]
    fn trouble_of_each_tenant_is_told_by_its_name_and_not_in_a_flood() {
        let told = Told::default();
        let lines = Log::of(|| {
            for number in 0..1_000 {
                let second = number as i64 / 10;
                told.check(&tenant(number), &check("source graph_alerts", Fault::LostConsent, second));
                told.tell_more(|_, _| false, at(second));
            }
            told.tell_more(|_, _| false, at(130));
        });
        assert_eq!(lines.len(), 3, "at once, after a minute, and in the end: {lines:?}");
        assert!(lines[0].contains("customer-0") && lines[1].contains("also customer-1,"), "{lines:?}");
        assert!(lines[2].contains("tenants=1000"), "{lines:?}");
        // Another one, an hour later, is not hidden by those that are told.
        let lines = Log::of(|| {
            told.check(&tenant(5_000), &check("source graph_alerts", Fault::LostConsent, 3_600));
            told.tell_more(|_, _| false, at(3_601));
        });
        assert!(lines.len() == 1 && lines[0].contains("customer-5000"), "{lines:?}");
    }

    #[test]
    fn trouble_that_changes_is_another_cause_and_tenants_that_are_gone_hold_none_open() {
        let told = Told::default();
        let lines = Log::of(|| {
            told.check(&tenant(1), &check("source graph_alerts", Fault::Throttled, 0));
            told.check(&tenant(1), &check("source graph_alerts", Fault::Throttled, 1));
            told.check(&tenant(1), &check("source graph_alerts", Fault::NoLicence, 2));
            told.tell_more(|tenant, _| tenant == TenantId::from(Uuid::from_u128(1)), at(3));
        });
        let begun: Vec<bool> = lines.iter().map(|line| !line.contains("over after")).collect();
        assert_eq!(begun, [true, false, true, false], "{lines:?}");
        assert!(lines[0].contains("WARN") && lines[2].contains("ERROR"), "{lines:?}");
    }
}
