//! Tokens and permissions of some tenants, or of all, as `muster tenant check` asks for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use muster_microsoft::Fault;
use muster_model::{Clock, Tenant, TenantState};
use muster_store::{InstanceId, Store};
use tokio::time::Instant;
use uuid::Uuid;

use super::finding::{Finding, Level, Part};
use crate::access::apps::Apps;
use crate::access::preflight;
use crate::config::Settings;
use crate::troubles::Troubles;
use crate::wiring;

const SIDE_BY_SIDE: usize = 8;
/// So many are asked unless all are wanted.
const SAMPLE: usize = 10;
/// So many are named of those that share a finding.
const NAMED: usize = 3;

/// Which tenants are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample<'a> {
    /// One of each app, and some more.
    Some,
    All,
    /// These, by id, slug, domain or tag.
    Named(&'a [String]),
}

/// What was found alike of several tenants.
type Group = (String, &'static str, Level);

pub(super) async fn look(
    settings: &Settings,
    store: Option<&Arc<dyn Store>>,
    (sample, except): (Sample<'_>, &[String]),
    clock: &Arc<dyn Clock>,
    until: Instant,
) -> Vec<Finding> {
    let failed = |why: String, cure: &str| vec![Finding::warning(Part::Tenant, "tenants", why, cure)];
    let Some(store) = store else {
        return failed(
            "not asked: the store that names them cannot be read".to_owned(),
            "mend the store first",
        );
    };
    let (all, tenants) = match chosen(store, sample, except).await {
        Ok(chosen) => chosen,
        Err(why) => return vec![Finding::problem(Part::Tenant, "tenants", why, "muster tenant list")],
    };
    if tenants.is_empty() {
        return failed("there is no active tenant".to_owned(), "`muster tenant invite DOMAIN`");
    }
    let instance = InstanceId(Uuid::new_v4());
    let microsoft = match wiring::microsoft_for(settings, store, clock, instance) {
        Ok(microsoft) => microsoft,
        Err(error) => {
            return failed(format!("not asked: {:#}", error.error), "mend [network] and [cloud] first");
        }
    };
    let apps = match Apps::load_what_can_be_had(settings, store, &Troubles::default()).await {
        Ok(apps) => apps,
        Err(error) => return failed(format!("not asked: {error}"), "mend the store first"),
    };
    let asked = tenants.iter().map(|tenant| {
        let (microsoft, apps) = (&microsoft, &apps);
        async move {
            let app = match apps.find(&tenant.app) {
                Ok(app) => app,
                Err(missing) => {
                    let cure = format!("`muster app show`, and mend [apps.{}]", tenant.app);
                    return vec![(
                        about(tenant, "no app"),
                        missing.to_string(),
                        cure,
                        "no_app",
                        Level::Problem,
                    )];
                }
            };
            let further = apps.settings(&app.name).map_or(&[][..], |settings| &settings.permissions);
            let grants = match store.grants(Some(tenant.id)).await {
                Ok(grants) => grants,
                Err(error) => {
                    let found = (about(tenant, "store"), error.to_string(), "muster status".to_owned());
                    return vec![(found.0, found.1, found.2, "store", Level::Problem)];
                }
            };
            let preflight = preflight::tenant(microsoft, &app, tenant, further, &grants, clock.as_ref());
            match tokio::time::timeout_at(until, preflight).await {
                Err(_) => {
                    let why = "Microsoft did not answer in the time that was given".to_owned();
                    let cure = "`muster doctor --within 5m`".to_owned();
                    vec![(about(tenant, "time"), why, cure, "time", Level::Warning)]
                }
                Ok(found) if found.passed => {
                    let works = format!("{} source(s) can be read", found.findings.len());
                    vec![(about(tenant, "read"), works, String::new(), "ok", Level::Ok)]
                }
                Ok(found) => {
                    let bad = found.findings.into_iter().filter(|finding| !finding.is_good());
                    bad.map(|bad| {
                        let what = bad.source.map_or(bad.permission.clone(), |source| source.to_string());
                        let is_busy = bad.code == Fault::Throttled.as_str();
                        let level = if is_busy { Level::Warning } else { Level::Problem };
                        (about(tenant, &what), bad.detail, bad.remedy, bad.code, level)
                    })
                    .collect()
                }
            }
        }
    });
    let answers: Vec<Vec<_>> =
        stream::iter(asked).map(FutureExt::boxed).buffered(SIDE_BY_SIDE).collect().await;
    let mut groups: BTreeMap<Group, (Vec<&str>, String, String)> = BTreeMap::new();
    for (tenant, answers) in tenants.iter().zip(answers) {
        for (what, found, cure, code, level) in answers {
            let group = groups.entry((what, code, level)).or_insert_with(|| (Vec::new(), found, cure));
            group.0.push(tenant.slug.as_str());
        }
    }
    let mut findings: Vec<Finding> = groups
        .into_iter()
        .map(|((what, code, level), (slugs, found, cure))| {
            let found = if code == "ok" { found } else { format!("{code}: {found}") };
            Finding { part: Part::Tenant, about: format!("{} ({what})", named(&slugs)), level, found, cure }
        })
        .collect();
    if tenants.len() < all && matches!(sample, Sample::Some) {
        let found = format!("{} of {all} active tenants were asked", tenants.len());
        findings.push(Finding {
            cure: "`muster doctor --all` asks all of them".to_owned(),
            ..Finding::ok(Part::Tenant, "tenants", found)
        });
    }
    findings
}

/// What of a tenant, with the app that reads it.
fn about(tenant: &Tenant, what: &str) -> String {
    format!("{what}, app {}", tenant.app)
}

fn named(slugs: &[&str]) -> String {
    match slugs.len().saturating_sub(NAMED) {
        0 => slugs.join(", "),
        more => format!("{} and {more} more", slugs[..NAMED].join(", ")),
    }
}

/// How many active tenants there are that are not excepted, and those that are asked.
async fn chosen(
    store: &Arc<dyn Store>,
    sample: Sample<'_>,
    except: &[String],
) -> Result<(usize, Vec<Tenant>), String> {
    let tenants = store.tenants().await.map_err(|error| error.to_string())?;
    let choose = |tenants, names: &[String], is_meant: &dyn Fn(&Tenant) -> bool| {
        crate::choosing::choose(tenants, names, except, is_meant).map_err(|failed| failed.to_string())
    };
    let is_active = |tenant: &Tenant| tenant.state == TenantState::Active;
    // Who is named is asked, whatever state it is in.
    if let Sample::Named(names) = sample {
        let all = tenants.iter().filter(|tenant| is_active(tenant)).count();
        return Ok((all, choose(tenants, names, &|_| true)?));
    }
    let mut active = choose(tenants, &[], &is_active)?;
    let all = active.len();
    match sample {
        Sample::All | Sample::Named(_) => Ok((all, active)),
        Sample::Some => {
            // One of each app first.
            let mut apps = std::collections::BTreeSet::new();
            active.sort_by_key(|tenant| !apps.insert(tenant.app.clone()));
            active.truncate(SAMPLE.max(apps.len()));
            Ok((all, active))
        }
    }
}
