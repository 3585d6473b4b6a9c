//! Where everything of the demo is: ports, host names, URLs.
//!
//! In: the port that people type. Out: the addresses and URLs derived from it, the same for every part of the demo.
//! It must never name an address beyond loopback.

use std::net::{Ipv4Addr, SocketAddr};

/// The client id that Doorward has at the demo identity provider.
pub(super) const CLIENT_ID: &str = "doorward";

/// The host names that the server certificate is for, the wildcard and the address aside.
pub(super) const HOSTS: [&str; 4] = ["wiki.localhost", "payroll.localhost", "login.localhost", "localhost"];

/// The demo's place: six consecutive ports on loopback.
#[derive(Clone, Copy)]
pub(super) struct Site {
    port: u16,
}

impl Site {
    /// The site whose public port is `port`, unless the ports after it do not exist.
    pub(super) fn at(port: u16) -> Option<Self> {
        (port > 0 && port.checked_add(5).is_some()).then_some(Self { port })
    }

    pub(super) fn https(self) -> SocketAddr {
        self.address(0)
    }

    /// The listener that only redirects to HTTPS.
    pub(super) fn http(self) -> SocketAddr {
        self.address(1)
    }

    pub(super) fn admin(self) -> SocketAddr {
        self.address(2)
    }

    pub(super) fn idp(self) -> SocketAddr {
        self.address(3)
    }

    pub(super) fn wiki(self) -> SocketAddr {
        self.address(4)
    }

    pub(super) fn payroll(self) -> SocketAddr {
        self.address(5)
    }

    /// The public URL of `wiki`, `payroll` or `login`: also its origin, without a trailing slash.
    pub(super) fn url(self, name: &str) -> String {
        format!("https://{name}.localhost:{}", self.port)
    }

    /// The identity provider's issuer.
    pub(super) fn issuer(self) -> String {
        format!("http://{}", self.idp())
    }

    fn address(self, offset: u16) -> SocketAddr {
        // `at` made sure that there is nothing to saturate.
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.saturating_add(offset)))
    }
}
