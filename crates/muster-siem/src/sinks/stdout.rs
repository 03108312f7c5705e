//! Lines to the standard output of `muster run`, for containers and pipes.
//!
//! Delivered is a line that the operating system has taken: all lines of a delivery batch go out in one write, which is flushed.
//! What the program behind the pipe does with it, nobody here knows. What was being written when Muster was killed is written again, and may
//! be there twice, its last line torn.
//!
//! Only `muster run` writes here, and its log goes to standard error. A reader that is gone, or does not read, keeps everything owed: a
//! thread of its own writes, so that no reader can hold up anything else.

mod settings;

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use muster_model::{ContentHash, DeliveryBatch, Report, Trouble};
use rustix::fs::FileType;
use tokio::sync::{Mutex, oneshot};

pub use self::settings::StdoutSettings;

use super::batch::Formatted;
use super::error::SinkError;
use super::settings::{Settings, Surroundings};
use crate::formats::Encoding;

/// How long is waited for a reader when Muster ends.
const CLOSING: Duration = Duration::from_secs(2);

/// Gives the output, when something is to be written; or says why nothing can be.
type Open = Box<dyn Fn() -> Result<Output, String> + Send + Sync>;

/// Where lines go.
pub(super) struct Output {
    pub(super) writer: Box<dyn Write + Send>,
    /// Whether a person looks at it, by a terminal that control characters could drive.
    pub(super) is_terminal: bool,
    /// Whether something stands in it that may have been cut short: then it begins with a line end.
    pub(super) has_lines: bool,
}

/// The standard output.
pub struct Stdout {
    name: String,
    timeout: Duration,
    encoding: Encoding,
    open: Open,
    state: Mutex<State>,
}

/// The thread that writes, and what it has not answered for yet.
#[derive(Default)]
struct State {
    writer: Option<SyncSender<Job>>,
    /// Whether a write has failed: it may have left a torn line, which the next must not continue.
    has_failed: bool,
    unanswered: Option<(ContentHash, oneshot::Receiver<Result<(), String>>)>,
}

/// Lines to be written, and who waits for that.
struct Job {
    lines: Vec<u8>,
    done: oneshot::Sender<Result<(), String>>,
}

