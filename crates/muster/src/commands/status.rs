//! `muster status`

use std::time::Duration;

use super::Context;
use crate::cli::StatusArgs;
use crate::exit_code::{Exit, Failed};
use crate::output::Output;
use crate::status::Snapshot;
use crate::view::{self, History, Screen};

pub(crate) async fn status(args: &StatusArgs, context: &Context, output: Output) -> Result<Exit, Failed> {
    let take = async || -> Result<Snapshot, Failed> {
        let mut snapshot = Snapshot::take(context.store.as_ref(), context.clock.now()).await?;
        if args.failing {
            snapshot.tenants.retain(|tenant| tenant.sources.iter().any(|source| source.last_error.is_some()));
        }
        Ok(snapshot)
    };
    if !args.watch {
        let snapshot = take().await?;
        output.print(&snapshot, |output| view::status(output, &snapshot, None, usize::MAX))?;
        return Ok(Exit::Success);
    }
    let mut screen = Screen::open();
    let mut history = History::default();
    loop {
        let snapshot = take().await?;
        let rows = screen.rows();
        screen.show(&view::status(&output, &snapshot, history.oldest(), rows))?;
        history.push(snapshot);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Success),
        }
    }
}
