//! Whether a tenant can be read, before anything is: for each source the permission that it needs, whether the token has it,
//! whether the call works, and what to do; and which permissions are enough.

use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::entra::permissions::{Permission, ResourceApp};
use muster_microsoft::{Fault, Microsoft, TenantAccess, sources};
use muster_model::{Clock, Source, Tenant, TenantId};
use muster_store::{Check, Grant};
use serde::Serialize;

use super::{checks, probe};

/// Delegated permissions that belong to signing in, and to no API's data.
const OF_SIGN_IN: [&str; 5] = ["openid", "profile", "email", "offline_access", "User.Read"];

/// What was found of a tenant.
#[derive(Debug, Serialize)]
pub struct Preflight {
    pub tenant: TenantId,
    pub slug: String,
    pub app: String,
    /// Whether everything works.
    pub passed: bool,
    /// A line for each source, then one for each permission that the app's settings name besides.
    pub findings: Vec<Finding>,
    pub least_privilege: LeastPrivilege,
    /// The same as the store keeps it.
    #[serde(skip)]
    pub checks: Vec<Check>,
}

/// One source, or one permission.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The source; none where only the permission is wanted.
    pub source: Option<Source>,
    /// The least permission that does, as `API/NAME`; empty where tokens do not say what may be read.
    pub permission: String,
    /// `application` or `delegated`.
    pub kind: &'static str,
    /// Whether the token has it, or one that allows as much; none where there is no token, or none that can be read.
    pub granted: Option<bool>,
    /// Whether the call works; none where nothing is called.
    pub works: Option<bool>,
    /// `ok`, or the kind of trouble.
    pub code: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

impl Finding {
    /// Whether nothing is wrong with it.
    pub fn is_good(&self) -> bool {
        self.code == OK
    }
}

const OK: &str = "ok";

/// Which permissions are enough, and what that comes to for this tenant. Each as `API/NAME`.
#[derive(Debug, Default, Serialize)]
pub struct LeastPrivilege {
    pub needed: Vec<String>,
    /// Needed and not in the tokens.
    pub missing: Vec<String>,
    /// In the tokens and not needed.
    pub beyond: Vec<String>,
}

/// A token of one API: what it allows, where that can be read from it.
struct Pass {
    api: ResourceApp,
    access: TenantAccess,
    allows: Option<Vec<String>>,
}

