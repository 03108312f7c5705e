//! Indexer acknowledgement. Acknowledgements are asked for by whichever delivery finds nobody asking: one question for
//! all that are outstanding. An `ackId` counts within a channel and starts over when Splunk restarts, so after any
//! failure of the connection later requests use a new channel: an id of the old one can then not be confirmed by a
//! stranger.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use muster_model::Trouble;
use reqwest::{Method, StatusCode};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::collector::{Collector, Said};

/// Acknowledgements that are asked for in one request.
const ACKS_PER_QUESTION_MAX: usize = 1000;
/// How soon after a request its acknowledgement is asked for, at the earliest.
const ACK_WAIT_MIN: Duration = Duration::from_millis(10);
/// How long to wait between two questions, at most.
const ACK_WAIT_MAX: Duration = Duration::from_secs(1);

/// Which acknowledgements are outstanding.
#[derive(Debug)]
pub(super) struct AckBoard {
    state: Mutex<AckState>,
    /// Held by whoever asks for all.
    asking: tokio::sync::Mutex<()>,
    registered: Notify,
}

#[derive(Debug)]
struct AckState {
    channel: Uuid,
    waiting: BTreeMap<(Uuid, u64), Waiting>,
    /// Of the latest one confirmed, from request to confirmation.
    last_took: Duration,
    last_problem: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    teller: oneshot::Sender<Result<(), Trouble>>,
}

/// The wait for one acknowledgement; dropping it ends the asking.
pub(super) struct Ticket<'a> {
    board: &'a AckBoard,
    channel: Uuid,
    id: u64,
    told: oneshot::Receiver<Result<(), Trouble>>,
}

impl Default for AckBoard {
    fn default() -> Self {
        Self {
            state: Mutex::new(AckState {
                channel: Uuid::new_v4(),
                waiting: BTreeMap::new(),
                last_took: Duration::ZERO,
                last_problem: None,
            }),
            asking: tokio::sync::Mutex::new(()),
            registered: Notify::new(),
        }
    }
}

impl AckBoard {
    /// Waits until the collector confirms the ticket, asking for everyone while nobody else does.
    pub(super) async fn acknowledged(
        &self,
        mut ticket: Ticket<'_>,
        collector: &Collector,
        timeout: Duration,
    ) -> Result<(), Trouble> {
        let deadline = Instant::now() + timeout;
        let told = tokio::select! {
            biased;
            told = &mut ticket.told => Some(told),
            () = tokio::time::sleep_until(deadline) => None,
            _asking = self.asking.lock() => self.ask_until(&mut ticket, collector, deadline).await,
        };
        match told {
            Some(Ok(told)) => told,
            Some(Err(_)) => Err(collector.trouble(
                "Splunk has given an acknowledgement id out twice, so it has restarted and forgotten the first; \
                 its events are sent again"
                    .to_owned(),
                None,
            )),
            None => {
                let last = self.last_problem();
                let why = last.map(|last| format!(" (the last question failed: {last})")).unwrap_or_default();
                Err(collector.trouble(
                    format!(
                        "Splunk took events and did not acknowledge them within {timeout:?}{why}: check the indexers, and \
                         that a load balancer keeps a client on one of them. They are sent again"
                    ),
                    None,
                ))
            }
        }
    }

    /// Asks for all that is outstanding until the ticket is told or the deadline has passed.
    ///
    /// A question is never left unanswered for the ticket's sake: Splunk forgets what it has confirmed, and the answer
    /// may confirm the tickets of others.
    async fn ask_until(
        &self,
        ticket: &mut Ticket<'_>,
        collector: &Collector,
        deadline: Instant,
    ) -> Option<Result<Result<(), Trouble>, oneshot::error::RecvError>> {
        let mut wait = self.first_wait();
        loop {
            let mut due = Instant::now() + wait;
            loop {
                tokio::select! {
                    biased;
                    told = &mut ticket.told => return Some(told),
                    () = tokio::time::sleep_until(deadline) => return None,
                    () = tokio::time::sleep_until(due) => break,
                    () = self.registered.notified() => {
                        wait = self.first_wait();
                        due = due.min(Instant::now() + wait);
                    }
                }
            }
            wait = (wait * 2).min(ACK_WAIT_MAX);
            for (channel, ids) in self.outstanding() {
                for ids in ids.chunks(ACKS_PER_QUESTION_MAX) {
                    self.ask_once(channel, ids, collector).await;
                }
            }
        }
    }

