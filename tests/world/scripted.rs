//! An app that does what a test says, connection by connection. In: a script. Out: how many connections and requests came. Must
//! never answer by itself.

use super::ports::Ports;
use super::raw::PATIENCE;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A running app.
pub(crate) struct Scripted {
    ports: Ports,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

/// One connection to it.
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    /// From 0.
    pub(crate) number: usize,
    unread: Vec<u8>,
}

impl Scripted {
    /// Runs the script on every connection; when it returns, the connection is closed.
    pub(crate) async fn start<F: Future<Output = ()> + Send>(script: impl Fn(Link) -> F + Send + Sync + 'static) -> Self {
        let ports = Ports::take();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.nth(1))).await.unwrap();
        let (connections, closed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counted, ended) = (Arc::clone(&connections), Arc::clone(&closed));
        let script = Arc::new(script);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let link = Link { stream, number: counted.fetch_add(1, SeqCst), unread: Vec::new() };
                let (script, ended) = (Arc::clone(&script), Arc::clone(&ended));
                tokio::spawn(async move {
                    script(link).await;
                    ended.fetch_add(1, SeqCst);
                });
            }
        });
        Self { ports, connections, closed }
    }

    /// An app for the configuration: at this host, by this scheme, with more lines.
    pub(crate) fn app(&self, host: &str, scheme: &str, more: &str) -> String {
        let url = self.url(scheme);
        format!(
            "  scripted:\n    url: https://{host}:PORT/scripted\n    upstream: {url}\n    paths: [{{ match: /scripted/**, public: true }}]\n{more}"
        )
    }

    /// Where it is, by this scheme.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.ports.nth(1))
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// How many of them are over.
    pub(crate) fn closed(&self) -> usize {
        self.closed.load(SeqCst)
    }
}

impl Link {
    /// The head of the next request; `None` when the connection is over.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// As much of a body; whether it came.
    pub(crate) async fn body(&mut self, length: usize) -> bool {
        while self.unread.len() < length {
            if !matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..)) {
                return false;
            }
        }
        self.unread.drain(..length);
        true
    }

    pub(crate) async fn write(&mut self, bytes: &str) -> bool {
        self.stream.write_all(bytes.as_bytes()).await.is_ok()
    }

    /// An answer that says which connection it came by.
    pub(crate) async fn answer(&mut self) -> bool {
        let body = format!("link {}", self.number);
        self.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await
    }

    /// Reads until the other side closes.
    pub(crate) async fn until_closed(&mut self) {
        let mut sink = [0; 4096];
        while let Ok(1..) = self.stream.read(&mut sink).await {}
    }
}

/// Long enough for anything; what takes longer hangs.
pub(crate) async fn in_time<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it should have come to this: {what}"))
}

/// A pause that is a little longer than a second of the proxy's own time.
pub(crate) async fn more_than_a_second() {
    tokio::time::sleep(Duration::from_millis(1600)).await;
}
