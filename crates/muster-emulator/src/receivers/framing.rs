//! Cuts a stream of bytes into syslog messages, as RFC 6587 describes.
//!
//! Both framings are told apart message by message: one that begins with a digit is octet-counted (`123 <…`), any
//! other ends at a line feed.

/// What came out of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// One whole message.
    Message(&'a [u8]),
    /// A message longer than the limit, or a length that is none.
    Unreadable,
}

/// The part of a stream that has been read but not yet cut.
pub(super) struct Framer {
    limit: usize,
    buffer: Vec<u8>,
    /// Bytes of `buffer` known to hold no line feed, so that a long line is not searched from its start each time.
    searched: usize,
    skipping: Skipping,
}

/// What is being thrown away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skipping {
    Nothing,
    /// The rest of a message that was too long and of known length.
    Bytes(u64),
    /// The rest of a line.
    Line,
}

/// The result of looking at the start of the buffer.
enum Cut {
    Incomplete,
    Message { start: usize, end: usize, next: usize },
    Oversized { next: usize, skipping: Skipping },
}

/// Ten digits count 9.3 GiB: more is no length.
const LENGTH_DIGITS_MAX: usize = 10;

impl Framer {
    /// A framer that refuses messages of more than `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Framer { limit, buffer: Vec::new(), searched: 0, skipping: Skipping::Nothing }
    }

    /// Takes the next bytes of the stream and hands on each message that is now whole.
    pub(super) fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Frame<'_>)) {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            at += self.skip(at);
            if self.skipping != Skipping::Nothing {
                break;
            }
            // Some senders end an octet-counted message with a line feed too, or pad with zeros.
            at +=
                self.buffer[at..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | b' ' | 0)).count();
            match self.cut(at) {
                Cut::Incomplete => break,
                Cut::Message { start, end, next } => {
                    take(Frame::Message(&self.buffer[start..end]));
                    self.searched = 0;
                    at = next;
                }
                Cut::Oversized { next, skipping } => {
                    take(Frame::Unreadable);
                    self.searched = 0;
                    self.skipping = skipping;
                    at = next;
                }
            }
        }
        self.buffer.drain(..at);
    }

    /// Whether the stream ended in the middle of a message.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.buffer.is_empty() && self.skipping == Skipping::Nothing
    }

    /// How many bytes from `at` are to be thrown away; leaves `Nothing` behind once that is done.
    fn skip(&mut self, at: usize) -> usize {
        let rest = &self.buffer[at..];
        match self.skipping {
            Skipping::Nothing => 0,
            Skipping::Bytes(count) => {
                let skipped = rest.len().min(usize::try_from(count).unwrap_or(usize::MAX));
                let left = count - skipped as u64;
                self.skipping = if left == 0 { Skipping::Nothing } else { Skipping::Bytes(left) };
                skipped
            }
            Skipping::Line => match rest.iter().position(|&byte| byte == b'\n') {
                Some(end) => {
                    self.skipping = Skipping::Nothing;
                    end + 1
                }
                None => rest.len(),
            },
        }
    }

    fn cut(&mut self, at: usize) -> Cut {
        let rest = &self.buffer[at..];
        if !rest.first().is_some_and(u8::is_ascii_digit) {
            return self.cut_line(at);
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > LENGTH_DIGITS_MAX || rest.get(digits).is_some_and(|&byte| byte != b' ') {
            return Cut::Oversized { next: at, skipping: Skipping::Line };
        }
        if digits == rest.len() {
            return Cut::Incomplete;
        }
        let length = rest[..digits].iter().fold(0_u64, |length, digit| length * 10 + u64::from(digit - b'0'));
        let start = at + digits + 1;
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => {
                let end = start + length;
                if end <= self.buffer.len() {
                    Cut::Message { start, end, next: end }
                } else {
                    Cut::Incomplete
                }
            }
            _ => Cut::Oversized { next: start, skipping: Skipping::Bytes(length) },
        }
    }

    fn cut_line(&mut self, at: usize) -> Cut {
        let rest = &self.buffer[at..];
        match rest.iter().skip(self.searched).position(|&byte| byte == b'\n') {
            Some(found) => {
                let end = at + self.searched + found;
                if end - at > self.limit {
                    return Cut::Oversized { next: end + 1, skipping: Skipping::Nothing };
                }
                let start = at;
                let trimmed = if self.buffer[start..end].ends_with(b"\r") { end - 1 } else { end };
                Cut::Message { start, end: trimmed, next: end + 1 }
            }
            None if rest.len() > self.limit => {
                Cut::Oversized { next: self.buffer.len(), skipping: Skipping::Line }
            }
            None => {
                self.searched = rest.len();
                Cut::Incomplete
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&[u8]], limit: usize) -> (Vec<Option<Vec<u8>>>, bool) {
        let mut framer = Framer::new(limit);
        let mut all = Vec::new();
        for chunk in chunks {
            framer.push(chunk, |frame| {
                all.push(match frame {
                    Frame::Message(message) => Some(message.to_vec()),
                    Frame::Unreadable => None,
                });
            });
        }
        (all, framer.is_incomplete())
    }

    fn assert_at_every_split(stream: &[u8], limit: usize, wanted: &[Option<&[u8]>], incomplete: bool) {
        let wanted: Vec<_> = wanted.iter().map(|frame| frame.map(<[u8]>::to_vec)).collect();
        for split in 0..=stream.len() {
            let (first, second) = stream.split_at(split);
            assert_eq!(frames(&[first, second], limit), (wanted.clone(), incomplete), "split at {split}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(frames(&bytes, limit), (wanted, incomplete), "byte by byte");
    }

    #[test]
    fn both_framings_in_one_stream() {
        assert_at_every_split(
            b"5 <1>a\n<2>bc\r\n<3>d\n\n4 <4>e6 <5>f\ng",
            100,
            &[Some(b"<1>a\n"), Some(b"<2>bc"), Some(b"<3>d"), Some(b"<4>e"), Some(b"<5>f\ng")],
            false,
        );
    }

    #[test]
    fn an_unfinished_message_is_none() {
        assert_at_every_split(b"4 <4>e9 <5>f", 100, &[Some(b"<4>e")], true);
        assert_at_every_split(b"<4>e\n<5>f", 100, &[Some(b"<4>e")], true);
        assert_at_every_split(b"<4>e\n12", 100, &[Some(b"<4>e")], true);
    }

    #[test]
    fn an_oversized_message_is_skipped_and_the_next_one_read() {
        assert_at_every_split(b"12 <1>2345678904 <2>b", 8, &[None, Some(b"<2>b")], false);
        assert_at_every_split(b"<1>123456789\n<2>b\n", 8, &[None, Some(b"<2>b")], false);
        assert_at_every_split(b"<1>45678\n<2>b\n", 8, &[Some(b"<1>45678"), Some(b"<2>b")], false);
    }

    #[test]
    fn a_length_that_is_none_costs_its_line() {
        assert_at_every_split(b"12x<1>a\n<2>b\n", 100, &[None, Some(b"<2>b")], false);
        assert_at_every_split(b"99999999999999999999999 <1>a\n<2>b\n", 100, &[None, Some(b"<2>b")], false);
    }
}