/// Asks Microsoft for a new token of each API and for one record of each source.
pub async fn tenant(
    microsoft: &Microsoft,
    app: &App,
    tenant: &Tenant,
    further: &[&'static Permission],
    grants: &[Grant],
    clock: &dyn Clock,
) -> Preflight {
    let mut apis: Vec<ResourceApp> = Vec::new();
    let api_of = |source| sources::declaration(source).api.map(|api| api.app());
    let of_sources = tenant.asked().filter_map(api_of);
    for api in of_sources.chain(further.iter().map(|permission| permission.resource)) {
        if !apis.contains(&api) {
            apis.push(api);
        }
    }
    let mut passes = Vec::new();
    for api in apis {
        passes.push(pass(microsoft, app, tenant, api).await);
    }
    let mut checks = Vec::new();
    if let Some(first) = passes.first() {
        checks.push(checks::token(&first.access, clock.now()));
    }
    let token_came = passes.iter().any(|pass| pass.access == TenantAccess::Granted);
    checks.extend(probe::grant(app, tenant, grants, token_came, clock.now()));
    let mut findings = Vec::new();
    for source in tenant.asked() {
        let pass =
            passes.iter().find(|pass| Some(pass.api) == api_of(source)).expect("each API was asked for");
        let accepted = sources::in_tokens(source);
        let (access, works) = match &pass.access {
            TenantAccess::Granted => {
                let access = microsoft.probe_source(app, tenant.id, source).await;
                let works = Some(access == TenantAccess::Granted);
                (access, works)
            }
            refused => (refused.clone(), None),
        };
        checks.push(checks::source(source, &access, clock.now()));
        findings.push(finding(app, tenant, Some(source), accepted, pass, &access, works));
    }
    for permission in further {
        let pass =
            passes.iter().find(|pass| pass.api == permission.resource).expect("each API was asked for");
        findings.push(finding(app, tenant, None, &[permission], pass, &pass.access, None));
    }
    let passed = findings.iter().all(Finding::is_good);
    Preflight {
        tenant: tenant.id,
        slug: tenant.slug.to_string(),
        app: app.name.clone(),
        passed,
        least_privilege: least_privilege(app, tenant, further, &passes),
        findings,
        checks,
    }
}

async fn pass(microsoft: &Microsoft, app: &App, tenant: &Tenant, api: ResourceApp) -> Pass {
    let Some(resource) = microsoft.cloud().resource(api).map(str::to_owned) else {
        let message = format!("the cloud `{}` has no {}", microsoft.cloud().name(), api.name());
        let access = TenantAccess::Failing { fault: Fault::Misconfigured, message };
        return Pass { api, access, allows: None };
    };
    let token = microsoft.fresh_access_token(app, tenant.id, &resource).await;
    let allows = token.as_ref().ok().and_then(|token| token.permissions(app.access).map(<[String]>::to_vec));
    Pass { api, access: TenantAccess::by_token(token.as_ref().err()), allows }
}

fn finding(
    app: &App,
    tenant: &Tenant,
    source: Option<Source>,
    accepted: &[&'static Permission],
    pass: &Pass,
    access: &TenantAccess,
    works: Option<bool>,
) -> Finding {
    let kind = match app.access {
        Access::Application => "application",
        Access::Delegated => "delegated",
    };
    let names: Vec<&str> = accepted.iter().filter_map(|permission| permission.name(app.access)).collect();
    let told = pass.allows.as_ref().filter(|_| !accepted.is_empty());
    let held = told.map(|allows| allows.iter().find(|name| names.contains(&name.as_str())));
    let granted = held.map(|held| held.is_some());
    let least = names.first().copied().unwrap_or_default();
    let permission = match accepted.is_empty() {
        true => String::new(),
        false => format!("{}/{least}", pass.api.name()),
    };
    let (code, detail, remedy) = match (access, granted) {
        (TenantAccess::Granted, Some(false)) => {
            let allows = pass.allows.as_deref().unwrap_or_default();
            let has = if allows.is_empty() { "nothing".to_owned() } else { allows.join(", ") };
            let fault = if allows.is_empty() { Fault::LostConsent } else { Fault::MissingRole };
            (fault.as_str(), format!("the token allows {has}"), ask_for(app, tenant, &permission))
        }
        (TenantAccess::Granted, _) => {
            let detail = match (works, held.flatten()) {
                (Some(_), _) => "it can be read".to_owned(),
                (None, Some(held)) => format!("the token has {held}"),
                (None, None) => "what the token allows cannot be read from it".to_owned(),
            };
            (OK, detail, String::new())
        }
        (TenantAccess::NotAsked { message }, _) => {
            (Fault::Throttled.as_str(), message.clone(), "run the command again in a minute".to_owned())
        }
        (TenantAccess::Failing { fault: fault @ (Fault::LostConsent | Fault::MissingRole), message }, _)
            if !permission.is_empty() =>
        {
            (fault.as_str(), message.clone(), ask_for(app, tenant, &permission))
        }
        (TenantAccess::Failing { fault, message }, _) => {
            (fault.as_str(), message.clone(), fault.remedy().to_owned())
        }
    };
    Finding { source, permission, kind, granted, works, code, detail, remedy }
}

/// How a permission comes into the token.
fn ask_for(app: &App, tenant: &Tenant, permission: &str) -> String {
    format!(
        "see with `muster app check {}` that the app asks for {permission}, then have the customer's administrator consent: `muster tenant invite {}`",
        app.name, tenant.slug
    )
}

fn least_privilege(
    app: &App,
    tenant: &Tenant,
    further: &[&'static Permission],
    passes: &[Pass],
) -> LeastPrivilege {
    let mut least = LeastPrivilege::default();
    let mut wanted: Vec<&[&'static Permission]> = Vec::new();
    for source in tenant.asked() {
        wanted.push(sources::in_tokens(source));
    }
    wanted.extend(further.chunks(1));
    let add = |list: &mut Vec<String>, name: String| {
        if !list.contains(&name) {
            list.push(name);
        }
    };
    let mut enough: Vec<(ResourceApp, &str)> = Vec::new();
    for accepted in wanted {
        let Some(first) = accepted.first() else { continue };
        let Some(name) = first.name(app.access) else { continue };
        let full = format!("{}/{name}", first.resource.name());
        enough.push((first.resource, name));
        let allows =
            passes.iter().find(|pass| pass.api == first.resource).and_then(|pass| pass.allows.as_ref());
        let held = allows.is_some_and(|allows| {
            let mut names = accepted.iter().filter_map(|permission| permission.name(app.access));
            names.any(|name| allows.iter().any(|held| held == name))
        });
        if !held {
            add(&mut least.missing, full.clone());
        }
        add(&mut least.needed, full);
    }
    for pass in passes {
        for held in pass.allows.iter().flatten().filter(|held| !OF_SIGN_IN.contains(&held.as_str())) {
            if !enough.contains(&(pass.api, held.as_str())) {
                add(&mut least.beyond, format!("{}/{held}", pass.api.name()));
            }
        }
    }
    least
}
