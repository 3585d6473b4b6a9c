//! Certificates. In: PEM files. Out: server configurations by the names in the certificates. Must never allow early data:
//! it can be replayed.

mod devices;

use super::file;
use super::findings::{Findings, Wrong};
use super::place::Place;
use super::sources::Sources;
use crate::model::TokenHash;
use crate::snapshot::tls::Tls;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use webpki::EndEntityCert;

/// All certificates of the file; nothing, and at least one error, when any can't be used.
pub(super) fn compile(file: &file::File, sources: &mut Sources, findings: &mut Findings) -> Option<Tls> {
    let tls = &file.tls;
    let top = Place::root().key("tls").key("certificates");
    if tls.certificates.is_empty() {
        findings.error(&top, Wrong::new("no certificate", "list at least one: `- { cert: PATH, key: PATH }`"));
    }
    let provider = Arc::new(default_provider());
    let devices = devices::compile(file, &provider, sources, findings);
    let clients = Clients::of(devices.as_ref());
    let clients = findings.take(&Place::root().key("tls"), clients.map_err(|error| Wrong::plain(error.to_string())))?;
    let mut loader = Loader { sources, findings, provider, clients };
    let mut names = Names::default();
    let mut all = Vec::new();
    for (index, certificate) in tls.certificates.iter().enumerate() {
        let place = top.index(index);
        let loaded = loader.load(certificate, &place);
        if let Some((config, found)) = &loaded {
            names.add(found, config, &place, loader.findings);
        }
        all.push(loaded);
    }
    let all: Vec<_> = all.into_iter().collect::<Option<_>>()?;
    let (default, _) = all.into_iter().next()?;
    let devices = devices.map(|asked| asked.authorities);
    Some(Tls { exact: names.exact, wildcard: names.wildcard, default, devices })
}

/// The certificates in a PEM text.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

struct Loader<'a> {
    sources: &'a mut Sources,
    findings: &'a mut Findings,
    provider: Arc<CryptoProvider>,
    clients: Clients,
}

impl Loader<'_> {
    /// A server configuration and the names that it is for.
    fn load(&mut self, certificate: &file::Certificate, place: &Place) -> Option<(Arc<ServerConfig>, Vec<String>)> {
        let (at_cert, at_key) = (place.key("cert"), place.key("key"));
        let chain = chain(&certificate.cert, self.sources);
        let chain = self.findings.take(&at_cert, chain);
        let key = key(&certificate.key, self.sources);
        let key = self.findings.take(&at_key, key);
        warn_of_open_key(&certificate.key, &at_key, self.sources, self.findings);
        let (chain, key) = chain.zip(key)?;
        let names = self.findings.take(&at_cert, names(&chain))?;
        let certified = CertifiedKey::from_der(chain, key, &self.provider);
        let certified =
            self.findings.take(&at_key, certified.map_err(|error| mismatch(&error, &certificate.cert, &certificate.key)));
        let config = certified.map(|certified| server_config(certified, &self.provider, &self.clients))?;
        let config = self.findings.take(place, config.map_err(|error| Wrong::plain(error.to_string())));
        Some((Arc::new(config?), names))
    }
}

/// The certificates in a file, at least one.
pub(super) fn chain(name: &str, sources: &mut Sources) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let pem = read(name, sources)?;
    match certificates(&pem) {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(Wrong::plain(format!("`{name}` has no certificate in PEM form"))),
        Err(error) => Err(Wrong::plain(format!("`{name}` is not PEM: {error}"))),
    }
}

/// The private key in a file.
pub(super) fn key(name: &str, sources: &mut Sources) -> Result<PrivateKeyDer<'static>, Wrong> {
    let pem = read(name, sources)?;
    // The parser's own message could quote the key.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| Wrong::plain(format!("`{name}` has no private key in PEM form")))
}

fn read(name: &str, sources: &mut Sources) -> Result<Vec<u8>, Wrong> {
    sources.read(name).map_err(|error| Wrong::plain(format!("can't read `{name}`: {error}")))
}

/// Private means private.
pub(super) fn warn_of_open_key(name: &str, place: &Place, sources: &Sources, findings: &mut Findings) {
    if sources.is_open_to_all(name) {
        let wrong = Wrong::new(format!("everybody on this machine can read `{name}`"), "take that away: `chmod o-rwx`");
        findings.warning(place, wrong);
    }
}

/// Why a key can't be used with its certificate.
pub(super) fn mismatch(error: &rustls::Error, cert: &str, key: &str) -> Wrong {
    match error {
        rustls::Error::InconsistentKeys(_) => Wrong::plain(format!("`{key}` is not the key of `{cert}`")),
        _ => Wrong::plain(format!("`{key}` can't be used: {error}")),
    }
}

/// The DNS names in the subject alternative names (RFC 6125), in lower case.
fn names(chain: &[CertificateDer<'_>]) -> Result<Vec<String>, Wrong> {
    let first = chain.first().ok_or_else(|| Wrong::plain("no certificate"))?;
    let parsed = EndEntityCert::try_from(first).map_err(|error| Wrong::plain(format!("not a certificate: {error}")))?;
    Ok(parsed.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

fn server_config(
    certified: CertifiedKey,
    provider: &Arc<CryptoProvider>,
    clients: &Clients,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_client_cert_verifier(Arc::clone(&clients.verifier)).with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Arc::clone(&clients.ticketer);
    Ok(config)
}

/// What clients are asked for, and how their sessions go on.
struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    ticketer: Arc<dyn ProducesTickets>,
}

impl Clients {
    fn of(asked: Option<&devices::Asked>) -> Result<Self, rustls::Error> {
        let ticketer = ticketer(asked.map(|asked| asked.material))?;
        let nobody = || WebPkiClientVerifier::no_client_auth();
        Ok(Self { verifier: asked.map_or_else(nobody, |asked| Arc::clone(&asked.verifier)), ticketer })
    }
}

/// One for the process, so that tickets stay good over reloads; its keys turn every six hours. Another one when clients are asked
/// for something else: a ticket of before would go on without the certificate that nobody asked for.
fn ticketer(asked: Option<TokenHash>) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    type Made = (Option<TokenHash>, Arc<dyn ProducesTickets>);
    static LAST: Mutex<Option<Made>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((of, ticketer)) if *of == asked => Ok(Arc::clone(ticketer)),
        _ => Ok(Arc::clone(&last.insert((asked, Ticketer::new()?)).1)),
    }
}

#[derive(Default)]
struct Names {
    exact: HashMap<Box<str>, Arc<ServerConfig>>,
    wildcard: HashMap<Box<str>, Arc<ServerConfig>>,
}

impl Names {
    /// The first certificate that has a name keeps it.
    fn add(&mut self, names: &[String], config: &Arc<ServerConfig>, place: &Place, findings: &mut Findings) {
        let place = place.key("cert");
        if names.is_empty() {
            let wrong = Wrong::plain("the certificate has no DNS name (subject alternative name); browsers refuse it");
            findings.warning(&place, wrong);
        }
        for name in names {
            let (map, key) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, &**name),
            };
            if map.contains_key(key) {
                let wrong = Wrong::plain(format!("a certificate before this one is for `{name}` already"));
                findings.warning(&place, wrong);
            } else {
                map.insert(key.into(), config.clone());
            }
        }
    }
}
