//! HTTP to a provider or a transmitter. In: requests. Out: whole answers of bounded size. Must never follow a redirect, nor wait
//! for ever.

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;
use url::{Host, Url};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long a connection may well have been closed by the other end: a code can't be redeemed a second time to find out.
const RESTED: Duration = Duration::from_secs(1);
/// The largest answer in bytes.
const LARGEST: usize = 1 << 20;
/// The same where many tokens come at once.
const LARGEST_BATCH: usize = 8 << 20;

/// A client for one of them: its certificate authorities, its connections.
#[derive(Debug)]
pub(in crate::control) struct Http(reqwest::Client);

/// No answer that could be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum Error {
    /// The connection failed.
    #[error("the request failed: {}", causes(.0))]
    Request(#[from] reqwest::Error),
    /// The server can't answer now.
    #[error("the server answered {0}")]
    Status(http::StatusCode),
    /// It answered too much.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Http {
    /// A client that trusts these authorities, or else the system's, for whoever is at this URL.
    pub(in crate::control) fn new(ca: Option<&[u8]>, url: &Url) -> Result<Self, Error> {
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let mut builder = builder.connect_timeout(PATIENCE).timeout(PATIENCE).pool_idle_timeout(RESTED);
        if let Some(ca) = ca {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca)?);
        }
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        Ok(Self(builder.build()?))
    }

    /// Fetches a JSON document.
    pub(in crate::control) async fn fetch(&self, url: &str, bearer: Option<&str>) -> Result<HttpResponse, Error> {
        let request = self.0.get(url).header(http::header::ACCEPT, "application/json");
        let request = match bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.send(request.build()?).await
    }

    /// Sends a JSON document by this method, to be answered within this time beyond the usual.
    pub(in crate::control) async fn tell(
        &self,
        (method, url): (http::Method, &str),
        bearer: &str,
        body: &serde_json::Value,
        longer: Duration,
    ) -> Result<HttpResponse, Error> {
        let request = self.0.request(method, url).header(http::header::ACCEPT, "application/json").bearer_auth(bearer);
        let request = request.header(http::header::CONTENT_TYPE, "application/json").timeout(PATIENCE + longer);
        self.send_up_to(request.body(body.to_string()).build()?, LARGEST_BATCH).await
    }

    /// Sends a request; 429 and 5xx are errors, as they say nothing about what was asked.
    async fn send(&self, request: reqwest::Request) -> Result<HttpResponse, Error> {
        self.send_up_to(request, LARGEST).await
    }

    async fn send_up_to(&self, request: reqwest::Request, largest: usize) -> Result<HttpResponse, Error> {
        let mut response = self.0.execute(request).await?;
        let status = response.status();
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(Error::Status(status));
        }
        let headers = std::mem::take(response.headers_mut());
        let mut answer = http::Response::new(body(response, largest).await?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

async fn body(mut response: reqwest::Response, largest: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > largest {
            return Err(Error::TooLarge(largest));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async { self.send(request.try_into()?).await })
    }
}

/// Whether a URL stays on this machine.
pub(in crate::control) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a URL names, by its address, this machine or something in the network around it.
pub(in crate::control) fn is_inside(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name.trim_end_matches('.')),
        Some(Host::Ipv4(address)) => is_inside_v4(address),
        Some(Host::Ipv6(address)) => is_inside_v6(address),
        None => true,
    }
}

fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    // Shared by the customers of one provider (RFC 6598).
    let is_shared = first == 100 && (64..128).contains(&second);
    // For measurements (RFC 2544), protocols (RFC 6890), and nobody yet (RFC 1112).
    let is_set_aside = (first == 198 && matches!(second, 18 | 19)) || [first, second, third] == [192, 0, 0] || first >= 240;
    let is_own = address.is_loopback() || address.is_private() || address.is_link_local();
    is_own || is_shared || is_set_aside || first == 0 || address.is_multicast()
}

/// Also where it is another way to write, or to reach, an address of IPv4.
fn is_inside_v6(address: Ipv6Addr) -> bool {
    let translated =
        address.segments().starts_with(&[0x64, 0xff9b, 0, 0, 0, 0]).then(|| Ipv4Addr::from_bits(address.to_bits() as u32));
    let [first, second, third, ..] = address.segments();
    // By 6to4 (RFC 3056), or by a translation that is a network's own (RFC 8215).
    let is_carried = first == 0x2002 || [first, second, third] == [0x64, 0xff9b, 1];
    let is_site_local = first & 0xffc0 == 0xfec0;
    let is_own = address.is_unique_local() || address.is_unicast_link_local() || is_site_local || address.is_multicast();
    is_own || is_carried || address.is_loopback() || translated.or_else(|| address.to_ipv4()).is_some_and(is_inside_v4)
}

/// Whether what is sent there can't be read on its way.
pub(in crate::control) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// An error with what caused it: reqwest's own text stops at "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    /// Answers once, and closes when it is asked again: as one that was about to close when it was.
    async fn answer_once(mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        let _ = stream.read_u8().await;
    }

    #[tokio::test]
    async fn a_connection_that_has_rested_is_not_used_again_since_its_server_may_be_closing_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_once(stream));
            }
        });
        let http = Http::new(None, &url).unwrap();
        http.fetch(url.as_str(), None).await.unwrap();
        tokio::time::sleep(RESTED + Duration::from_millis(100)).await;
        http.fetch(url.as_str(), None).await.unwrap();
    }
}
