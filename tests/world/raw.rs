//! A client that sends whatever bytes it is given, and reads what comes back as strictly as can be. In: bytes. Out: answers. Must
//! never wait for longer than its patience.

use super::entrance::Entrance;
use super::strict::{self, Response};
use super::wire::shake_hands;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that speaks HTTP/1.1.
pub(crate) struct Raw {
    stream: TlsStream<TcpStream>,
    unread: Vec<u8>,
    closed: bool,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Answer(Response),
    /// The connection ended, after these bytes of an answer.
    Ended(Vec<u8>),
}

impl Got {
    /// The status; 0 where the connection ended instead.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Answer(answer) => answer.status,
            Self::Ended(_) => 0,
        }
    }

    /// The body of an answer.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Answer(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Self::Ended(bytes) => panic!("no answer, but {:?}", String::from_utf8_lossy(bytes)),
        }
    }
}

impl Raw {
    pub(crate) async fn connect(entrance: &Entrance, host: &str) -> Self {
        Self { stream: shake_hands(entrance, host, &[b"http/1.1"]).await, unread: Vec::new(), closed: false }
    }

    /// Sends bytes. That the other side has closed is for the reading to find out.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let writing = async {
            drop(self.stream.write_all(bytes.as_ref()).await);
            drop(self.stream.flush().await);
        };
        tokio::time::timeout(PATIENCE, writing).await.expect("somebody reads");
    }

    /// The next answer that is no preliminary one; `to_head` tells that the request was a HEAD.
    pub(crate) async fn answer(&mut self, to_head: bool) -> Got {
        tokio::time::timeout(PATIENCE, self.next(to_head)).await.expect("an answer or an end in time")
    }

    /// What else comes before the other side closes, which it must.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let reading = async { while self.more().await {} };
        tokio::time::timeout(PATIENCE, reading).await.expect("an end in time");
        std::mem::take(&mut self.unread)
    }

    async fn next(&mut self, to_head: bool) -> Got {
        loop {
            match strict::response(&self.unread, to_head, self.closed) {
                Ok(Some((answer, length))) => {
                    self.unread.drain(..length);
                    if !matches!(answer.status, 100 | 102..=199) {
                        return Got::Answer(answer);
                    }
                }
                Ok(None) if self.closed => return Got::Ended(std::mem::take(&mut self.unread)),
                Ok(None) => drop(self.more().await),
                Err(breach) => panic!("{breach} in {:?}", String::from_utf8_lossy(&self.unread)),
            }
        }
    }

    async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.unread).await;
        self.closed = !matches!(read, Ok(1..));
        !self.closed
    }
}
