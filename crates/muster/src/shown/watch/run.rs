//! The loop: draws, waits for a key, a picture or a second to pass, and draws again.

use std::io;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::facts::Facts;
use super::feed::{Feed, Reading};
use super::list::Wanted;
use super::state::{State, Step, View, press};
use super::terminal::Taken;

/// How often a picture is taken at the most.
const EVERY: Duration = Duration::from_secs(1);
/// A picture is taken once in so many times as long as the last one took, so that little is asked of a store that is busy.
const SHARE: u32 = 20;
/// But at least so often.
const EVERY_AT_LEAST: Duration = Duration::from_secs(30);

/// What is shown at first, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub colour: bool,
    pub only_trouble: bool,
    pub masked: bool,
}

/// Shows what `feed` reads until somebody ends it, by a key or a signal, or the terminal is gone.
///
/// # Errors
/// When the terminal cannot be taken or drawn on.
pub async fn watch(feed: impl Feed, options: Options) -> io::Result<()> {
    let mut ended = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut terminal = Taken::take()?;
    let mut keys = EventStream::new();
    let began = Instant::now();
    let wanted = Wanted { only_trouble: options.only_trouble, ..Wanted::default() };
    let mut state = State { wanted, masked: options.masked, ..State::default() };
    let mut facts = Facts::new(EVERY);
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting = Some(feed);
    let mut reading = None;
    let mut next_at = began;
    let mut read_at = began;
    loop {
        facts.elapsed = began.elapsed();
        if next_at <= Instant::now()
            && let Some(feed) = waiting.take()
        {
            let looks = state.view == View::Live && !state.held;
            read_at = Instant::now();
            reading = Some(feed.read(looks.then(|| facts.tap.clone())));
        }
        terminal.draw(&mut state, &facts, options.colour)?;
        let read = async {
            match reading.as_mut() {
                Some(reading) => reading.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (feed, read) = read => {
                (reading, waiting) = (None, Some(feed));
                facts.every = (read_at.elapsed() * SHARE).clamp(EVERY, EVERY_AT_LEAST);
                next_at = read_at + facts.every;
                facts.elapsed = began.elapsed();
                match read {
                    Ok(Reading { picture, tap, title }) => {
                        facts.put(picture);
                        facts.title = title;
                        // What was taken off the journal while it is held is shown when it goes on.
                        facts.tap = tap.unwrap_or_else(|| std::mem::take(&mut facts.tap));
                    }
                    Err(why) => facts.failure = Some(why),
                }
            }
            event = keys.next() => {
                // Many keys at once, as of a held one, are drawn once.
                let mut event = event;
                loop {
                    let Some(Ok(next)) = event else { return Ok(()) };
                    if let Event::Key(key) = next && key.kind != KeyEventKind::Release {
                        let step;
                        (state, step) = press(&state, key, &facts);
                        match step {
                            Step::Quit => return Ok(()),
                            Step::Redraw => terminal.forget()?,
                            Step::Read => next_at = Instant::now(),
                            Step::Suspend => terminal.suspend()?,
                            Step::Stay => {}
                        }
                    }
                    match keys.next().now_or_never() {
                        Some(another) => event = another,
                        None => break,
                    }
                }
            }
            _ = seconds.tick() => {}
            () = sleep_until(next_at), if waiting.is_some() => {}
            _ = ended.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
    }
}