impl std::fmt::Debug for Stdout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stdout").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Stdout {
    /// A sink with this name; nothing is written yet.
    pub(super) fn build(
        name: &str,
        settings: StdoutSettings,
        _: &Surroundings<'_>,
    ) -> Result<Self, SinkError> {
        Self::with(name, settings, Box::new(standard_output))
    }

    fn with(name: &str, settings: StdoutSettings, open: Open) -> Result<Self, SinkError> {
        let encoding = settings.encoding().map_err(|mistakes| SinkError::Settings {
            sink: name.to_owned(),
            problem: mistakes.join("; "),
        })?;
        let (name, timeout, state) = (name.to_owned(), settings.timeout.0, Mutex::default());
        Ok(Self { name, timeout, encoding, open, state })
    }

    pub(super) async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        let formatted = Formatted::new(&self.encoding, batch).await;
        let formatted = formatted
            .rewritten(|event, lines| {
                event.push_line(lines);
                Ok(())
            })
            .await;
        if formatted.is_empty() {
            return formatted.delivered();
        }
        match self.write(formatted.bytes()).await {
            Ok(()) => formatted.delivered(),
            Err(reason) => formatted
                .keep_owed(Trouble { reason: format!("sink `{}`: {reason}", self.name), after: None }),
        }
    }

    /// Writes lines, or says why it cannot be said that they are written.
    async fn write(&self, lines: &[u8]) -> Result<(), String> {
        let mut state = self.state.lock().await;
        let digest = ContentHash::of(lines);
        if let Some((before, mut answer)) = state.unanswered.take() {
            match tokio::time::timeout(self.timeout, &mut answer).await {
                Err(_) => {
                    state.unanswered = Some((before, answer));
                    return Err(self.unread());
                }
                // These very lines were written after they had been given up.
                Ok(Ok(Ok(()))) if before == digest => return Ok(()),
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(_)) | Err(_)) => (state.writer, state.has_failed) = (None, true),
            }
        }
        let (done, mut answer) = oneshot::channel();
        let job = Job { lines: lines.to_vec(), done };
        self.send(&mut state, job)?;
        match tokio::time::timeout(self.timeout, &mut answer).await {
            Ok(Ok(written)) => {
                if written.is_err() {
                    // The thread ends with the output that it had; the next has another.
                    (state.writer, state.has_failed) = (None, true);
                }
                written
            }
            Ok(Err(_)) => Err("the thread that writes has ended".to_owned()),
            Err(_) => {
                state.unanswered = Some((digest, answer));
                Err(self.unread())
            }
        }
    }

    fn unread(&self) -> String {
        format!(
            "whoever reads the standard output has not read for {:?}: everything stays owed; see the program behind the pipe, or the \
             container's log driver",
            self.timeout
        )
    }

    /// Hands lines to the thread, which is started for the first.
    fn send(&self, state: &mut State, job: Job) -> Result<(), String> {
        let job = match &state.writer {
            None => job,
            Some(writer) => match writer.try_send(job) {
                Ok(()) => return Ok(()),
                // It has ended with the output that it had; the next has another.
                Err(std::sync::mpsc::TrySendError::Disconnected(job)) => job,
                Err(std::sync::mpsc::TrySendError::Full(_)) => return Err(self.unread()),
            },
        };
        let mut output = (self.open)()?;
        let (writer, jobs) = sync_channel::<Job>(1);
        let mut begins_anew = state.has_failed || output.has_lines;
        let started = std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            while let Ok(Job { mut lines, done }) = jobs.recv() {
                if output.is_terminal {
                    lines = escaped(&lines);
                }
                if std::mem::take(&mut begins_anew) {
                    lines.insert(0, b'\n');
                }
                let written = write_all(&mut output, &lines);
                let is_over = written.is_err();
                // Whoever waited may have gone.
                drop(done.send(written));
                if is_over {
                    break;
                }
            }
        });
        started.map_err(|error| format!("no thread can be started to write: {error}"))?;
        writer.try_send(job).map_err(|_| "the thread that writes has ended".to_owned())?;
        state.writer = Some(writer);
        Ok(())
    }

    /// Says what the standard output is. Nothing is written: this command's output is not that of `muster run`.
    pub(super) fn test(&self) -> String {
        "records go to the standard output of `muster run`, and its log to standard error; no other command writes records there"
            .to_owned()
    }

    /// Waits a little for what is being written: nobody may ever read it.
    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        if let Some((_, answer)) = state.unanswered.take() {
            drop(tokio::time::timeout(self.timeout.min(CLOSING), answer).await);
        }
        state.writer = None;
    }
}

/// One write of all lines, and a flush.
fn write_all(output: &mut Output, lines: &[u8]) -> Result<(), String> {
    let written = output.writer.write_all(lines).and_then(|()| output.writer.flush());
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => {
            "whoever read the standard output is gone (its pipe is closed): everything stays owed; start the reader and Muster anew"
                .to_owned()
        }
        _ => format!("the standard output cannot be written: {error}; everything stays owed"),
    })
}

/// The lines with what could drive a terminal written as JSON escapes it.
fn escaped(lines: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(lines);
    if !text.chars().any(|character| character != '\n' && muster_model::text::is_harmful(character)) {
        return text.into_owned().into_bytes();
    }
    let mut safe = String::with_capacity(text.len() + 64);
    for character in text.chars() {
        if character == '\n' || !muster_model::text::is_harmful(character) {
            safe.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            safe.push_str(&format!("\\u{unit:04x}"));
        }
    }
    safe.into_bytes()
}

fn standard_output() -> Result<Output, String> {
    output_to(std::io::stdout())
}

/// Lines to a file, a pipe, a socket or a terminal. A device that is none of them, such as /dev/null, keeps nothing: what it
/// takes is not delivered. An output that was closed at the start is /dev/null, too.
fn output_to(output: impl Write + AsFd + IsTerminal + Send + 'static) -> Result<Output, String> {
    let stat = rustix::fs::fstat(&output).map_err(|error| format!("there is no standard output: {error}"))?;
    let (kind, is_terminal) = (FileType::from_raw_mode(stat.st_mode), output.is_terminal());
    if kind == FileType::CharacterDevice && !is_terminal {
        return Err("the standard output leads nowhere: it is /dev/null or was closed when Muster started, so records would be \
                    thrown away; everything stays owed. Start `muster run` with a pipe or a file as its standard output, or take \
                    the sink out of the settings and its routes"
            .to_owned());
    }
    // What was appended to a file before may end in the middle of a line.
    let has_lines = kind == FileType::RegularFile && stat.st_size > 0;
    Ok(Output { is_terminal, has_lines, writer: Box::new(output) })
}

#[cfg(test)]
mod tests;
