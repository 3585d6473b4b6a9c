//! `upstream_tls:`. In: names of files. Out: what is needed to verify a server, and to be verified by it. Must never make a
//! client that does without verification: an empty name, an empty file, or a system without authorities is an error.

use super::super::Context;
use crate::control::config::file::upstream::UpstreamTls;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::control::config::tls::{chain, key, mismatch, warn_of_open_key};
use crate::model::TokenHash;
use crate::snapshot::upstream::Tls;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use url::Host;

/// How many TLS sessions an app with a block of its own remembers, for a handful of servers.
const SESSIONS: usize = 32;

/// Whom the servers of an app are trusted as.
pub(super) struct Trust {
    /// In place of the host.
    name: Option<ServerName<'static>>,
    /// Without one, a client that all apps share.
    own: Option<Client>,
    http2: bool,
}

/// A client, and a digest of all that it was made from.
#[derive(Clone)]
pub(in crate::control::config::compile) struct Client {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    material: TokenHash,
}

/// The authorities that vouch for servers, and their certificates one after the other.
struct Authorities {
    roots: RootCertStore,
    written: Vec<u8>,
}

/// A certificate to show, and all that it was made from.
type Shown = (Arc<SingleCertAndKey>, Vec<u8>);

/// Reads the block; nothing after an error.
pub(super) fn compile(block: Option<&UpstreamTls>, place: &Place, context: &mut Context<'_>) -> Option<Trust> {
    let Some(block) = block else {
        return Some(Trust { name: None, own: None, http2: false });
    };
    let name = context.findings.take(&place.key("name"), block.name.as_deref().map(server_name).transpose());
    let authorities = match &block.ca {
        Some(ca) => {
            let read = authorities(ca, context);
            context.findings.take(&place.key("ca"), read)
        }
        None => system_authorities(place, context),
    };
    let shown = shown(block, place, context);
    let own = client(authorities?, shown?, SESSIONS);
    let own = context.findings.take(place, own);
    Some(Trust { name: name?, own: Some(own?), http2: block.http2 })
}

impl Trust {
    /// TLS towards one of the servers.
    pub(super) fn towards(&self, host: &Host, place: &Place, context: &mut Context<'_>) -> Option<Tls> {
        let name = match &self.name {
            Some(pinned) => pinned.clone(),
            None => context.findings.take(place, host_name(host))?,
        };
        let client = match &self.own {
            Some(own) => own.clone(),
            None => shared(place, context)?,
        };
        let http2 = self.http2.then_some(client.http2);
        Some(Tls { http1: client.http1, http2, name, material: client.material })
    }
}

/// The client of all apps that have no block; made once for a file.
fn shared(place: &Place, context: &mut Context<'_>) -> Option<Client> {
    if context.shared_client.is_none() {
        let authorities = system_authorities(place, context)?;
        let made = client(authorities, None, 8 * SESSIONS);
        context.shared_client = context.findings.take(place, made);
    }
    context.shared_client.clone()
}

fn client(authorities: Authorities, shown: Option<Shown>, sessions: usize) -> Result<Client, Wrong> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    let builder = builder.map_err(|error| Wrong::plain(error.to_string()))?.with_root_certificates(authorities.roots);
    let mut written = authorities.written;
    let mut config = match shown {
        Some((shown, of)) => {
            written.extend(TokenHash::of(&of).as_bytes());
            builder.with_client_cert_resolver(shown)
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(sessions);
    let offering = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    };
    let (http1, http2) = (offering(&[b"http/1.1"]), offering(&[b"h2", b"http/1.1"]));
    Ok(Client { http1, http2, material: TokenHash::of(&written) })
}

fn authorities(name: &str, context: &mut Context<'_>) -> Result<Authorities, Wrong> {
    let unusable = |error| Wrong::plain(format!("`{name}` has a certificate that can't be used: {error}"));
    let mut authorities = Authorities { roots: RootCertStore::empty(), written: Vec::new() };
    for certificate in chain(name, context.sources)? {
        authorities.written.extend(certificate.as_ref());
        authorities.roots.add(certificate).map_err(unusable)?;
    }
    Ok(authorities)
}

/// Those that the system trusts; what of them can't be used is left out.
fn system_authorities(place: &Place, context: &mut Context<'_>) -> Option<Authorities> {
    let certificates: Vec<CertificateDer<'static>> = rustls_native_certs::load_native_certs().certs;
    let written = certificates.iter().flat_map(|certificate| certificate.as_ref()).copied().collect();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        let help = "install the package `ca-certificates`, or name a file under `upstream_tls.ca`";
        context.findings.error(place, Wrong::new("this machine trusts no certificate authority", help));
        return None;
    }
    Some(Authorities { roots, written })
}

/// The certificate for the servers, if there is to be one; nothing after an error.
fn shown(block: &UpstreamTls, place: &Place, context: &mut Context<'_>) -> Option<Option<Shown>> {
    let (cert, at) = match (&block.cert, &block.key) {
        (None, None) => return Some(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return missing("key", place, context),
        (None, Some(_)) => return missing("cert", place, context),
    };
    let chain = chain(cert, context.sources);
    let chain = context.findings.take(&place.key("cert"), chain);
    let secret = key(at, context.sources);
    let secret = context.findings.take(&place.key("key"), secret);
    warn_of_open_key(at, &place.key("key"), context.sources, context.findings);
    let (chain, secret) = chain.zip(secret)?;
    let mut written = chain.iter().flat_map(|certificate| certificate.as_ref()).copied().collect::<Vec<_>>();
    written.extend(secret.secret_der());
    let certified = CertifiedKey::from_der(chain, secret, &default_provider());
    let certified = context.findings.take(&place.key("key"), certified.map_err(|error| mismatch(&error, cert, at)))?;
    Some(Some((Arc::new(SingleCertAndKey::from(certified)), written)))
}

fn missing<T>(what: &str, place: &Place, context: &mut Context<'_>) -> Option<T> {
    context.findings.error(place, Wrong::plain(format!("`cert` and `key` belong together, and there is no `{what}`")));
    None
}

fn server_name(text: &str) -> Result<ServerName<'static>, Wrong> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| Wrong::new("not a name that a certificate can be for", "as in `payroll.internal`, or an address"))
}

fn host_name(host: &Host) -> Result<ServerName<'static>, Wrong> {
    match host {
        Host::Domain(name) => server_name(name),
        Host::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
    }
}
