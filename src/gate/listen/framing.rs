//! Where requests end on an HTTP/1.1 connection, by the strictest reading of RFC 9112. In: the bytes as they arrive, beside hyper, which
//! reads the same and allows more: it drops a length beside a coding, and lets a line feed alone end a line of a head but not of
//! a trailer. Out: the first request whose end another parser could put elsewhere. Must never take for clear what is not.

use crate::gate::target::{is_chunked, length};
use memchr::{memchr, memchr_iter};

/// How many digits the size of a chunk may have: more would not fit a number that everybody has.
const DIGITS: usize = 15;

/// How far the bytes of a connection have been read.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
    /// How many requests have begun.
    begun: u64,
    /// A line whose end has not arrived.
    line: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a request.
    #[default]
    Between,
    /// In a head, behind its first line.
    Fields,
    /// In content, of which this much is still to come.
    Content(u64),
    /// Before a chunk.
    Size,
    /// In a chunk, of which this much is still to come.
    Chunk(u64),
    /// Behind the content of a chunk.
    ChunkEnd,
    /// Behind the last chunk.
    Trailers,
    /// Nobody can say.
    Unclear,
}

impl Framing {
    /// Reads on. Gives the number (from 1) of the request whose end is not clear, and then goes on giving it.
    pub fn read(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() && self.state != State::Unclear {
            let taken = match self.state {
                State::Content(left) => self.skip(left, bytes, State::Content, State::Between),
                State::Chunk(left) => self.skip(left, bytes, State::Chunk, State::ChunkEnd),
                State::Fields if self.line.is_empty() => self.fields(bytes),
                _ => self.take_line(bytes),
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        (self.state == State::Unclear).then_some(self.begun)
    }

    fn skip(&mut self, left: u64, bytes: &[u8], more: fn(u64) -> State, then: State) -> usize {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
        self.state = if left == 0 { then } else { more(left) };
        here
    }

    fn take_line(&mut self, bytes: &[u8]) -> usize {
        let Some(end) = memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > super::HEAD_SIZE {
                self.give_up();
            }
            return bytes.len();
        };
        let here = bytes.get(..end).unwrap_or_default();
        if self.line.is_empty() {
            self.ended(here);
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(here);
            self.ended(&line);
        }
        end + 1
    }

    /// Reads on in a head, line by line for as long as they are here whole: the one loop that every request takes.
    fn fields(&mut self, bytes: &[u8]) -> usize {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let line = bytes.get(start..end).unwrap_or_default();
            start = end + 1;
            if !is_of_no_concern(line) {
                self.ended(line);
                if self.state != State::Fields {
                    return start;
                }
            }
        }
        if start == 0 { self.take_line(bytes) } else { start }
    }

    fn ended(&mut self, line: &[u8]) {
        let state = line.strip_suffix(b"\r").and_then(|line| self.next(line));
        match state {
            Some(state) => self.state = state,
            None => self.give_up(),
        }
    }

    fn give_up(&mut self) {
        // A request that has not begun is what this is the beginning of.
        self.begun += u64::from(self.state == State::Between);
        self.state = State::Unclear;
        self.line = Vec::new();
    }

    /// The state behind this line; `None` where that is not clear.
    fn next(&mut self, line: &[u8]) -> Option<State> {
        match (self.state, line) {
            (State::Between, b"") => Some(State::Between),
            (State::Between, _) => {
                (self.length, self.chunked) = (None, false);
                self.begun += 1;
                Some(State::Fields)
            }
            (State::Fields, b"") => self.behind_head(),
            (State::Fields, _) => self.field(line).map(|()| State::Fields),
            (State::Size, _) => chunk_size(line).map(|size| if size == 0 { State::Trailers } else { State::Chunk(size) }),
            (State::ChunkEnd, b"") => Some(State::Size),
            (State::Trailers, b"") => Some(State::Between),
            (State::Trailers, _) => Some(State::Trailers),
            _ => None,
        }
    }

    fn behind_head(&self) -> Option<State> {
        match (self.length, self.chunked) {
            (None | Some(0), false) => Some(State::Between),
            (Some(length), false) => Some(State::Content(length)),
            (None, true) => Some(State::Size),
            (Some(_), true) => None,
        }
    }

