//! What no client can notice is left out: a service that hands out fewer records than there are, names no next page, and
//! does so in sizes that look like any other.
//!
//! Muster takes a page for whole that is smaller than what was asked for, of no usual size, smaller than the largest that the
//! service ever gave, and names no next page (`docs/guarantees.md` says so). So pages are cut short without a link at usual
//! sizes only, and not where they are small for another reason besides.

use muster_emulator::{Area, Fault, FaultKind};

/// Sizes at which services cut pages short.
const USUAL_SIZES: [u32; 5] = [10, 20, 25, 50, 100];

/// The fault as it may be added to those in force; `None` where it may not.
pub(crate) fn possible(fault: &Fault, in_force: &[Fault]) -> Option<Fault> {
    let mut fault = fault.clone();
    if let FaultKind::TopLimit { most, clamp: true } = &mut fault.kind
        && fault.area != Area::SiemFeed
    {
        let size = *most;
        *most = USUAL_SIZES.into_iter().rfind(|usual| *usual <= size).unwrap_or(USUAL_SIZES[0]);
    }
    let meets = |other: &Fault| {
        cuts_silently(&fault) && makes_small(&other.kind) || makes_small(&fault.kind) && cuts_silently(other)
    };
    (!in_force.iter().any(meets)).then_some(fault)
}

fn cuts_silently(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::MissingNextLink => true,
        // More is never asked for than 500 alerts, 50 incidents of Graph and 100 of Defender XDR, and 1,000 of the feed.
        FaultKind::TopLimit { most, clamp: true } => match fault.area {
            Area::GraphIncidents => most < 50,
            Area::XdrIncidents => most < 100,
            Area::SiemFeed => most < 1_000,
            _ => most < 500,
        },
        _ => false,
    }
}

fn makes_small(kind: &FaultKind) -> bool {
    matches!(kind, FaultKind::SmallPages { .. })
}
