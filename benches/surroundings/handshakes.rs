//! A client that shakes hands in full for every request: wrk and h2load resume sessions when they connect again. In: an address, and
//! a request on standard input that asks to close. Out: one line with what was measured, in the form of `summary.lua`.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

struct Client {
    connector: TlsConnector,
    address: SocketAddr,
    name: ServerName<'static>,
    request: String,
    until: Instant,
}

/// What one or all loops saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    errors: u64,
}

pub(super) fn run(address: SocketAddr, name: &str, connections: usize, seconds: u64) {
    let begun = Instant::now();
    let client = Arc::new(Client {
        connector: TlsConnector::from(Arc::new(tls())),
        address,
        name: ServerName::try_from(name.to_owned()).unwrap(),
        request: io::read_to_string(io::stdin()).unwrap(),
        until: begun + Duration::from_secs(seconds),
    });
    let seen = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let loops: Vec<_> = (0..connections).map(|_| tokio::spawn(again_and_again(Arc::clone(&client)))).collect();
        let mut all = Seen::default();
        for each in loops {
            let seen = each.await.unwrap();
            all.latencies.extend(seen.latencies);
            all.errors += seen.errors;
        }
        all
    });
    report(seen, begun.elapsed());
}

fn report(mut seen: Seen, took: Duration) {
    seen.latencies.sort_unstable();
    let count = seen.latencies.len();
    let percentile = |percent: usize| seen.latencies.get(count * percent / 100).map_or(0, Duration::as_micros);
    println!("RESULT {count} {} {} {} {}", took.as_micros(), percentile(50), percentile(99), seen.errors);
}

async fn again_and_again(client: Arc<Client>) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < client.until {
        let begun = Instant::now();
        match once(&client).await {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 200") => seen.latencies.push(begun.elapsed()),
            _ => seen.errors += 1,
        }
    }
    seen
}

async fn once(client: &Client) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(client.address).await?;
    stream.set_nodelay(true)?;
    let mut stream = client.connector.connect(client.name.clone(), stream).await?;
    stream.write_all(client.request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(2048);
    match stream.read_to_end(&mut answer).await {
        // Some servers close the connection without saying so in TLS; the answer has a length of its own.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

/// TLS 1.3 with the key exchange and the cipher that wrk and nginx agree on, and never a second time with the same secrets.
pub(super) fn tls() -> ClientConfig {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// Takes every certificate, as wrk and h2load do: what a client checks is not measured.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
