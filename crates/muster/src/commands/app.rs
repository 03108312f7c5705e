//! `muster app …`: the app registrations that customers consent to, and the secrets and certificates they prove
//! themselves with.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::applications::{OWN_REGISTRATION_ROLES, SignInAudience};
use muster_microsoft::entra::credential::{Access, App, Credential};
use muster_model::{Source, Tenant, TenantId, TenantReference, TenantState};
use muster_store::{
    Check, CheckOutcome, CredentialKind, NewAuditEvent, StoreError, StoredCredential, TenantKey,
};
use serde::Serialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::Context;
use crate::access::operator::Operator;
use crate::access::registration::{self, Ensured, Expected};
use crate::access::rotation::{self, Place, Rotated, Rotation, RotationError, RotationLock};
use crate::access::{apps, checks};
use crate::cli::{
    AppCheckArgs, AppCommand, AppConsentUrlArgs, AppRegisterArgs, AppRotateArgs, CredentialChoice,
    SignInArgs, TokenFlow,
};
use crate::config::{AppSettings, Settings};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, Tone, plain};
use crate::{audit, lifecycle};

/// Where a browser ends that is sent to this machine; for registrations of a Muster without pages of its own.
const LOCALHOST: &str = "http://localhost";

pub(crate) async fn app(
    command: &AppCommand,
    config: &Path,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    match command {
        AppCommand::Register(args) => register(args, config, context, output).await,
        AppCommand::Show { apps } => show(apps, context, output).await,
        AppCommand::ConsentUrl(args) => consent_url(args, context, output).await,
        AppCommand::RotateSecret(args) => rotate(args, CredentialKind::Secret, context, output).await,
        AppCommand::RotateCertificate(args) => {
            rotate(args, CredentialKind::Certificate, context, output).await
        }
        AppCommand::Check(args) => check(args, context, output).await,
    }
}

/// The app that is meant: the one named, or the only one.
fn named<'a>(name: Option<&'a str>, settings: &'a Settings) -> Result<(&'a str, &'a AppSettings), Failed> {
    let known = || settings.apps.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => settings.apps.get(name).map(|app| (name, app)).ok_or_else(|| {
            let message = match settings.apps.is_empty() {
                true => format!("the settings name no app; `muster app register {name}` makes one"),
                false => format!("there is no app `{name}` in the settings; the apps are: {}", known()),
            };
            Failed::say(Exit::NotFound, message)
        }),
        None => match settings.apps.iter().next() {
            Some((name, app)) if settings.apps.len() == 1 => Ok((name, app)),
            Some(_) => Err(Failed::say(Exit::Usage, format!("say which app: {}", known()))),
            None => Err(Failed::say(
                Exit::NotFound,
                "the settings name no app; `muster app register main --tenant …` makes one",
            )),
        },
    }
}

