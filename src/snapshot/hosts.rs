//! Which apps live at a host. In: origins and prefixes once, then host names. Out: a [`Host`]. Two hash look-ups at most,
//! however many apps there are.

use super::paths::Paths;
use crate::model::AppIndex;
use foldhash::HashMap;

/// Every host of the configuration.
#[derive(Debug, Default)]
pub struct Hosts {
    exact: HashMap<Box<str>, Host>,
    wildcard: HashMap<Box<str>, Host>,
}

/// What lives at one host.
#[derive(Debug)]
pub enum Host {
    /// The sign-in.
    Auth,
    /// Apps, by path prefix.
    Apps(Paths<AppIndex>),
}

impl Hosts {
    /// What lives at this lower-case host name (no port), or at the `*.` one level above it.
    pub fn find(&self, host: &str) -> Option<&Host> {
        self.exact.get(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            if self.wildcard.is_empty() { None } else { self.wildcard.get(parent) }
        })
    }

    /// The place for a host as it is configured, with or without a leading `*.`; made where there is none.
    pub fn entry(&mut self, host: &str) -> &mut Host {
        let (map, key) = match host.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, host),
        };
        map.entry(key.into()).or_insert_with(|| Host::Apps(Paths::empty()))
    }
}
