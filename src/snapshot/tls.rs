//! Which certificate a name gets. In: compiled server configurations. Out: one for a server name (RFC 6066, section 3).

use super::devices::DeviceAuthorities;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::sync::Arc;

/// Server configurations by the names of their certificates.
#[derive(Clone, Debug)]
pub struct Tls {
    /// By full lower-case name.
    pub exact: HashMap<Box<str>, Arc<ServerConfig>>,
    /// By what follows `*.`.
    pub wildcard: HashMap<Box<str>, Arc<ServerConfig>>,
    /// For a name that no certificate has, and for clients that send none: the first certificate of the file.
    pub default: Arc<ServerConfig>,
    /// Who vouches for devices; nobody is asked for a certificate where there is none.
    pub devices: Option<Arc<DeviceAuthorities>>,
}

impl Tls {
    /// The configuration for a server name.
    pub fn find(&self, name: Option<&str>) -> &Arc<ServerConfig> {
        let found = name.and_then(|name| {
            let wildcard = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
            self.exact.get(name).or_else(wildcard)
        });
        found.unwrap_or(&self.default)
    }
}
