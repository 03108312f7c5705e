//! `muster status`

use std::time::Duration;

use super::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::screen::{self, History, Screen};
use crate::shown::status::Snapshot;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show it again and again until Ctrl-C.
    #[arg(long, short)]
    watch: bool,
    /// Only tenants with trouble.
    #[arg(long)]
    failing: bool,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let take = async || -> Result<Snapshot, Failed> {
        let mut snapshot = Snapshot::take(context.store.as_ref(), context.clock.now()).await?;
        if args.failing {
            snapshot.tenants.retain(|tenant| tenant.sources.iter().any(|source| source.last_error.is_some()));
        }
        Ok(snapshot)
    };
    if !args.watch {
        let snapshot = take().await?;
        context.output.print(&snapshot, |output| screen::status(output, &snapshot, None, usize::MAX))?;
        return Ok(Exit::Success);
    }
    let mut screen = Screen::open();
    let mut history = History::default();
    loop {
        let snapshot = take().await?;
        let rows = screen.rows();
        screen.show(&screen::status(&context.output, &snapshot, history.oldest(), rows))?;
        history.push(snapshot);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Success),
        }
    }
}
