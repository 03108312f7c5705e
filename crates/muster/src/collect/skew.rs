//! Whether our clock and Microsoft's agree. A difference is told, and nothing else is made of it: both clocks may be wrong.

use jiff::{SignedDuration, Timestamp};
use muster_model::Source;
use muster_store::{CheckOutcome, SourceLease};

use super::collector::Collector;
use super::skews::News;
use crate::access::checks;

/// How far a server's clock is ahead of ours, where the question was asked and answered between two times.
fn ahead(server: Timestamp, asked: Timestamp, answered: Timestamp) -> SignedDuration {
    if server < asked {
        server.duration_since(asked)
    } else if server > answered {
        server.duration_since(answered)
    } else {
        SignedDuration::ZERO
    }
}

impl Collector {
    /// Tells once when the clocks begin to differ by more than a minute, differ otherwise, or agree again.
    pub(super) async fn mind_clocks(&self, lease: &SourceLease, server: Option<Timestamp>, asked: Timestamp) {
        let Some(server) = server else { return };
        let now = self.clock.now();
        let apart = ahead(server, asked, now.max(asked));
        let tenant = lease.tenant.id;
        let check = match self.skews.news((tenant, lease.source), apart) {
            News::None => return,
            // What an earlier process wrote down may hold no more.
            News::First => match self.store.checks(Some(tenant)).await {
                Ok(stored) if stored.iter().any(|(_, check)| is_warning(check, lease.source)) => {
                    agree(lease.source, now)
                }
                _ => return,
            },
            News::Changed(apart) if apart.is_zero() => {
                tracing::info!("our clock and Microsoft's agree again");
                agree(lease.source, now)
            }
            News::Changed(apart) => {
                let check = differ(lease.source, apart, now);
                tracing::warn!(seconds = apart.as_secs(), "{}", check.detail);
                check
            }
        };
        if let Err(error) = self.store.put_checks(tenant, vec![check]).await {
            self.told.store.failed("write down how the clocks are", &error, now);
        }
    }
}

fn is_warning(check: &muster_store::Check, source: Source) -> bool {
    check.name == checks::clock_name(source) && check.outcome != CheckOutcome::Good
}

fn agree(source: Source, now: Timestamp) -> muster_store::Check {
    checks::good(&checks::clock_name(source), "our clock and Microsoft's agree".to_owned(), now)
}

fn differ(source: Source, apart: SignedDuration, now: Timestamp) -> muster_store::Check {
    let long = crate::shown::output::duration(apart.unsigned_abs());
    let side = if apart.is_negative() { "behind" } else { "ahead of" };
    muster_store::Check {
        outcome: CheckOutcome::Warning,
        code: "clocks_differ".to_owned(),
        remedy: "check this machine's clock, and any proxy that answers in Microsoft's name".to_owned(),
        ..checks::good(
            &checks::clock_name(source),
            format!("Microsoft's clock is {long} {side} this machine's"),
            now,
        )
    }
}

#[cfg(test)]
mod tests {
    use muster_model::TenantId;

    use super::super::skews::Skews;
    use super::*;

    #[test]
    fn a_difference_is_told_once_per_change() {
        let skews = Skews::default();
        let tenant: TenantId = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID");
        let other: TenantId = "6f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID");
        let seconds = SignedDuration::from_secs;
        let told = [
            (0, News::First),
            (30, News::None),
            (-59, News::None),
            (90, News::Changed(seconds(90))),
            (120, News::None),
            (-90, News::Changed(seconds(-90))),
            (-100_000_000, News::Changed(seconds(-100_000_000))),
            (-100_000_010, News::None),
            (2, News::Changed(seconds(0))),
            (2, News::None),
        ];
        for (apart, expected) in told {
            assert_eq!(skews.news((tenant, Source::GraphAlerts), seconds(apart)), expected, "{apart}");
        }
        let first = skews.news((other, Source::GraphAlerts), seconds(61));
        assert_eq!(first, News::Changed(seconds(61)), "the first answer of another");
        assert_eq!(skews.news((tenant, Source::GraphIncidents), seconds(0)), News::First);
    }

    #[test]
    fn a_slow_answer_is_no_difference() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert!(ahead(at(100), at(50), at(200)).is_zero());
        assert_eq!(ahead(at(30), at(50), at(200)), SignedDuration::from_secs(-20));
        assert_eq!(ahead(at(300), at(50), at(200)), SignedDuration::from_secs(100));
    }
}
