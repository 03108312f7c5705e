//! What nobody is told of for a while, and how somebody names it.

use muster_model::{Tenant, TenantId};
use muster_store::NoticeSnooze;

use super::kind::Kind;
use crate::config::RouteSettings;

/// What stands for alerts in the place of a condition.
pub const ALERTS: &str = "alerts";

/// The snooze that a condition's key is under, or that the alerts of a tenant (`alerts/ID`) are.
#[must_use]
pub fn under<'s>(snoozes: &'s [NoticeSnooze], key: &str) -> Option<&'s NoticeSnooze> {
    snoozes.iter().find(|snooze| RouteSettings::fits(&snooze.key, key))
}

/// The key that is meant by `CONDITION/SUBJECT`, and the tenant where it is one's: the subject is a tenant's slug or id, a sink, an
/// app, a part, or `*`; `*` also stands for every condition.
///
/// # Errors
/// When there is no such condition.
pub fn key(named: &str, tenants: &[Tenant]) -> Result<(String, Option<TenantId>), String> {
    let (kind, subject) = named.split_once('/').unwrap_or((named, "*"));
    if kind != "*" && kind != ALERTS && Kind::named(kind).is_none() {
        let words = Kind::ALL.iter().map(|kind| kind.as_str()).chain([ALERTS]);
        let meant = muster_model::text::did_you_mean(kind, words.clone());
        let shown = muster_model::text::shown(kind, 40);
        return Err(format!(
            "`{shown}` is not a condition{meant}: use one of {}, or *",
            words.collect::<Vec<_>>().join(", ")
        ));
    }
    let tenant =
        tenants.iter().find(|tenant| tenant.slug.as_str() == subject || tenant.id.to_string() == subject);
    if tenant.is_none() && (kind == ALERTS || kind == "*") && subject != "*" {
        return Err(format!("there is no tenant `{}`", muster_model::text::shown(subject, 64)));
    }
    if subject.is_empty() || subject.chars().any(muster_model::text::is_harmful) || subject.len() > 200 {
        return Err("name what it is of: a tenant, a sink, an app, or *".to_owned());
    }
    let subject = tenant.map_or_else(|| subject.to_owned(), |tenant| tenant.id.to_string());
    Ok((format!("{kind}/{subject}"), tenant.map(|tenant| tenant.id)))
}

/// The key as people read it: with the tenant's slug in place of its id.
#[must_use]
pub fn shown(key: &str, tenant: Option<&Tenant>) -> String {
    match (tenant, key.split_once('/')) {
        (Some(tenant), Some((kind, _))) => format!("{kind}/{}", tenant.slug),
        _ => key.to_owned(),
    }
}
