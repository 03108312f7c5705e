//! Sends what waits: to each receiver by itself, so that one that stalls holds up no other, and nothing holds up collecting
//! or delivering.
//!
//! A message is sent once or, where a process is killed between sending and noting it, twice, with the same id. What fails is
//! tried again, less and less often, for as long as it takes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Clock, ContentHash};
use muster_store::{NamedLease, NoticeFate, NoticeMessage, Store, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::message::{Event, Notice};
use super::receiver::Receiver;
use super::templates::parts::SAID_MAX;
use super::trouble::{About, Trouble};

/// So many messages are looked at in one step.
const LOOKED_AT: u32 = 200;
/// More that are due at once come as one, where people read them.
const ONE_BY_ONE: usize = 5;
/// So many are sent in one step, so that nobody is flooded: steps are a while apart.
const SENT_MAX: usize = 10;
/// So many are tried in one step, with those that are refused: enough to find one among many.
const TRIED_MAX: usize = 50;
/// The first wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(900));

/// Sends to one receiver.
pub struct Sender {
    pub name: String,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// Nothing more is sent once it is cancelled; what is on its way is waited for, and noted.
    pub stop: CancellationToken,
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stepped {
    /// Messages that the receiver took.
    pub sent: usize,
    /// Messages that are tried again, or were refused.
    pub failed: usize,
    /// Whether more is due.
    pub more: bool,
}

impl Sender {
    /// Sends some of what is due. `receiver`: what the settings came to, or why there is no way there.
    ///
    /// # Errors
    /// When the store fails, or the lease is another's now.
    pub async fn step(
        &self,
        lease: &NamedLease,
        receiver: &Result<Receiver, String>,
    ) -> Result<Stepped, StoreError> {
        let now = self.clock.now();
        let due = self.store.due_notices(&self.name, LOOKED_AT, now).await?;
        let mut stepped = Stepped { more: due.len() == LOOKED_AT as usize, ..Stepped::default() };
        let mut by_target: BTreeMap<String, Vec<NoticeMessage>> = BTreeMap::new();
        for message in due {
            by_target.entry(message.target.clone()).or_default().push(message);
        }
        for (target, messages) in by_target {
            if self.stop.is_cancelled() {
                break;
            }
            self.to_one(lease, receiver, &target, messages, &mut stepped).await?;
        }
        Ok(stepped)
    }

    async fn to_one(
        &self,
        lease: &NamedLease,
        receiver: &Result<Receiver, String>,
        target: &str,
        messages: Vec<NoticeMessage>,
        stepped: &mut Stepped,
    ) -> Result<(), StoreError> {
        let (readable, unreadable) = opened(messages);
        if !unreadable.is_empty() {
            stepped.failed += unreadable.len();
            let reason = "what it says cannot be read any more".to_owned();
            let fates =
                unreadable.iter().map(|number| (*number, NoticeFate::Refused { reason: reason.clone() }));
            self.settle(lease, fates.collect()).await?;
        }
        let receiver = match receiver {
            Ok(receiver) => receiver,
            Err(reason) => {
                stepped.failed += readable.len();
                let trouble = Trouble::of_the_way(reason.clone());
                return self.settle(lease, self.fates(&readable, &trouble)).await;
            }
        };
        let mut groups: VecDeque<Group> = grouped(readable, receiver.is_for_people()).into();
        let (mut sent, mut tried) = (0, 0);
        while let Some(group) = groups.pop_front() {
            if sent == SENT_MAX || tried == TRIED_MAX || self.stop.is_cancelled() {
                stepped.more = true;
                break;
            }
            tried += 1;
            let notices: Vec<Notice> = group.iter().map(|(_, notice)| notice.clone()).collect();
            match receiver.send(&notices, target, id_of(&group)).await {
                Ok(_) => {
                    sent += 1;
                    stepped.sent += group.len();
                    let fates = group.iter().map(|(message, _)| (message.number, NoticeFate::Sent));
                    self.settle(lease, fates.collect()).await?;
                }
                // One title that a filter takes for a virus costs the others nothing: only what is refused alone is refused.
                Err(trouble) if trouble.what == About::Message && group.len() > 1 => {
                    let mut first = group;
                    let second = first.split_off(first.len() / 2);
                    groups.push_front(second);
                    groups.push_front(first);
                }
                Err(trouble) if trouble.what == About::Message => {
                    stepped.failed += 1;
                    tracing::error!(
                        receiver = self.name,
                        reason = trouble.reason,
                        "a notice was refused for good; it is kept: `muster notice list`"
                    );
                    self.settle(lease, self.fates(&group, &trouble)).await?;
                }
                // What is in the way of one is in the way of all.
                Err(trouble) => {
                    let rest: Group = std::iter::once(group).chain(groups).flatten().collect();
                    stepped.failed += rest.len();
                    stepped.more = false;
                    return self.settle(lease, self.fates(&rest, &trouble)).await;
                }
            }
        }
        Ok(())
    }

    /// What becomes of messages that met trouble.
    fn fates(&self, messages: &[(NoticeMessage, Notice)], trouble: &Trouble) -> Vec<(u64, NoticeFate)> {
        let reason = trouble.reason.clone();
        let most = messages.iter().map(|(message, _)| message.attempts).max().unwrap_or_default();
        let due_at = self.again(most, trouble);
        let fate = |(message, _): &(NoticeMessage, Notice)| {
            let fate = match trouble.what {
                About::Way(_) => NoticeFate::Retry { due_at, reason: reason.clone() },
                About::Message => NoticeFate::Refused { reason: reason.clone() },
                About::Gone => NoticeFate::Stopped { reason: reason.clone() },
            };
            (message.number, fate)
        };
        messages.iter().map(fate).collect()
    }

    /// When what has failed so often is tried again.
    fn again(&self, attempts: u32, trouble: &Trouble) -> Timestamp {
        let (first, longest) = WAITS;
        let wait = first.saturating_mul(1_u32.checked_shl(attempts.min(16)).unwrap_or(u32::MAX)).min(longest);
        let asked = match trouble.what {
            About::Way(asked) => asked.unwrap_or_default(),
            About::Message | About::Gone => Duration::ZERO,
        };
        self.clock.now().saturating_add(wait.max(asked)).unwrap_or(Timestamp::MAX)
    }

    async fn settle(&self, lease: &NamedLease, fates: Vec<(u64, NoticeFate)>) -> Result<(), StoreError> {
        self.store.settle_notices(lease, &self.name, fates, self.clock.now()).await
    }
}

/// Messages that are sent as one.
type Group = Vec<(NoticeMessage, Notice)>;

/// What is sent together: alerts as one where many are due, and conditions as few enough that each is said; never both, since what
/// strangers write may be refused.
fn grouped(messages: Group, is_for_people: bool) -> Vec<Group> {
    let each = |messages: Group| messages.into_iter().map(|one| vec![one]).collect::<Vec<Group>>();
    if !is_for_people {
        return each(messages);
    }
    let (alerts, conditions): (Group, Group) =
        messages.into_iter().partition(|(_, notice)| notice.event == Event::Alert);
    let mut groups = match conditions.len() > ONE_BY_ONE {
        true => conditions.chunks(SAID_MAX).map(<[_]>::to_vec).collect(),
        false => each(conditions),
    };
    match alerts.len() > ONE_BY_ONE {
        true => groups.push(alerts),
        false => groups.extend(each(alerts)),
    }
    groups
}

/// What a message is known by: one that tells of several is another one as soon as it tells of more.
fn id_of(group: &[(NoticeMessage, Notice)]) -> Uuid {
    match group {
        [(one, _)] => one.id,
        several => {
            let ids: Vec<u8> = several.iter().flat_map(|(message, _)| *message.id.as_bytes()).collect();
            Uuid::from_bytes(ContentHash::of(&ids).0)
        }
    }
}

/// Messages with what they say, and the numbers of those that say nothing.
fn opened(messages: Vec<NoticeMessage>) -> (Vec<(NoticeMessage, Notice)>, Vec<u64>) {
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for message in messages {
        match message.content.as_deref().map(serde_json::from_str::<Notice>) {
            Some(Ok(notice)) => readable.push((message, notice)),
            _ => unreadable.push(message.number),
        }
    }
    (readable, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(events: impl IntoIterator<Item = Event>) -> Group {
        let message = |(number, event): (usize, Event)| {
            let notice = Notice { event, ..Notice::test("ops", Timestamp::UNIX_EPOCH) };
            let message = NoticeMessage {
                number: number as u64,
                id: Uuid::from_u128(number as u128),
                receiver: "ops".to_owned(),
                target: String::new(),
                tenant: None,
                event: event.as_str().to_owned(),
                key: number.to_string(),
                state: muster_store::NoticeState::Waiting,
                made_at: Timestamp::UNIX_EPOCH,
                due_at: Timestamp::UNIX_EPOCH,
                attempts: 0,
                last_error: None,
                settled_at: None,
                content: None,
            };
            (message, notice)
        };
        events.into_iter().enumerate().map(message).collect()
    }

    #[test]
    fn conditions_are_all_said_and_never_with_alerts() {
        let events = std::iter::repeat_n(Event::Alert, 35).chain(std::iter::repeat_n(Event::Began, 65));
        let groups = grouped(messages(events), true);
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [30, 30, 5, 35]);
        for group in &groups {
            let alerts = group.iter().filter(|(_, notice)| notice.event == Event::Alert).count();
            assert!(alerts == 0 || alerts == group.len());
        }
        let events = [Event::Alert, Event::Untold, Event::Ended];
        let few: Vec<usize> = grouped(messages(events), true).iter().map(Vec::len).collect();
        assert_eq!(few, [1, 1, 1]);
        let events = std::iter::repeat_n(Event::Alert, 35);
        assert_eq!(grouped(messages(events), false).len(), 35, "machines get each by itself");
    }
}
