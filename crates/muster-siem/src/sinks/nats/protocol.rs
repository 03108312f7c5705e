//! What goes over the wire: the client protocol of NATS, as far as a publisher needs it.
//!
//! Source: NATS "Client Protocol", ADR-4 (headers). Everything that is read has a bound.

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;

/// The longest line, which is the server's INFO: it names all servers of its cluster.
const LINE_BYTES_MAX: usize = 256 << 10;
/// The longest message: an answer about a stream lists its subjects and sources.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Something that the server said.
#[derive(Debug)]
pub(super) enum Heard {
    Info(Box<ServerInfo>),
    Message(Message),
    Ping,
    /// `PONG` and `+OK`.
    Well,
    Pong,
    /// `-ERR`, with its words.
    Error(String),
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServerInfo {
    pub(super) version: String,
    pub(super) headers: bool,
    pub(super) max_payload: usize,
    pub(super) tls_required: bool,
    pub(super) nonce: Option<String>,
    /// It is about to leave.
    pub(super) ldm: bool,
}

/// A message to one of our subjects for answers.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) subject: String,
    /// The status in its headers, such as 503 where nobody listens.
    pub(super) status: Option<u16>,
    pub(super) payload: Bytes,
}

/// Takes the next thing out of what was heard; none where it is not all there yet. An error says what is wrong with it,
/// and ends the conversation.
pub(super) fn read(heard: &mut BytesMut) -> Result<Option<Heard>, String> {
    let Some(end) = memchr::memmem::find(heard, b"\r\n") else {
        return if heard.len() > LINE_BYTES_MAX { Err(not_nats("a line without an end")) } else { Ok(None) };
    };
    if end > LINE_BYTES_MAX {
        return Err(not_nats("a line that is too long"));
    }
    let line = std::str::from_utf8(&heard[..end]).map_err(|_| not_nats("what is no text"))?;
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let said = match word.to_ascii_uppercase().as_str() {
        "MSG" | "HMSG" => return read_message(end, heard),
        "PING" => Heard::Ping,
        "PONG" => Heard::Pong,
        "+OK" => Heard::Well,
        "-ERR" => Heard::Error(rest.trim().trim_matches('\'').to_owned()),
        "INFO" => {
            let info = serde_json::from_str(rest).map_err(|_| not_nats("an INFO that cannot be read"))?;
            Heard::Info(Box::new(info))
        }
        _ => return Err(not_nats("a word that it does not have")),
    };
    heard.advance(end + 2);
    Ok(Some(said))
}

/// `MSG <subject> <sid> [reply-to] <bytes>`, `HMSG <subject> <sid> [reply-to] <header bytes> <bytes>`, and the bytes.
fn read_message(end: usize, heard: &mut BytesMut) -> Result<Option<Heard>, String> {
    let wrong = || not_nats("a message that cannot be read");
    let line = std::str::from_utf8(&heard[..end]).map_err(|_| wrong())?;
    let words: Vec<&str> = line.split_ascii_whitespace().take(7).collect();
    let number = |word: &str| word.parse::<usize>().ok().filter(|bytes| *bytes <= MESSAGE_BYTES_MAX);
    let has_headers = words.first().is_some_and(|word| word.len() == 4);
    let (subject, header_bytes, bytes) = match (has_headers, words.as_slice()) {
        (false, [_, subject, _, bytes] | [_, subject, _, _, bytes]) => (*subject, Some(0), number(bytes)),
        (true, [_, subject, _, headers, bytes] | [_, subject, _, _, headers, bytes]) => {
            (*subject, number(headers), number(bytes))
        }
        _ => return Err(wrong()),
    };
    let (Some(header_bytes), Some(bytes)) = (header_bytes, bytes) else { return Err(wrong()) };
    if header_bytes > bytes {
        return Err(wrong());
    }
    let whole = end + 2 + bytes + 2;
    if heard.len() < whole {
        return Ok(None);
    }
    if &heard[whole - 2..whole] != b"\r\n" {
        return Err(wrong());
    }
    let subject = subject.to_owned();
    heard.advance(end + 2);
    let header = heard.split_to(header_bytes);
    let payload = heard.split_to(bytes - header_bytes).freeze();
    heard.advance(2);
    // `NATS/1.0 503 No Responders`
    let status = std::str::from_utf8(&header).ok().and_then(|header| header.strip_prefix("NATS/1.0 "));
    let status = status.and_then(|status| status.get(..3)).and_then(|status| status.parse().ok());
    Ok(Some(Heard::Message(Message { subject, status, payload })))
}

