//! What templates have in common: what is posted, and how several notices are said as one.

use url::Url;

use crate::notices::message::{Event, Notice};
use crate::shown::cause::plural;

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Where, if not at the receiver's own address.
    pub to: Option<Url>,
    pub body: String,
}

/// So many of several notices are said one by one.
pub(in crate::notices) const SAID_MAX: usize = 30;

/// The headline of several notices.
pub(in crate::notices) fn headline(notices: &[Notice]) -> String {
    let count = |events: &[Event]| notices.iter().filter(|notice| events.contains(&notice.event)).count();
    let parts = [
        (count(&[Event::Alert]), "alert"),
        (count(&[Event::Began]), "new condition"),
        (count(&[Event::Reminder]), "reminder"),
        (count(&[Event::Ended]), "end"),
    ];
    let untold =
        notices.iter().filter(|notice| notice.event == Event::Untold).map(|notice| notice.count).sum();
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(count, what)| (count as u64, what))
        .chain([(untold, "further alert")])
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| plural(count, what))
        .collect();
    format!("Muster: {}", parts.join(", "))
}

/// What stands in for those that are not said one by one.
pub(in crate::notices) fn more(notices: &[Notice]) -> Option<String> {
    let more = notices.len().saturating_sub(SAID_MAX);
    (more > 0).then(|| format!("and {more} more; the SIEM and `muster notice list` have all of them"))
}