    /// Notes what a field says about the end; `None` where it says it again or in a way of its own.
    fn field(&mut self, line: &[u8]) -> Option<()> {
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => match value(line, b"content-length") {
                Some(value) => self.length.replace(length(value)?).is_none().then_some(()),
                None => Some(()),
            },
            Some(b't') => match value(line, b"transfer-encoding") {
                Some(value) => (is_chunked(value) && !std::mem::replace(&mut self.chunked, true)).then_some(()),
                None => Some(()),
            },
            _ => Some(()),
        }
    }
}

/// Whether a line of a head is whole and says nothing about the end: true of most, and cheap to see.
fn is_of_no_concern(line: &[u8]) -> bool {
    matches!(line, [first, .., b'\r'] if first.is_ascii_alphabetic() && !matches!(first, b'C' | b'T' | b'c' | b't'))
}

/// The value of a line with this name.
fn value<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name))?;
    Some(value.trim_ascii())
}

/// The size of a chunk; what is behind `;` matters to nobody.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|b| *b == b';').next().unwrap_or(line).trim_ascii_end();
    let fine = size.len() <= DIGITS && size.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(str::from_utf8(size).ok().filter(|_| fine)?, 16).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BODY: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-LENGTH: \t4\r\n\r\nab\ncGET / HTTP/1.1\r\n\r\n";
    const CHUNKS: &str =
        "\r\nPOST / HTTP/1.1\r\ntransfer-encoding:Chunked\r\n\r\n3;a=b\r\na\nb\r\n0A\r\n0\n\n0\r\n\r\n00\r\n0\r\nX: 1\r\n\r\nGET";

    /// The verdict on these bytes however they are cut in two, which must make no difference.
    fn verdict(text: &str) -> Option<u64> {
        let whole = Framing::default().read(text.as_bytes());
        for cut in 0..text.len() {
            let mut framing = Framing::default();
            let (one, other) = text.as_bytes().split_at(cut);
            let found = framing.read(one).or_else(|| framing.read(other));
            assert_eq!(found, whole, "{text:?} cut at {cut}");
        }
        whole
    }

    #[test]
    fn what_everybody_reads_alike_is_clear_whatever_its_content() {
        assert_eq!(verdict(BODY), None);
        assert_eq!(verdict(CHUNKS), None);
        assert_eq!(verdict(&format!("{BODY}{CHUNKS}")), None);
    }

    #[test]
    fn two_lengths_are_unclear_in_any_order_and_spelling() {
        for lines in [
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding:CHUNKED\r\nX: 1\r\nCONTENT-LENGTH:0\r\n",
            "Content-Length: 4\r\nContent-Length: 4\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Content-Length: 04\r\n",
            "Content-Length: +4\r\n",
            "Content-Length: 4, 4\r\n",
            "Content-Length:\r\n",
        ] {
            assert_eq!(verdict(&format!("POST / HTTP/1.1\r\n{lines}\r\n")), Some(1), "{lines}");
        }
    }

    #[test]
    fn a_line_feed_alone_ends_no_line() {
        for text in ["\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nX: 1\n\r\n", "GET / HTTP/1.1\r\nX: 1\r\n\n"] {
            assert_eq!(verdict(text), Some(1), "{text:?}");
        }
        for chunks in ["1\na\r\n", "1;a\n", "1\r\na\n", "0\n", "0\r\n\n", "0\r\nX: 1\n\n", "0\r\nX: 1\n\r\n", "0\r\nX: 1\r\n\n"] {
            assert_eq!(verdict(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")), Some(1), "{chunks:?}");
        }
    }

    #[test]
    fn a_chunk_has_a_size_and_ends_behind_it() {
        for chunks in
            ["\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", "1 1\r\n", "g\r\n", "1000000000000000\r\n", "1\r\nab\r\n", "2\r\na\r\n\r\n"]
        {
            assert_eq!(verdict(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")), Some(1), "{chunks:?}");
        }
    }

    #[test]
    fn the_request_that_is_unclear_is_named() {
        let clear = format!("{BODY}{}", CHUNKS.trim_end_matches("GET"));
        assert_eq!(verdict(&format!("{clear}GET / HTTP/1.1\r\nX: 1\n")), Some(4));
        assert_eq!(verdict(&format!("{clear}\n")), Some(4));
    }

    #[test]
    fn no_more_is_kept_than_a_head_can_have() {
        let mut framing = Framing::default();
        framing.read(b"GET / HTTP/1.1\r\n");
        for _ in 0..100 {
            framing.read(&[b'x'; 1024]);
            assert!(framing.line.capacity() <= 4 * super::super::HEAD_SIZE);
        }
        assert_eq!(framing.read(b""), Some(1));
    }
}