    async fn ask_once(&self, channel: Uuid, ids: &[u64], collector: &Collector) {
        let question = serde_json::json!({ "acks": ids }).to_string();
        let reply = match collector.call(Method::POST, "ack", channel, Some(question.into()), false).await {
            Ok(reply) => reply,
            Err(trouble) => {
                self.change_channel(channel);
                self.problem(Some(trouble.reason));
                return;
            }
        };
        if let (StatusCode::OK, Some(Said { acks: Some(acks), .. })) = (reply.status, &reply.said) {
            self.problem(None);
            for id in ids.iter().filter(|id| acks.get(&id.to_string()) == Some(&true)) {
                self.tell(channel, *id, Ok(()));
            }
            return;
        }
        let trouble = collector.refusal(&reply);
        if reply.status.is_client_error() && reply.status != StatusCode::TOO_MANY_REQUESTS {
            // The token was withdrawn, or acknowledgement switched off: waiting will not help.
            for id in ids {
                self.tell(channel, *id, Err(trouble.clone()));
            }
        } else {
            self.change_channel(channel);
        }
        self.problem(Some(trouble.reason));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, AckState> {
        self.state.lock().expect("no panic while the lock is held")
    }

    pub(super) fn channel(&self) -> Uuid {
        self.state().channel
    }

    /// Leaves a channel that may belong to a collector that has restarted.
    pub(super) fn change_channel(&self, left: Uuid) {
        let mut state = self.state();
        if state.channel == left {
            state.channel = Uuid::new_v4();
        }
    }

    pub(super) fn register(&self, channel: Uuid, id: u64) -> Ticket<'_> {
        let (teller, told) = oneshot::channel();
        // An id given out twice is one of before and one of after a restart: the older waits in vain, and is told so
        // by its channel closing here.
        self.state().waiting.insert((channel, id), Waiting { since: Instant::now(), teller });
        self.registered.notify_one();
        Ticket { board: self, channel, id, told }
    }

    pub(super) fn outstanding(&self) -> BTreeMap<Uuid, Vec<u64>> {
        let mut channels = BTreeMap::<Uuid, Vec<u64>>::new();
        for (channel, id) in self.state().waiting.keys() {
            channels.entry(*channel).or_default().push(*id);
        }
        channels
    }

    fn tell(&self, channel: Uuid, id: u64, what: Result<(), Trouble>) {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.remove(&(channel, id)) {
            if what.is_ok() {
                state.last_took = waiting.since.elapsed();
            }
            // The delivery may have given up at this moment; then there is nobody to tell.
            drop(waiting.teller.send(what));
        }
    }

    /// Half of what the latest took: soon enough, and no storm of questions to a collector that takes its time.
    fn first_wait(&self) -> Duration {
        (self.state().last_took / 2).clamp(ACK_WAIT_MIN, ACK_WAIT_MAX)
    }

    fn problem(&self, problem: Option<String>) {
        self.state().last_problem = problem;
    }

    fn last_problem(&self) -> Option<String> {
        self.state().last_problem.clone()
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.told.close();
        let mut state = self.board.state();
        // Not a later one with the same id.
        if state.waiting.get(&(self.channel, self.id)).is_some_and(|waiting| waiting.teller.is_closed()) {
            state.waiting.remove(&(self.channel, self.id));
        }
    }
}

/// Whether the collector acknowledges, for this token.
pub(super) async fn offered_by(collector: &Collector) -> Result<bool, Trouble> {
    let question = Bytes::from_static(b"{\"acks\":[0]}");
    // On a channel of its own: an acknowledgement is told once, and this must not take one that is waited for.
    let reply = collector.call(Method::POST, "ack", Uuid::new_v4(), Some(question), false).await?;
    match (reply.status, &reply.said) {
        (StatusCode::OK, Some(Said { acks: Some(_), .. })) => Ok(true),
        (_, Some(Said { code: Some(14), .. })) | (StatusCode::NOT_FOUND, _) => Ok(false),
        _ => Err(collector.refusal(&reply)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_id_given_out_twice_is_not_believed_for_the_first() {
        let board = AckBoard::default();
        let channel = board.channel();
        let mut first = board.register(channel, 3);
        let mut second = board.register(channel, 3);
        assert!(first.told.try_recv().is_err());
        drop(first);
        board.tell(channel, 3, Ok(()));
        assert_eq!(second.told.try_recv(), Ok(Ok(())));
    }
}
