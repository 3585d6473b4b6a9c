//! The administration API of the process that runs, for commands. In: a configuration file, a question. Out: its answer. Must never
//! touch the store behind the process' back, nor send the token anywhere but to the address in the file.

use super::check::Verdict;
use crate::control::config::administration;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// How long an answer may take: ending everything takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer may be.
const LONGEST: usize = 64 << 20;

/// The API.
pub struct Administration {
    address: SocketAddr,
    token: SecretString,
    runtime: Runtime,
    /// What the audit trail will say of why.
    why: Option<String>,
}

/// What came of it.
pub enum Answer {
    /// It was done, or this is what was asked for.
    Done(Value),
    /// There is no such thing.
    Nothing(String),
}

impl Administration {
    /// That of this configuration.
    pub fn of(config: &Path, why: Option<String>) -> Result<Self, Verdict> {
        let (address, token) = administration(config).map_err(|problems| Verdict::failed(1, &problems.to_string()))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(&error.to_string()))?;
        Ok(Self { address: reachable(address), token, runtime, why })
    }

    /// Asks; `body` is sent where there is one.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Verdict> {
        let request = self.request(method, path, body).map_err(|error| failed(&error.to_string()))?;
        let asked = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange(self.address, request)).await });
        let answered = asked.map_err(|_| failed(&format!("{} does not answer", self.address)))?;
        let (status, body) = answered.map_err(|error| failed(&format!("{}: {error}; is doorward running?", self.address)))?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = || value.get("error").and_then(Value::as_str).unwrap_or("an answer that is not Doorward's").to_owned();
        match status {
            StatusCode::UNAUTHORIZED => {
                Err(failed(&format!("{} does not take the token of this configuration: is it the one that runs?", self.address)))
            }
            StatusCode::NOT_FOUND => Ok(Answer::Nothing(said())),
            status if status.is_success() => Ok(Answer::Done(value)),
            status => Err(failed(&format!("{} ({status})", said()))),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut token = HeaderValue::try_from(format!("Bearer {}", self.token.expose_secret()))?;
        token.set_sensitive(true);
        let request = Request::builder().method(method).uri(path).header(header::HOST, self.address.to_string());
        let mut request =
            request.header(header::AUTHORIZATION, token).body(Full::from(body.map_or(String::new(), Value::to_string)))?;
        let headers = request.headers_mut();
        for (name, value) in [("x-why", self.why.clone()), ("x-administrator", whoever())] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_bytes(value.as_bytes())?);
            }
        }
        Ok(request)
    }
}

/// Who runs this, by their own account.
fn whoever() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()))
}

/// Who listens everywhere is found here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
    connection.abort();
    Ok((head.status, body))
}

/// There is no answer.
pub fn failed(problem: &str) -> Verdict {
    Verdict::failed(1, &format!("doorward: {problem}"))
}

/// A text as a part of a path (RFC 3986, section 2.1).
pub fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
