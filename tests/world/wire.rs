//! HTTP/1.1 byte by byte, over TLS or not. In: the bytes of a request. Out: answers. Must never mend what it is given to send.

use super::entrance::Entrance;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect()
    }

    /// The value of a header that is there once, or not at all.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name}: {all:?}");
        all.first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("{} {}", self.status, self.text()))
    }

    /// The reason of a refusal.
    pub(crate) fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap().to_owned()
    }
}

/// What an assertion says; whether it is signed is another question.
pub(crate) fn claims(assertion: &str) -> Value {
    let payload = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection.
pub(crate) struct Connection(BufReader<Box<dyn Duplex>>);

/// A TLS connection that offers these protocols.
pub(crate) async fn shake_hands(entrance: &Entrance, host: &str, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, entrance.port)).await.unwrap();
    shake_hands_over(stream, entrance, host, protocols).await.unwrap()
}

/// The same over a connection that is there.
pub(crate) async fn shake_hands_over(
    stream: TcpStream,
    entrance: &Entrance,
    host: &str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder().with_root_certificates(Arc::clone(&entrance.roots)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
    tokio::time::timeout(PATIENCE, shaken).await.expect("a handshake in time")
}

impl Connection {
    pub(crate) async fn tls(entrance: &Entrance, host: &str) -> Self {
        // A host that is not ours gets a certificate that is not its own: the name of one of ours shakes hands.
        let name = if entrance.hosts.contains(&host) { host } else { entrance.hosts[0] };
        let stream = shake_hands(entrance, name, &[b"http/1.1"]).await;
        Self(BufReader::new(Box::new(stream)))
    }

    pub(crate) async fn plain(port: u16) -> Self {
        Self::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap())
    }

    /// By a stream that is there.
    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    /// Sends bytes. That the other side has closed is for the reading to find out.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.wrote(bytes).await;
    }

    /// Sends bytes, and says whether the other side has taken them.
    pub(crate) async fn wrote(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok() && self.0.flush().await.is_ok()
    }

    /// One answer with its body.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        tokio::time::timeout(PATIENCE, self.body(&mut answer)).await.expect("a body in time");
        answer
    }

    /// The head of an answer.
    pub(crate) async fn head(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_head()).await.expect("an answer in time")
    }

    /// Bytes of a body or a tunnel, as they come.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let length = tokio::time::timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("bytes in time").unwrap_or(0);
        buffer.truncate(length);
        buffer
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        drop(tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("an end in time"));
        rest
    }

    /// Whether nothing more comes, because the other side has closed.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(tokio::time::timeout(Duration::from_secs(2), self.0.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        drop(self.0.read_until(b'\n', &mut line).await);
        assert!(line.ends_with(b"\r\n"), "the connection ended after {:?}", String::from_utf8_lossy(&line));
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }

    async fn read_head(&mut self) -> Answer {
        let first = self.line().await;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{first}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Answer { status, headers, body: Vec::new() }
    }

    async fn body(&mut self, answer: &mut Answer) {
        if matches!(answer.status, 101 | 204 | 304) {
            return;
        }
        if answer.header("transfer-encoding").is_some() {
            return self.chunks(answer).await;
        }
        match answer.header("content-length").map(|length| length.parse().unwrap()) {
            Some(length) => {
                answer.body = vec![0; length];
                self.0.read_exact(&mut answer.body).await.expect("the whole body");
            }
            None => drop(self.0.read_to_end(&mut answer.body).await),
        }
    }

    async fn chunks(&mut self, answer: &mut Answer) {
        loop {
            let length = usize::from_str_radix(self.line().await.split(';').next().unwrap(), 16).unwrap();
            let mut chunk = vec![0; length];
            self.0.read_exact(&mut chunk).await.expect("a whole chunk");
            answer.body.extend(chunk);
            self.line().await;
            if length == 0 {
                return;
            }
        }
    }
}
