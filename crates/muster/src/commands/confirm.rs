//! Asking the operator before something that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use muster_model::Tenant;

use crate::exit_code::{Exit, Failed};

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
