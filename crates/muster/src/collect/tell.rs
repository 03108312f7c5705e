//! What a poll says of a tenant's access is written down, and the log told of it.

use muster_microsoft::api::answers::{self, Case};
use muster_microsoft::{Fault, TenantAccess};
use muster_model::Purpose;
use muster_store::SourceLease;

use super::collector::Collector;
use super::turn::TurnError;
use crate::access::apps::AppMissing;
use crate::access::checks;
use crate::shown::cause::Subject;
use crate::told::Trouble;

impl TurnError {
    /// What it says about the access to the source. A fault of our own says nothing.
    pub(super) fn access(&self) -> Option<TenantAccess> {
        let failing = |fault| TenantAccess::Failing { fault, message: self.to_string() };
        match self {
            Self::Fetch { error, .. } => Some(TenantAccess::by_page(Some(error))),
            Self::NotAPage { .. } => answers::rule(Case::NotAPage).fault.map(failing),
            // In words for the operator, with what to do.
            Self::Stream(_) => Some(failing(Fault::Other)),
            Self::App(_) | Self::Hunt(_) => Some(failing(Fault::Misconfigured)),
            Self::Panicked | Self::Store(_) => None,
        }
    }
}

impl Collector {
    /// Writes down what a poll says about the tenant's access, where that is news, so that lost consent or a throttled
    /// tenant is told by its name within one poll.
    pub(super) async fn note(&self, lease: &SourceLease, access: &TenantAccess) {
        if matches!(access, TenantAccess::NotAsked { .. }) {
            return;
        }
        let check = checks::source(lease.source, access, self.clock.now());
        self.told.check(&lease.tenant, &check);
        if !self.news.is_news((lease.tenant.id, lease.source), &check.code, lease.failures) {
            return;
        }
        if let Err(error) = self.store.put_checks(lease.tenant.id, vec![check]).await {
            self.told.store.failed("write down how a tenant's access is", &error, self.clock.now());
        }
    }

    /// What keeps a source from being read here is told, too.
    pub(super) fn tell_own_fault(&self, lease: &SourceLease, error: &TurnError) {
        if let TurnError::Store(error) = error
            && error.is_of_all_work()
        {
            return self.told.store.failed("accept pages", error, self.clock.now());
        }
        let (part, code, meaning) = match error {
            TurnError::Store(_) => ("store", "store", "pages cannot be accepted"),
            _ => ("muster", "panicked", "reading a source made the program fail"),
        };
        let trouble = Trouble {
            subject: Subject::Part(part.to_owned()),
            code,
            meaning,
            detail: &error.to_string(),
            remedy: "it is tried again by itself; see the message",
            severe: true,
        };
        self.told.trouble(&lease.tenant, &checks::source_name(lease.source), trouble, self.clock.now());
    }

    /// Tells when all sources of a tenant have been read for the first time.
    pub(super) async fn tell_first(&self, lease: &SourceLease) {
        let tenant = &lease.tenant;
        if !self.told.is_first_round(tenant.id, lease.source) {
            return;
        }
        let mut records = 0;
        for source in &tenant.sources {
            let Ok(Some(found)) = self.store.cursor(tenant.id, *source, Purpose::Live).await else { return };
            let read_before = found.state.last_success_at.is_some();
            // Its own round is not written down yet; those that are not read yet tell when they are.
            if (*source == lease.source && read_before)
                || !(read_before || self.told.was_read(tenant.id, *source))
            {
                return;
            }
            records += found.state.accepted;
        }
        if self.told.is_first_word(tenant.id) {
            tracing::info!(records, "the tenant has been read for the first time");
        }
    }

    /// Writes down, once, that the tenant has no app to be read with.
    pub(super) async fn note_no_app(&self, lease: &SourceLease, missing: &AppMissing) {
        if lease.failures > 0 {
            return;
        }
        let check = checks::no_app(checks::TOKEN, missing, self.clock.now());
        if let Err(error) = self.store.put_checks(lease.tenant.id, vec![check]).await {
            self.told.store.failed("write down how a tenant's access is", &error, self.clock.now());
        }
    }
}
