//! One server of an app, and how it is spoken to. In: what `control::config` compiled. Out: a transport, and an identity that
//! connections are kept by. Must never hold TLS without a name to verify.

use crate::model::TokenHash;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One server of an app. Equal to another that is reached and verified in exactly the same way.
#[derive(Clone, Debug)]
pub struct Upstream {
    id: UpstreamId,
    name: Box<str>,
    address: Address,
    transport: Transport,
    proxy_protocol: Option<ProxyProtocol>,
}

/// Tells the connections to one server from those to any other: a digest of everything that decides whom they lead to. The
/// same server has the same one after a reload, unless so much as a certificate of its authority has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamId(u128);

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or an address, without brackets, and a port.
    Tcp {
        /// Resolved for new connections.
        host: Box<str>,
        /// In host order.
        port: u16,
    },
    /// The path of a socket.
    Unix(PathBuf),
}

/// What is spoken with a server.
#[derive(Clone, Debug)]
pub enum Transport {
    /// HTTP/1.1 in clear text.
    Http1,
    /// HTTP/2 in clear text, with prior knowledge (RFC 9113, section 3.3).
    Http2,
    /// HTTP over TLS.
    Tls(Tls),
}

/// TLS towards a server. The certificate is always verified.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Offers HTTP/1.1 alone.
    pub http1: Arc<ClientConfig>,
    /// Offers HTTP/2 before HTTP/1.1, where that is configured.
    pub http2: Option<Arc<ClientConfig>>,
    /// Whom the certificate must be for; a DNS name is also what the server is asked for (SNI).
    pub name: ServerName<'static>,
    /// Of authorities, client certificate and key.
    pub material: TokenHash,
}

/// The header that tells a server about the client's connection (the PROXY protocol, sections 2.1 and 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How long an app may take. `None`: as long as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection to it.
    pub connect: Duration,
    /// From the last byte of the request to the head of its answer.
    pub first_byte: Option<Duration>,
    /// Without a byte in either direction, once the answer has begun; not for streams.
    pub idle: Option<Duration>,
    /// For everything; not for streams.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Some(Duration::from_secs(60));
        Self { connect: Duration::from_secs(5), first_byte: minute, idle: minute, total: None }
    }
}

/// How many connections a worker may have to each server of an app, and which it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// How long one is kept that no request is on.
    pub idle: Duration,
    /// How many of those are kept.
    pub max_idle: usize,
    /// How many there may be at a time.
    pub max_connections: usize,
}

impl Default for Pooling {
    fn default() -> Self {
        // Less than the minute or so after which servers close them.
        Self { idle: Duration::from_secs(50), max_idle: 256, max_connections: usize::MAX }
    }
}

impl Upstream {
    /// A server; `name` is what logs and the audit trail call it.
    pub fn new(name: String, address: Address, transport: Transport) -> Self {
        let id = UpstreamId::of(&address, &transport, None);
        Self { id, name: name.into(), address, transport, proxy_protocol: None }
    }

    /// The same server, told about the client's connection like this.
    pub fn announced(self, proxy_protocol: Option<ProxyProtocol>) -> Self {
        let id = UpstreamId::of(&self.address, &self.transport, proxy_protocol);
        Self { id, proxy_protocol, ..self }
    }

    /// What its connections are kept by.
    pub const fn id(&self) -> UpstreamId {
        self.id
    }

    /// What logs and the audit trail call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What is spoken.
    pub const fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Whether one connection may turn out to take many requests at a time.
    pub const fn may_multiplex(&self) -> bool {
        match &self.transport {
            Transport::Http1 => false,
            Transport::Http2 => true,
            Transport::Tls(tls) => tls.http2.is_some(),
        }
    }

    /// How it is told about the client's connection.
    pub const fn proxy_protocol(&self) -> Option<ProxyProtocol> {
        self.proxy_protocol
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Upstream {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Upstream {}

impl Hash for Upstream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl UpstreamId {
    fn of(address: &Address, transport: &Transport, proxy_protocol: Option<ProxyProtocol>) -> Self {
        let spoken = match transport {
            Transport::Http1 => "http1".to_owned(),
            Transport::Http2 => "http2".to_owned(),
            Transport::Tls(tls) => format!("tls {} {:?} {}", tls.http2.is_some(), tls.name, tls.material.encode()),
        };
        let digest = TokenHash::of(format!("{address:?} {spoken} {proxy_protocol:?}").as_bytes());
        let first = digest.as_bytes().first_chunk::<16>();
        Self(first.map_or(0, |bytes| u128::from_le_bytes(*bytes)))
    }

    /// A number that is spread evenly already, for a table that need not hash it again.
    pub fn spread(self) -> u64 {
        let [_, _, _, _, _, _, _, _, low @ ..] = self.0.to_be_bytes();
        u64::from_be_bytes(low)
    }
}

impl Hash for UpstreamId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.spread());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, transport: Transport, proxy: Option<ProxyProtocol>) -> Upstream {
        Upstream::new(String::new(), Address::Tcp { host: host.into(), port }, transport).announced(proxy)
    }

    #[test]
    fn whatever_leads_elsewhere_or_is_verified_otherwise_is_another_server() {
        let one = tcp("a", 80, Transport::Http1, None);
        assert_eq!(one, tcp("a", 80, Transport::Http1, None));
        let others = [
            tcp("b", 80, Transport::Http1, None),
            tcp("a", 81, Transport::Http1, None),
            tcp("a", 80, Transport::Http2, None),
            tcp("a", 80, Transport::Http1, Some(ProxyProtocol::V1)),
            tcp("a", 80, Transport::Http1, Some(ProxyProtocol::V2)),
            Upstream::new(String::new(), Address::Unix("a".into()), Transport::Http1),
        ];
        for (index, other) in others.iter().enumerate() {
            assert!(*other != one && others.iter().skip(index + 1).all(|next| next != other), "{other:?}");
        }
    }
}
