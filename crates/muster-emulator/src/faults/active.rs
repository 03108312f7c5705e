//! The faults in force, and what of them a request meets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::faults::kind::{Area, Fault, FaultClass, FaultKind};
use crate::faults::quirks::Quirks;
use crate::world::clock::Clock;
use crate::world::dice::Dice;
use crate::world::ticks::Ticks;

/// The faults in force.
pub(crate) struct Faults {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    active: Vec<Active>,
    dice: Dice,
}

/// What a request meets.
#[derive(Default)]
pub(crate) struct Met {
    pub(crate) quirks: Quirks,
    /// What replaces or spoils the answer.
    pub(crate) answer: Option<FaultKind>,
}

struct Active {
    fault: Fault,
    tenant: Option<u32>,
    since: Ticks,
}

impl Active {
    fn strikes(&self, area: Area, tenant: Option<u32>, now: Ticks) -> bool {
        let graph = matches!(
            area,
            Area::GraphAlerts | Area::GraphIncidents | Area::GraphHunting | Area::Applications
        );
        let defender = matches!(
            area,
            Area::EndpointAlerts
                | Area::XdrIncidents
                | Area::SiemFeed
                | Area::XdrHunting
                | Area::EndpointHunting
        );
        let here = self.fault.area == area
            || (self.fault.area == Area::Graph && graph)
            || (self.fault.area == Area::Defender && defender);
        here && (self.tenant.is_none() || self.tenant == tenant) && self.is_due(now)
    }

    fn is_due(&self, now: Ticks) -> bool {
        self.fault.is_due(now.seconds() - self.since.seconds())
    }
}

/// Counts a fault down and gives what it is.
fn spend(faults: &mut Vec<Active>, position: usize) -> FaultKind {
    let kind = faults[position].fault.kind.clone();
    if let Some(count) = &mut faults[position].fault.count {
        *count = count.saturating_sub(1);
        if *count == 0 {
            faults.remove(position);
        }
    }
    kind
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        let dice = Dice::derived(&[seed, 0xfa17]);
        Self { clock, state: Mutex::new(State { active: Vec::new(), dice }) }
    }

    fn now(&self) -> Ticks {
        Ticks::from_timestamp(self.clock.now())
    }

    pub(crate) fn add(&self, fault: Fault, tenant: Option<u32>) {
        let since = self.now();
        self.lock().active.push(Active { fault, tenant, since });
    }

    pub(crate) fn clear(&self) {
        self.lock().active.clear();
    }

    pub(crate) fn list(&self) -> Vec<Fault> {
        self.lock().active.iter().map(|active| active.fault.clone()).collect()
    }

    /// What a request meets; counted down.
    pub(crate) fn meet(&self, area: Area, tenant: Option<u32>) -> Met {
        let now = self.now();
        let mut state = self.lock();
        let State { active, dice } = &mut *state;
        let mut met = Met::default();
        let mut place = 0;
        while let Some(fault) = active.get(place) {
            place += 1;
            let class = fault.fault.kind.class();
            let other = class == FaultClass::State || (class == FaultClass::Answer && met.answer.is_some());
            if other || !fault.strikes(area, tenant, now) {
                continue;
            }
            if fault.fault.one_in.is_some_and(|requests| dice.below(u64::from(requests.max(1))) > 0) {
                continue;
            }
            let before = active.len();
            let kind = spend(active, place - 1);
            place -= before - active.len();
            match class {
                FaultClass::Answer => met.answer = Some(kind),
                _ => met.quirks.add(kind),
            }
        }
        met
    }

    /// The answer of a request that knows no quirks.
    pub(crate) fn take(&self, area: Area, tenant: Option<u32>) -> Option<FaultKind> {
        self.meet(area, tenant).answer
    }

    /// The AADSTS code that a request is refused with, if any; counted down.
    pub(crate) fn refusal(&self, area: Area, tenant: Option<u32>, app: Option<&str>) -> Option<u32> {
        let now = self.now();
        let mut state = self.lock();
        let faults = &mut state.active;
        let position = faults.iter().position(|active| {
            let FaultKind::Refuse { app: only, .. } = &active.fault.kind else { return false };
            let same =
                only.as_deref().is_none_or(|only| app.is_some_and(|app| app.eq_ignore_ascii_case(only)));
            same && active.strikes(area, tenant, now)
        })?;
        match spend(faults, position) {
            FaultKind::Refuse { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The claims that tokens for an area must have been asked for with.
    pub(crate) fn claims_challenge(&self, area: Area, tenant: u32) -> Option<String> {
        let now = self.now();
        self.lock().active.iter().find_map(|active| match &active.fault.kind {
            FaultKind::ClaimsChallenge { claims } if active.strikes(area, Some(tenant), now) => {
                let usual = r#"{"access_token":{"nbf":{"essential":true,"value":"1577836800"}}}"#;
                Some(claims.clone().unwrap_or_else(|| usual.to_owned()))
            }
            _ => None,
        })
    }

    /// The code that the token endpoint answers with when the tenant's consent is withdrawn.
    pub(crate) fn revoked(&self, tenant: u32) -> Option<u32> {
        let now = self.now();
        self.lock().active.iter().find_map(|active| match active.fault.kind {
            FaultKind::RevokeTenant { code }
                if active.tenant.is_none_or(|own| own == tenant) && active.is_due(now) =>
            {
                Some(code.unwrap_or(700_016))
            }
            _ => None,
        })
    }

    pub(crate) fn is_role_removed(&self, tenant: u32, role: &str) -> bool {
        let now = self.now();
        self.lock().active.iter().any(|active| {
            matches!(&active.fault.kind, FaultKind::RemoveRole { role: removed } if removed == role)
                && active.tenant.is_none_or(|own| own == tenant)
                && active.is_due(now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::clock::ManualClock;

    fn faults() -> Faults {
        Faults::new(7, Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH)))
    }

    #[test]
    fn a_fault_keeps_to_its_area_tenant_and_count() {
        let faults = faults();
        faults.add(Fault::new(Area::Graph, FaultKind::Html).times(2), Some(3));
        assert_eq!(faults.take(Area::Token, Some(3)), None);
        assert_eq!(faults.take(Area::GraphAlerts, Some(4)), None);
        assert_eq!(faults.take(Area::GraphAlerts, Some(3)), Some(FaultKind::Html));
        assert_eq!(faults.take(Area::GraphIncidents, Some(3)), Some(FaultKind::Html));
        assert_eq!(faults.take(Area::GraphIncidents, Some(3)), None);
    }

    #[test]
    fn states_hold_until_cleared() {
        let faults = faults();
        faults.add(Fault::new(Area::Token, FaultKind::RevokeTenant { code: None }), Some(1));
        assert_eq!(faults.take(Area::Token, Some(1)), None);
        assert_eq!((faults.revoked(1), faults.revoked(2)), (Some(700_016), None));
        faults.clear();
        assert_eq!(faults.revoked(1), None);
    }

    #[test]
    fn faults_are_written_as_json() {
        let text = r#"{"area":"graph","tenant":"x","count":3,"kind":"throttle","retry_after_seconds":2}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(
            fault,
            Fault::new(Area::Graph, FaultKind::Throttle { retry_after_seconds: 2 }).for_tenant("x").times(3)
        );
        assert!(serde_json::to_string(&fault).unwrap().contains("\"kind\":\"throttle\""));
    }
}
