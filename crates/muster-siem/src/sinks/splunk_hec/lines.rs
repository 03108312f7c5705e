//! The ways to the collectors: *lines*, each one connection, and *channels*, which belong to the line that they began on.
//!
//! An `ackId` counts within a channel, and behind a balancer each indexer counts for itself. So that none is ever confirmed by
//! a stranger:
//!
//! - Data goes on a channel only over the connection on which it began. When that is gone, the channel may be asked about,
//!   over any connection, and takes nothing more.
//! - A channel has one request at a time: the next is sent on it when the one before is confirmed. So whoever has the number
//!   of a channel can mean one request only, also after a crash in the middle of another.
//! - A channel on which a number is handed out twice is left, and its request counts as not answered.
//!
//! Requests on one line go one after the other, questions included, so a line's answers are an indexer's.
//!
//! A channel belongs to the token that it began with, a line to no token: tenants with tokens of their own share the lines.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use muster_http::Client;
use muster_model::Secret;
use reqwest::header::{HeaderMap, SET_COOKIE};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use uuid::Uuid;

use super::collector::Collector;
use super::tokens::Token;

/// Numbers that a channel remembers; it is left when it has had so many.
const NUMBERS_MAX: usize = 1_000;
/// Channels that wait on a line to be used again.
const FREE_MAX: usize = 64;
/// A line that was not used for so long is left: balancers and firewalls forget connections.
const UNUSED_MAX: Duration = Duration::from_secs(25);
/// How long a collector that failed is passed over, at first and at most.
const PASSED_OVER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// So often in a row a collector may refuse what another takes.
const REFUSED_ALONE_MAX: u32 = 3;
/// The longest cookies that are kept.
const COOKIES_BYTES_MAX: usize = 4096;

/// All lines of a sink.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) collectors: Vec<Collector>,
    health: Vec<Mutex<Health>>,
    open: Mutex<Vec<Arc<Line>>>,
    /// The channels that wait for an acknowledgement on a line that is there.
    waiting: Mutex<HashMap<Uuid, (Arc<Line>, Channel)>>,
    lines_max: usize,
}

/// How a collector has behaved.
#[derive(Debug, Default)]
struct Health {
    failures: u32,
    passed_over_until: Option<Instant>,
    /// How often in a row it gave no answer when it was asked about requests.
    silences: u32,
    silent_until: Option<Instant>,
    /// Since it took something last, what it has refused and another has taken.
    refused_alone: u32,
    is_out_of_use: bool,
}

/// One connection to one collector.
#[derive(Debug)]
pub(super) struct Line {
    /// Which collector.
    pub(super) place: usize,
    pub(super) client: Client,
    state: Arc<tokio::sync::Mutex<LineState>>,
    is_alive: AtomicBool,
    /// Requests on it and those that wait for it.
    load: AtomicUsize,
    used_at: Mutex<Instant>,
}

/// What is known of a line by whoever has its turn.
#[derive(Debug, Default)]
pub(super) struct LineState {
    free: Vec<Channel>,
    pub(super) cookies: Cookies,
    /// Whether it has ever been answered on.
    pub(super) is_proven: bool,
}

/// A channel and the numbers that were handed out on it.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: Uuid,
    /// The token that it belongs to.
    token: Arc<Token>,
    numbers: HashSet<u64>,
}

impl Channel {
    fn new(token: &Arc<Token>) -> Self {
        Self { id: Uuid::new_v4(), token: Arc::clone(token), numbers: HashSet::new() }
    }

    /// Takes a number down; `false` when it was handed out before.
    pub(super) fn hand_out(&mut self, number: u64) -> bool {
        self.numbers.insert(number)
    }
}

/// The right to the next request on a line.
pub(super) struct Turn {
    pub(super) line: Arc<Line>,
    pub(super) state: OwnedMutexGuard<LineState>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.line.load.fetch_sub(1, Ordering::AcqRel);
        *self.line.used_at.lock().expect("no panic while the lock is held") = Instant::now();
    }
}

impl Turn {
    /// A channel of this token that nothing is under way on.
    pub(super) fn channel(&mut self, token: &Arc<Token>) -> Channel {
        let free = &mut self.state.free;
        match free.iter().rposition(|channel| Arc::ptr_eq(&channel.token, token)) {
            Some(place) => free.remove(place),
            None => Channel::new(token),
        }
    }

    /// Gives a channel back on which nothing is waited for.
    pub(super) fn give_back(&mut self, channel: Channel) {
        give_back(&mut self.state, channel);
    }
}

fn give_back(state: &mut LineState, channel: Channel) {
    if channel.numbers.len() < NUMBERS_MAX {
        if state.free.len() >= FREE_MAX {
            // The one that has waited longest: its token may never come again.
            state.free.remove(0);
        }
        state.free.push(channel);
    }
}

