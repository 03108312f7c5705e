//! One tenant's answer, with the waits that it takes.

use std::time::Duration;

use muster_microsoft::api::answers::Case;
use muster_microsoft::hunting::{HuntError, HuntingAnswer, HuntingApi, HuntingQuery};
use muster_microsoft::{FetchError, Microsoft};
use muster_model::Tenant;

use crate::access::apps::{AppMissing, Apps};

/// How often it is waited where Microsoft asks to, or our own memory is full, and for how long at most.
const WAITS_MAX: u32 = 10;
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How often what may have failed in passing is asked again. Each query costs of a quota that people in the portal share.
const TRIES_MAX: u32 = 2;
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Why a tenant has no rows to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRows {
    #[error(transparent)]
    App(#[from] AppMissing),
    #[error(transparent)]
    Hunt(#[from] HuntError),
}

/// What is asked, and how.
pub(super) struct Asker {
    pub(super) microsoft: Microsoft,
    pub(super) apps: Apps,
    pub(super) by: HuntingApi,
    pub(super) query: HuntingQuery,
}

impl Asker {
    pub(super) async fn ask(&self, tenant: &Tenant) -> Result<HuntingAnswer, NoRows> {
        let app = self.apps.find(&tenant.app)?;
        let (mut waits, mut tries) = (0, 0);
        loop {
            let error = match self.microsoft.hunt(&app, tenant.id, self.by, &self.query).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match &error {
                HuntError::Fetch(fetch) => match wait(fetch, &mut waits, &mut tries) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error.into()),
                },
                HuntError::Unreadable(_) => return Err(error.into()),
            }
        }
    }
}

/// How long is waited before the same is asked again; `None` where that is of no use.
fn wait(error: &FetchError, waits: &mut u32, tries: &mut u32) -> Option<Duration> {
    let asked_to = match error.case() {
        Case::Throttled | Case::ThrottledUntold | Case::OverBudget => error.retry_after(),
        Case::MemoryFull => Some(FIRST_WAIT),
        // A web page with 403 may be a passing fault of Microsoft's front.
        Case::Unavailable | Case::Blocked | Case::Broken | Case::Failed => {
            *tries += 1;
            let own = FIRST_WAIT * *tries;
            return (*tries <= TRIES_MAX)
                .then(|| error.retry_after().unwrap_or(own).max(own))
                .filter(|wait| *wait <= WAIT_MAX);
        }
        _ => None,
    }?;
    *waits += 1;
    (*waits <= WAITS_MAX && asked_to <= WAIT_MAX).then(|| asked_to.max(Duration::from_millis(50)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_is_waited_for_and_not_for_ever() {
        let throttled = |seconds| FetchError::Throttled { wait: Duration::from_secs(seconds), told: true };
        let (mut waits, mut tries) = (0, 0);
        assert_eq!(wait(&throttled(7), &mut waits, &mut tries), Some(Duration::from_secs(7)));
        assert_eq!(wait(&throttled(3_600), &mut waits, &mut tries), None, "nobody waits for an hour");
        let count = (0..20).filter(|_| wait(&throttled(1), &mut waits, &mut tries).is_some()).count();
        assert_eq!(count as u32, WAITS_MAX - 2);
        let trouble = FetchError::Unavailable {
            status: 503,
            code: String::new(),
            message: String::new(),
            retry_after: Some(Duration::from_secs(9)),
        };
        let waited: Vec<_> = (0..4).map(|_| wait(&trouble, &mut waits, &mut tries)).collect();
        assert_eq!(waited, [Some(Duration::from_secs(9)), Some(Duration::from_secs(9)), None, None]);
        let wrong = FetchError::BadRequest { status: 400, code: String::new(), message: String::new() };
        assert_eq!(wait(&wrong, &mut 0, &mut 0), None);
    }
}
