//! What is made of what receivers say when they are asked about tickets.
//!
//! A receiver's time is over when it has said "not yet" for as long as the sink allows, counted from its first such answer to
//! this process: while it gives no answer it has not said anything, and what it may have stored is not sent again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Trouble;
use muster_siem::sinks::{Said, Sink};
use muster_store::{KeptTicket, TicketFate, TicketNumber};

use crate::backoff;

/// What is known of tickets from one round to the next.
#[derive(Debug, Default)]
pub struct Asked {
    /// Since when a receiver has said "not yet" of each.
    since: HashMap<TicketNumber, Timestamp>,
    /// Why it was not asked, or gave no answer, last.
    last: Option<Trouble>,
}

type Judged<'a> = (Vec<(TicketNumber, TicketFate)>, Vec<(&'a KeptTicket, String)>);

impl Asked {
    /// Forgets whatever is not waited for any more.
    pub(super) fn keep_only(&mut self, kept: &[KeptTicket]) {
        let there: HashSet<TicketNumber> = kept.iter().map(|of| of.number).collect();
        self.since.retain(|number, _| there.contains(number));
    }

    /// What becomes of each ticket, given what its receiver says.
    pub(super) fn judge<'a>(
        &mut self,
        sink: &Sink,
        kept: &'a [KeptTicket],
        answers: Vec<Said>,
        now: Timestamp,
    ) -> Judged<'a> {
        let (mut settled, mut void) = (Vec::new(), Vec::new());
        let mut lose = |of: &'a KeptTicket, reason: String, settled: &mut Vec<_>| {
            let seed = backoff::seed(&[&of.tenant.to_string()]);
            let wait = backoff::wait(0, Duration::from_secs(1), Duration::from_secs(1), seed);
            let retry_at = now.checked_add(wait).unwrap_or(now);
            settled.push((of.number, TicketFate::Void { reason: reason.clone(), retry_at }));
            void.push((of, reason));
        };
        for (of, said) in kept.iter().zip(answers) {
            match said {
                Said::Stored => settled.push((of.number, TicketFate::Confirmed)),
                Said::Gone(reason) => lose(of, reason, &mut settled),
                Said::Unclear(trouble) => self.last = Some(trouble),
                Said::NotYet | Said::Refused(_) => {
                    if let Said::Refused(trouble) = said {
                        self.last = Some(trouble);
                    }
                    let since = self.since.entry(of.number).or_insert(now);
                    // A clock that has stepped back.
                    *since = (*since).min(now);
                    let waited = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
                    if waited >= sink.patience() {
                        lose(of, sink.unacknowledged(self.last.as_ref()), &mut settled);
                    }
                }
            }
        }
        (settled, void)
    }
}