impl Lines {
    pub(super) fn new(collectors: Vec<Collector>, lines_max: usize) -> Self {
        let health = collectors.iter().map(|_| Mutex::default()).collect();
        Self { collectors, health, open: Mutex::default(), waiting: Mutex::default(), lines_max }
    }

    pub(super) fn collector(&self, line: &Line) -> &Collector {
        &self.collectors[line.place]
    }

    /// The turn on the line with the least to do, to a collector that is well and takes the token. A new line while those that
    /// there are are busy. `None` where none is left beside those that were `tried`.
    pub(super) async fn turn(&self, token: &Token, tried: &[usize]) -> Result<Option<Turn>, String> {
        let Some(line) = self.choose(token, tried)? else { return Ok(None) };
        let state = Arc::clone(&line.state).lock_owned().await;
        Ok(Some(Turn { line, state }))
    }

    /// The turn on this line, for a question.
    pub(super) async fn turn_on(&self, line: Arc<Line>) -> Turn {
        line.load.fetch_add(1, Ordering::AcqRel);
        let state = Arc::clone(&line.state).lock_owned().await;
        Turn { line, state }
    }

    fn choose(&self, token: &Token, tried: &[usize]) -> Result<Option<Arc<Line>>, String> {
        let mut open = self.open.lock().expect("no panic while the lock is held");
        open.retain(|line| line.is_alive() && (!line.is_unused() || line.has_load()));
        let well = self.well(token, tried);
        let least = open.iter().filter(|line| well.contains(&line.place)).min_by_key(|line| line.load());
        if let Some(line) = least.filter(|line| !line.has_load() || open.len() >= self.lines_max) {
            line.load.fetch_add(1, Ordering::AcqRel);
            return Ok(Some(Arc::clone(line)));
        }
        // To the collector that has the fewest.
        let lines_to = |place: usize| open.iter().filter(|line| line.place == place).count();
        let Some(place) = well.iter().copied().min_by_key(|place| lines_to(*place)) else {
            return Ok(None);
        };
        let client = self.collectors[place].client.of_one_connection().map_err(|error| error.to_string())?;
        let line = Arc::new(Line {
            place,
            client,
            state: Arc::default(),
            is_alive: AtomicBool::new(true),
            load: AtomicUsize::new(1),
            used_at: Mutex::new(Instant::now()),
        });
        open.push(Arc::clone(&line));
        Ok(Some(line))
    }

    /// Of the collectors that were not tried, those that are well and take the token; where none was tried and none is well,
    /// the one that is tried again first.
    fn well(&self, token: &Token, tried: &[usize]) -> Vec<usize> {
        let now = Instant::now();
        let until = |place: usize| {
            let passed_over_until = self.health(place).passed_over_until;
            passed_over_until.max(token.refused_until(place)).filter(|until| *until > now)
        };
        let left = (0..self.collectors.len()).filter(|place| !tried.contains(place));
        let well: Vec<usize> = left.clone().filter(|place| until(*place).is_none()).collect();
        match well.is_empty() && tried.is_empty() {
            false => well,
            true => left.min_by_key(|place| until(*place)).into_iter().collect(),
        }
    }

