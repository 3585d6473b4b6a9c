//! TLS for an app. In: what it offers to speak. Out: a server's side, and the line of the configuration that trusts it. Must never
//! use a certificate that another one would be trusted by.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// An authority of its own, and a certificate for this machine.
pub(crate) struct Secure {
    folder: TempDir,
    acceptor: TlsAcceptor,
}

impl Secure {
    pub(crate) fn new(protocols: &[&[u8]]) -> Arc<Self> {
        // Only the first test of a process can.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let (folder, ca_key, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(folder.path().join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(Self { folder, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Has this one trusted; with more keys.
    pub(crate) fn trusted(&self, more: &str) -> String {
        format!("    upstream_tls: {{ ca: '{}'{more} }}\n", self.folder.path().join("ca.pem").display())
    }

    /// Where the certificate of the authority is.
    pub(crate) fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// A connection, unless the other side does not trust it.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await.ok()
    }
}
