//! The public door of a proxy: where it listens and what vouches for it. In: a port and certificates. Out: URLs, and whatever
//! comes in by it. Must never trust another certificate.

use super::browser::Browser;
use rustls::RootCertStore;
use std::sync::Arc;

/// A door on loopback.
pub(crate) struct Entrance {
    pub(crate) port: u16,
    pub(crate) roots: Arc<RootCertStore>,
    /// The hosts that it has a certificate for.
    pub(crate) hosts: Vec<&'static str>,
}

impl Entrance {
    /// `host:port`.
    pub(crate) fn authority(&self, host: &str) -> String {
        format!("{host}:{}", self.port)
    }

    /// `https://host:port/path`.
    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        format!("https://{}{path}", self.authority(host))
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }
}
