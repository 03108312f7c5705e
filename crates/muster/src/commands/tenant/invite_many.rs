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
use muster_store::{Check, CheckOutcome, Invitation, StoreError, TenantKey};
use serde::Serialize;
use uuid::Uuid;

use super::add;
use super::import::{bytes, words};
use super::invite::settings;
use super::list::{List, Purpose, Row};
use crate::access::checks::TOKEN;
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
    /// Nothing: nobody was invited, and it can be read all the same.
    Read { checked_at: Timestamp },
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
            Self::Read { checked_at } => format!("can be read, as checked {checked_at:.0}: gets no mail"),
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
    /// Where the line says something else than is known of its tenant, which stays as it is.
    ignored: Vec<String>,
    #[serde(skip)]
    waited_since: Option<Timestamp>,
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
    let (mut seen, mut progress, count) = (BTreeSet::new(), Progress::of(context.output), list.rows.len());
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
    let mut there = add::slugs(context).await?;
    for planned in verdict.lines.iter_mut().filter(|planned| planned.what.is_to_be_done()) {
        let (line, done) = (planned.line, verdict.mails);
        let written =
            write(planned, args, settings, (&from, &words, folder), (context, &mut there), &microsoft).await;
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
                    let (ignored, waited_since, open) = (Vec::new(), None, None);
                    return Ok(Planned {
                        line,
                        tenant,
                        mail,
                        language,
                        what,
                        ignored,
                        waited_since,
                        id,
                        to,
                        args: add,
                        open,
                    });
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
    let invitations = context.store.invitations(known.id).await?;
    let waited_since = waited_since(&invitations);
    let is_waited = waited_since.is_some_and(|at| is_long_ago(at, args.remind.unwrap_or(0), now));
    let last = invitations.into_iter().find(|of| of.revoked_at.is_none());
    let used_at = last.as_ref().and_then(|last| last.used_at);
    let is_read = match last {
        None => read_at(&known, context.store.checks(Some(known.id)).await?),
        Some(_) => None,
    };
    let open = last.filter(|last| last.is_open(now));
    let what = match (used_at, &open, args.remind) {
        (Some(at), ..) => What::Consented { at },
        (None, _, Some(_)) if !is_waited => What::NotWaited,
        (None, Some(open), _) => What::Same { invited_at: open.created_at, expires_at: open.expires_at },
        (None, None, _) => is_read.map_or(What::Invite, |checked_at| What::Read { checked_at }),
    };
    let what = unless_written(what, &known.slug, args);
    let (tenant, id, ignored) = (known.slug.to_string(), known.id, ignored(&add, &known));
    Ok(Planned { line, tenant, mail, language, what, ignored, waited_since, id, to, args: add, open })
}

