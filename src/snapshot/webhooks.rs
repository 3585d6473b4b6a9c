//! Who is told of locks and revocations. In: what the configuration says. Out: addresses, secrets and kinds. Must never print a
//! secret, nor the path of an address, which may be one.

use crate::model::TokenHash;
use crate::model::notice::Kind;
use std::fmt;
use url::Url;
use zeroize::Zeroizing;

/// One who is told.
pub struct Webhook {
    /// Where: https, or http on this machine.
    pub url: Url,
    /// What signs.
    pub key: Zeroizing<Vec<u8>>,
    /// Of what.
    pub kinds: Vec<Kind>,
}

impl Webhook {
    /// What names the address without giving it away.
    pub fn name(&self) -> String {
        TokenHash::of(self.url.as_str().as_bytes()).encode()
    }
}

/// For logs.
impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url.origin().ascii_serialization())
    }
}
