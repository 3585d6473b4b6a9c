//! WebSockets, however they are asked for and whatever the app speaks. In: `GET` with `Upgrade` (RFC 6455) or extended `CONNECT`
//! over HTTP/2 (RFC 8441), and the app's answer. Out: the one form for the walk, and the answer as the client understands it.
//! Must never let any other protocol be switched to: it would open a way round everything here.

pub(super) mod frames;

use crate::model::secret::random;
use crate::model::{Reason, Refusal};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// What every server puts behind the key (RFC 6455, section 1.3).
const SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Marks a request that came as extended `CONNECT`.
#[derive(Clone, Copy)]
struct ByConnect;

/// The key of a request that had to do without.
#[derive(Clone)]
struct Key(HeaderValue);

/// A WebSocket that a client asks for.
pub(super) struct Wanted {
    /// The client's end, once there is an answer.
    pub(super) client: OnUpgrade,
    by_connect: bool,
    key: Option<HeaderValue>,
}

/// The app's answer is not one to the question.
#[derive(Debug, thiserror::Error)]
#[error("the app switches to something else than a WebSocket")]
pub struct Misunderstood;

/// Makes a `GET` of an extended `CONNECT` for a WebSocket, so that everything judges both alike. Any other `CONNECT` stays what it is.
pub(super) fn unify<B>(request: &mut Request<B>) {
    let is_websocket = |protocol: &Protocol| protocol.as_str().eq_ignore_ascii_case("websocket");
    let asks = request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some_and(is_websocket);
    if asks && request.version() == Version::HTTP_2 {
        *request.method_mut() = Method::GET;
        request.extensions_mut().insert(ByConnect);
    }
}

/// Whether the request asks for a WebSocket.
pub(super) fn wants<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.extensions().get::<ByConnect>().is_some()
        || (headers.contains_key(UPGRADE)
            && request.version() == Version::HTTP_11
            && request.method() == Method::GET
            && is_websocket(headers)
            && super::headers::list(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade")))
}

/// Says in the headers what [`wants`] has seen.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

/// Makes an extended `CONNECT` of a request that asks for a WebSocket.
pub(super) fn ask_by_connect<B>(request: &mut Request<B>) {
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request.headers_mut().remove(CONNECTION);
    request.headers_mut().remove(UPGRADE);
    if let Some(key) = request.headers_mut().remove(SEC_WEBSOCKET_KEY) {
        request.extensions_mut().insert(Key(key));
    }
}

/// Makes the `GET` again that [`ask_by_connect`] had.
pub(super) fn ask_by_upgrade<B>(request: &mut Request<B>) {
    *request.method_mut() = Method::GET;
    request.extensions_mut().remove::<Protocol>();
    ask(request.headers_mut());
    if let Some(Key(key)) = request.extensions_mut().remove() {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
    }
}

/// Whether these headers switch to a WebSocket and to nothing else, without content: that could be taken for the beginning of
/// the tunnel.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
        && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0")
        && !headers.contains_key(TRANSFER_ENCODING)
}

impl Wanted {
    /// What a request that is about to be forwarded asks for.
    pub(super) fn of<B>(request: &mut Request<B>) -> Result<Option<Self>, Refusal> {
        if !wants(request) {
            return Ok(None);
        }
        let by_connect = request.extensions_mut().remove::<ByConnect>().is_some();
        if by_connect {
            request.headers_mut().insert(SEC_WEBSOCKET_KEY, new_key()?);
        }
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
        Ok(Some(Self { client: hyper::upgrade::on(request), by_connect, key }))
    }

    /// Puts the answer into the words of the client; whether the tunnel is open. `multiplexed`: the app answers over HTTP/2.
    pub(super) fn answered<B>(&self, response: &mut Response<B>, multiplexed: bool) -> Result<bool, Misunderstood> {
        let switches = match (multiplexed, response.status()) {
            (false, StatusCode::SWITCHING_PROTOCOLS) => self.is_agreed(response.headers())?,
            (true, StatusCode::OK) => true,
            // Over HTTP/2 any success would open the tunnel for the client.
            (_, other) if other.is_success() && (self.by_connect || multiplexed) => return Err(Misunderstood),
            _ => false,
        };
        match (switches, self.by_connect) {
            (true, true) => {
                *response.status_mut() = StatusCode::OK;
                for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
                    response.headers_mut().remove(name);
                }
            }
            (true, false) if multiplexed => {
                let accept = self.key.as_ref().and_then(accept).ok_or(Misunderstood)?;
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                ask(response.headers_mut());
                response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
            }
            _ => {}
        }
        Ok(switches)
    }

    /// A browser checks the answer to its own key; the one to ours is for us to check.
    fn is_agreed(&self, headers: &HeaderMap) -> Result<bool, Misunderstood> {
        let expected = self.key.as_ref().and_then(accept);
        let accepts = !self.by_connect || (expected.is_some() && headers.get(SEC_WEBSOCKET_ACCEPT) == expected.as_ref());
        if accepts && is_websocket(headers) { Ok(true) } else { Err(Misunderstood) }
    }
}

fn new_key() -> Result<HeaderValue, Refusal> {
    let key = random::<16>().map_err(|_| Reason::StoreUnavailable)?;
    HeaderValue::from_str(&STANDARD.encode(key)).map_err(|_| Reason::BadRequest.into())
}

/// What a server answers to a key (RFC 6455, section 4.2.2).
fn accept(key: &HeaderValue) -> Option<HeaderValue> {
    let joined = [key.as_bytes(), SUFFIX.as_bytes()].concat();
    HeaderValue::from_str(&STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined))).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_specification() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_an_extended_connect_for_a_websocket_becomes_a_get() {
        for (version, protocol, method) in [
            (Version::HTTP_2, Some("websocket"), Method::GET),
            (Version::HTTP_2, Some("WebSocket"), Method::GET),
            (Version::HTTP_2, Some("connect-udp"), Method::CONNECT),
            (Version::HTTP_2, None, Method::CONNECT),
            (Version::HTTP_11, Some("websocket"), Method::CONNECT),
        ] {
            let mut request = Request::connect("https://a.example/ws").version(version).body(()).unwrap();
            if let Some(protocol) = protocol {
                request.extensions_mut().insert(Protocol::from(protocol));
            }
            unify(&mut request);
            assert_eq!((request.method(), wants(&request)), (&method, method == Method::GET), "{version:?} {protocol:?}");
        }
    }
}
