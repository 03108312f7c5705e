//! `muster invite`: many customers at once, by a list, each with a mail that is written to a file.
//!
//! The whole list is looked at before anything is changed. Whoever is invited already keeps the link that was sent; so a call that was
//! killed is simply made again, and goes on.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use lettre::Address;
use muster_microsoft::Microsoft;
use muster_model::{Slug, Source, Tag, Tenant, TenantId, TenantState};
use muster_store::{Invitation, StoreError, TenantKey};
use serde::Serialize;
use uuid::Uuid;

use super::add;
use super::import::{bytes, words};
use super::invite::settings;
use super::list::{List, Purpose, Row};
use crate::access::onboard;
use crate::audit::actor;
use crate::commands::Context;
use crate::commands::confirm::{ask, can_ask};
use crate::config::OnboardingSettings;
use crate::exit_code::{Exit, Failed};
use crate::new_file::NewFile;
use crate::shown::note::note;
use crate::shown::output::{Output, Tone, plain};
use crate::shown::progress::Progress;
use crate::web::invitation_mail::InvitationMail;
use crate::web::language::{Language, Words};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The list has a line of headings: tenant (id or domain) and mail, and where wanted name, language, slug, app, sources and tags.
Each mail is a file NAME.eml, which mail programs open as a draft.")]
pub(crate) struct Args {
    /// The list; `-` for standard input.
    #[arg(required_unless_present = "remind")]
    file: Option<PathBuf>,
    /// The folder that the mails are written to; it is made where it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The mail address that they come from [default: the contact in [onboarding], where it is one].
    #[arg(long, value_name = "ADDRESS")]
    from: Option<Address>,
    /// The language of those whose line names none: en, de, sv, nl or zh-CN [default: that of [onboarding]].
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
    /// Remind those who were invited so many days ago or more, and have not consented; without a list, only say who they are.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(0..=365))]
    remind: Option<u16>,
    /// Say what would be done, and change nothing. Microsoft is asked about the tenants all the same.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

/// What is to be done for a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
enum What {
    /// A tenant that is new here: it is added, and invited.
    Add,
    /// One that is known: it is invited, and an earlier link works no more.
    Invite,
    /// One that is invited: the mail has the link that it was sent.
    Same { invited_at: Timestamp, expires_at: Timestamp },
    /// Nothing: it has consented.
    Consented { at: Timestamp },
    /// Nothing: it is not waited for, or was not for that long.
    NotWaited,
    /// Nothing: its mail is there.
    Written,
}

impl What {
    fn is_to_be_done(&self) -> bool {
        matches!(self, Self::Add | Self::Invite | Self::Same { .. })
    }

