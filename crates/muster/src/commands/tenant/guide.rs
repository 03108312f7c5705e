//! `muster tenant guide`

use muster_model::TenantState;
use muster_store::{StoreError, TenantKey};

use crate::access::onboard::guide::{Guide, Known};
use crate::access::probe;
use crate::commands::Context;
use crate::config::OnboardingSettings;
use crate::exit_code::{Exit, Failed};
use crate::web::language::Language;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slug, id or domain.
    tenant: String,
    /// Ask Microsoft what can be asked, instead of telling what was found last.
    #[arg(long)]
    check: bool,
    /// The language: en, de, sv, nl or zh-CN.
    #[arg(long, value_name = "LANGUAGE", default_value_t)]
    lang: Language,
    /// Print Markdown, to be mailed or put into a wiki.
    #[arg(long)]
    markdown: bool,
}

/// Prints what only people can do. With `check`, what can be asked of Microsoft is asked now, and kept.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(&args.tenant)).await?;
    if tenant.state == TenantState::Offboarded {
        return Err(StoreError::Offboarded(tenant.slug.to_string()).into());
    }
    let microsoft = context.microsoft()?;
    let grants = context.store.grants(Some(tenant.id)).await?;
    let app_settings = context.settings.apps.get(&tenant.app);
    if args.check {
        let apps = context.apps().await?;
        let app = apps.get(&tenant.app).ok_or_else(|| {
            Failed::say(Exit::Settings, format!("the tenant's app `{}` is not in the settings", tenant.app))
        })?;
        let found = probe::tenant(&microsoft, &app, &tenant, &grants, context.clock.as_ref()).await;
        context.store.put_checks(tenant.id, found).await?;
    }
    let checks: Vec<_> =
        context.store.checks(Some(tenant.id)).await?.into_iter().map(|(_, check)| check).collect();
    let known = Known {
        tenant: &tenant,
        app: app_settings.map(|app| (app.client_id.to_string(), app.access)),
        further: app_settings.map_or(&[][..], |app| &app.permissions),
        home: app_settings.and_then(|app| app.tenant),
        checks: &checks,
        grants: &grants,
        connector_redirect_uri: context
            .settings
            .onboarding
            .as_ref()
            .map(OnboardingSettings::connector_redirect_uri),
        cloud: microsoft.cloud(),
    };
    let guide = Guide::write(&known, args.lang);
    context.output.print(&guide, |_| if args.markdown { guide.markdown() } else { guide.text() })
}
