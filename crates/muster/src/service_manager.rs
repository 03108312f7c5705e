//! Tells systemd how `muster run` is: ready, reading its settings again, stopping, and, while work goes on, alive.
//!
//! By the protocol of sd_notify(3): a line for each fact, in one datagram to the socket that `NOTIFY_SOCKET` names. Where no
//! service manager asks, nothing is sent.
//!
//! **When the watchdog is fed.** While a restart would mend nothing: the store takes the heartbeat, or says at once that its disk
//! is full, fails, is gone or can only be read. It is not fed once the store has given no such answer for
//! [`SILENT_AFTER`](crate::shown::run::SILENT_AFTER) (it hangs, or stays locked), nor while something is due and nobody takes it up
//! ([`Progress`]). Then systemd ends the process after `WatchdogSec=` and starts it anew, which loses nothing. A sink that is
//! down, a tenant without consent or a provider with too many tenants is no reason for that.

use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Clock;
use muster_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::environment;
use crate::heartbeat::{Pulse, STUCK_AFTER};
use crate::journal_bound;
use crate::shown::output::{duration, plain};
use crate::shown::status::Expected;

/// How often it is looked whether work goes on, where the watchdog does not ask more often.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The service manager takes its messages up at once. One that does not is not waited for.
const SEND_WITHIN: Duration = Duration::from_secs(1);
/// What `systemctl status` shows in a line.
const STATUS_CHARS_MAX: usize = 300;

/// The service manager that started this process, if one wants to know.
#[derive(Debug, Clone)]
pub struct ServiceManager {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// Within so long it wants to hear that work goes on.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment says. A socket that cannot be used is told in the log: the service will be taken for one that hangs.
    pub fn from_environment() -> Self {
        let socket = environment("NOTIFY_SOCKET").and_then(|name| match open(&name) {
            Ok(socket) => Some(Arc::new(socket)),
            Err(error) => {
                tracing::error!(
                    %error,
                    "the service manager cannot be told that Muster is ready: NOTIFY_SOCKET is {}",
                    plain(&name)
                );
                None
            }
        });
        // Of another process of this service, such as a shell around it, it is no business of ours.
        let is_mine = environment("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let microseconds = environment("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        let watchdog = microseconds.filter(|wanted| is_mine && *wanted > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// Work has begun, or goes on after [`Self::reloading`].
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\n{}", status_line(status)));
    }

    /// The settings are being read again; [`Self::ready`] ends it.
    pub fn reloading(&self) {
        // systemd tells by this time which of its requests is meant.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        let status = status_line("reading the settings again");
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n{status}"));
    }

    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\n{}", status_line(status)));
    }

    /// A line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.send(&status_line(status));
    }

    fn send(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.0.send_to_addr(message.as_bytes(), &socket.1) {
            let what = message.lines().next().unwrap_or_default();
            tracing::error!(%error, "cannot tell the service manager {what}: it may take Muster for one that hangs");
        }
    }

    /// Tells how work goes on, until told to stop.
    pub async fn watch(self, mut progress: Progress, stop: CancellationToken) {
        // Half of what is asked for, so that one that comes late is no end; systemd's own advice.
        let every = self.watchdog.map_or(LOOK_EVERY, |within| (within / 2).min(LOOK_EVERY));
        if self.socket.is_none() {
            return;
        }
        let mut shown = None;
        loop {
            let trouble = progress.trouble().await;
            match &trouble {
                Trouble::No => self.alive(None, &mut shown),
                Trouble::Passes(why) => self.alive(Some(why), &mut shown),
                Trouble::Hangs(why) => self.hangs(why, &mut shown),
            }
            if stop.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
                return;
            }
        }
    }

    fn alive(&self, trouble: Option<&str>, shown: &mut Option<String>) {
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1");
        }
        if trouble != shown.as_deref() {
            self.status(&trouble.map_or_else(|| "running".to_owned(), |why| format!("not ready: {why}")));
            *shown = trouble.map(str::to_owned);
        }
    }

    fn hangs(&self, why: &str, shown: &mut Option<String>) {
        if shown.as_deref() != Some(why) {
            if self.watchdog.is_some() {
                tracing::error!("work does not go on, and systemd's watchdog is not told otherwise: {why}");
            }
            self.status(&format!("does not go on: {why}"));
            *shown = Some(why.to_owned());
        }
    }
}

fn open(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => {
            let message = "it is neither a path nor an abstract name";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_WITHIN))?;
    Ok((socket, address))
}

/// One line, whatever stands in it.
fn status_line(text: &str) -> String {
    let text: String = plain(text).chars().take(STATUS_CHARS_MAX).collect();
    format!("STATUS={}", text.replace('\n', " "))
}

/// Whether work goes on.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    No,
    /// A restart would mend nothing.
    Passes(String),
    /// A restart may mend it.
    Hangs(String),
}

