//! `muster app register`

use std::path::{Path, PathBuf};

use muster_microsoft::Microsoft;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::applications::{Applications, SignInAudience};
use muster_microsoft::entra::credential::{Access, App, Credential};
use muster_microsoft::entra::permissions::Permission;
use muster_model::{Source, Span, TenantId};
use muster_store::{CredentialKind, CredentialSlot};
use serde::Serialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::authority::{SignInArgs, authority, sign_in};
use super::consent_url::{LOCALHOST, consent_page, redirect_uris, registered_form};
use super::named::{home, ready, stored};
use super::rotate::{progress, rotation_failed, shown_rotated};
use super::section::{append_section, is_section_name, section};
use crate::access::person::SignInFlow;
use crate::access::registration::{self, Ensured};
use crate::access::rotation::{self, CredentialPlace, Rotated, Rotation};
use crate::audit;
use crate::commands::Context;
use crate::config::AppSettings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::plain;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app's name in the settings.
    app: String,
    /// Your own tenant, in which the app is registered: its id or a domain. May be left out when the settings say it.
    #[arg(long, short)]
    tenant: Option<String>,
    /// The name that customers see when they consent.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Only your own tenant may use it. One registration for all customers needs the opposite.
    #[arg(long)]
    single_tenant: bool,
    /// Another redirect URI, beside those that the settings give; repeat for several.
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<Url>,
    /// What it is to read; Graph's alerts and incidents when left out.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<Source>,
    /// Another permission, such as `WindowsDefenderATP/Machine.Isolate`; repeat for several.
    #[arg(long, value_name = "API/NAME", value_parser = registration::parse_permission)]
    permission: Vec<&'static Permission>,
    /// It reads in the name of persons who sign in, not by itself.
    #[arg(long)]
    delegated: bool,
    /// How it proves itself. What is made is kept, sealed, in the store.
    #[arg(long, value_enum, default_value_t)]
    credential: CredentialChoice,
    /// How long the secret or certificate is good for.
    #[arg(long, value_name = "DURATION", default_value = "180d")]
    lifetime: Span,
    /// Let the app change its own registration (Application.ReadWrite.OwnedBy), so that rotations need nobody.
    #[arg(long)]
    self_care: bool,
    /// Consent to the app's permissions in your own tenant as well.
    #[arg(long)]
    consent_here: bool,
    /// Write the new section into the settings file.
    #[arg(long)]
    write: bool,
    /// Who signs in.
    #[command(flatten)]
    sign_in: SignInArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum CredentialChoice {
    /// A client secret.
    #[default]
    Secret,
    /// A self-signed certificate.
    Certificate,
    /// Nothing is made.
    None,
}

pub(super) async fn run(args: &Args, config: &Path, context: &Context) -> Result<Exit, Failed> {
    let name = args.app.as_str();
    if !is_section_name(name) {
        return Err(Failed::say(
            Exit::Usage,
            format!("`{}` cannot name an app: use letters, digits, `-` and `_`", plain(name)),
        ));
    }
    let microsoft = context.microsoft()?;
    let settings = context.settings.apps.get(name);
    let home = home(name, settings, args.tenant.as_deref(), context, &microsoft).await?;
    let access = match settings {
        Some(settings) => settings.access,
        None if args.delegated => Access::Delegated,
        None => Access::Application,
    };
    let app = match settings {
        Some(settings) => ready(name, settings, context).await?,
        None => App::new(name, Uuid::nil().to_string(), Credential::None),
    };
    let token = match args.sign_in.flow {
        // There is no app yet that could care for itself.
        None if settings.is_none() => {
            sign_in(home, SignInFlow::Device, &args.sign_in, context, &microsoft).await?
        }
        _ => authority(&app, home, &args.sign_in, context, &microsoft).await?,
    };
    let graph = microsoft.applications(&token);
    let wanted = wanted(args, access, context);
    let client_id = settings.map(|settings| settings.client_id);
    let ensured = registration::ensure(graph, client_id, &wanted).await.map_err(registration_failed)?;
    let application = &ensured.application;
    if ensured.created || !ensured.changes.is_empty() {
        let details = json!({
            "client_id": application.app_id,
            "tenant": home,
            "created": ensured.created,
            "changes": ensured.changes,
        });
        context.audit("app.registered", name, details).await?;
    }
    let granted = grants(args, &ensured, graph).await?;
    if !granted.is_empty() {
        context.audit("app.consented", name, json!({ "tenant": home, "permissions": granted })).await?;
    }
    let app = App { client_id: application.app_id.to_string(), access, ..app };
    let credential = credential(args, &app, settings, home, &token, context, &microsoft).await?;
    let section = settings.is_none().then(|| section(name, application.app_id, home, access));
    let written_to = match &section {
        Some(section) if args.write => Some(append_section(config, name, section)?),
        _ => None,
    };
    let redirect =
        redirect_uris(settings, context).into_iter().next().unwrap_or_else(|| LOCALHOST.to_owned());
    let registered = Registered {
        app: name.to_owned(),
        client_id: application.app_id,
        object_id: application.id,
        service_principal: ensured.principal.id,
        tenant: home,
        created: ensured.created,
        changes: ensured.changes.clone(),
        granted,
        credential,
        consent_url: consent_page(&microsoft, context, &app, home, &redirect, None),
        section,
        written_to,
    };
    context.output.print(&registered, |_| shown_registered(&registered))
}

