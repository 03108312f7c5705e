//! RELP, the Reliable Event Logging Protocol of rsyslog: a receiver answers each message by its number when it has taken it
//! into its queue.
//!
//! A frame is `TXNR SP COMMAND SP LENGTH [SP DATA] LF`; answers have the command `rsp` and begin with a status such as
//! `200 OK`. See <https://www.rsyslog.com/doc/relp.html> and librelp's `relpframe.c`.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::Connection;
use crate::sinks::stream::Stream;

/// Messages that are on their way without an answer, as librelp has them.
const WINDOW: usize = 128;
/// Frames are written when this much has gathered.
const WRITE_BYTES: usize = 128 << 10;
/// Numbers of frames begin anew after this one.
const NUMBER_MAX: u32 = 999_999_999;
/// The longest answer: what a receiver offers, or why it refuses.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The longest head of an answer: three numbers and words.
const HEAD_BYTES_MAX: usize = 64;

/// A connection on which a receiver has agreed to take messages.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    /// What was read beyond the last answer.
    read: Vec<u8>,
    next: u32,
    /// Frames that are not written yet.
    frames: Vec<u8>,
    /// The numbers of the messages without an answer, and whose they are.
    waiting: VecDeque<(u32, usize)>,
}

/// What a receiver answered for one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// Whose message it was.
    pub(super) record: usize,
    /// Why it was refused; `None` when it was taken.
    pub(super) refused: Option<String>,
}

/// A frame of the receiver's.
#[derive(Debug)]
struct Frame {
    number: u32,
    command: String,
    data: Vec<u8>,
}

impl Session {
    /// Opens a session on a new connection.
    pub(super) async fn open(connection: Connection) -> io::Result<Self> {
        let (read, frames, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        let mut session = Self { connection, read, next: 1, frames, waiting };
        let offers = format!(
            "relp_version=0\nrelp_software=muster,{},https://muster.example\ncommands=syslog",
            env!("CARGO_PKG_VERSION")
        );
        let number = session.put("open", offers.as_bytes(), &[]);
        session.write().await?;
        let frame = session.frame().await?;
        let said = String::from_utf8_lossy(&frame.data).into_owned();
        let takes_messages = said
            .lines()
            .filter_map(|line| line.strip_prefix("commands="))
            .any(|commands| commands.split(',').any(|command| command.trim() == "syslog"));
        if frame.command != "rsp" || frame.number != number || !said.starts_with("200") {
            return Err(odd(&format!("it does not agree to take messages ({})", said.trim())));
        }
        if !takes_messages {
            return Err(odd("it takes no messages: it does not offer the command `syslog`"));
        }
        Ok(session)
    }

    /// Takes a message of `record` on its way; gives what was answered meanwhile.
    pub(super) async fn send(
        &mut self,
        record: usize,
        header: &[u8],
        event: &[u8],
    ) -> io::Result<Option<Answered>> {
        let number = self.put("syslog", header, event);
        self.waiting.push_back((number, record));
        if self.frames.len() >= WRITE_BYTES || self.waiting.len() >= WINDOW {
            self.write().await?;
        }
        // Answers are small: those of a whole window wait in the sockets' buffers until they are read.
        if self.waiting.len() >= WINDOW { self.answer().await } else { Ok(None) }
    }

    /// The answer for the next message that has none; `None` when all have.
    pub(super) async fn answer(&mut self) -> io::Result<Option<Answered>> {
        self.write().await?;
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let frame = self.frame().await?;
        match frame.command.as_str() {
            "rsp" => {
                let place = self.waiting.iter().position(|(number, _)| *number == frame.number);
                let waited_for = place.and_then(|place| self.waiting.remove(place));
                let Some((_, record)) = waited_for else {
                    return Err(odd(&format!("it answers for message {}, which nobody sent", frame.number)));
                };
                let said = String::from_utf8_lossy(&frame.data).into_owned();
                let refused = (!said.starts_with("200")).then(|| said.trim().to_owned());
                Ok(Some(Answered { record, refused }))
            }
            "serverclose" => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it closes the session")),
            command => Err(odd(&format!("it says `{command}`, which RELP does not have"))),
        }
    }

    /// Whose messages have no answer.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = usize> {
        self.waiting.iter().map(|(_, record)| *record)
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) -> io::Result<()> {
        self.put("close", &[], &[]);
        self.write().await?;
        self.connection.stream.shutdown().await
    }

