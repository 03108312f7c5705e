//! `muster client …`: programs that ask for a tenant's detections by the old pull API.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_model::{Source, Span, Tenant, TenantId, TenantState};
use muster_siem::detection::Detection;
use muster_store::{NewPullClient, PullClient, SecretHash, StoreError, TenantKey};
use serde::Serialize;
use uuid::Uuid;

use super::Context;
use crate::audit::actor;
use crate::exit_code::{Exit, Failed};
use crate::pull::tokens::new_secret;
use crate::shown::note::note;
use crate::shown::output::{Tone, ago, plain};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ClientCommand {
    /// Let a program ask for a tenant's detections. Prints its secret and its refresh token, which are nowhere else.
    Add(AddArgs),
    /// List the clients, with when each last asked.
    List,
    /// End what clients may do, at once and for good.
    Revoke {
        /// Their ids, as `list` shows them.
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Whose detections it gets: slug, id or domain.
    #[arg(long, short)]
    tenant: String,
    /// What people call it, such as the connector's host.
    #[arg(long, default_value = "connector")]
    name: String,
    /// The sources whose alerts it gets; left out, the first that the tenant is read by of graph_alerts and endpoint_alerts.
    #[arg(long)]
    source: Vec<Source>,
    /// Give it an alert again whenever that has changed. The old API did not; connectors take it for another detection.
    #[arg(long)]
    updates: bool,
    /// How long it works.
    #[arg(long, value_name = "DURATION", default_value = "365d")]
    valid_for: Span,
}

/// A client that was just added, with what it proves itself by.
#[derive(Serialize)]
struct Added {
    #[serde(flatten)]
    client: PullClient,
    client_secret: String,
    refresh_token: String,
    token_url: String,
    events_url: String,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    client: PullClient,
    tenant_slug: String,
    state: &'static str,
}

pub(crate) async fn run(command: &ClientCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        ClientCommand::Add(args) => add(args, context).await,
        ClientCommand::List => list(context).await,
        ClientCommand::Revoke { ids } => revoke(ids, context).await,
    }
}

async fn add(args: &AddArgs, context: &Context) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(&args.tenant)).await?;
    if tenant.state == TenantState::Offboarded {
        return Err(StoreError::Offboarded(tenant.slug.to_string()).into());
    }
    let sources = sources(&args.source, &tenant)?;
    let now = context.clock.now();
    let (secret, refresh_token) = (new_secret(), new_secret());
    let new = NewPullClient {
        id: Uuid::new_v4(),
        tenant: tenant.id,
        name: plain(&args.name),
        sources,
        updates: args.updates,
        secret: SecretHash::of(&secret),
        refresh_token: SecretHash::of(&refresh_token),
        expires_at: now.checked_add(args.valid_for.0).unwrap_or(Timestamp::MAX),
    };
    let client = context.store.add_pull_client(new, &actor(), now).await?;
    let address = |path: &str| match &context.settings.pull_api {
        Some(pull_api) => pull_api.address(path),
        None => format!("https://(public_url of [pull_api]){path}"),
    };
    if context.settings.pull_api.is_none() {
        note!("warning: the settings have no [pull_api] yet, so that nobody is served");
    }
    let added = Added {
        token_url: address(&format!("/{}/oauth2/token", tenant.id)),
        events_url: address("/api/alerts"),
        client_secret: secret.expose().clone(),
        refresh_token: refresh_token.expose().clone(),
        client,
    };
    context.output.print(&added, |_| {
        format!(
            "client_id      {}\nclient_secret  {}\nrefresh_token  {}\ntoken URL      {}\nevents URL     {}\n\n\
             {} gets {} of {} until {:.0}. Its secret and refresh token are shown this once: Muster keeps hashes of them.",
            added.client.id,
            added.client_secret,
            added.refresh_token,
            added.token_url,
            added.events_url,
            added.client.name,
            added.client.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", "),
            tenant.slug,
            added.client.expires_at,
        )
    })
}

/// The sources whose records are detections.
fn sources(asked: &[Source], tenant: &Tenant) -> Result<BTreeSet<Source>, Failed> {
    let gives = |source: &Source| Detection::KINDS.contains(&source.kind());
    if let Some(wrong) = asked.iter().find(|source| !gives(source)) {
        let known = Source::ALL.iter().filter(|source| gives(source)).map(|source| source.as_str());
        let known = known.collect::<Vec<_>>().join(", ");
        let said = format!("{wrong} gives no detections; use one of {known}");
        return Err(Failed::say(Exit::Usage, said));
    }
    if !asked.is_empty() {
        let unread: Vec<&str> = asked
            .iter()
            .filter(|source| !tenant.sources.contains(source))
            .map(|source| source.as_str())
            .collect();
        if !unread.is_empty() {
            note!("warning: {} is not read from {} now", tenant.slug, unread.join(", "));
        }
        return Ok(asked.iter().copied().collect());
    }
    // The same alerts by two APIs would come twice.
    let kinds = Detection::KINDS.into_iter();
    let mut first = kinds.filter_map(|kind| tenant.sources.iter().find(|source| source.kind() == kind));
    first.next().map(|source| BTreeSet::from([*source])).ok_or_else(|| {
        let said = format!(
            "{} is read from no source that gives alerts: name one with --source, and add it to the tenant",
            tenant.slug
        );
        Failed::say(Exit::Usage, said)
    })
}

async fn list(context: &Context) -> Result<Exit, Failed> {
    let tenants = context.store.tenants().await?;
    let slug = |id: TenantId| {
        tenants
            .iter()
            .find(|tenant| tenant.id == id)
            .map(|tenant| tenant.slug.to_string())
            .unwrap_or_default()
    };
    let now = context.clock.now();
    let listed = context.store.pull_clients().await?.into_iter().map(|client| Listed {
        tenant_slug: slug(client.tenant),
        state: match (client.revoked_at, client.works(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "works",
            (None, false) => "over",
        },
        client,
    });
    let listed: Vec<Listed> = listed.collect();
    context.output.print(&listed, |output| {
        if listed.is_empty() {
            return "no clients yet; `muster client add --tenant contoso` adds one".to_owned();
        }
        let mut table =
            output.table(&["client", "tenant", "name", "sources", "state", "until", "last asked"]);
        for Listed { client, tenant_slug, state } in &listed {
            let tone = if *state == "works" { Tone::Good } else { Tone::Bad };
            table.add_row([
                output.text(client.id.to_string()),
                output.text(tenant_slug),
                output.text(&client.name),
                output
                    .text(client.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", ")),
                output.cell(*state, tone),
                output.text(format!("{:.0}", client.expires_at)),
                output.text(ago(client.asked_at, now)),
            ]);
        }
        table.to_string()
    })
}

async fn revoke(ids: &[Uuid], context: &Context) -> Result<Exit, Failed> {
    let mut revoked = Vec::new();
    for id in ids {
        let client = context.store.revoke_pull_client(*id, &actor(), context.clock.now()).await?;
        let missing = || {
            Failed::say(Exit::NotFound, format!("there is no client {id}; `muster client list` shows all"))
        };
        revoked.push(client.ok_or_else(missing)?);
    }
    context.output.print(&revoked, |_| {
        let lines =
            revoked.iter().map(|client| format!("{} ({}) is revoked", client.id, plain(&client.name)));
        lines.collect::<Vec<_>>().join("\n")
    })
}
