//! Routes: what they lead to, and what they leave out.

use super::subject::Subject;
use crate::config::Mistake;
use crate::route_gaps::{GapKind, forgotten, gaps};

/// What goes to no sink, and what gets no record. Without it, records are kept and nobody misses them.
pub(super) fn left_out(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    // What is wrong with a route is told already, and what it would have led to is not known.
    if !subject.are_right("routes") {
        return;
    }
    for gap in gaps(subject.settings, subject.tenants()) {
        let told = match gap.kind {
            // That there is no sink is told by itself.
            GapKind::NoRoute if subject.settings.sinks.is_empty() => continue,
            GapKind::NoRoute | GapKind::UnservedSource => Subject::down,
            GapKind::RouteToNobody
            | GapKind::OnlyShadowed
            | GapKind::UnreachedSink
            | GapKind::ForgottenSink => Subject::advice,
        };
        mistakes.push(told(subject, &gap.section, gap.key, &gap.message));
    }
}

/// Sinks that are owed records and that nobody delivers to, since the settings do not name them any more.
pub(super) fn forgotten_sinks(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    // One whose section is wrong is there.
    let (true, Ok(store)) = (subject.are_right("sinks"), &subject.store) else { return };
    let owed = store.owed.iter().map(|(sink, owed)| (sink.as_str(), *owed));
    for gap in forgotten(subject.settings, owed) {
        mistakes.push(subject.advice(&gap.section, gap.key, &gap.message));
    }
}
