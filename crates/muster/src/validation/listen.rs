//! The address that health, metrics and pages are served at.

use std::io::ErrorKind;
use std::net::TcpListener;

use super::at_start::AtStart;
use super::subject::Subject;
use crate::config::{Mistake, listen_trouble};

/// An address in use, or not one of this machine's.
pub(super) fn listen(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let Some(address) = subject.settings.server.listen else { return };
    let Err(error) = TcpListener::bind(address) else { return };
    let message = listen_trouble(address, &error);
    if error.kind() == ErrorKind::AddrInUse && subject.is_running() {
        match AtStart::of_running(subject) {
            // Who listens there is the one that is at work.
            Some(running) if running.listens_at(address) => return,
            Some(_) => {}
            None => {
                let message = format!("{message}; if that is the `muster run` that is at work, all is well");
                mistakes.push(subject.advice("server", "listen", &message));
                return;
            }
        }
    }
    mistakes.push(subject.settings.mistake("server", "listen", &message));
}
