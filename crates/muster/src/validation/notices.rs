//! Receivers of notices: their secrets and CA files.

use std::sync::Arc;

use super::subject::Subject;
use crate::config::Mistake;
use crate::wiring;

/// A receiver that cannot be sent to: what waits for it waits until that is mended.
pub(super) fn receivers(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    for (name, receiver) in &subject.settings.notices {
        let section = format!("notices.{name}");
        if !subject.is_right(&section) {
            continue;
        }
        let before = mistakes.len();
        for (key, place) in receiver.secrets() {
            if let Err(message) = subject.secret(place, true) {
                mistakes.push(subject.down(&section, key, &message));
            }
        }
        // What is wrong with the proxy is told at its place.
        if mistakes.len() > before || subject.settings.network.proxy().is_err() {
            continue;
        }
        let clock = Arc::clone(&subject.clock);
        if let Err(message) = wiring::notice_receiver(subject.settings, name, &clock) {
            let key = match &message {
                message if message.contains("CA file") => "ca_file",
                message if message.contains("signing secret") => "signing_secrets",
                message if message.contains("url") || message.contains("address") => "url",
                _ => "",
            };
            mistakes.push(subject.down(&section, key, &message));
        }
    }
}