    fn health(&self, place: usize) -> MutexGuard<'_, Health> {
        self.health[place].lock().expect("no panic while the lock is held")
    }

    /// A collector has answered as it should.
    pub(super) fn succeeded(&self, place: usize) {
        let mut health = self.health(place);
        // That it takes events says nothing of its silence when it is asked about them.
        let Health { silences, silent_until, .. } = *health;
        let before = std::mem::replace(&mut *health, Health { silences, silent_until, ..Health::default() });
        drop(health);
        if before.is_out_of_use {
            let Collector { sink, base, .. } = &self.collectors[place];
            tracing::info!(sink.name = sink, url = base, "the collector takes events again");
        }
    }

    /// A collector has refused what another took. One that does so again and again refuses everything: it is out of use, but for
    /// a try now and then.
    pub(super) fn refused_alone(&self, place: usize, reason: &str) {
        let mut health = self.health(place);
        health.refused_alone += 1;
        if health.refused_alone < REFUSED_ALONE_MAX {
            return;
        }
        health.passed_over_until = Some(Instant::now() + PASSED_OVER.1);
        if !std::mem::replace(&mut health.is_out_of_use, true) {
            let Collector { sink, base, .. } = &self.collectors[place];
            tracing::warn!(
                sink.name = sink,
                url = base,
                reason,
                "the collector refuses what the others take, so it is out of use; it is tried again every minute"
            );
        }
    }

    /// A collector gives no answer when it is asked about requests: it is not asked for a while.
    pub(super) fn is_not_answering(&self, place: usize) {
        let mut health = self.health(place);
        let wait = wait(health.silences);
        health.silences += 1;
        health.silent_until = Some(Instant::now() + wait);
    }

    /// A collector answers when it is asked about requests, or refuses connections at once.
    pub(super) fn answers(&self, place: usize) {
        let mut health = self.health(place);
        (health.silences, health.silent_until) = (0, None);
    }

    /// Whether a collector was silent when it was asked last, and is not to be asked yet.
    pub(super) fn is_silent(&self, place: usize) -> bool {
        let health = self.health(place);
        health.silent_until.is_some_and(|until| until > Instant::now())
    }

    /// A collector is down or busy: others are asked before it for a while.
    pub(super) fn failed(&self, place: usize) {
        let mut health = self.health(place);
        let wait = wait(health.failures);
        health.failures += 1;
        health.passed_over_until = Some(Instant::now() + wait);
    }

    /// Keeps a channel while its acknowledgement is waited for.
    pub(super) fn wait_on(&self, line: &Arc<Line>, channel: Channel) {
        let mut waiting = self.waiting.lock().expect("no panic while the lock is held");
        waiting.insert(channel.id, (Arc::clone(line), channel));
    }

    /// The line on which a channel waits, while that is alive.
    pub(super) fn line_of(&self, channel: Uuid) -> Option<Arc<Line>> {
        let waiting = self.waiting.lock().expect("no panic while the lock is held");
        waiting.get(&channel).map(|(line, _)| Arc::clone(line)).filter(|line| line.is_alive())
    }

    /// What was waited for on a channel is confirmed: it can be used again, on its line.
    pub(super) fn is_free(&self, channel: Uuid, turn: Option<&mut Turn>) {
        let freed = self.waiting.lock().expect("no panic while the lock is held").remove(&channel);
        if let (Some((line, channel)), Some(turn)) = (freed, turn)
            && Arc::ptr_eq(&line, &turn.line)
            && line.is_alive()
        {
            turn.give_back(channel);
        }
    }

    /// Nothing is waited for on a channel any more, and nothing is sent on it.
    pub(super) fn forget(&self, channel: Uuid) {
        self.waiting.lock().expect("no panic while the lock is held").remove(&channel);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().expect("no panic while the lock is held").len()
    }
}

/// How long a collector is passed over after so many failures in a row.
fn wait(failures: u32) -> Duration {
    let (first, most) = PASSED_OVER;
    first.saturating_mul(1 << failures.min(6)).min(most)
}

impl Line {
    pub(super) fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Acquire)
    }

    /// Its connection is gone or not to be trusted: nothing more goes over it.
    pub(super) fn leave(&self) {
        self.is_alive.store(false, Ordering::Release);
    }

    /// Requests on it and those that wait for it.
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Acquire)
    }

    fn has_load(&self) -> bool {
        self.load() > 0
    }

    fn is_unused(&self) -> bool {
        self.used_at.lock().expect("no panic while the lock is held").elapsed() > UNUSED_MAX
    }
}

/// What a balancer wants to see again: names and values, without what a browser would do with them.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<(String, Secret<String>)>);

impl Cookies {
    /// Takes the cookies of an answer.
    pub(super) fn take(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pair = cookie.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            let (name, value) = (name.trim(), value.trim());
            self.0.retain(|(known, _)| known != name);
            let bytes: usize = self.0.iter().map(|(name, value)| name.len() + value.expose().len() + 3).sum();
            if !name.is_empty() && bytes + cookie.len() <= COOKIES_BYTES_MAX {
                self.0.push((name.to_owned(), Secret::from(value)));
            }
        }
    }

    /// The value of a `Cookie` header.
    pub(super) fn header(&self) -> Option<Secret<String>> {
        let pairs: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
        (!pairs.is_empty()).then(|| Secret::new(pairs.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_number_is_handed_out_once_on_a_channel() {
        let mut channel = Channel::new(&Arc::new(Token::in_tests()));
        assert!(channel.hand_out(0) && channel.hand_out(u64::MAX));
        assert!(!channel.hand_out(0));
    }

    #[test]
    fn cookies_are_those_that_came_last_and_bounded() {
        let mut cookies = Cookies::default();
        assert!(cookies.header().is_none());
        let mut headers = HeaderMap::new();
        for cookie in ["route=a; Path=/; HttpOnly", "other=1", "route=b", "no pair", "=nameless"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        let huge = format!("huge={}", "x".repeat(COOKIES_BYTES_MAX));
        headers.append(SET_COOKIE, HeaderValue::from_str(&huge).expect("a header"));
        cookies.take(&headers);
        assert_eq!(cookies.header().expect("some").expose(), "other=1; route=b");
        assert!(!format!("{cookies:?}").contains("route=b"));
    }
}
