//! What the emulator does wrong on purpose.
//!
//! A fault is asked for over the control API or the handle. It concerns an area, one tenant or all, and a number of
//! requests or all until it is cleared. A request suffers at most one fault: the oldest that fits. Consent and roles
//! are states rather than answers, so [`FaultKind::RevokeTenant`] and [`FaultKind::RemoveRole`] hold until cleared.
//!
//! | fault | token | graph | what a client sees |
//! |---|---|---|---|
//! | `throttle` | x | x | 429 with `Retry-After` |
//! | `status` | x | x | that status with the documented error body |
//! | `stall` | x | x | headers and a part of the body, then nothing; without `after_bytes` not even headers |
//! | `cut` | x | x | a part of the promised body, then the connection is closed |
//! | `truncate` | x | x | half the body with a `Content-Length` that fits: well-formed HTTP, broken JSON |
//! | `slow` | x | x | the right answer, late |
//! | `html` | x | x | status 200 and a web page, as captive portals and proxies answer |
//! | `garbage` | x | x | status 200 and text that begins like JSON |
//! | `invalid_utf8` | x | x | bytes that are no UTF-8 inside a string |
//! | `oversized` | x | x | a body of many megabytes |
//! | `redirect` | x | x | 302 to another host |
//! | `revoke_tenant` | state | state | no token (700016 unless told); tokens issued before get 401 |
//! | `remove_role` | state | state | tokens without the role, and 403 |
//! | `refuse` | x | | the refusal of an AADSTS code, also on the sign-in pages (area `authorize`) |
//! | `claims_challenge` | | state | 401 with `insufficient_claims` until a token answers the challenge |
//! | `wrong_tenant_token` | x | | a valid token of another tenant |
//! | `deep_nesting` | | x | a record nested thousands deep in the page |
//! | `next_link_elsewhere` | | x | a `nextLink` to another host |
//! | `next_link_loop` | | x | a `nextLink` to the very same page |
//! | `missing_next_link` | | x | a full page without a `nextLink` though more follows |
//! | `ignore_orderby` | | x | the default order, whatever was asked for |
//! | `hostile` | | at once | adds records with control characters, wrong types and missing ids to the tenant |
//! | `down`, `never_acknowledge` | | | areas `hec` and `syslog` only, with `status`, `throttle`, `stall`, `cut`, `slow` |

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::receivers::{ReceiverFault, ReceiverName};
use crate::world::query::List;

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The token endpoints.
    Token,
    /// Sign-in and consent pages; takes `refuse` only.
    Authorize,
    /// Discovery documents and keys.
    Discovery,
    /// Managed identities.
    ManagedIdentity,
    /// Key vaults.
    KeyVault,
    /// Graph's calls about applications and the directory.
    Applications,
    /// All of Graph.
    Graph,
    /// Graph's alerts only.
    GraphAlerts,
    /// Graph's incidents only.
    GraphIncidents,
    /// The Splunk receiver.
    Hec,
    /// The syslog receivers.
    Syslog,
}

impl Area {
    /// Where a list is asked for.
    pub(crate) fn of(list: List) -> Self {
        match list {
            List::Alerts => Self::GraphAlerts,
            List::Incidents => Self::GraphIncidents,
        }
    }
}

/// What goes wrong; the module's documentation tells how it looks from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// 429.
    Throttle {
        /// The `Retry-After` header, in seconds.
        retry_after_seconds: u32,
    },
    /// Another status.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or half an answer that never goes on.
    Stall {
        /// How much of the body is sent before; absent: not even the headers.
        #[serde(default)]
        after_bytes: Option<u64>,
    },
    /// The connection closed in the middle of the body.
    Cut {
        /// How much of the body is sent before.
        #[serde(default)]
        after_bytes: u64,
    },
    /// Half the body in well-formed HTTP.
    Truncate,
    /// The right answer, late.
    Slow {
        /// How late, in milliseconds.
        milliseconds: u64,
    },
    /// A web page with status 200.
    Html,
    /// Malformed JSON with status 200.
    Garbage,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// A body of many megabytes.
    Oversized {
        /// How many.
        megabytes: u32,
    },
    /// 302 to another host.
    Redirect {
        /// Where to.
        location: String,
    },
    /// The tenant's consent is withdrawn.
    RevokeTenant {
        /// The AADSTS code of the token endpoint: 700016 (app unknown in the tenant) when absent, or 7000112.
        #[serde(default)]
        code: Option<u32>,
    },
    /// The app lost a role in the tenant.
    RemoveRole {
        /// The role, for example `SecurityAlert.Read.All`.
        role: String,
    },
    /// The refusal of an AADSTS code.
    Refuse {
        /// The code, for example 53003.
        code: u32,
        /// For this app only; absent: for all.
        #[serde(default)]
        app: Option<String>,
    },
    /// Tokens are refused until one is shown that was asked for with these claims.
    ClaimsChallenge {
        /// The claims, as JSON; absent: that the token is newer than a moment long ago.
        #[serde(default)]
        claims: Option<String>,
    },
    /// A token of another tenant.
    WrongTenantToken,
    /// A record nested deep.
    DeepNesting {
        /// How many levels.
        depth: u32,
    },
    /// Hostile records are added to the tenant (all tenants when none is named) at once.
    Hostile,
    /// A `nextLink` to another host.
    NextLinkElsewhere {
        /// Scheme, host and port of the link.
        origin: String,
    },
    /// A `nextLink` to the same page, for ever.
    NextLinkLoop,
    /// No `nextLink` on a full page.
    MissingNextLink,
    /// `$orderby` is not obeyed.
    IgnoreOrderby,
    /// A receiver refuses connections.
    Down,
    /// A receiver takes events and never acknowledges them.
    NeverAcknowledge,
}

