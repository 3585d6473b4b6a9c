//! HTTP/2 frame by frame, as a client that may send anything. In: frames, fields as they are to be written. Out: what became of a
//! stream. Must never mend what it is given to send.

use super::entrance::Entrance;
use super::raw::PATIENCE;
use super::wire::shake_hands;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that speaks HTTP/2, or whatever it is told to.
pub(crate) struct Frames {
    stream: TlsStream<TcpStream>,
    unread: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer, with what came of its body, and its trailers if it ended so.
    Answer { status: u16, body: Vec<u8>, whole: bool },
    /// Reset before there was an answer.
    Reset,
    /// The connection is over.
    Over,
}

impl Frames {
    /// A connection on which the preface and empty settings were sent.
    pub(crate) async fn connect(entrance: &Entrance, host: &str) -> Self {
        let mut frames = Self::bare(entrance, host).await;
        frames.write(PREFACE).await;
        // No dynamic table: what comes back needs no memory to be read.
        frames.frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]).await;
        frames
    }

    /// A connection on which nothing was sent.
    pub(crate) async fn bare(entrance: &Entrance, host: &str) -> Self {
        Self { stream: shake_hands(entrance, host, &[b"h2"]).await, unread: Vec::new() }
    }

    /// Sends bytes. That the other side has closed is for the reading to find out.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let writing = async {
            drop(self.stream.write_all(bytes).await);
            drop(self.stream.flush().await);
        };
        tokio::time::timeout(PATIENCE, writing).await.expect("somebody reads");
    }

    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await;
    }

    /// Waits for an answer or the end of a stream.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        tokio::time::timeout(PATIENCE, self.read(stream)).await.expect("an answer or an end in time")
    }

    async fn read(&mut self, stream: u32) -> Outcome {
        let mut answer = None;
        loop {
            let Some((kind, flags, of, payload)) = self.next().await else { return over(answer, Outcome::Over) };
            match (kind, of) {
                (HEADERS, of) if of == stream && answer.is_none() => answer = Some((status(&payload), Vec::new())),
                (DATA, of) if of == stream => answer.as_mut().expect("a head").1.extend(payload),
                (RST_STREAM, of) if of == stream => return over(answer, Outcome::Reset),
                (SETTINGS, 0) if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]).await,
                (PING, 0) if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload).await,
                (GOAWAY, 0) if payload[4..8] != [0; 4] => return over(answer, Outcome::Over),
                _ => {}
            }
            if of == stream && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                let (status, body) = answer.expect("a head");
                return Outcome::Answer { status, body, whole: true };
            }
        }
    }

    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if let Some((head, rest)) = self.unread.split_first_chunk::<9>() {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if rest.len() >= length {
                    let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let next = (head[3], head[4], of, rest[..length].to_vec());
                    self.unread.drain(..9 + length);
                    return Some(next);
                }
            }
            if !matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..)) {
                return None;
            }
        }
    }
}

fn over(answer: Option<(u16, Vec<u8>)>, otherwise: Outcome) -> Outcome {
    answer.map_or(otherwise, |(status, body)| Outcome::Answer { status, body, whole: false })
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of fields (RFC 7541, section 6.2.2): literal, without indexing, without Huffman.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect();
        [integer(bytes.len()), bytes].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A number with seven bits in its first byte (RFC 7541, section 5.1).
fn integer(mut number: usize) -> Vec<u8> {
    let low = |number: usize| u8::try_from(number & 0x7f).unwrap();
    if number < 0x7f {
        return vec![low(number)];
    }
    let mut bytes = vec![0x7f];
    number -= 0x7f;
    while number >= 0x80 {
        bytes.push(low(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low(number));
    bytes
}

/// The status, which is the first field of an answer: indexed, or a literal of three digits in Huffman code.
fn status(mut block: &[u8]) -> u16 {
    while block[0] & 0xe0 == 0x20 {
        // The table was resized.
        block = &block[1..];
    }
    if block[0] & 0x80 != 0 {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(block[0] & 0x7f) - 8];
    }
    let length = usize::from(block[1] & 0x7f);
    let value = &block[2..2 + length];
    if block[1] & 0x80 == 0 {
        return std::str::from_utf8(value).unwrap().parse().unwrap();
    }
    let mut bits = value.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
    (0..3).fold(0, |status, _| status * 10 + digit(&mut bits))
}

/// One digit of the Huffman code (RFC 7541, appendix B): 0 to 2 have five bits, 3 to 9 have six.
fn digit(bits: &mut impl Iterator<Item = u16>) -> u16 {
    let mut take = |count, code| bits.by_ref().take(count).fold(code, |code, bit| code << 1 | bit);
    let five = take(5, 0);
    if five < 3 { five } else { take(1, five) - 0x19 + 3 }
}
