//! Who asks. In: a token, an address. Out: the provider whose directory it is, and what the token may do. Must never tell how near a
//! wrong token was, nor let anybody fill the log by trying.

use super::fault::Fault;
use crate::clock;
use crate::model::{ProviderName, TokenHash};
use crate::snapshot::Snapshot;
use crate::snapshot::scim::Grant;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use moka::sync::Cache;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How many requests without a good token an address has in a minute before it is told to wait.
const MOST: u32 = 20;

/// Requests without a good token, by address; forgotten after a minute.
pub(super) struct Attempts(Cache<IpAddr, Arc<AtomicU32>>);

/// Whoever has a token.
pub(super) struct Caller<'a> {
    pub(super) provider: &'a ProviderName,
    pub(super) grant: &'a Grant,
}

impl Default for Attempts {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(60)).build())
    }
}

impl Attempts {
    /// The caller; a good token is taken from an address that has shown bad ones too.
    pub(super) fn caller<'s>(&self, snapshot: &'s Snapshot, headers: &HeaderMap, client: IpAddr) -> Result<Caller<'s>, Fault> {
        caller(snapshot, headers).ok_or_else(|| {
            let count = self.0.get_with(network(client), Arc::default).fetch_add(1, Ordering::Relaxed);
            match count {
                0..MOST => {
                    tracing::warn!(%client, "a request to a directory has no good token");
                    Fault::Unauthorized
                }
                _ => Fault::TooManyAttempts,
            }
        })
    }
}

fn caller<'s>(snapshot: &'s Snapshot, headers: &HeaderMap) -> Option<Caller<'s>> {
    let sent = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = sent.split_at_checked(7)?;
    let token = scheme.eq_ignore_ascii_case(b"Bearer ").then(|| TokenHash::of(token))?;
    let now = clock::now();
    let of = |provider: &'s crate::snapshot::Provider| {
        let grant = provider.scim.as_ref()?.grant(&token, now)?;
        Some(Caller { provider: &provider.name, grant })
    };
    // Every provider is asked, whoever it is.
    snapshot.providers.values().filter_map(of).fold(None, |_, caller| Some(caller))
}

impl Caller<'_> {
    /// What tells the token from others in the audit trail, and is no help to whoever reads it.
    pub(super) fn token(&self) -> String {
        self.grant.token.as_bytes().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A subscriber of IPv6 has a whole network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