/// A fault as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where.
    pub area: Area,
    /// For which tenant (GUID or domain); absent: for all. Receivers know no tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// For how many requests; absent: until cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of all tenants until it is cleared.
    pub fn new(area: Area, kind: FaultKind) -> Self {
        Self { area, tenant: None, count: None, kind }
    }

    /// The same for one tenant only.
    #[must_use]
    pub fn for_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The same for some requests only.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// What a receiver is to do, for the areas of receivers.
    pub(crate) fn for_receivers(&self) -> Option<(&'static [ReceiverName], ReceiverFault)> {
        let receivers: &[ReceiverName] = match self.area {
            Area::Hec => &[ReceiverName::Hec],
            Area::Syslog => &[ReceiverName::SyslogUdp, ReceiverName::SyslogTcp, ReceiverName::SyslogTls],
            _ => return None,
        };
        let fault = match self.kind {
            FaultKind::Down => ReceiverFault::Down,
            FaultKind::NeverAcknowledge => ReceiverFault::NeverAcknowledge,
            FaultKind::Status { status } => ReceiverFault::Status { status, retry_after_seconds: None },
            FaultKind::Throttle { retry_after_seconds } => {
                ReceiverFault::Status { status: 429, retry_after_seconds: Some(retry_after_seconds) }
            }
            FaultKind::Stall { .. } => ReceiverFault::Stall,
            FaultKind::Cut { after_bytes } => ReceiverFault::CutAfterBytes(after_bytes),
            FaultKind::Slow { milliseconds } => ReceiverFault::Slow { milliseconds },
            _ => return None,
        };
        Some((receivers, fault))
    }
}

/// The faults in force.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Active>>);

struct Active {
    fault: Fault,
    tenant: Option<u32>,
}

impl Active {
    fn strikes(&self, area: Area, tenant: Option<u32>) -> bool {
        let graph = matches!(area, Area::GraphAlerts | Area::GraphIncidents | Area::Applications);
        let here = self.fault.area == area || (self.fault.area == Area::Graph && graph);
        here && (self.tenant.is_none() || self.tenant == tenant)
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
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Active>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fault: Fault, tenant: Option<u32>) {
        self.lock().push(Active { fault, tenant });
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn list(&self) -> Vec<Fault> {
        self.lock().iter().map(|active| active.fault.clone()).collect()
    }

    /// The fault that a request suffers, if any; counted down.
    pub(crate) fn take(&self, area: Area, tenant: Option<u32>) -> Option<FaultKind> {
        let mut faults = self.lock();
        let position = faults.iter().position(|active| {
            let elsewhere = matches!(
                active.fault.kind,
                FaultKind::RevokeTenant { .. }
                    | FaultKind::RemoveRole { .. }
                    | FaultKind::Refuse { .. }
                    | FaultKind::ClaimsChallenge { .. }
            );
            !elsewhere && active.strikes(area, tenant)
        })?;
        Some(spend(&mut faults, position))
    }

    /// The AADSTS code that a request is refused with, if any; counted down.
    pub(crate) fn refusal(&self, area: Area, tenant: Option<u32>, app: Option<&str>) -> Option<u32> {
        let mut faults = self.lock();
        let position = faults.iter().position(|active| {
            let FaultKind::Refuse { app: only, .. } = &active.fault.kind else { return false };
            let same =
                only.as_deref().is_none_or(|only| app.is_some_and(|app| app.eq_ignore_ascii_case(only)));
            same && active.strikes(area, tenant)
        })?;
        match spend(&mut faults, position) {
            FaultKind::Refuse { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The claims that tokens for an area must have been asked for with.
    pub(crate) fn claims_challenge(&self, area: Area, tenant: u32) -> Option<String> {
        self.lock().iter().find_map(|active| match &active.fault.kind {
            FaultKind::ClaimsChallenge { claims } if active.strikes(area, Some(tenant)) => {
                let usual = r#"{"access_token":{"nbf":{"essential":true,"value":"1577836800"}}}"#;
                Some(claims.clone().unwrap_or_else(|| usual.to_owned()))
            }
            _ => None,
        })
    }

    /// The code that the token endpoint answers with when the tenant's consent is withdrawn.
    pub(crate) fn revoked(&self, tenant: u32) -> Option<u32> {
        self.lock().iter().find_map(|active| match active.fault.kind {
            FaultKind::RevokeTenant { code } if active.tenant.is_none_or(|own| own == tenant) => {
                Some(code.unwrap_or(700_016))
            }
            _ => None,
        })
    }

    pub(crate) fn is_role_removed(&self, tenant: u32, role: &str) -> bool {
        self.lock().iter().any(|active| {
            matches!(&active.fault.kind, FaultKind::RemoveRole { role: removed } if removed == role)
                && active.tenant.is_none_or(|own| own == tenant)
        })
    }
}

/// How long an answer waits.
pub(crate) fn delay_of(kind: Option<&FaultKind>) -> Option<Duration> {
    match kind {
        Some(FaultKind::Slow { milliseconds }) => Some(Duration::from_millis(*milliseconds)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_to_its_area_tenant_and_count() {
        let faults = Faults::default();
        faults.add(Fault::new(Area::Graph, FaultKind::Html).times(2), Some(3));
        assert_eq!(faults.take(Area::Token, Some(3)), None);
        assert_eq!(faults.take(Area::GraphAlerts, Some(4)), None);
        assert_eq!(faults.take(Area::GraphAlerts, Some(3)), Some(FaultKind::Html));
        assert_eq!(faults.take(Area::GraphIncidents, Some(3)), Some(FaultKind::Html));
        assert_eq!(faults.take(Area::GraphIncidents, Some(3)), None);
    }

    #[test]
    fn states_hold_until_cleared() {
        let faults = Faults::default();
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
