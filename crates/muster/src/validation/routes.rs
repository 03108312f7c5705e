//! Routes, and what they lead to.

use super::subject::Subject;
use crate::config::Mistake;

/// Without a route, records are kept and go to no sink.
pub(super) fn some_route(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let settings = subject.settings;
    if settings.routes.is_empty() && !settings.sinks.is_empty() && subject.are_right("routes") {
        let message =
            "there is no route, so nothing that is collected goes to a sink: add [[routes]] with `sinks`";
        mistakes.push(subject.down("", "", message));
    }
}