/// A tenant by its id or domain, or by the slug of one that was added.
async fn tenant_id(text: &str, context: &Context, microsoft: &Microsoft) -> Result<TenantId, Failed> {
    match context.store.tenant(TenantKey::Name(text.trim())).await {
        Ok(tenant) => return Ok(tenant.id),
        Err(StoreError::NoTenant(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match text
        .trim()
        .parse()
        .map_err(|error: muster_model::ParseTenantError| Failed::new(Exit::Usage, error))?
    {
        TenantReference::Id(id) => Ok(id),
        TenantReference::Domain(domain) => {
            microsoft.tenant_of(&domain).await.map_err(|error| Failed::new(Exit::Microsoft, error))
        }
    }
}

/// The tenant that an app is registered in.
async fn home(
    name: &str,
    settings: Option<&AppSettings>,
    argument: Option<&str>,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<TenantId, Failed> {
    match (argument, settings.and_then(|app| app.tenant)) {
        (Some(text), _) => tenant_id(text, context, microsoft).await,
        (None, Some(tenant)) => Ok(tenant),
        (None, None) => Err(Failed::say(
            Exit::Usage,
            format!(
                "say in which tenant app `{name}` is registered: your own, with --tenant, or `tenant` in [apps.{name}]"
            ),
        )),
    }
}

/// The app as it is used now, with its credential.
async fn ready(name: &str, settings: &AppSettings, context: &Context) -> Result<App, Failed> {
    let stored = stored(name, context).await?;
    let current = stored
        .iter()
        .find(|one| one.slot == muster_store::CredentialSlot::Current && !one.value.expose().is_empty())
        .map(|current| apps::credential(name, current))
        .transpose()
        .map_err(|error| Failed::new(Exit::Store, error))?;
    settings
        .app(name, &context.settings.folder, current)
        .map_err(|error| Failed::say(Exit::Settings, format!("app `{name}`: {error}")))
}

async fn stored(name: &str, context: &Context) -> Result<Vec<StoredCredential>, Failed> {
    Ok(context.store.app_credentials(name).await?)
}

/// A token of somebody who may read and change the registration: the app itself, when it may care for itself, or else a
/// person who signs in.
async fn authority(
    app: &App,
    home: TenantId,
    args: &SignInArgs,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<AccessToken, Failed> {
    let reason = match own_token(app, home, microsoft).await {
        Ok(token) if args.flow.is_none() => return Ok(token),
        Ok(_) => String::new(),
        Err(reason) => reason,
    };
    let flow = match args.flow {
        Some(flow) => flow,
        None if io::stderr().is_terminal() && io::stdin().is_terminal() => TokenFlow::Device,
        None => {
            return Err(Failed::say(
                Exit::Microsoft,
                format!(
                    "app `{}` may not care for its own registration ({reason}), and nobody is here to sign in: run this in a terminal, say --flow device, or register the app with --self-care",
                    app.name
                ),
            ));
        }
    };
    sign_in(home, flow, args, context, microsoft).await
}

async fn sign_in(
    home: TenantId,
    flow: TokenFlow,
    args: &SignInArgs,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<AccessToken, Failed> {
    let operator = Operator {
        microsoft,
        store: context.store.as_ref(),
        clock: context.clock.as_ref(),
        tenant: home,
        client_id: args.sign_in_client,
        flow,
        no_open: args.no_open,
    };
    let granted = operator.sign_in().await?;
    if !granted.account.is_empty() {
        eprintln!("Signed in as {}.", plain(&granted.account));
    }
    Ok(granted.access_token)
}

/// The app's own token, when it may change its registration; otherwise why not.
async fn own_token(app: &App, home: TenantId, microsoft: &Microsoft) -> Result<AccessToken, String> {
    if matches!(app.credential, Credential::None) {
        return Err("it has no credential yet".to_owned());
    }
    let own = App { access: Access::Application, ..app.clone() };
    let resource = microsoft.cloud().graph_resource();
    let token =
        microsoft.fresh_access_token(&own, home, resource).await.map_err(|error| error.to_string())?;
    let may = token
        .roles
        .as_ref()
        .is_some_and(|roles| roles.iter().any(|role| OWN_REGISTRATION_ROLES.contains(&role.as_str())));
    if may { Ok(token) } else { Err(format!("its token lacks {}", OWN_REGISTRATION_ROLES[0])) }
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

async fn register(
    args: &AppRegisterArgs,
    config: &Path,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    let name = args.app.as_str();
    if !is_section_name(name) {
        return Err(Failed::say(
            Exit::Usage,
            format!("`{}` cannot name an app: use letters, digits, `-` and `_`", plain(name)),
        ));
    }
    let _lock = lock(context)?;
    let microsoft = lifecycle::microsoft_of(context)?;
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
            sign_in(home, TokenFlow::Device, &args.sign_in, context, &microsoft).await?
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
        write_down("app.registered", name, details, context).await?;
    }
    let granted = grants(args, &ensured, graph).await?;
    if !granted.is_empty() {
        write_down("app.consented", name, json!({ "tenant": home, "permissions": granted }), context).await?;
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
    output.print(&registered, |_| shown_registered(&registered))?;
    Ok(Exit::Success)
}

fn wanted(args: &AppRegisterArgs, access: Access, context: &Context) -> registration::Wanted {
    let sources: &[Source] = if args.source.is_empty() { &Source::ALL } else { &args.source };
    let settings = context.settings.apps.get(&args.app);
    let mut redirect_uris = redirect_uris(settings, context);
    redirect_uris.extend(args.redirect_uri.iter().map(registered_form));
    if redirect_uris.is_empty() {
        redirect_uris.push(LOCALHOST.to_owned());
    }
    registration::Wanted {
        display_name: args.display_name.clone().unwrap_or_else(|| default_display_name(&args.app, context)),
        // The mark is this store's: another Muster of the same provider is another app.
        tag: format!("muster-{}-{}", args.app, rotation::mark(context.store.as_ref(), &args.app, "tag")),
        audience: match args.single_tenant {
            true => SignInAudience::AzureADMyOrg,
            false => SignInAudience::AzureADMultipleOrgs,
        },
        redirect_uris,
        required: registration::required(sources.iter().copied(), access),
    }
}

/// The name that customers see on Microsoft's consent page.
fn default_display_name(app: &str, context: &Context) -> String {
    match &context.settings.onboarding {
        Some(onboarding) => format!("{} Muster ({app})", onboarding.provider_name),
        None => format!("Muster ({app})"),
    }
}

/// A redirect URI as it is compared: character by character, so without the slash that parsing adds to a bare host.
fn registered_form(url: &Url) -> String {
    let text = url.as_str();
    match url.path() {
        "/" if url.query().is_none() => text.trim_end_matches('/').to_owned(),
        _ => text.to_owned(),
    }
}

/// Where browsers come back to, by the settings.
fn redirect_uris(settings: Option<&AppSettings>, context: &Context) -> Vec<String> {
    let mut uris = Vec::new();
    if let Some(onboarding) = &context.settings.onboarding {
        uris.push(onboarding.consent_redirect_uri());
        uris.push(onboarding.connector_redirect_uri());
    }
    if let Some(own) = settings.and_then(|settings| settings.redirect_uri.as_ref()) {
        let own = registered_form(own);
        if !uris.contains(&own) {
            uris.push(own);
        }
    }
    uris
}

async fn grants(
    args: &AppRegisterArgs,
    ensured: &Ensured,
    graph: muster_microsoft::entra::applications::Applications<'_>,
) -> Result<Vec<String>, Failed> {
    if args.self_care {
        graph
            .add_owner(ensured.application.id, ensured.principal.id)
            .await
            .map_err(|error| Failed::new(Exit::Microsoft, error))?;
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
    args: &AppRegisterArgs,
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
    let has_current = of(muster_store::CredentialSlot::Current);
    // A previous one beside a current one may have been kept on purpose: removing it is not for this command.
    let is_unfinished = of(muster_store::CredentialSlot::Next);
    if has_current && !is_unfinished {
        return Ok(None);
    }
    let rotation = Rotation {
        store: &context.store,
        microsoft,
        clock: context.clock.as_ref(),
        app,
        place: Place::Store,
        home,
        token,
        actor: audit::actor(),
        progress: &progress,
    };
    let wanted = rotation::Wanted {
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

fn is_section_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn section(name: &str, client_id: Uuid, home: TenantId, access: Access) -> String {
    let mut text = format!(
        "[apps.{name}]\nclient_id = \"{client_id}\"\ntenant = \"{home}\"                # where it is registered\n"
    );
    if access == Access::Delegated {
        text.push_str("access = \"delegated\"\n");
    }
    text.push_str(&format!(
        "# Its credential is kept, sealed, in the store; `muster app rotate-secret {name}` replaces it.\n"
    ));
    text
}

/// Writes the section behind what the settings file holds; where the settings are a folder, into a file of its own.
fn append_section(config: &Path, name: &str, section: &str) -> Result<PathBuf, Failed> {
    let failed = |path: &Path, error: io::Error| {
        Failed::say(
            Exit::Failure,
            format!("{} cannot be written: {error}; put this there yourself:\n\n{section}", path.display()),
        )
    };
    let path = match config.is_dir() {
        true => config.join(format!("app-{name}.toml")),
        false => std::fs::canonicalize(config).map_err(|error| failed(config, error))?,
    };
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(&path, error)),
    };
    let gap = match before.as_str() {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let text = format!("{before}{gap}{section}");
    // Whole or not at all: the file is replaced in one step.
    let written = (|| {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut new = tempfile_in(folder, &path)?;
        new.1.write_all(text.as_bytes())?;
        new.1.sync_all()?;
        if let Ok(like) = std::fs::metadata(&path) {
            new.1.set_permissions(like.permissions())?;
        }
        std::fs::rename(&new.0, &path)?;
        std::fs::File::open(folder)?.sync_all()
    })();
    written.map_err(|error| failed(&path, error))?;
    Ok(path)
}

fn tempfile_in(folder: &Path, beside: &Path) -> io::Result<(PathBuf, std::fs::File)> {
    let name = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = folder.join(format!(".{name}.muster-new"));
    let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    Ok((path, file))
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

async fn rotate(
    args: &AppRotateArgs,
    kind: CredentialKind,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    let (name, settings) = named(args.app.as_deref(), &context.settings)?;
    let _lock = lock(context)?;
    let microsoft = lifecycle::microsoft_of(context)?;
    let place = rotation::place(settings, kind, &context.settings.folder, || opener(context))
        .map_err(|reason| Failed::say(Exit::Usage, format!("app `{name}`: {reason}")))?;
    let home = home(name, Some(settings), args.tenant.as_deref(), context, &microsoft).await?;
    let app = ready(name, settings, context).await?;
    let token = authority(&app, home, &args.sign_in, context, &microsoft).await?;
    // A running Muster reads a Key Vault only when it starts or reloads; until then it needs the old one.
    let is_vault = matches!(place, Place::KeyVault { .. });
    let rotation = Rotation {
        store: &context.store,
        microsoft: &microsoft,
        clock: context.clock.as_ref(),
        app: &app,
        place,
        home,
        token: &token,
        actor: audit::actor(),
        progress: &progress,
    };
    let wanted = rotation::Wanted {
        kind,
        lifetime: args.lifetime.0,
        withdraw: args.finish || !(args.keep_old || is_vault),
        finish_only: args.finish,
    };
    let mut rotated = rotation.run(&wanted).await.map_err(rotation_failed)?;
    if rotated.replaced && is_vault {
        rotated.notes.push(format!(
            "send SIGHUP to `muster run`, so that it reads the vault again, and then run `muster app rotate-{} {name} --finish`",
            kind.as_str()
        ));
    }
    let checks = vec![rotation::check(name, &stored(name, context).await?, context.clock.now())];
    context.store.put_app_checks(name, checks).await?;
    output.print(&rotated, |_| shown_rotated(&rotated).trim_end().to_owned())?;
    Ok(Exit::Success)
}

/// Who opens Key Vaults.
fn opener(context: &Context) -> Result<(App, TenantId), String> {
    let opener = context
        .settings
        .key_vault
        .as_ref()
        .ok_or("its credential lies in a Key Vault, but the settings have no [key_vault]")?;
    let settings = context
        .settings
        .apps
        .get(&opener.app)
        .ok_or_else(|| format!("[key_vault] names app `{}`, which is not in the settings", opener.app))?;
    let app = settings
        .app(&opener.app, &context.settings.folder, None)
        .map_err(|error| format!("app `{}`, which opens the Key Vault: {error}", opener.app))?;
    Ok((app, opener.tenant))
}

fn progress(words: &str) {
    eprintln!("{words}");
}

fn shown_rotated(rotated: &Rotated) -> String {
    let mut text = String::new();
    if rotated.resumed {
        text.push_str("an interrupted rotation was finished\n");
    }
    match (&rotated.key_id, rotated.replaced) {
        (Some(key_id), true) => text.push_str(&format!("a new credential is in use: {key_id}")),
        (Some(key_id), false) => text.push_str(&format!("the credential in use: {key_id}")),
        (None, _) => text.push_str("no credential is in use that Muster made"),
    }
    if let Some(until) = rotated.not_after.filter(|_| rotated.key_id.is_some()) {
        text.push_str(&format!(", good until {until:.0}"));
    }
    text.push('\n');
    if !rotated.withdrawn.is_empty() {
        text.push_str(&format!("removed at Microsoft: {}\n", rotated.withdrawn.join(", ")));
    }
    if let Some(still) = &rotated.still_valid {
        text.push_str(&format!("still valid at Microsoft: {still}; --finish removes it\n"));
    }
    for note in &rotated.notes {
        text.push_str(&format!("! {}\n", plain(note)));
    }
    text
}

#[derive(Serialize)]
struct Shown {
    app: String,
    client_id: Uuid,
    tenant: Option<TenantId>,
    access: &'static str,
    proves_itself_with: String,
    tenants: usize,
    credentials: Vec<ShownCredential>,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct ShownCredential {
    slot: &'static str,
    kind: &'static str,
    key_id: String,
    created_at: Timestamp,
    not_after: Option<Timestamp>,
}

async fn show(names: &[String], context: &Context, output: Output) -> Result<Exit, Failed> {
    for name in names {
        named(Some(name), &context.settings)?;
    }
    let checks = context.store.app_checks().await?;
    let tenants = context.store.tenants().await?;
    let mut shown = Vec::new();
    for (name, settings) in &context.settings.apps {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let credentials = stored(name, context).await?.into_iter().map(|stored| ShownCredential {
            slot: stored.slot.as_str(),
            kind: stored.kind.as_str(),
            key_id: stored.key_id,
            created_at: stored.created_at,
            not_after: stored.not_after,
        });
        shown.push(Shown {
            app: name.clone(),
            client_id: settings.client_id,
            tenant: settings.tenant,
            access: match settings.access {
                Access::Application => "application",
                Access::Delegated => "delegated",
            },
            proves_itself_with: proof(settings),
            tenants: of_app(&tenants, name).len(),
            credentials: credentials.collect(),
            checks: checks.iter().filter(|(app, _)| app == name).map(|(_, check)| check.clone()).collect(),
        });
    }
    output.print(&shown, |output| {
        if shown.is_empty() {
            return "the settings name no app; `muster app register main --tenant …` makes one".to_owned();
        }
        shown.iter().map(|app| shown_app(app, output)).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Exit::Success)
}

/// How an app proves itself, by its settings.
fn proof(settings: &AppSettings) -> String {
    match (&settings.secret, &settings.certificate) {
        (Some(place), _) => format!("a secret in {place}"),
        (_, Some(place)) => format!("a certificate in {place}"),
        _ if settings.federated_token.is_some() => "a federated token".to_owned(),
        _ if settings.managed_identity.is_some() => "the machine's managed identity".to_owned(),
        _ if settings.public => "nothing: it is a public client".to_owned(),
        _ => "a credential that Muster keeps in its store".to_owned(),
    }
}

fn shown_app(app: &Shown, output: &Output) -> String {
    let mut text = format!(
        "{}\n\nclient id     {}\nregistered in {}\naccess        {}\nproves itself with {}\ntenants       {}\n",
        app.app,
        app.client_id,
        app.tenant.map_or_else(|| "-".to_owned(), |tenant| tenant.to_string()),
        app.access,
        plain(&app.proves_itself_with),
        app.tenants,
    );
    if !app.credentials.is_empty() {
        let mut table = output.table(&["slot", "kind", "id", "made", "ends"]);
        for credential in &app.credentials {
            let ends = credential.not_after.map_or_else(|| "-".to_owned(), |ends| format!("{ends:.0}"));
            let made = format!("{:.0}", credential.created_at);
            let row = [credential.slot, credential.kind, &credential.key_id, &made, &ends];
            table.add_row(row.map(|text| output.cell(text, Tone::Plain)));
        }
        text.push_str(&format!("\n{table}\n"));
    }
    if !app.checks.is_empty() {
        text.push_str(&format!("\n{}", shown_checks(&app.checks, output)));
    }
    text
}

fn shown_checks(checks: &[Check], output: &Output) -> String {
    let mut table = output.table(&["check", "outcome", "finding", "what to do"]);
    for check in checks {
        table.add_row(vec![
            output.cell(&check.name, Tone::Plain),
            output.cell(check.outcome.as_str(), check.outcome.into()),
            output.cell(&check.detail, Tone::Plain),
            output.cell(if check.remedy.is_empty() { "-" } else { &check.remedy }, Tone::Plain),
        ]);
    }
    table.to_string()
}

fn of_app(tenants: &[Tenant], app: &str) -> Vec<Tenant> {
    let live = |tenant: &&Tenant| tenant.app == app && tenant.state != TenantState::Offboarded;
    tenants.iter().filter(live).cloned().collect()
}

#[derive(Serialize)]
struct ConsentUrl {
    app: String,
    tenant: TenantId,
    form: &'static str,
    redirect_uri: String,
    url: String,
}

async fn consent_url(args: &AppConsentUrlArgs, context: &Context, output: Output) -> Result<Exit, Failed> {
    let (name, settings) = named(args.app.as_deref(), &context.settings)?;
    let microsoft = lifecycle::microsoft_of(context)?;
    let tenant = tenant_id(&args.tenant, context, &microsoft).await?;
    let redirect = match &args.redirect_uri {
        Some(uri) => registered_form(uri),
        None => {
            redirect_uris(Some(settings), context).into_iter().next().unwrap_or_else(|| LOCALHOST.to_owned())
        }
    };
    let app = App {
        access: settings.access,
        endpoint: settings.endpoint.clone(),
        ..App::new(name, settings.client_id.to_string(), Credential::None)
    };
    let form = args
        .form
        .or_else(|| context.settings.onboarding.as_ref().map(|onboarding| onboarding.consent))
        .unwrap_or_default();
    let shown = ConsentUrl {
        app: name.to_owned(),
        tenant,
        form: form.as_str(),
        url: consent_page(&microsoft, context, &app, tenant, &redirect, Some(form)),
        redirect_uri: redirect,
    };
    output.print(&shown, |_| shown.url.clone())?;
    Ok(Exit::Success)
}

fn consent_page(
    microsoft: &Microsoft,
    context: &Context,
    app: &App,
    tenant: TenantId,
    redirect: &str,
    form: Option<muster_microsoft::entra::consent::ConsentForm>,
) -> String {
    let form = form
        .or_else(|| context.settings.onboarding.as_ref().map(|onboarding| onboarding.consent))
        .unwrap_or_default();
    let state = Uuid::new_v4().simple().to_string();
    let resource = microsoft.cloud().graph_resource();
    microsoft.consent_url(form, app, tenant, redirect, &state, resource).to_string()
}

#[derive(Serialize)]
struct Checked {
    app: String,
    checks: Vec<Check>,
}

async fn check(args: &AppCheckArgs, context: &Context, output: Output) -> Result<Exit, Failed> {
    for name in &args.apps {
        named(Some(name), &context.settings)?;
    }
    let microsoft = lifecycle::microsoft_of(context)?;
    let mut checked = Vec::new();
    for (name, settings) in &context.settings.apps {
        if !args.apps.is_empty() && !args.apps.contains(name) {
            continue;
        }
        let checks = check_app(name, settings, args, context, &microsoft).await?;
        context.store.put_app_checks(name, checks.clone()).await?;
        checked.push(Checked { app: name.clone(), checks });
    }
    output.print(&checked, |output| {
        checked
            .iter()
            .map(|app| format!("{}\n{}", app.app, shown_checks(&app.checks, output)))
            .collect::<Vec<_>>()
            .join("\n\n")
    })?;
    let worst = checked.iter().flat_map(|app| &app.checks).map(|check| check.outcome).max();
    Ok(if worst == Some(CheckOutcome::Failing) { Exit::Failure } else { Exit::Success })
}

async fn check_app(
    name: &str,
    settings: &AppSettings,
    args: &AppCheckArgs,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<Vec<Check>, Failed> {
    let now = context.clock.now();
    let stored = stored(name, context).await?;
    let mut all = vec![rotation::check(name, &stored, now)];
    let app = match ready(name, settings, context).await {
        Ok(app) => app,
        Err(failed) => {
            let detail = format!("{:#}", failed.error);
            all.push(checks::failing(
                checks::CREDENTIAL,
                muster_microsoft::Fault::Misconfigured,
                detail,
                now,
            ));
            return Ok(all);
        }
    };
    let current = stored.iter().find(|one| one.slot == muster_store::CredentialSlot::Current);
    all.push(checks::credential(&app, current.and_then(|current| current.not_after), now));
    let home = match home(name, Some(settings), args.tenant.as_deref(), context, microsoft).await {
        Ok(home) => home,
        Err(failed) => {
            all.push(unchecked(
                format!("the registration was not looked at: {:#}", failed.error),
                format!("set `tenant` in [apps.{name}]"),
                now,
            ));
            return Ok(all);
        }
    };
    if !matches!(app.credential, Credential::None) {
        let own = App { access: Access::Application, ..app.clone() };
        let token = microsoft.probe_token(&own, home).await;
        let works = format!("Microsoft issues a token in its own tenant {home}");
        all.push(checks::access(checks::TOKEN, &token, works, now));
    }
    let token = match authority(&app, home, &args.sign_in, context, microsoft).await {
        Ok(token) => token,
        Err(failed) => {
            all.push(unchecked(
                format!("the registration was not looked at: {:#}", failed.error),
                format!("run `muster app check {name} --flow device`, or `muster app register {name} --self-care` once"),
                now,
            ));
            return Ok(all);
        }
    };
    let graph = microsoft.applications(&token);
    let failed = |error| Failed::new(Exit::Microsoft, error);
    let application = graph.application(settings.client_id).await.map_err(failed)?;
    let principal = graph.service_principal(settings.client_id).await.map_err(failed)?;
    let tenants = of_app(&context.store.tenants().await?, name);
    let uris = redirect_uris(Some(settings), context);
    let mark = rotation::mark(context.store.as_ref(), name, &app.client_id);
    let expected = Expected {
        app: name,
        access: settings.access,
        home,
        tenants: &tenants,
        redirect_uris: &uris,
        stored: &stored,
        mark: &mark,
        now,
    };
    all.extend(registration::checks(application.as_ref(), principal.as_ref(), &expected));
    Ok(all)
}

/// The registration could not be looked at, which is no trouble of the app itself.
fn unchecked(detail: String, remedy: String, now: Timestamp) -> Check {
    Check {
        outcome: CheckOutcome::Warning,
        code: "not_checked".to_owned(),
        remedy,
        ..checks::good(registration::REGISTRATION, detail, now)
    }
}

fn lock(context: &Context) -> Result<RotationLock, Failed> {
    RotationLock::take(&context.settings.path(&context.settings.store.path)).map_err(rotation_failed)
}

async fn write_down(
    action: &str,
    app: &str,
    details: serde_json::Value,
    context: &Context,
) -> Result<(), Failed> {
    let event =
        NewAuditEvent { actor: audit::actor(), action: action.to_owned(), subject: app.to_owned(), details };
    context.store.append_audit(event, context.clock.now()).await?;
    Ok(())
}

fn registration_failed(error: registration::RegistrationError) -> Failed {
    Failed::new(Exit::Microsoft, error)
}

fn rotation_failed(error: RotationError) -> Failed {
    let exit = match &error {
        RotationError::Store(_) | RotationError::RolledBack { .. } | RotationError::Stored(_) => Exit::Store,
        RotationError::Directory(_)
        | RotationError::NotRolledBack { .. }
        | RotationError::NotProven(_)
        | RotationError::NotRegistered { .. }
        | RotationError::KeyVault(_) => Exit::Microsoft,
        RotationError::ClientId(_) => Exit::Settings,
        RotationError::NewCertificate(_)
        | RotationError::Certificate(_)
        | RotationError::File { .. }
        | RotationError::PreviousInUse { .. }
        | RotationError::Busy
        | RotationError::Lock { .. } => Exit::Failure,
    };
    Failed::new(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_written_behind_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("muster.toml");
        std::fs::write(&file, "# my settings\n[store]\npath = \"muster.db\" # here").expect("written");
        let home = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID");
        let section = section("main", Uuid::from_u128(1), home, Access::Application);
        let written = append_section(&file, "main", &section).expect("written");
        let text = std::fs::read_to_string(&written).expect("read");
        assert!(
            text.starts_with("# my settings\n[store]\npath = \"muster.db\" # here\n\n[apps.main]\n"),
            "{text}"
        );
        let settings = Settings::read(&file).expect("right");
        assert_eq!(settings.apps["main"].tenant, Some(home));
        assert!(settings.apps["main"].keeps_credential_in_store());

        let in_folder =
            append_section(folder.path(), "other", &section.replace("main", "other")).expect("written");
        assert_eq!(in_folder.file_name().and_then(|name| name.to_str()), Some("app-other.toml"));
        assert_eq!(Settings::read(folder.path()).expect("right").apps.len(), 2);
    }

    #[test]
    fn redirect_uris_are_written_as_they_are_compared() {
        let form = |text: &str| registered_form(&Url::parse(text).expect("a URL"));
        assert_eq!(form("http://localhost"), "http://localhost");
        assert_eq!(form("https://portal.example/"), "https://portal.example");
        assert_eq!(form("https://mssp.example/SiemMsspConnector"), "https://mssp.example/SiemMsspConnector");
        assert_eq!(form("https://mssp.example/a/"), "https://mssp.example/a/");
    }

    #[test]
    fn names_of_apps_are_names_of_sections() {
        assert!(is_section_name("main-2_b"));
        for wrong in ["", "a b", "a.b", "a]", "ä", &"x".repeat(65)] {
            assert!(!is_section_name(wrong), "{wrong}");
        }
    }
}