    fn told(&self) -> String {
        match self {
            Self::Add => "is added and invited".to_owned(),
            Self::Invite => "is invited".to_owned(),
            Self::Same { invited_at, expires_at } => {
                format!("was invited {invited_at:.0}: gets the same link, until {expires_at:.0}")
            }
            Self::Consented { at } => format!("has consented {at:.0}: gets no mail"),
            Self::NotWaited => "is not waited for, or not for that long: gets no mail".to_owned(),
            Self::Written => "its mail is in the folder already".to_owned(),
        }
    }
}

/// A line that can be done.
#[derive(Serialize)]
struct Planned {
    line: u64,
    tenant: String,
    mail: String,
    language: Language,
    #[serde(flatten)]
    what: What,
    #[serde(skip)]
    id: TenantId,
    #[serde(skip)]
    to: Address,
    #[serde(skip)]
    args: add::Args,
    #[serde(skip)]
    open: Option<Invitation>,
}

#[derive(Serialize)]
struct Mistake {
    line: u64,
    reason: String,
}

#[derive(Serialize)]
struct Verdict {
    dry_run: bool,
    /// Mails that were written; that would be, of a dry run.
    mails: u64,
    lines: Vec<Planned>,
    mistakes: Vec<Mistake>,
    unused_columns: Vec<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let settings = settings(context)?;
    let Some(file) = &args.file else { return waiting(args, context).await };
    let from = from(args, settings)?;
    if args.out.is_none() && !args.dry_run {
        return Err(Failed::say(
            Exit::Usage,
            "say with --out which folder the mails are written to, or --dry-run",
        ));
    }
    if !args.yes && !args.dry_run {
        can_ask()?;
    }
    let list = List::read(&bytes(file)?, Purpose::Invitations)
        .map_err(|why| Failed::say(Exit::Failure, format!("{}: {why}", file.display())))?;
    if let Some(encoding) = list.encoding {
        note!("muster: the file is no UTF-8; it was read as {encoding}");
    }
    if !list.unused.is_empty() {
        note!("warning: columns that are not used: {}", plain(&list.unused.join(", ")));
    }
    let microsoft = context.microsoft()?;
    let mut verdict = Verdict {
        dry_run: args.dry_run,
        mails: 0,
        lines: Vec::new(),
        mistakes: Vec::new(),
        unused_columns: list.unused,
    };
    let tenants = context.store.tenants().await?;
    let mut taken: BTreeSet<Slug> = tenants.into_iter().map(|tenant| tenant.slug).collect();
    let (mut seen, mut progress, count) = (BTreeSet::new(), Progress::open(), list.rows.len());
    for (line, row) in list.rows {
        progress.show(context.clock.now(), || format!("line {line}, {count} lines in all"));
        let planned = match row {
            Ok(row) => plan(row, line, args, (&mut taken, &mut seen), context, &microsoft).await,
            Err(why) => Err(Failed::say(Exit::Failure, why)),
        };
        match planned {
            Ok(planned) => verdict.lines.push(planned),
            Err(failed) => verdict.mistakes.push(Mistake { line, reason: failed.told() }),
        }
    }
    progress.wipe();
    if !verdict.mistakes.is_empty() {
        context.output.print(&verdict, |output| shown(&verdict, output))?;
        let said = format!("{} lines have mistakes: nothing was done", verdict.mistakes.len());
        return Err(Failed::say(Exit::Failure, said));
    }
    let to_be_done = verdict.lines.iter().filter(|planned| planned.what.is_to_be_done()).count();
    if args.dry_run || to_be_done == 0 {
        verdict.mails = to_be_done as u64;
        return context.output.print(&verdict, |output| shown(&verdict, output));
    }
    if !args.yes {
        note!("{}", shown(&verdict, &context.output));
        if !ask(&format!("Write {to_be_done} mails?"))? {
            return Err(Failed::say(Exit::Failure, "nothing was done"));
        }
    }
    let folder = args.out.as_deref().unwrap_or(Path::new("."));
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failed::unwritable(folder, &error))?;
    let words = Words::load();
    for planned in verdict.lines.iter_mut().filter(|planned| planned.what.is_to_be_done()) {
        let (line, done) = (planned.line, verdict.mails);
        let written = write(planned, args, settings, (&from, &words, folder), context, &microsoft).await;
        written.map_err(|failed| {
            let said = format!(
                "line {line}: {}; {done} mails are written: mend it and call this again, which goes on from there",
                failed.told()
            );
            Failed::say(failed.exit, said)
        })?;
        verdict.mails += 1;
        progress.show(context.clock.now(), || format!("{} of {to_be_done} mails written", done + 1));
    }
    progress.wipe();
    context.output.print(&verdict, |output| shown(&verdict, output))
}

fn from(args: &Args, settings: &OnboardingSettings) -> Result<Address, Failed> {
    let contact = || settings.contact.parse().ok();
    args.from.clone().or_else(contact).ok_or_else(|| {
        let said =
            "the contact in [onboarding] is no mail address: say with --from which one the mails come from";
        Failed::say(Exit::Usage, said)
    })
}

