//! `muster status`

mod check;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use muster_store::InstanceId;
use uuid::Uuid;

use super::{Call, Context};
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output;
use crate::shown::screen::{self, Frame, History, Screen};
use crate::shown::status::Snapshot;
use crate::shown::watch::run::Options;
use crate::shown::watch::terminal;
use crate::wiring;

/// So many tenants are shown unless all are asked for.
const TENANTS_MAX: usize = 50;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show it again and again: on a terminal a screen with keys (`?` tells them, `q` ends it), with every tenant, sink and
    /// node, and records as they pass; elsewhere one picture after the other, until Ctrl-C.
    #[arg(long, short)]
    watch: bool,
    /// Hide the titles of records that pass, as on a screen that others see.
    #[arg(long, requires = "watch")]
    mask: bool,
    /// Only tenants with trouble; the totals stay those of all.
    #[arg(long)]
    failing: bool,
    /// Every tenant, however many there are.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    check: check::CheckArgs,
}

impl Args {
    /// Whether it draws on the whole terminal, where a line of the log would be in the way.
    pub(crate) fn takes_the_terminal(&self) -> bool {
        self.watch && terminal::is_there()
    }
}

/// Whatever keeps it from being known is told to monitoring systems in their way, too.
pub(crate) async fn call(args: &Args, call: &Call) -> Result<Exit, Failed> {
    let opened = call.open(async |context| run(args, context).await).await;
    match opened {
        Err(failed) if args.check.check => {
            say(&check::unknown(&format!("{:#}", failed.error)))?;
            Ok(check::Verdict::Unknown.exit())
        }
        other => other,
    }
}

/// Tells people that nothing runs, where that is so: what does not run cannot say it. The line above is for the program that
/// called; this has no other word than a failure's.
async fn notify(context: &Context) -> Result<(), Failed> {
    if context.settings.notices.is_empty() {
        note!("muster: --notify tells nobody: there is no [notices.NAME] in the settings");
        return Ok(());
    }
    if context.snapshot().await?.run.is_running() {
        return Ok(());
    }
    let (store, clock) = (&context.store, &context.clock);
    let instance = InstanceId(Uuid::new_v4());
    let notifier = wiring::notifier(&context.settings, (store, clock), instance, &Arc::default());
    if let Some((sent, failed)) = notifier.once().await?
        && failed > 0
    {
        note!(
            "muster: {sent} notices were sent, {failed} were not; they are tried again: `muster notice list`"
        );
    }
    Ok(())
}

fn say(line: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, format!("{line}\n").as_bytes())?;
    Ok(())
}

async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    if args.check.check {
        let (line, verdict) = check::check(&args.check, &context.snapshot().await?);
        say(&line)?;
        if args.check.notify {
            notify(context).await?;
        }
        return Ok(verdict.exit());
    }
    let take = async || -> Result<Snapshot, Failed> {
        let mut snapshot = context.snapshot().await?;
        if args.failing {
            snapshot.only_trouble();
        }
        Ok(snapshot)
    };
    let frame = |rows| Frame {
        width: output::width().map(usize::from),
        rows,
        tenants: if args.all { usize::MAX } else { TENANTS_MAX },
    };
    if !args.watch {
        let snapshot = take().await?;
        // What comes first must not scroll away.
        let rows = if args.all || args.failing { None } else { output::height() };
        let shown = frame(rows.map_or(usize::MAX, |rows| usize::from(rows).saturating_sub(1)));
        context.output.print(&snapshot, |output| screen::status(output, &snapshot, None, shown))?;
        return Ok(Exit::Success);
    }
    if terminal::is_there() {
        let options =
            Options { colour: context.output.colour, only_trouble: args.failing, masked: args.mask };
        return watch::run(options, context).await;
    }
    let mut screen = Screen::open();
    let mut history = History::default();
    loop {
        let snapshot = take().await?;
        let shown = frame(screen.rows());
        screen.show(&screen::status(&context.output, &snapshot, history.oldest(), shown))?;
        history.push(snapshot);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Success),
        }
    }
}