/// Where a line says something else than is known of its tenant.
fn ignored(line: &add::Args, known: &Tenant) -> Vec<String> {
    let list = |words: BTreeSet<String>| words.into_iter().collect::<Vec<_>>().join(", ");
    let said = |field: &str, wanted: Option<String>, known: String| {
        let wanted = wanted.filter(|wanted| *wanted != known)?;
        let short = |text: &str| muster_model::text::shown(text, 80);
        Some(format!("its {field}: `{}` stays, not `{}`", short(&known), short(&wanted)))
    };
    let sources = |of: &[Source]| list(of.iter().map(|source| source.as_str().to_owned()).collect());
    let tags = list(line.tag.iter().map(ToString::to_string).collect());
    let known_sources: Vec<Source> = known.sources.iter().copied().collect();
    [
        said("name", line.name.clone(), known.name.clone()),
        said("slug", line.slug.clone(), known.slug.to_string()),
        said("app", line.app.clone(), known.app.clone()),
        said("sources", (!line.source.is_empty()).then(|| sources(&line.source)), sources(&known_sources)),
        said(
            "tags",
            (!tags.is_empty()).then_some(tags),
            list(known.tags.iter().map(ToString::to_string).collect()),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// When it was last seen that a tenant can be read, where nothing says otherwise: one that was added or imported has consented
/// without an invitation.
fn read_at(known: &Tenant, checks: Vec<(TenantId, Check)>) -> Option<Timestamp> {
    let of_access = |(_, check): &(TenantId, Check)| check.name == onboard::CONSENT || check.name == TOKEN;
    let checks: Vec<Check> = checks.into_iter().filter(of_access).map(|(_, check)| check).collect();
    let is_well = known.state == TenantState::Active
        && checks.iter().all(|check| check.outcome != CheckOutcome::Failing);
    checks.iter().map(|check| check.checked_at).max().filter(|_| is_well)
}

fn once(seen: &mut BTreeSet<TenantId>, id: TenantId) -> Result<(), Failed> {
    match seen.insert(id) {
        true => Ok(()),
        false => Err(Failed::say(Exit::Usage, "its tenant stands in another line, too")),
    }
}

/// Since when a consent is waited for; nothing where it is not, or not any more. A new link in place of an older one, whose mail
/// may never have been written, makes nobody wait anew.
fn waited_since(invitations: &[Invitation]) -> Option<Timestamp> {
    let newest = invitations.first().filter(|newest| newest.revoked_at.is_none())?;
    let pending = invitations.iter().take_while(|of| of.used_at.is_none());
    pending.last().map(|first| first.created_at.min(newest.created_at))
}

fn is_long_ago(at: Timestamp, days: u16, now: Timestamp) -> bool {
    now.duration_since(at) >= SignedDuration::from_hours(24 * i64::from(days))
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
    (context, there): (&Context, &mut BTreeSet<Slug>),
    microsoft: &Microsoft,
) -> Result<(), Failed> {
    let now = context.clock.now();
    let store = context.store.as_ref();
    // The file first: where none can be made, nobody is invited.
    let mut file = NewFile::begin(&path(folder, &planned.tenant, args))?;
    let tenant = match planned.what {
        What::Add => {
            add::add_one(&planned.args, (planned.id, TenantState::Invited), context, microsoft, there).await?
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
    let reminds_of = args.remind.map(|_| planned.waited_since.unwrap_or(now));
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
            output.cell(
                std::iter::once(planned.what.told())
                    .chain(planned.ignored.clone())
                    .collect::<Vec<_>>()
                    .join("; "),
                tone,
            ),
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
        let invitations = context.store.invitations(tenant.id).await?;
        let since = waited_since(&invitations).filter(|at| is_long_ago(*at, days, now));
        if let (Some(invited_at), Some(last)) = (since, invitations.first()) {
            found.push(waits(tenant, invited_at, last, now));
        }
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

fn waits(tenant: Tenant, invited_at: Timestamp, last: &Invitation, now: Timestamp) -> Waiting {
    Waiting {
        tenant: tenant.slug.to_string(),
        name: tenant.name,
        invited_at,
        opened_at: last.opened_at,
        expires_at: last.expires_at,
        expired: !last.is_open(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).expect("a time")
    }

    fn invitation(created: i64, used: Option<i64>, revoked: Option<i64>) -> Invitation {
        Invitation {
            id: Uuid::nil(),
            tenant: Uuid::nil().into(),
            language: String::new(),
            created_at: at(created),
            expires_at: at(created + 7),
            opened_at: None,
            used_at: used.map(at),
            revoked_at: revoked.map(at),
        }
    }

    #[test]
    fn a_new_link_whose_mail_was_never_written_makes_nobody_wait_anew() {
        let (first, second) = (invitation(0, None, Some(10)), invitation(10, None, None));
        assert_eq!(waited_since(&[second.clone(), first.clone()]), Some(at(0)));
        assert!(is_long_ago(at(0), 5, at(10)));
        // What was before a consent is over, as is what was withdrawn.
        assert_eq!(waited_since(&[second, invitation(5, Some(6), Some(10)), first.clone()]), Some(at(10)));
        assert_eq!(waited_since(&[first]), None);
        assert_eq!(waited_since(&[invitation(0, Some(1), None)]), None);
        assert_eq!(waited_since(&[]), None);
    }

    fn tenant() -> Tenant {
        Tenant {
            id: Uuid::nil().into(),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: BTreeSet::from([Source::GraphAlerts]),
            tags: BTreeSet::from(["gold".parse().expect("a tag")]),
            state: TenantState::Active,
            added_at: at(0),
            since: at(0),
        }
    }

    #[test]
    fn what_a_line_says_of_a_known_tenant_is_not_ignored_without_a_word() {
        let line = |name: &str, app: Option<&str>, tags: &[&str]| add::Args {
            tenant: "contoso".to_owned(),
            name: Some(name.to_owned()),
            slug: None,
            app: app.map(str::to_owned),
            source: vec![Source::GraphAlerts],
            tag: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
            since: None,
        };
        assert!(ignored(&line("Contoso", Some("main"), &["gold"]), &tenant()).is_empty());
        let told = ignored(&line("Contoso Ltd.", Some("other"), &["gold", "x"]), &tenant());
        assert_eq!(
            told,
            [
                "its name: `Contoso` stays, not `Contoso Ltd.`",
                "its app: `main` stays, not `other`",
                "its tags: `gold` stays, not `gold, x`"
            ]
        );
    }

    #[test]
    fn who_was_added_and_can_be_read_has_consented() {
        let check = |name: &str, outcome| {
            let (code, detail, remedy) = (String::new(), String::new(), String::new());
            let name = name.to_owned();
            (
                Uuid::nil().into(),
                Check { name, outcome, code, detail, remedy, checked_at: at(3), expires_at: None },
            )
        };
        let good = || check(TOKEN, CheckOutcome::Good);
        assert_eq!(read_at(&tenant(), vec![good()]), Some(at(3)));
        assert_eq!(read_at(&tenant(), vec![good(), check(onboard::CONSENT, CheckOutcome::Failing)]), None);
        assert_eq!(read_at(&tenant(), vec![check("source graph_alerts", CheckOutcome::Good)]), None);
        let invited = Tenant { state: TenantState::Invited, ..tenant() };
        assert_eq!(read_at(&invited, vec![good()]), None);
    }
}