/// What is to be done for a line; nothing is changed.
async fn plan(
    row: Row,
    line: u64,
    args: &Args,
    (taken, seen): (&mut BTreeSet<Slug>, &mut BTreeSet<TenantId>),
    context: &Context,
    microsoft: &Microsoft,
) -> Result<Planned, Failed> {
    let usage = |said: String| Failed::say(Exit::Usage, said);
    let mail = row.mail.clone().ok_or_else(|| usage("it names no mail address".to_owned()))?;
    let shown = muster_model::text::shown(&mail, 80);
    let to: Address =
        mail.parse().map_err(|error| usage(format!("`{shown}` is no mail address: {error}")))?;
    let language = match &row.language {
        Some(language) => language.parse().map_err(usage)?,
        None => args
            .lang
            .unwrap_or(context.settings.onboarding.as_ref().map(|of| of.language).unwrap_or_default()),
    };
    let source = words::<Source>(row.sources.as_deref())?;
    let tag = words::<Tag>(row.tags.as_deref())?;
    let tenant = row.tenant.trim().to_owned();
    let since = None;
    let add = add::Args { tenant, name: row.name, slug: row.slug, app: row.app, source, tag, since };
    let known = match context.store.tenant(TenantKey::Name(&add.tenant)).await {
        Ok(known) => Some(known),
        Err(StoreError::NoTenant(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let known = match known.filter(|known| known.state != TenantState::Offboarded) {
        Some(known) => Some(known),
        None => {
            let found = add::find(&add.tenant, microsoft).await?;
            found.warn();
            match context.store.tenant(TenantKey::Id(found.id)).await {
                // Named by a domain that it was not added by.
                Ok(known) if known.state != TenantState::Offboarded => Some(known),
                Ok(_) | Err(StoreError::NoTenant(_)) => {
                    let new =
                        add::new_tenant(&add, found.id, TenantState::Invited, context, microsoft, taken)?;
                    if taken.contains(&new.slug) {
                        let (field, value) = ("slug", new.slug.to_string());
                        return Err(StoreError::TenantExists { field, value }.into());
                    }
                    once(seen, found.id)?;
                    taken.insert(new.slug.clone());
                    let what = if args.remind.is_some() { What::NotWaited } else { What::Add };
                    let what = unless_written(what, &new.slug, args);
                    let (tenant, id) = (new.slug.to_string(), found.id);
                    return Ok(Planned { line, tenant, mail, language, what, id, to, args: add, open: None });
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    let Some(known) = known else { return Err(usage("there is no such tenant".to_owned())) };
    once(seen, known.id)?;
    if !context.settings.apps.contains_key(&known.app) {
        return Err(Failed::say(Exit::Settings, format!("its app `{}` is not in the settings", known.app)));
    }
    let now = context.clock.now();
    let last = context.store.invitations(known.id).await?.into_iter().find(|of| of.revoked_at.is_none());
    let used_at = last.as_ref().and_then(|last| last.used_at);
    let is_waited = last.as_ref().is_some_and(|last| is_waited_for(last, args.remind.unwrap_or(0), now));
    let open = last.filter(|last| last.is_open(now));
    let what = match (used_at, &open, args.remind) {
        (Some(at), ..) => What::Consented { at },
        (None, _, Some(_)) if !is_waited => What::NotWaited,
        (None, Some(open), _) => What::Same { invited_at: open.created_at, expires_at: open.expires_at },
        (None, None, _) => What::Invite,
    };
    let what = unless_written(what, &known.slug, args);
    let (tenant, id) = (known.slug.to_string(), known.id);
    Ok(Planned { line, tenant, mail, language, what, id, to, args: add, open })
}

fn once(seen: &mut BTreeSet<TenantId>, id: TenantId) -> Result<(), Failed> {
    match seen.insert(id) {
        true => Ok(()),
        false => Err(Failed::say(Exit::Usage, "its tenant stands in another line, too")),
    }
}

/// Whether somebody was invited so many days ago, and has not consented.
fn is_waited_for(invitation: &Invitation, days: u16, now: Timestamp) -> bool {
    let since = SignedDuration::from_hours(24 * i64::from(days));
    invitation.used_at.is_none()
        && invitation.revoked_at.is_none()
        && now.duration_since(invitation.created_at) >= since
}

fn path(folder: &Path, slug: &str, args: &Args) -> PathBuf {
    folder.join(format!("{slug}{}.eml", if args.remind.is_some() { ".reminder" } else { "" }))
}

fn unless_written(what: What, slug: &Slug, args: &Args) -> What {
    let path = args.out.as_deref().map(|folder| path(folder, slug.as_str(), args));
    let is_there = path.is_some_and(|path| path.symlink_metadata().is_ok());
    if is_there && what.is_to_be_done() { What::Written } else { what }
}

/// Invites, where that was not done, and writes the mail.
async fn write(
    planned: &mut Planned,
    args: &Args,
    settings: &OnboardingSettings,
    (from, words, folder): (&Address, &Words, &Path),
    context: &Context,
    microsoft: &Microsoft,
) -> Result<(), Failed> {
    let now = context.clock.now();
    let store = context.store.as_ref();
    // The file first: where none can be made, nobody is invited.
    let mut file = NewFile::begin(&path(folder, &planned.tenant, args))?;
    let tenant = match planned.what {
        What::Add => {
            add::add_one(&planned.args, planned.id, TenantState::Invited, context, microsoft).await?
        }
        _ => context.store.tenant(TenantKey::Id(planned.id)).await?,
    };
    let (link, expires_at) = match &planned.open {
        Some(open) => (onboard::link_of(store, settings, open), open.expires_at),
        None => {
            let language = Some(planned.language);
            let made = onboard::invite(store, settings, tenant.clone(), language, &actor(), now).await?;
            (made.link, made.expires_at)
        }
    };
    let reminds_of = match (&planned.what, args.remind) {
        (What::Same { invited_at, .. }, Some(_)) => Some(*invited_at),
        (_, Some(_)) => Some(now),
        _ => None,
    };
    let mail = InvitationMail {
        language: planned.language,
        provider: &settings.provider_name,
        contact: &settings.contact,
        customer: &tenant.name,
        tenant_id: tenant.id.to_string(),
        from,
        to: &planned.to,
        link: &link,
        expires_at,
        reminds_of,
        at: now,
        id: Uuid::new_v4(),
    };
    let mail = mail.write(words).map_err(|why| Failed::say(Exit::Failure, why))?;
    file.write_all(&mail)?;
    file.finish()
}

fn shown(verdict: &Verdict, output: &Output) -> String {
    if !verdict.mistakes.is_empty() {
        let mut table = output.table(&["line", "why"]);
        for mistake in &verdict.mistakes {
            table.add_row([output.text(mistake.line.to_string()), output.cell(&mistake.reason, Tone::Bad)]);
        }
        return table.to_string();
    }
    let mut table = output.table(&["line", "tenant", "mail", "language", "what"]);
    for planned in &verdict.lines {
        let tone = if planned.what.is_to_be_done() { Tone::Good } else { Tone::Plain };
        table.add_row([
            output.text(planned.line.to_string()),
            output.text(&planned.tenant),
            output.text(&planned.mail),
            output.text(planned.language.tag()),
            output.cell(planned.what.told(), tone),
        ]);
    }
    let done = match (verdict.dry_run, verdict.mails) {
        (true, mails) => format!("\n\n{mails} mails would be written; nothing was changed"),
        (false, 0) => String::new(),
        (false, mails) => format!("\n\n{mails} mails written"),
    };
    format!("{table}{done}")
}

/// A customer whose consent is waited for.
#[derive(Serialize)]
struct Waiting {
    tenant: String,
    name: String,
    invited_at: Timestamp,
    opened_at: Option<Timestamp>,
    expires_at: Timestamp,
    expired: bool,
}

/// Says who has not consented.
async fn waiting(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let (days, now) = (args.remind.unwrap_or(0), context.clock.now());
    let mut found = Vec::new();
    for tenant in context.store.tenants().await? {
        if tenant.state == TenantState::Offboarded {
            continue;
        }
        let last = context.store.invitations(tenant.id).await?.into_iter().next();
        found
            .extend(last.filter(|last| is_waited_for(last, days, now)).map(|last| waits(tenant, &last, now)));
    }
    found.sort_by_key(|waiting| waiting.invited_at);
    context.output.print(&found, |output| {
        if found.is_empty() {
            return "nobody is waited for".to_owned();
        }
        let mut table = output.table(&["tenant", "name", "invited", "page opened", "link until"]);
        for waiting in &found {
            let opened = waiting.opened_at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"));
            let until = format!("{:.0}", waiting.expires_at);
            table.add_row([
                output.text(&waiting.tenant),
                output.text(&waiting.name),
                output.text(format!("{:.0}", waiting.invited_at)),
                output.text(opened),
                output.cell(until, if waiting.expired { Tone::Bad } else { Tone::Plain }),
            ]);
        }
        format!("{table}\n\n`muster invite LIST --remind {days} --out DIR` writes a mail to each of them that is in the list")
    })
}

fn waits(tenant: Tenant, last: &Invitation, now: Timestamp) -> Waiting {
    Waiting {
        tenant: tenant.slug.to_string(),
        name: tenant.name,
        invited_at: last.created_at,
        opened_at: last.opened_at,
        expires_at: last.expires_at,
        expired: !last.is_open(now),
    }
}
