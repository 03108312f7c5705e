//! Mixtures of faults, made from a seed: what a tenant's service may be like over some hours.

use crate::faults::kind::{Area, Fault, FaultKind};
use crate::world::dice::Dice;

/// What Microsoft's own service is strict about, and an emulator only on request: the caps of `$skip` and `$top`, and
/// opaque links, which no cap concerns.
pub fn strict_faults() -> Vec<Fault> {
    vec![
        Fault::new(Area::Graph, FaultKind::SkipToken),
        Fault::new(Area::Graph, FaultKind::SkipLimit { most: 500 }),
        Fault::new(Area::GraphAlerts, FaultKind::TopLimit { most: 1000, clamp: true }),
        Fault::new(Area::GraphIncidents, FaultKind::TopLimit { most: 50, clamp: true }),
    ]
}

/// Faults of Graph's lists that chance mixes: quirks that last, and trouble that comes and goes. Everything that is
/// readable in a world with them can be read in the end: no record is poisoned for good, and no product is missing after
/// the mixture is cleared.
///
/// Each of them is for all tenants; [`Fault::for_tenant`] makes it one tenant's.
pub fn random_faults(seed: u64) -> Vec<Fault> {
    let mut dice = Dice::derived(&[seed, 0x3137]);
    let mut faults = Vec::new();
    for quirk in quirks(&mut dice) {
        if dice.chance(0.3) {
            faults.push(Fault::new(Area::Graph, quirk));
        }
    }
    let order = [
        None,
        Some(FaultKind::IgnoreOrderby),
        Some(FaultKind::RefuseOrderby),
        Some(FaultKind::ShuffledOrder { ascending_pages: 0 }),
        Some(FaultKind::ShuffledOrder { ascending_pages: 1 }),
    ];
    faults.extend(dice.pick(&order).clone().map(|order| Fault::new(Area::GraphAlerts, order)));
    faults.extend(dice.pick(&order).clone().map(|order| Fault::new(Area::GraphIncidents, order)));
    for trouble in troubles(&mut dice) {
        if dice.chance(0.2) {
            let (after, lasting) = (dice.below(4 * 3600), 30 + dice.below(1800));
            let fault = Fault::new(Area::Graph, trouble).during(after, lasting);
            let often = u32::try_from(1 + dice.below(4)).unwrap_or(1);
            let fault = fault.one_in(often);
            let again = lasting + 600 + dice.below(7200);
            faults.push(if dice.chance(0.5) { fault.every(again) } else { fault });
        }
    }
    faults
}

/// What a service may be like for good.
fn quirks(dice: &mut Dice) -> Vec<FaultKind> {
    let mut number = |from: i64, to: i64| u32::try_from(dice.between(from, to)).unwrap_or(1);
    vec![
        FaultKind::SkipLimit { most: 500 },
        FaultKind::TopLimit { most: number(2, 50), clamp: true },
        FaultKind::SkipToken,
        FaultKind::SmallPages { most: number(1, 20), ragged: number(0, 1) == 1 },
        FaultKind::EmptyPages { pages: number(1, 5) },
        FaultKind::LinkOnLastPage,
        FaultKind::MissingNextLink,
        FaultKind::RefuseExpand { status: [500, 504, 400, 206][number(0, 3) as usize], above: number(0, 6) },
        FaultKind::Warning { code: [110, 299][number(0, 1) as usize], text: "a proxy's".to_owned() },
        FaultKind::DateHeader { seconds: i64::from(number(1, 100_000_000)) - 50_000_000, text: None },
        FaultKind::Rewritten,
        FaultKind::WithoutLength,
        FaultKind::ByteOrderMark,
        FaultKind::LateVisibility {
            from_seconds: 0,
            to_seconds: u64::from(number(60, 6 * 3600)),
            one_version_in: number(1, 6),
        },
    ]
}

/// What comes and goes.
fn troubles(dice: &mut Dice) -> Vec<FaultKind> {
    let retry_after = ["5", "0", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"];
    vec![
        FaultKind::Throttle { retry_after_seconds: u32::try_from(dice.below(60)).unwrap_or(1) },
        FaultKind::ThrottleWith { retry_after: Some((*dice.pick(&retry_after)).to_owned()) },
        FaultKind::ThrottleWith { retry_after: None },
        FaultKind::Status { status: dice.choose(&[500, 502, 503, 504, 403]) },
        FaultKind::HtmlStatus { status: dice.choose(&[200, 403, 502]) },
        FaultKind::Unauthorized { challenge: false },
        FaultKind::Reset,
        FaultKind::Cut { after_bytes: dice.below(4000) },
        FaultKind::Truncate,
        FaultKind::EmptyBody,
        FaultKind::Garbage,
        FaultKind::ControlCharacter,
        FaultKind::UnreadableRecord { place: u32::try_from(dice.below(5)).unwrap_or(0) },
        FaultKind::JunkItems { items: u32::try_from(dice.below(50)).unwrap_or(0), different: false },
        FaultKind::UpdateWhilePaged { alerts: u32::try_from(1 + dice.below(3)).unwrap_or(1) },
        FaultKind::Poisoned { id: None, one_record_in: 7 },
        FaultKind::Partial { provider: "microsoftDefenderForEndpoint".to_owned() },
        FaultKind::InvalidUtf8,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_mixture() {
        assert_eq!(random_faults(3), random_faults(3));
        let all: Vec<_> = (0..200).flat_map(random_faults).collect();
        assert!(all.iter().any(|fault| fault.kind == FaultKind::Rewritten));
        assert!(all.iter().any(|fault| fault.every_seconds.is_some()));
        for fault in all {
            let text = serde_json::to_string(&fault).unwrap();
            assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault, "{text}");
        }
    }
}
