//! Saved queries: whom they ask, and whether there is an API to ask.

use muster_microsoft::sources;
use muster_model::TenantState;

use super::sources::lacking;
use super::subject::Subject;
use crate::config::Mistake;

/// Queries whose API the cloud does not have, or whose API Microsoft has said the end of, queries that
/// go by the clock, and queries that ask nobody.
pub(super) fn hunts(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let cloud = subject.settings.cloud.cloud().ok();
    let tenants = subject.tenants().unwrap_or_default().iter();
    let mut living = tenants.filter(|tenant| tenant.state != TenantState::Offboarded).peekable();
    let knows_tenants = living.peek().is_some();
    let living: Vec<_> = living.map(|tenant| tenant.label()).collect();
    for (source, hunt) in &subject.settings.hunts {
        let Some(name) = source.hunt() else { continue };
        let section = format!("hunts.{name}");
        if let Some(message) = cloud.as_ref().and_then(|cloud| lacking(cloud, *source)) {
            mistakes.push(subject.down(&section, "api", &message));
        } else if let Some(end) = sources::declaration(*source).end {
            mistakes.push(subject.advice(&section, "api", &end.in_words(*source)));
        }
        if let Some((key, message)) = hunt.saved.advice() {
            mistakes.push(subject.advice(&section, key, &message));
        }
        if knows_tenants && !living.iter().any(|tenant| hunt.asks(tenant)) {
            let message = "it asks no tenant; `muster tenant list` shows all";
            mistakes.push(subject.advice(&section, "tenants", message));
        }
    }
}