/// What was due and not taken up, and since when.
///
/// What is due first is looked at: where that is the same for [`STUCK_AFTER`], nobody takes anything up. A provider with more
/// tenants than can be read in time is late, but with another tenant each time.
pub struct Progress {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub pulse: Arc<Pulse>,
    pub expected: watch::Receiver<Expected>,
    pub due: Due,
}

impl Progress {
    async fn trouble(&mut self) -> Trouble {
        if let Some(silent) = self.pulse.hangs() {
            return Trouble::Hangs(silent);
        }
        match self.stuck().await {
            // The heartbeat meets what the store suffers from, too, and knows for how long.
            Err(error) => Trouble::Passes(error.to_string()),
            Ok(Some(stuck)) => Trouble::Hangs(stuck),
            Ok(None) => match self.store.trouble().or_else(|| self.pulse.failure()) {
                Some(why) => Trouble::Passes(why),
                None => Trouble::No,
            },
        }
    }

    async fn stuck(&mut self) -> Result<Option<String>, StoreError> {
        let now = self.clock.now();
        let expected = self.expected.borrow_and_update().clone();
        let mut due = BTreeMap::new();
        // Where the journal is full, nothing is read on purpose.
        if !journal_bound::is_stopped(expected.bound, self.store.as_ref()).await? {
            due.insert("sources".to_owned(), self.store.next_source_due_at().await?);
        }
        for sink in &expected.sinks {
            let at = self.store.next_delivery_due_at(sink).await?;
            due.insert(format!("deliveries to sink `{sink}`"), at);
        }
        // While nothing can be written, nothing can be taken up.
        if self.store.trouble().is_some() || self.pulse.failure().is_some() {
            self.due = Due::default();
            return Ok(None);
        }
        Ok(self.due.stuck(due, now, Instant::now()))
    }
}

/// Since when what is due first has been the same, for each that takes something up.
#[derive(Debug, Default)]
pub struct Due(BTreeMap<String, (Timestamp, Instant)>);

impl Due {
    fn stuck(
        &mut self,
        due: BTreeMap<String, Option<Timestamp>>,
        now: Timestamp,
        seen_at: Instant,
    ) -> Option<String> {
        let due = due.into_iter().filter_map(|(what, at)| Some((what, at.filter(|at| *at <= now)?)));
        let before = std::mem::take(&mut self.0);
        self.0 = due
            .map(|(what, at)| match before.get(&what) {
                Some(same) if same.0 == at => (what, *same),
                _ => (what, (at, seen_at)),
            })
            .collect();
        let (what, for_so_long) = self.0.iter().find_map(|(what, (_, since))| {
            let for_so_long = seen_at.duration_since(*since);
            (for_so_long >= STUCK_AFTER).then_some((what, for_so_long))
        })?;
        // To the minute, since it is told once for each wording.
        let minutes = Duration::from_secs(for_so_long.as_secs() / 60 * 60);
        Some(format!("{what} have been due for {}, and nobody takes them", duration(minutes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    #[test]
    fn what_is_due_first_and_stays_so_is_stuck_and_what_moves_on_is_only_late() {
        let began = Instant::now();
        let look = |due: &mut Due, first: i64, seconds: u64| {
            let all = [("sources".to_owned(), Some(at(first))), ("nothing".to_owned(), None)];
            due.stuck(all.into_iter().collect(), at(10_000), began + Duration::from_secs(seconds))
        };
        let mut due = Due::default();
        // An hour late with each, and yet at work.
        for minute in 0..60_u64 {
            assert_eq!(look(&mut due, minute.cast_signed(), minute * 60), None);
        }
        assert_eq!(look(&mut due, 60, 3_600), None);
        assert_eq!(look(&mut due, 60, 3_899), None);
        let stuck = look(&mut due, 60, 3_900).expect("stuck");
        assert_eq!(stuck, "sources have been due for 5m 00s, and nobody takes them");
        // Taken up, or put off: it lies ahead.
        assert_eq!(look(&mut due, 10_001, 4_000), None);
        assert_eq!(look(&mut due, 60, 4_001), None, "and what was is forgotten");
    }

    #[test]
    fn a_status_is_one_line_that_ends() {
        let line = status_line(&format!("a\nREADY=1\r\n\u{1b}[31m{}", "x".repeat(5_000)));
        assert!(line.lines().count() == 1 && line.chars().count() < 400, "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn only_sockets_that_there_can_be_are_used() {
        assert!(open("vsock:2:1234").is_err() && open("").is_err() && open("notify").is_err());
        assert!(open(&format!("/{}", "x".repeat(200))).is_err(), "longer than a path of a socket");
        assert!(open("@muster").is_ok() && open("/run/systemd/notify").is_ok());
    }
}
