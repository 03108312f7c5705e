//! `muster tenant check`

use futures_util::{StreamExt, stream};
use muster_model::{Source, Tenant};
use muster_store::StoreError;
use serde::Serialize;

use crate::access::apps::{AppMissing, Apps};
use crate::access::checks;
use crate::access::preflight::{self, Finding, Preflight};
use crate::commands::{Context, Except};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, Tone, plain};
use crate::shown::progress::Progress;
use crate::troubles::Troubles;

/// Tenants asked side by side.
const SIDE_BY_SIDE: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slugs, ids or domains; tag:NAME for all with a tag.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    tenants: Vec<String>,
    /// All tenants but those that were offboarded.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    except: Except,
}

/// What was found of one tenant, or why nothing could be.
#[derive(Serialize)]
#[serde(untagged)]
enum Checked {
    Asked(Preflight),
    NoApp { tenant: muster_model::TenantId, slug: String, app: String, passed: bool, error: String },
}

impl Checked {
    fn passed(&self) -> bool {
        matches!(self, Self::Asked(Preflight { passed: true, .. }))
    }
}

/// Asks for tokens and for a record of each source, keeps what was found, and prints it.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let tenants = context.chosen(&args.tenants, &args.except).await?;
    let microsoft = context.microsoft()?;
    // An app whose credential cannot be had is its tenants' trouble only.
    let apps = Apps::load_what_can_be_had(&context.settings, &context.store, &Troubles::default()).await?;
    let count = tenants.len();
    let asked = stream::iter(tenants).map(|tenant| {
        let (microsoft, apps) = (&microsoft, &apps);
        async move {
            let app = match apps.find(&tenant.app) {
                Ok(app) => app,
                Err(missing) => return no_app(&tenant, &missing, context).await,
            };
            let further = apps.settings(&app.name).map_or(&[][..], |settings| &settings.permissions);
            let grants = context.store.grants(Some(tenant.id)).await?;
            let clock = context.clock.as_ref();
            let found = preflight::tenant(microsoft, &app, &tenant, further, &grants, clock).await;
            context.store.put_checks(tenant.id, found.checks.clone()).await?;
            Ok(Checked::Asked(found))
        }
    });
    let mut answers = asked.buffered(SIDE_BY_SIDE);
    let (mut checked, mut progress) = (Vec::new(), Progress::of(context.output));
    while let Some(answer) = answers.next().await {
        checked.push(answer.map_err(|error: StoreError| Failed::from(error))?);
        progress.count(context.clock.now(), (checked.len() as u64, count as u64), "tenants");
    }
    drop(progress);
    let failed = checked.iter().filter(|one| !one.passed()).count();
    context.output.print(&checked, |output| shown(&checked, args.all, output))?;
    Ok(match failed {
        0 => Exit::Success,
        failed if failed == count => Exit::Failure,
        _ => Exit::Partly,
    })
}

async fn no_app(tenant: &Tenant, missing: &AppMissing, context: &Context) -> Result<Checked, StoreError> {
    let check = checks::no_app(checks::TOKEN, missing, context.clock.now());
    context.store.put_checks(tenant.id, vec![check]).await?;
    Ok(Checked::NoApp {
        tenant: tenant.id,
        slug: tenant.slug.to_string(),
        app: tenant.app.clone(),
        passed: false,
        error: missing.to_string(),
    })
}

/// Of all tenants, those with nothing wrong take a line each.
fn shown(checked: &[Checked], all: bool, output: &Output) -> String {
    let good = checked.iter().filter(|one| one.passed()).count();
    let mut parts: Vec<String> = Vec::new();
    for one in checked {
        match one {
            Checked::Asked(found) if all && found.passed => {
                parts.push(format!("{}  everything works", plain(&found.slug)));
            }
            Checked::Asked(found) => parts.push(in_full(found, output)),
            Checked::NoApp { slug, error, .. } => parts.push(format!("{}\n  {}", plain(slug), plain(error))),
        }
    }
    if all {
        parts.push(format!("{good} of {} can be read in full", checked.len()));
    }
    let text = parts.join("\n\n");
    // Lines that say that all is well stand close together.
    text.replace("everything works\n\n", "everything works\n")
}

fn in_full(found: &Preflight, output: &Output) -> String {
    let mut table = output.table(&["source", "permission", "in the token", "call", "finding", "to do"]);
    let word = |answer: Option<bool>, words: [&'static str; 3]| match answer {
        Some(true) => (words[0], Tone::Good),
        Some(false) => (words[1], Tone::Bad),
        None => (words[2], Tone::Plain),
    };
    for Finding { source, permission, granted, works, detail, remedy, .. } in &found.findings {
        let (has, has_tone) = word(*granted, ["yes", "no", "unknown"]);
        let (call, call_tone) = word(*works, ["works", "fails", "-"]);
        table.add_row([
            output.text(source.map_or("-", Source::as_str)),
            output.text(if permission.is_empty() { "-" } else { permission }),
            output.cell(has, has_tone),
            output.cell(call, call_tone),
            output.text(detail),
            output.text(if remedy.is_empty() { "-" } else { remedy }),
        ]);
    }
    let least = &found.least_privilege;
    let list = |names: &[String]| match names.is_empty() {
        true => "nothing".to_owned(),
        false => plain(&names.join(", ")),
    };
    format!(
        "{}, read with app `{}`\n{table}\n\nenough      {}\nmissing     {}\nnot needed  {}",
        plain(&found.slug),
        found.app,
        list(&least.needed),
        list(&least.missing),
        list(&least.beyond),
    )
}