fn not_nats(what: &str) -> String {
    format!("it says {what}, so it is not a NATS server: check the sink's url")
}

/// A message to be published, with the headers that JetStream goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Publish<'a> {
    pub(super) subject: &'a str,
    /// Names and values, which have no line ends in them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) payload: &'a [u8],
}

impl Publish<'_> {
    fn header_bytes(&self) -> usize {
        if self.headers.is_empty() {
            return 0;
        }
        let lines: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        "NATS/1.0\r\n".len() + lines + 2
    }

    /// What `max_payload` is about.
    pub(super) fn bytes(&self) -> usize {
        self.header_bytes() + self.payload.len()
    }

    /// Appends it, to be answered to `reply`.
    pub(super) fn write(&self, reply: &str, out: &mut Vec<u8>) {
        let (header_bytes, bytes) = (self.header_bytes(), self.bytes());
        let head = match header_bytes {
            0 => format!("PUB {} {reply} {bytes}\r\n", self.subject),
            _ => format!("HPUB {} {reply} {header_bytes} {bytes}\r\nNATS/1.0\r\n", self.subject),
        };
        out.extend_from_slice(head.as_bytes());
        for (name, value) in self.headers {
            for text in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(text.as_bytes());
            }
        }
        if header_bytes > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.payload);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<String>, String> {
        let (mut heard, mut found) = (BytesMut::from(text), Vec::new());
        while let Some(said) = read(&mut heard)? {
            found.push(format!("{said:?}"));
        }
        found.push(format!("{} left", heard.len()));
        Ok(found)
    }

    #[test]
    fn what_a_server_says_is_read() {
        let said = b"PING\r\n+OK\r\nMSG _INBOX.a.1 1 2\r\n{}\r\nHMSG _INBOX.a.2 1 16 18\r\nNATS/1.0 503\r\n\r\nab\r\n-ERR 'Stale'\r\nPO";
        let found = all(said).expect("NATS");
        assert_eq!(found[..2], ["Ping", "Well"]);
        assert!(found[2].contains("_INBOX.a.1\", status: None, payload: b\"{}\""), "{found:?}");
        assert!(found[3].contains("_INBOX.a.2\", status: Some(503), payload: b\"ab\""), "{found:?}");
        assert_eq!(found[4..], ["Error(\"Stale\")", "2 left"]);
    }

    /// Whatever is cut off anywhere is waited for.
    #[test]
    fn what_is_not_all_there_is_waited_for() {
        let said = b"HMSG _INBOX.a.2 1 16 18\r\nNATS/1.0 503\r\n\r\nab\r\n";
        for end in 0..said.len() {
            assert_eq!(all(&said[..end]).expect("NATS"), [format!("{end} left")]);
        }
    }

    #[test]
    fn what_a_server_would_not_say_ends_the_conversation() {
        for said in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a 1 18446744073709551615\r\n",
            b"MSG a 1 99999999999999999999999999\r\n",
            b"MSG a 1 2000000\r\n",
            b"MSG a 1 2\r\nabcd\r\n",
            b"HMSG a 1 9 2\r\nab\r\n",
            b"MSG a\r\n",
            b"INFO {\r\n",
            b"\xff\xfe\r\n",
            &[b'x'; LINE_BYTES_MAX + 1],
        ] {
            let why = all(said).expect_err("no NATS");
            assert!(why.contains("check the sink's url"), "{why}");
        }
    }

    #[test]
    fn a_message_has_the_lengths_that_it_says() {
        let publish = Publish { subject: "a.b", headers: &[("Nats-Msg-Id", "7")], payload: b"{}" };
        let mut out = Vec::new();
        publish.write("_INBOX.x.1", &mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "HPUB a.b _INBOX.x.1 28 30\r\nNATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n{}\r\n");
        assert_eq!(publish.bytes(), 30);
    }
}