#[derive(Serialize)]
struct Registered {
    app: String,
    client_id: Uuid,
    object_id: Uuid,
    service_principal: Uuid,
    tenant: TenantId,
    created: bool,
    changes: Vec<String>,
    granted: Vec<String>,
    credential: Option<Rotated>,
    consent_url: String,
    /// The section for the settings; `None` when they have it.
    section: Option<String>,
    /// The file that the section was written to.
    written_to: Option<PathBuf>,
}

fn wanted(args: &Args, access: Access, context: &Context) -> registration::WantedRegistration {
    let sources: &[Source] = if args.source.is_empty() { &Source::DEFAULT } else { &args.source };
    let settings = context.settings.apps.get(&args.app);
    let mut redirect_uris = redirect_uris(settings, context);
    redirect_uris.extend(args.redirect_uri.iter().map(registered_form));
    if redirect_uris.is_empty() {
        redirect_uris.push(LOCALHOST.to_owned());
    }
    registration::WantedRegistration {
        display_name: args.display_name.clone().unwrap_or_else(|| default_display_name(&args.app, context)),
        // The mark is this store's: another Muster of the same provider is another app.
        tag: format!("muster-{}-{}", args.app, rotation::mark(context.store.as_ref(), &args.app, "tag")),
        audience: match args.single_tenant {
            true => SignInAudience::AzureADMyOrg,
            false => SignInAudience::AzureADMultipleOrgs,
        },
        redirect_uris,
        required: registration::required_with(sources.iter().copied(), &args.permission, access),
    }
}

/// The name that customers see on Microsoft's consent page.
fn default_display_name(app: &str, context: &Context) -> String {
    match &context.settings.onboarding {
        Some(onboarding) => format!("{} Muster ({app})", onboarding.provider_name),
        None => format!("Muster ({app})"),
    }
}

async fn grants(args: &Args, ensured: &Ensured, graph: Applications<'_>) -> Result<Vec<String>, Failed> {
    if args.self_care {
        graph.add_owner(ensured.application.id, ensured.principal.id).await.map_err(Failed::microsoft)?;
    }
    if !args.consent_here && !args.self_care {
        return Ok(Vec::new());
    }
    registration::consent_here(graph, ensured, args.consent_here, args.self_care)
        .await
        .map_err(registration_failed)
}

/// Makes the first credential, or finishes making it. One that works already is left alone.
async fn credential(
    args: &Args,
    app: &App,
    settings: Option<&AppSettings>,
    home: TenantId,
    token: &AccessToken,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<Option<Rotated>, Failed> {
    if settings.is_some_and(|settings| !settings.keeps_credential_in_store())
        || args.credential == CredentialChoice::None
    {
        return Ok(None);
    }
    let stored = stored(&app.name, context).await?;
    let of = |slot| stored.iter().any(|one| one.slot == slot && !one.value.expose().is_empty());
    let has_current = of(CredentialSlot::Current);
    // A previous one beside a current one may have been kept on purpose: removing it is not for this command.
    let is_unfinished = of(CredentialSlot::Next);
    if has_current && !is_unfinished {
        return Ok(None);
    }
    let rotation = Rotation {
        store: &context.store,
        microsoft,
        clock: context.clock.as_ref(),
        app,
        place: CredentialPlace::Store,
        home,
        token,
        actor: audit::actor(),
        progress: &progress,
    };
    let wanted = rotation::RotationRequest {
        kind: match args.credential {
            CredentialChoice::Certificate => CredentialKind::Certificate,
            CredentialChoice::Secret | CredentialChoice::None => CredentialKind::Secret,
        },
        lifetime: args.lifetime.0,
        withdraw: false,
        finish_only: has_current,
    };
    rotation.run(&wanted).await.map(Some).map_err(rotation_failed)
}

fn shown_registered(registered: &Registered) -> String {
    let did = if registered.created { "made" } else { "found" };
    let mut text = format!(
        "app `{}`: {did} the registration with client id {} in tenant {}\n",
        registered.app, registered.client_id, registered.tenant
    );
    for change in &registered.changes {
        text.push_str(&format!("{}\n", plain(change)));
    }
    if !registered.granted.is_empty() {
        text.push_str(&format!("consented in this tenant: {}\n", registered.granted.join(", ")));
    }
    match &registered.credential {
        Some(credential) => text.push_str(&shown_rotated(credential)),
        None => text.push_str("its credential was left as it is\n"),
    }
    match (&registered.section, &registered.written_to) {
        (Some(_), Some(path)) => text.push_str(&format!("\nwritten to {}\n", path.display())),
        (Some(section), None) => {
            text.push_str(&format!("\nAdd this to the settings (--write does):\n\n{section}"));
        }
        (None, _) => {}
    }
    text.push_str(&format!(
        "\nNext: `muster tenant invite` asks a customer for consent. In your own tenant, consent at:\n{}",
        registered.consent_url
    ));
    text
}

fn registration_failed(error: registration::RegistrationError) -> Failed {
    Failed::new(Exit::Microsoft, error)
}