    /// Puts a frame with this data, in two pieces, behind those that are not written yet; its number.
    fn put(&mut self, command: &str, data: &[u8], more: &[u8]) -> u32 {
        let number = self.next;
        self.next = if number >= NUMBER_MAX { 1 } else { number + 1 };
        let length = data.len() + more.len();
        self.frames.extend_from_slice(format!("{number} {command} {length}").as_bytes());
        if length > 0 {
            self.frames.push(b' ');
            self.frames.extend_from_slice(data);
            self.frames.extend_from_slice(more);
        }
        self.frames.push(b'\n');
        number
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        self.connection.stream.write_all(&self.frames).await?;
        self.frames.clear();
        self.connection.stream.flush().await
    }

    /// The receiver's next frame.
    async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.read)? {
                self.read.drain(..length);
                return Ok(frame);
            }
            if self.connection.stream.read_buf(&mut self.read).await? == 0 {
                let ended = "it closed the connection while messages had no answer";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, ended));
            }
        }
    }
}

/// The frame that begins here, and its length, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<(Frame, usize)>> {
    let not_relp = || odd("it does not speak RELP");
    let mut words = Vec::new();
    let mut at = 0;
    while words.len() < 3 {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(end) = memchr::memchr2(b' ', b'\n', rest) else {
            return if bytes.len() > HEAD_BYTES_MAX && at < HEAD_BYTES_MAX {
                Err(not_relp())
            } else {
                Ok(None)
            };
        };
        if at + end > HEAD_BYTES_MAX || (rest.get(end) == Some(&b'\n') && words.len() < 2) {
            return Err(not_relp());
        }
        words.push(std::str::from_utf8(rest.get(..end).unwrap_or_default()).map_err(|_| not_relp())?);
        at += end + 1;
    }
    let [number, command, length] = words[..] else { return Err(not_relp()) };
    let number = number.parse().map_err(|_| not_relp())?;
    let length: usize = length.parse().map_err(|_| not_relp())?;
    if length > ANSWER_BYTES_MAX {
        return Err(odd("its answer is longer than any of RELP"));
    }
    let frame = |data: &[u8]| Frame { number, command: command.to_owned(), data: data.to_vec() };
    // Without data the head ends with the line; some receivers put a space before that end.
    if length == 0 && bytes.get(at - 1) == Some(&b'\n') {
        return Ok(Some((frame(&[]), at)));
    }
    match bytes.get(at + length) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((frame(&bytes[at..at + length]), at + length + 1))),
        Some(_) => Err(not_relp()),
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::other(crate::sinks::error::shown(what))
}

/// How the connection is made, for the sentence that a test prints.
pub(super) fn is_encrypted(session: &Session) -> bool {
    matches!(session.connection.stream, Stream::Tls(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        let whole = b"1 rsp 93 200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog\n2 rsp 6 200 OK\n";
        let (frame, length) = parse(whole).expect("RELP").expect("whole");
        assert_eq!((frame.number, frame.command.as_str(), frame.data.len()), (1, "rsp", 93));
        let (frame, _) = parse(&whole[length..]).expect("RELP").expect("whole");
        assert_eq!((frame.number, frame.data.as_slice()), (2, &b"200 OK"[..]));
        for cut in 0..length {
            assert!(parse(&whole[..cut]).expect("not wrong yet").is_none(), "{cut}");
        }
        assert_eq!(parse(b"0 serverclose 0\n").expect("RELP").expect("whole").0.command, "serverclose");
        assert_eq!(parse(b"3 rsp 0 \n").expect("RELP").expect("whole").1, 9);
        for wrong in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"220 mail.example ESMTP\r\n",
            b"1 rsp\n",
            b"1 rsp 99999999 x",
            b"1 rsp 2 OKAY\n",
            &[b'x'; 100],
        ] {
            assert!(parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
