//! Asking the operator before something that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use muster_model::Tenant;

use crate::exit_code::{Exit, Failed};

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> Result<(), Failed> {
    match io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(Failed::say(
            Exit::Usage,
            "there is nobody to ask: `--dry-run` shows what would be done, and `--yes` has it done",
        )),
    }
}

/// Asks the operator; everything but a clear yes is a no.
pub(super) fn ask(question: &str) -> Result<bool, Failed> {
    let mut err = io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Has the operator type the tenant's slug before something that cannot be undone.
pub(super) fn confirm(tenant: &Tenant, verb: &str, what: &str, doing: &str) -> Result<(), Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::say(Exit::Usage, format!("{doing} cannot be undone: confirm it with --yes")));
    }
    let mut err = io::stderr().lock();
    write!(err, "{verb} {} ({}) {what}? It cannot be undone. Type its slug: ", tenant.slug, tenant.id)?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == tenant.slug.as_str() {
        Ok(())
    } else {
        Err(Failed::say(Exit::Failure, "nothing was done"))
    }
}
