//! How far a tenant is after consent, as its checks say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Source, Tenant};
use muster_store::{Check, CheckOutcome};

use crate::access::checks;

/// The name of the check that proves a consent.
pub const CONSENT: &str = "consent";
/// A consent was told by a browser and is not proven yet; or it takes its time to spread at Microsoft.
pub const SPREADING: &str = "spreading";

/// How far a tenant is after consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Each thing that is checked, in order.
    pub steps: Vec<ProgressStep>,
    /// When something was last checked.
    pub checked_at: Option<Timestamp>,
}

impl Progress {
    /// Whether everything works.
    pub fn is_good(&self) -> bool {
        self.steps.iter().all(|step| step.standing == StepStanding::Good)
    }

    /// What a person has to do something about.
    pub fn trouble(&self) -> impl Iterator<Item = (&ProgressStep, &str)> {
        self.steps.iter().filter_map(|step| match &step.standing {
            StepStanding::Attention { code } => Some((step, code.as_str())),
            _ => None,
        })
    }

    /// Whether another consent would help.
    pub fn wants_consent(&self) -> bool {
        self.trouble().any(|(_, code)| matches!(code, "lost_consent" | "missing_role" | "app_unknown"))
    }
}

/// One thing that is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressStep {
    pub what: StepKind,
    pub standing: StepStanding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A token can be had in the tenant.
    Consent,
    /// A source can be read.
    Source(Source),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepStanding {
    /// An earlier step comes first.
    Waiting,
    /// It is being checked, or takes its time to spread at Microsoft.
    Checking,
    Good,
    /// Somebody has to do something, or Microsoft has trouble.
    Attention {
        /// The kind of trouble: a word of `Fault::as_str`.
        code: String,
    },
}

/// The consent as a browser tells it, before its proof.
pub(super) fn spreading(now: Timestamp) -> Check {
    Check {
        name: CONSENT.to_owned(),
        outcome: CheckOutcome::Warning,
        code: SPREADING.to_owned(),
        detail: "consent was told and is not proven by a token yet".to_owned(),
        remedy: "nothing: it is tried again by itself".to_owned(),
        checked_at: now,
        expires_at: None,
    }
}

/// What the checks since an invitation say.
pub(super) fn progress(tenant: &Tenant, consent: &Check, checks: &BTreeMap<String, Check>) -> Progress {
    let mut steps = vec![ProgressStep { what: StepKind::Consent, standing: standing(consent) }];
    let proven = consent.outcome == CheckOutcome::Good;
    let mut checked_at = (consent.code != SPREADING).then_some(consent.checked_at);
    for source in &tenant.sources {
        let check = checks.get(&checks::source_name(*source)).filter(|_| proven);
        checked_at = checked_at.max(check.map(|check| check.checked_at));
        let standing = match check {
            Some(check) => standing(check),
            None if proven => StepStanding::Checking,
            None => StepStanding::Waiting,
        };
        steps.push(ProgressStep { what: StepKind::Source(*source), standing });
    }
    Progress { steps, checked_at }
}

fn standing(check: &Check) -> StepStanding {
    match check.outcome {
        CheckOutcome::Good => StepStanding::Good,
        _ if check.code == SPREADING => StepStanding::Checking,
        _ => StepStanding::Attention { code: check.code.clone() },
    }
}
