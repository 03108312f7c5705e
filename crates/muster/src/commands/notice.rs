//! `muster notice …`

use std::collections::HashMap;

use muster_model::{Tenant, TenantId};
use muster_store::{NoticeMessage, NoticeReceiver, NoticeSnooze, NoticeState};
use serde::Serialize;
use uuid::Uuid;

use super::Context;
use crate::exit_code::{Exit, Failed};
use crate::notices::alerts;
use crate::notices::conditions::Facts;
use crate::notices::kind::Kind;
use crate::notices::message::Notice;
use crate::notices::snoozes;
use crate::shown::cause::plural;
use crate::shown::grid::{Align, Grid};
use crate::shown::output::{Output, Tone, ago, number, plain};
use crate::wiring;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum NoticeCommand {
    /// Show the conditions that hold, how the receivers are doing, what was sent to whom, and what is snoozed.
    List {
        /// So many of the last messages.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Send a notice for real, and print what the server answers.
    Test {
        /// The receiver; all when it is left out.
        name: Option<String>,
        /// Send it as an alert looks.
        #[arg(long)]
        alert: bool,
    },
    /// Tell nobody of something for a while. It is shown in `status` as long as that lasts, and written into the audit log.
    Snooze {
        /// A condition and what it is of: `consent_lost/contoso`, `sink_down/splunk`, `alerts/contoso`; `*` for all.
        condition: String,
        /// Until when: a duration from now (4h, 2d), a date or a time.
        #[arg(long)]
        until: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Tell of it again.
    Unsnooze {
        /// As it was snoozed.
        condition: String,
    },
}

/// A snooze of more is forgotten by whoever set it.
const SNOOZE_MAX_DAYS: i64 = 90;

pub(crate) async fn run(command: &NoticeCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        NoticeCommand::List { limit } => list(*limit, context).await,
        NoticeCommand::Test { name, alert } => test(name.as_deref(), *alert, context).await,
        NoticeCommand::Snooze { condition, until, reason } => snooze(condition, until, reason, context).await,
        NoticeCommand::Unsnooze { condition } => unsnooze(condition, context).await,
    }
}

/// What is shown.
#[derive(Serialize)]
struct Listed {
    conditions: Vec<OpenCondition>,
    receivers: Vec<NoticeReceiver>,
    snoozes: Vec<NoticeSnooze>,
    messages: Vec<NoticeMessage>,
}

#[derive(Serialize)]
struct OpenCondition {
    key: String,
    condition: String,
    level: &'static str,
    what: String,
    since: jiff::Timestamp,
    told: Vec<String>,
    returns: u32,
    snoozed_until: Option<jiff::Timestamp>,
}

async fn list(limit: u32, context: &Context) -> Result<Exit, Failed> {
    let (store, now) = (&context.store, context.clock.now());
    let tenants = tenants(context).await?;
    let snoozes = store.notice_snoozes(now).await?;
    let mut conditions = Vec::new();
    for condition in store.notice_conditions().await?.into_iter().filter(|known| known.ended_at.is_none()) {
        let Ok(facts) = serde_json::from_str::<Facts>(&condition.facts) else { continue };
        let tenant = condition.tenant.and_then(|tenant| tenants.get(&tenant));
        conditions.push(OpenCondition {
            condition: snoozes::shown(&condition.key, tenant),
            snoozed_until: snoozes::under(&snoozes, &condition.key).map(|snooze| snooze.until),
            key: condition.key,
            level: facts.level.as_str(),
            what: facts.what,
            since: facts.since.map_or(condition.first_seen_at, |since| since.min(condition.first_seen_at)),
            told: condition.told.into_keys().collect(),
            returns: condition.returns,
        });
    }
    let receivers = store.notice_receivers().await?;
    let messages = store.last_notices(limit).await?;
    let listed = Listed { conditions, receivers, snoozes, messages };
    context.output.print(&listed, |output| shown(&listed, &tenants, now, output))?;
    Ok(Exit::Success)
}

async fn tenants(context: &Context) -> Result<HashMap<TenantId, Tenant>, Failed> {
    let tenants = context.store.tenants().await?;
    Ok(tenants.into_iter().map(|tenant| (tenant.id, tenant)).collect())
}

fn shown(
    listed: &Listed,
    tenants: &HashMap<TenantId, Tenant>,
    now: jiff::Timestamp,
    output: &Output,
) -> String {
    let mut parts = Vec::new();
    if listed.conditions.is_empty() {
        parts.push("no condition holds".to_owned());
    } else {
        let mut grid = Grid::new(&[
            ("condition", Align::Left),
            ("level", Align::Left),
            ("since", Align::Left),
            ("told to", Align::Left),
        ]);
        for condition in &listed.conditions {
            let told = match (condition.snoozed_until, condition.told.is_empty()) {
                (Some(until), _) => format!("snoozed until {until:.0}"),
                (None, true) => "nobody yet".to_owned(),
                (None, false) => condition.told.join(", "),
            };
            let tone = if condition.level == "critical" { Tone::Bad } else { Tone::Fair };
            grid.row([
                (plain(&condition.condition), Tone::Plain),
                (condition.level.to_owned(), tone),
                (ago(Some(condition.since), now), Tone::Plain),
                (told, Tone::Plain),
            ]);
            grid.note(&plain(&condition.what), Tone::Plain);
        }
        parts.push(grid.render(output, None));
    }
    parts.push(receivers(&listed.receivers, now, output));
    if !listed.snoozes.is_empty() {
        let mut grid = Grid::new(&[
            ("snoozed", Align::Left),
            ("until", Align::Left),
            ("by", Align::Left),
            ("why", Align::Left),
        ]);
        for snooze in &listed.snoozes {
            let tenant = snooze.tenant.and_then(|tenant| tenants.get(&tenant));
            grid.row([
                (plain(&snoozes::shown(&snooze.key, tenant)), Tone::Plain),
                (format!("{:.0}", snooze.until), Tone::Plain),
                (plain(&snooze.actor), Tone::Plain),
                (plain(&snooze.reason), Tone::Plain),
            ]);
        }
        parts.push(grid.render(output, None));
    }
    parts.push(messages(&listed.messages, tenants, now, output));
    parts.join("\n\n")
}

fn receivers(receivers: &[NoticeReceiver], now: jiff::Timestamp, output: &Output) -> String {
    if receivers.is_empty() {
        return "nobody is told: add [notices.NAME] to the settings of the `muster run` at work".to_owned();
    }
    let mut grid = Grid::new(&[
        ("receiver", Align::Left),
        ("state", Align::Left),
        ("sent", Align::Right),
        ("last", Align::Left),
        ("waiting", Align::Right),
        ("refused", Align::Right),
        ("alerts not told", Align::Right),
    ]);
    for receiver in receivers {
        let (state, tone) = match (receiver.stopped_at, receiver.failing_since) {
            (Some(_), _) => ("stopped", Tone::Bad),
            (None, Some(_)) => ("failing", Tone::Bad),
            (None, None) if receiver.refuses_since().is_some() => ("refusing", Tone::Bad),
            (None, None) if receiver.last_sent_at.is_some() => ("ok", Tone::Good),
            (None, None) => ("never used", Tone::Plain),
        };
        grid.row([
            (receiver.name.clone(), Tone::Plain),
            (state.to_owned(), tone),
            (number(receiver.sent), Tone::Plain),
            (ago(receiver.last_sent_at, now), Tone::Plain),
            (number(receiver.waiting), Tone::Plain),
            (number(receiver.refused), if receiver.refused > 0 { Tone::Fair } else { Tone::Plain }),
            (number(receiver.skipped + receiver.snoozed + receiver.old), Tone::Plain),
        ]);
        if let Some(error) = &receiver.last_error {
            grid.note(&plain(error), tone);
        }
        let untold = [
            (receiver.skipped, "because too many came at once"),
            (receiver.snoozed, "because they were snoozed"),
            (receiver.old, "because they were old when they came"),
        ];
        for (count, why) in untold.into_iter().filter(|(count, _)| *count > 0) {
            grid.note(&format!("{} not told one by one {why}", plural(count, "alert")), Tone::Plain);
        }
    }
    grid.render(output, None)
}

fn messages(
    messages: &[NoticeMessage],
    tenants: &HashMap<TenantId, Tenant>,
    now: jiff::Timestamp,
    output: &Output,
) -> String {
    if messages.is_empty() {
        return "nothing was sent yet".to_owned();
    }
    let mut grid = Grid::new(&[
        ("message", Align::Right),
        ("made", Align::Left),
        ("to", Align::Left),
        ("what", Align::Left),
        ("state", Align::Left),
        ("tries", Align::Right),
    ]);
    for message in messages {
        let to = match message.target.as_str() {
            "" => message.receiver.clone(),
            target => format!("{} ({target})", message.receiver),
        };
        let tenant = message.tenant.and_then(|tenant| tenants.get(&tenant));
        let of = match (message.event.as_str(), tenant) {
            ("alert", Some(tenant)) => format!("alert, {}", tenant.slug),
            (event, tenant) => format!("{event} {}", snoozes::shown(&message.key, tenant)),
        };
        let tone = match message.state {
            NoticeState::Sent => Tone::Good,
            NoticeState::Refused => Tone::Bad,
            NoticeState::Waiting if message.last_error.is_some() => Tone::Fair,
            NoticeState::Waiting => Tone::Plain,
        };
        grid.row([
            (message.number.to_string(), Tone::Plain),
            (ago(Some(message.made_at), now), Tone::Plain),
            (plain(&to), Tone::Plain),
            (plain(&of), Tone::Plain),
            (message.state.as_str().to_owned(), tone),
            (message.attempts.to_string(), Tone::Plain),
        ]);
        if let Some(error) = &message.last_error {
            grid.note(&plain(error), tone);
        }
    }
    grid.render(output, None)
}

/// What became of a test.
#[derive(Serialize)]
struct Tested {
    receiver: String,
    to: String,
    sent: bool,
    answer: String,
}

async fn test(name: Option<&str>, alert: bool, context: &Context) -> Result<Exit, Failed> {
    let settings = &context.settings;
    if settings.notices.is_empty() {
        return Err(Failed::say(Exit::Settings, "there is no receiver: add [notices.NAME]"));
    }
    if let Some(name) = name.filter(|name| !settings.notices.contains_key(*name)) {
        let meant = muster_model::text::did_you_mean(name, settings.notices.keys().map(String::as_str));
        let shown = muster_model::text::shown(name, 64);
        return Err(Failed::say(Exit::Usage, format!("there is no receiver `{shown}`{meant}")));
    }
    let now = context.clock.now();
    let portal =
        alerts::Portal { defender: settings.cloud.cloud().ok().and_then(|cloud| cloud.portals().defender) };
    let mut tested = Vec::new();
    for (receiver, of) in settings.notices.iter().filter(|(known, _)| name.is_none_or(|name| name == *known))
    {
        let notice = match alert {
            true => alerts::sample(portal, now),
            false => Notice::test(receiver, now),
        };
        let built = wiring::notice_receiver(settings, receiver, &context.clock);
        for target in of.targets() {
            let sent = match &built {
                Ok(built) => {
                    let notices = std::slice::from_ref(&notice);
                    built.send(notices, &target, Uuid::new_v4()).await.map_err(|trouble| trouble.reason)
                }
                Err(reason) => Err(reason.clone()),
            };
            let to = if target.is_empty() { of.target() } else { target };
            let (sent, answer) = match sent {
                Ok(answer) => (true, answer),
                Err(reason) => (false, reason),
            };
            tested.push(Tested { receiver: receiver.clone(), to, sent, answer });
        }
    }
    context.output.print(&tested, |output| {
        let mut grid = Grid::new(&[("receiver", Align::Left), ("to", Align::Left), ("", Align::Left)]);
        for test in &tested {
            let (word, tone) = if test.sent { ("sent", Tone::Good) } else { ("not sent", Tone::Bad) };
            grid.row([
                (test.receiver.clone(), Tone::Plain),
                (plain(&test.to), Tone::Plain),
                (word.to_owned(), tone),
            ]);
            grid.note(&plain(&test.answer), if test.sent { Tone::Plain } else { Tone::Bad });
        }
        grid.render(output, None)
    })?;
    Ok(if tested.iter().all(|test| test.sent) { Exit::Success } else { Exit::Sink })
}

async fn snooze(condition: &str, until: &str, reason: &str, context: &Context) -> Result<Exit, Failed> {
    let usage = |message: String| Failed::say(Exit::Usage, message);
    let tenants = context.store.tenants().await?;
    let (key, tenant) = snoozes::key(condition, &tenants).map_err(usage)?;
    let now = context.clock.now();
    let ends = muster_model::time::moment(until.trim())
        .or_else(|| now.checked_add(until.trim().parse::<muster_model::Span>().ok()?.0).ok());
    let Some(ends) = ends else {
        return Err(usage(format!(
            "`{}` is neither a duration (4h, 2d), a date (2026-11-01) nor a time (2026-11-01T08:30:00Z)",
            muster_model::text::shown(until, 40)
        )));
    };
    if ends <= now {
        return Err(usage(format!("{ends:.0} is over already")));
    }
    if ends.duration_since(now) > jiff::SignedDuration::from_hours(24 * SNOOZE_MAX_DAYS) {
        return Err(usage(format!(
            "a snooze ends within {SNOOZE_MAX_DAYS} days, so that it is not forgotten"
        )));
    }
    let reason = muster_model::text::shown(reason, 500);
    if reason.is_empty() {
        return Err(usage("say why: --reason".to_owned()));
    }
    warn_of_nothing(&key, context).await?;
    let actor = crate::audit::actor();
    let snooze = NoticeSnooze { key, tenant, until: ends, reason, actor, set_at: now };
    context.store.snooze_notices(snooze.clone()).await?;
    let of = tenants.iter().find(|known| Some(known.id) == tenant);
    context.output.print(&snooze, |_| {
        let shown = snoozes::shown(&snooze.key, of);
        format!("nobody is told of {shown} until {ends:.0}; `muster notice unsnooze {shown}` ends that")
    })?;
    Ok(Exit::Success)
}

/// Says so where a snooze is of nothing that holds: a slip of the finger silences nothing.
async fn warn_of_nothing(key: &str, context: &Context) -> Result<(), Failed> {
    let kind = key.split_once('/').and_then(|(kind, _)| Kind::named(kind));
    let open = context.store.notice_conditions().await?;
    let is_of_something = kind.is_none()
        || open
            .iter()
            .any(|known| known.ended_at.is_none() && crate::config::RouteSettings::fits(key, &known.key));
    if !is_of_something {
        crate::shown::note::note!("muster: no such condition holds now; it is snoozed for when it does");
    }
    Ok(())
}

async fn unsnooze(condition: &str, context: &Context) -> Result<Exit, Failed> {
    let tenants = context.store.tenants().await?;
    let (key, _) = snoozes::key(condition, &tenants).map_err(|message| Failed::say(Exit::Usage, message))?;
    let now = context.clock.now();
    match context.store.unsnooze_notices(&key, &crate::audit::actor(), now).await? {
        true => {
            context.output.print(&serde_json::json!({ "unsnoozed": key }), |_| {
                format!("people are told of {condition} again")
            })?;
            Ok(Exit::Success)
        }
        false => Err(Failed::say(
            Exit::Failure,
            format!(
                "{} is not snoozed: `muster notice list` shows what is",
                muster_model::text::shown(condition, 100)
            ),
        )),
    }
}
