//! `muster app register`

use std::path::{Path, PathBuf};

use muster_microsoft::Microsoft;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::applications::{Applications, SignInAudience};
use muster_microsoft::entra::credential::{Access, App, Credential};
use muster_microsoft::entra::permissions::{self, Permission};
use muster_model::{Source, Span, TenantId};
use muster_store::{CredentialKind, CredentialSlot};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::authority::{SignInArgs, authority, sign_in};
use super::connector::{self, Connector, NextSteps, connector, must_serve_somebody, serves_nobody};
use super::consent_url::{LOCALHOST, consent_page, redirect_uris};
use super::named::{home, of_app, ready, stored};
use super::rotate::{self, progress, rotation_failed, shown_rotated};
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
    /// Make the connector app of Microsoft's MSSP page for this customer, with that page's values: in the customer's own
    /// directory and for it only, in a person's name, with a secret of one year.
    #[arg(long, value_name = "TENANT", conflicts_with_all = ["single_tenant", "consent_here"])]
    connector_for: Option<String>,
    /// Another redirect URI, beside those that the settings give; repeat for several.
    #[arg(long, value_name = "URI", value_parser = crate::config::parse_redirect_uri)]
    redirect_uri: Vec<String>,
    /// What it is to read; Graph's alerts and incidents when left out.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<Source>,
    /// Another permission, such as `WindowsDefenderATP/Machine.Isolate`; repeat for several.
    #[arg(long, value_name = "API/NAME", value_parser = permissions::parse)]
    permission: Vec<&'static Permission>,
    /// It reads in the name of persons who sign in, not by itself.
    #[arg(long)]
    delegated: bool,
    /// How it proves itself. What is made is kept, sealed, in the store.
    #[arg(long, value_enum, default_value_t)]
    credential: CredentialChoice,
    /// How long the secret or certificate is good for; 180d when left out, a connector's 365d.
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<Span>,
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
    let connector = match &args.connector_for {
        Some(customer) => {
            let own_redirects = !args.redirect_uri.is_empty();
            let home = args.tenant.as_deref();
            Some(connector(customer, home, own_redirects, context, &microsoft).await?)
        }
        None => None,
    };
    let home = match (&connector, settings.and_then(|settings| settings.tenant)) {
        (Some(connector), Some(home)) if home != connector.tenant.id => {
            return Err(serves_nobody(home, &connector.tenant));
        }
        (Some(connector), _) => connector.tenant.id,
        (None, _) => home(name, settings, args.tenant.as_deref(), context, &microsoft).await?,
    };
    if args.single_tenant {
        let tenants = of_app(&context.store.tenants().await?, name);
        must_serve_somebody(name, home, &tenants)?;
    }
    let access = match settings {
        Some(settings) => settings.access,
        None if args.delegated || connector.is_some() => Access::Delegated,
        None => Access::Application,
    };
    if connector.is_some() && access != Access::Delegated {
        let message =
            format!("a connector reads in a person's name: add access = \"delegated\" to [apps.{name}]");
        return Err(Failed::say(Exit::Settings, message));
    }
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
    let wanted = wanted(args, connector.as_ref(), access, context);
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
    let permissions = further(args, None);
    let own_redirect = connector.as_ref().and_then(|connector| match &context.settings.onboarding {
        // The one of [onboarding] is used by itself.
        Some(_) => None,
        None => args.redirect_uri.first().or(connector.redirect_uris.first()).map(String::as_str),
    });
    let section = settings
        .is_none()
        .then(|| section(name, application.app_id, home, access, &permissions, own_redirect));
    let unnamed = settings.map_or_else(Vec::new, |settings| {
        let unnamed = permissions.iter().filter(|named| !settings.permissions.contains(named));
        unnamed.map(|permission| permission.full_name()).collect()
    });
    let written_to = match &section {
        Some(section) if args.write => Some(append_section(config, name, section)?),
        _ => None,
    };
    let of_connector = connector.as_ref().and_then(|connector| connector.redirect_uris.first().cloned());
    let redirect = redirect_uris(settings, context)
        .into_iter()
        .next()
        .or(of_connector)
        .unwrap_or_else(|| LOCALHOST.to_owned());
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
        consent_url: consent_page(
            &microsoft,
            context,
            &app,
            home,
            &redirect,
            None,
            &sources(args, connector.as_ref()),
        ),
        connector: connector
            .map(|connector| NextSteps::of(name, application.app_id, home, &connector, &microsoft)),
        section,
        written_to,
        unnamed,
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
    /// Permissions that the app asks for and its section does not name.
    unnamed: Vec<String>,
    /// What a connector still needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<NextSteps>,
}

fn wanted(
    args: &Args,
    connector: Option<&Connector>,
    access: Access,
    context: &Context,
) -> registration::WantedRegistration {
    let settings = context.settings.apps.get(&args.app);
    let mut redirect_uris = redirect_uris(settings, context);
    for uri in connector.iter().flat_map(|connector| &connector.redirect_uris).chain(&args.redirect_uri) {
        if !redirect_uris.contains(uri) {
            redirect_uris.push(uri.clone());
        }
    }
    if redirect_uris.is_empty() {
        redirect_uris.push(LOCALHOST.to_owned());
    }
    registration::WantedRegistration {
        display_name: args.display_name.clone().unwrap_or_else(|| match connector {
            Some(connector) => connector.display_name.clone(),
            None => default_display_name(&args.app, context),
        }),
        // The mark is this store's: another Muster of the same provider is another app.
        tag: format!("muster-{}-{}", args.app, rotation::mark(context.store.as_ref(), &args.app, "tag")),
        audience: match args.single_tenant || connector.is_some() {
            true => SignInAudience::AzureADMyOrg,
            false => SignInAudience::AzureADMultipleOrgs,
        },
        redirect_uris,
        required: registration::required_with(sources(args, connector), &further(args, settings), access),
    }
}

/// What the app is to read.
fn sources(args: &Args, connector: Option<&Connector>) -> Vec<Source> {
    match (&args.source[..], connector) {
        ([], Some(connector)) => vec![connector.source],
        ([], None) => Source::DEFAULT.to_vec(),
        (named, _) => named.to_vec(),
    }
}

/// What the settings and the command line want besides what the sources need.
fn further(args: &Args, settings: Option<&AppSettings>) -> Vec<&'static Permission> {
    let mut further = settings.map_or_else(Vec::new, |settings| settings.permissions.clone());
    further.extend(args.permission.iter().filter(|named| !further.contains(named)).collect::<Vec<_>>());
    further
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
        lifetime: match (args.lifetime, &args.connector_for) {
            (Some(lifetime), _) => lifetime.0,
            (None, Some(_)) => connector::LIFETIME,
            (None, None) => rotate::LIFETIME,
        },
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
    if !registered.unnamed.is_empty() {
        text.push_str(&format!(
            "\nAdd to [apps.{}], so that checks and customers' pages name them, too:\npermissions = {:?}\n",
            registered.app, registered.unnamed
        ));
    }
    if let Some(connector) = &registered.connector {
        text.push_str(&connector.in_words());
        return text;
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
