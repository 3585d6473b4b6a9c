//! HTTP/2 frame by frame (RFC 9113), for clients that don't keep to it. In: frames. Out: what comes back, as kinds of frames. Must
//! never do more than it is told.

use super::entrance::Entrance;
use super::wire::shake_hands;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
/// Flags of HEADERS.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection that has begun, with settings exchanged.
pub(crate) struct Frames(TlsStream<TcpStream>);

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A `GET` as HPACK writes it, without Huffman and tables (RFC 7541).
pub(crate) fn get(authority: &str, path: &str) -> Vec<u8> {
    let literal = |index: u8, text: &str| [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0x82, 0x87], literal(0x04, path), literal(0x01, authority)].concat()
}

impl Frames {
    pub(crate) async fn connect(entrance: &Entrance, host: &str) -> Self {
        let mut frames = Self(shake_hands(entrance, host, &[b"h2"]).await);
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, b"")].concat();
        assert!(frames.send(&preface).await);
        frames
    }

    /// Sends bytes; whether the other side still takes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = async { self.0.write_all(bytes).await.is_ok() && self.0.flush().await.is_ok() };
        tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap_or(false)
    }

    /// Sends the same bytes again and again; whether the other side has put an end to it before long.
    pub(crate) async fn is_cut_off(&mut self, mut bytes: impl FnMut(u32) -> Vec<u8>) -> bool {
        for round in 0..2_000 {
            if !self.send(&bytes(round)).await {
                return true;
            }
            let mut buffer = [0; 1 << 14];
            let read = tokio::time::timeout(Duration::from_millis(2), self.0.read(&mut buffer)).await;
            if matches!(read, Ok(Ok(0) | Err(_))) {
                return true;
            }
        }
        false
    }

    /// Sends bytes; whether the head of an answer comes back.
    pub(crate) async fn is_answered(&mut self, bytes: &[u8]) -> bool {
        assert!(self.send(bytes).await);
        self.gets(HEADERS, Duration::from_secs(10)).await
    }

    /// Whether a frame of this kind comes within this time, after whatever else.
    pub(crate) async fn gets(&mut self, kind: u8, time: Duration) -> bool {
        let got = async {
            loop {
                let mut head = [0; 9];
                if self.0.read_exact(&mut head).await.is_err() {
                    return false;
                }
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; usize::try_from(length).unwrap()];
                if self.0.read_exact(&mut payload).await.is_err() || head[3] == kind {
                    return head[3] == kind;
                }
            }
        };
        tokio::time::timeout(time, got).await.unwrap_or(false)
    }
}
