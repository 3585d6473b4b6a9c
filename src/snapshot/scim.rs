//! A provider's directory (SCIM) as requests to it are judged. In: what was compiled. Out: what a token may do. Must never hold a token,
//! only its hash.

use crate::model::directory::Overlay;
use crate::model::{Timestamp, TokenHash};
use subtle::ConstantTimeEq as _;

/// The directory of one provider.
pub struct Scim {
    /// The tokens that are taken.
    pub tokens: Vec<Grant>,
    /// How it is laid over the provider's claims.
    pub overlay: Overlay,
}

/// What a token may do.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The hash of the token.
    pub token: TokenHash,
    /// Until when it is taken.
    pub expires: Option<Timestamp>,
    /// It may look, and change nothing.
    pub read_only: bool,
}

impl Scim {
    /// What the token of this hash may do at this time. How long it takes tells nothing of how much of it is right.
    pub fn grant(&self, token: &TokenHash, now: Timestamp) -> Option<&Grant> {
        let is = |grant: &&Grant| bool::from(grant.token.as_bytes().ct_eq(token.as_bytes()));
        let found = self.tokens.iter().filter(is).fold(None, |_, grant| Some(grant));
        found.filter(|grant| grant.expires.is_none_or(|expires| now < expires))
    }
}
