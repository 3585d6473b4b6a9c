//! Where an app or the sign-in lives: scheme, host and port. In: a configured URL. Out: an [`Origin`] (RFC 6454).

use std::fmt;

/// `https://wiki.corp.example` or `https://wiki.localhost:8443`. The host is lower case and in its ASCII form; a
/// leading `*.` stands for exactly one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    /// An https origin. The host must be lower case already.
    pub fn https(host: String, port: u16) -> Self {
        Self { host, port }
    }

    /// The host without the port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 is not written in [`Self::authority`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host` or `host:port`, as browsers write it into `Host`.
    pub fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}
