//! Consistent hashing (ketama, as nginx and pingora do it). In: names and weights. Out: for every key the servers in the order in
//! which it tries them. Must never depend on the order of the list: another replica, or a reload, must send a key the same way.

use crate::model::TokenHash;
use pingora_ketama::{Bucket, Continuum};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

/// The ring.
pub struct Ring {
    points: Continuum,
    servers: usize,
}

impl Ring {
    /// A ring of servers, each with its name and its weight; at most 64.
    pub fn new<'a>(servers: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let buckets: Vec<Bucket> = servers.zip(0..64).map(|((name, weight), index)| bucket(name, weight, index)).collect();
        Self { points: Continuum::new(&buckets), servers: buckets.len() }
    }

    /// Every server once: the one that the key belongs to, then whose it would be without those before.
    pub fn from(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let (mut point, mut seen) = (self.points.node_idx(key), 0_u64);
        let walk = move || {
            while let Some(SocketAddr::V6(node)) = self.points.get_addr(&mut point) {
                let index = node.scope_id();
                if seen & (1 << index) == 0 {
                    seen |= 1 << index;
                    return usize::try_from(index).ok();
                }
            }
            None
        };
        std::iter::from_fn(walk).take(self.servers)
    }
}

/// The ring takes addresses for names: these are digests of ours. It does not look at the scope, which carries the index.
fn bucket(name: &str, weight: u32, index: u32) -> Bucket {
    let digest = TokenHash::of(name.as_bytes());
    let [address @ .., low, high] = digest.as_bytes().first_chunk::<18>().copied().unwrap_or_default();
    let node = SocketAddrV6::new(Ipv6Addr::from(address), u16::from_le_bytes([low, high]), 0, index);
    Bucket::new(node.into(), weight.max(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn ring(servers: &[(String, u32)]) -> Ring {
        Ring::new(servers.iter().map(|(name, weight)| (&**name, *weight)))
    }

    /// Whose a key is.
    fn owner(servers: &[(String, u32)], ring: &Ring, key: u64) -> String {
        servers[ring.from(&key.to_le_bytes()).next().unwrap()].0.clone()
    }

    fn servers() -> impl Strategy<Value = Vec<(String, u32)>> {
        prop::collection::btree_map("[a-z]{6}", 1_u32..5, 2..8).prop_map(|all| all.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_server_that_goes_takes_no_keys_of_others_along(servers in servers(), gone in any::<prop::sample::Index>(), first in any::<u64>()) {
            let gone = gone.index(servers.len());
            let mut fewer = servers.clone();
            fewer.remove(gone);
            let (all, rest) = (ring(&servers), ring(&fewer));
            for key in (0..500).map(|n: u64| first.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15))) {
                let order: Vec<usize> = all.from(&key.to_le_bytes()).collect();
                prop_assert_eq!(order.len(), servers.len());
                let left = order.iter().find(|index| **index != gone).unwrap();
                prop_assert_eq!(&servers[*left].0, &owner(&fewer, &rest, key), "down or gone, the same one steps in");
            }
        }

        #[test]
        fn the_order_of_the_list_does_not_matter(servers in servers(), key in any::<u64>()) {
            let mut turned = servers.clone();
            turned.reverse();
            prop_assert_eq!(owner(&servers, &ring(&servers), key), owner(&turned, &ring(&turned), key));
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        let servers =
            [("http://10.0.0.1:80".to_owned(), 1), ("http://10.0.0.2:80".to_owned(), 2), ("http://10.0.0.3:80".to_owned(), 5)];
        let (ring, mut shares) = (ring(&servers), [0_usize; 3]);
        for key in 0..80_000_u64 {
            shares[ring.from(&key.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).next().unwrap()] += 1;
        }
        for (share, fair) in shares.into_iter().zip([10_000, 20_000, 50_000]) {
            assert!(share.abs_diff(fair) < fair / 4, "{shares:?}");
        }
    }
}
