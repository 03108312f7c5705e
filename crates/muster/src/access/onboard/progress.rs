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
/// A consent to an app that reads in a person's name: it is proven once one has signed in.
pub const SIGN_IN: &str = "sign_in";

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

    /// Whether a person of the customer has to sign in, or another one.
    pub fn wants_sign_in(&self) -> bool {
        let another = |code| {
            matches!(code, "grant_expired" | "grant_revoked" | "multifactor_needed" | "person_lacks_role")
        };
        self.is_our_guests_turn() || self.trouble().any(|(_, code)| another(code))
    }

    /// Whether it goes on once the person in front of the page does something, and nothing is wrong.
    pub fn is_our_guests_turn(&self) -> bool {
        self.steps.iter().any(|step| step.standing == StepStanding::YourTurn)
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
    /// A person has signed in, in whose name the app reads.
    SignIn,
    /// A source can be read.
    Source(Source),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepStanding {
    /// An earlier step comes first.
    Waiting,
    /// It is being checked, or takes its time to spread at Microsoft.
    Checking,
    /// The person in front of the page can do it now.
    YourTurn,
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

/// The consent to an app that reads in a person's name, before somebody has signed in.
pub(super) fn sign_in_missing(tenant: &Tenant, now: Timestamp) -> Check {
    Check {
        code: SIGN_IN.to_owned(),
        detail: "consent was told; it is proven once a person of the customer has signed in".to_owned(),
        remedy: format!(
            "have that person sign in on the page of the invitation, or with `muster token acquire --tenant {}`",
            tenant.slug
        ),
        ..spreading(now)
    }
}

/// What the checks since an invitation say. `signed_in` says whether somebody has, where the app reads in a person's name.
pub(super) fn progress(
    tenant: &Tenant,
    consent: &Check,
    checks: &BTreeMap<String, Check>,
    signed_in: Option<bool>,
) -> Progress {
    let mut steps = Vec::new();
    let consented = match signed_in {
        Some(false) => StepStanding::Waiting,
        _ => standing(consent),
    };
    steps.push(ProgressStep { what: StepKind::Consent, standing: consented });
    if let Some(signed_in) = signed_in {
        let standing = if signed_in { StepStanding::Good } else { StepStanding::YourTurn };
        steps.push(ProgressStep { what: StepKind::SignIn, standing });
    }
    let proven = consent.outcome == CheckOutcome::Good && signed_in != Some(false);
    let told = [SPREADING, SIGN_IN].contains(&consent.code.as_str());
    let mut checked_at = (!told).then_some(consent.checked_at);
    for source in tenant.asked() {
        let check = checks.get(&checks::source_name(source)).filter(|_| proven);
        checked_at = checked_at.max(check.map(|check| check.checked_at));
        let standing = match check {
            Some(check) => standing(check),
            None if proven => StepStanding::Checking,
            None => StepStanding::Waiting,
        };
        steps.push(ProgressStep { what: StepKind::Source(source), standing });
    }
    Progress { steps, checked_at }
}

fn standing(check: &Check) -> StepStanding {
    match check.outcome {
        CheckOutcome::Good => StepStanding::Good,
        _ if [SPREADING, SIGN_IN].contains(&check.code.as_str()) => StepStanding::Checking,
        _ => StepStanding::Attention { code: check.code.clone() },
    }
}
