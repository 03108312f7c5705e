//! The way to Microsoft: its CA file and the proxy.

use super::subject::Subject;
use crate::config::Mistake;

/// Without it no tenant can be read.
pub(super) fn way(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let settings = subject.settings;
    let proxy = settings.network.proxy();
    if let Err(message) = &proxy
        && subject.is_right("network")
    {
        mistakes.push(settings.mistake("network", "proxy", message));
    }
    if let Some(file) = &settings.cloud.ca_file
        && subject.is_right("cloud")
    {
        let path = settings.path(file);
        let read = muster_http::read_roots(&path).and_then(|pem| muster_http::check_roots(&pem));
        if let Err(error) = read {
            mistakes.push(settings.mistake("cloud", "ca_file", &format!("{}: {error}", path.display())));
            return;
        }
    }
    // What is left: roots of the system that are missing, a proxy that no client takes.
    if proxy.is_ok()
        && subject.is_right("cloud")
        && subject.is_right("network")
        && let Err(error) = crate::wiring::microsoft(settings, subject.clock.clone(), None)
    {
        mistakes.push(settings.mistake("network", "", &format!("{error:#}")));
    }
}
