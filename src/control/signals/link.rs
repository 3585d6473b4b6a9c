//! What is known of a transmitter (SSF 1.0, section 7). In: its configuration here. Out: its own metadata and keys, as last fetched.
//! Must never take the metadata of one transmitter for another's, nor speak to it where others could listen.

use crate::control::oidc::http::{self, Http, is_inside, is_loopback, is_safe};
use crate::control::oidc::jws::Signer;
use crate::control::oidc::keys::{Keys, Unfetched};
use crate::snapshot::Snapshot;
use crate::snapshot::transmitters::Transmitter;
use arc_swap::{ArcSwap, ArcSwapOption};
use openidconnect::JsonWebKeySetUrl;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How often good metadata is fetched again.
const REFRESH: Duration = Duration::from_secs(3600);
/// The longest pause between two tries in vain.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a transmitter says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    jwks_uri: JsonWebKeySetUrl,
    pub(super) configuration_endpoint: Option<Url>,
    pub(super) add_subject_endpoint: Option<Url>,
    pub(super) verification_endpoint: Option<Url>,
    /// `NONE` where it has to be told whom events are wanted of.
    pub(super) default_subjects: Option<String>,
    /// Parts of a subject that must not be passed over.
    #[serde(default)]
    pub(super) critical_subject_members: Vec<String>,
}

/// A transmitter as we reach it. What it was discovered as stays while its address and its authorities do.
#[derive(Debug)]
pub(in crate::control) struct Link {
    pub(super) transmitter: Arc<Transmitter>,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Known {
    http: Http,
    keys: Keys,
    metadata: ArcSwapOption<Metadata>,
}

/// All of them.
#[derive(Default)]
pub(in crate::control) struct Links(ArcSwap<BTreeMap<Arc<str>, Arc<Link>>>);

/// Why a transmitter is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// Nobody answers.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// No keys.
    #[error(transparent)]
    Keys(#[from] Unfetched),
    /// There is something else.
    #[error("it answered {0} when it was asked for its metadata")]
    Status(::http::StatusCode),
    /// It can't be read.
    #[error("its metadata can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It is another one.
    #[error("it says that it is {0}")]
    Another(String),
    /// Others could listen.
    #[error("{0} is not https")]
    Unsafe(Url),
    /// It would have us ask our own network.
    #[error("{0} is an address of this network, and not the transmitter's own")]
    Inside(Url),
}

impl Links {
    /// The transmitter of this name, as it is configured.
    pub(super) fn find(&self, transmitter: &Arc<Transmitter>) -> Option<Arc<Link>> {
        self.0.load().get(&transmitter.name).filter(|link| link.is_of(transmitter)).cloned()
    }

    /// Those of a configuration; with what is known of them already.
    pub(super) fn take_in(&self, snapshot: &Snapshot) -> Vec<Arc<Link>> {
        let mut links = BTreeMap::new();
        for (name, transmitter) in &snapshot.transmitters {
            let known = self.find(transmitter).map_or_else(|| Known::new(transmitter), |link| Ok(Arc::clone(&link.known)));
            match known {
                Ok(known) => {
                    links.insert(Arc::clone(name), Arc::new(Link { transmitter: Arc::clone(transmitter), known }));
                }
                Err(error) => tracing::error!(transmitter = %name, %error, "no client can be made for the transmitter"),
            }
        }
        let all = links.values().cloned().collect();
        self.0.store(Arc::new(links));
        all
    }
}

impl Known {
    fn new(transmitter: &Transmitter) -> Result<Arc<Self>, http::Error> {
        let http = Http::new(transmitter.ca.as_deref(), &transmitter.url)?;
        Ok(Arc::new(Self { http, keys: Keys::default(), metadata: ArcSwapOption::empty() }))
    }
}

impl Link {
    fn is_of(&self, transmitter: &Transmitter) -> bool {
        self.transmitter.issuer == transmitter.issuer && self.transmitter.ca == transmitter.ca
    }

    pub(super) fn http(&self) -> &Http {
        &self.known.http
    }

    /// What it says of itself; nothing before it was reached.
    pub(super) fn metadata(&self) -> Option<Arc<Metadata>> {
        self.known.metadata.load_full()
    }

    /// Whose signature its tokens must have: it announces no algorithms.
    pub(super) fn signer<'a>(&'a self, metadata: &'a Metadata) -> Signer<'a> {
        Signer { keys: &self.known.keys, http: &self.known.http, jwks_uri: &metadata.jwks_uri, announced: None }
    }

    /// Fetches metadata and keys, again and again.
    pub(super) async fn keep_discovering(self: Arc<Self>) {
        let (name, mut pause) = (&self.transmitter.name, Duration::from_secs(1));
        loop {
            match self.discover().await {
                Ok(()) => {
                    pause = Duration::from_secs(1);
                    tokio::time::sleep(REFRESH).await;
                }
                Err(error) => {
                    tracing::warn!(transmitter = %name, %error, "the transmitter can't be discovered; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn discover(&self) -> Result<(), Unknown> {
        let answer = self.known.http.fetch(&well_known(&self.transmitter.url), None).await?;
        if answer.status() != ::http::StatusCode::OK {
            return Err(Unknown::Status(answer.status()));
        }
        let metadata: Metadata = serde_json::from_slice(answer.body())?;
        check(&metadata, &self.transmitter)?;
        self.known.keys.fetch(&self.known.http, &metadata.jwks_uri).await?;
        if self.known.metadata.swap(Some(Arc::new(metadata))).is_none() {
            tracing::info!(transmitter = %self.transmitter.name, "discovered");
        }
        Ok(())
    }
}

/// The metadata is of the transmitter that was asked, and nothing that it names can be listened to, or is ours alone to ask.
fn check(metadata: &Metadata, transmitter: &Transmitter) -> Result<(), Unknown> {
    if metadata.issuer != transmitter.issuer {
        return Err(Unknown::Another(metadata.issuer.clone()));
    }
    let Metadata { configuration_endpoint, add_subject_endpoint, verification_endpoint, .. } = metadata;
    let endpoints = [configuration_endpoint, add_subject_endpoint, verification_endpoint].into_iter().flatten();
    endpoints.chain([metadata.jwks_uri.url()]).try_for_each(|url| match url {
        url if !is_safe(url) => Err(Unknown::Unsafe(url.clone())),
        url if !may_name(&transmitter.url, url) => Err(Unknown::Inside(url.clone())),
        _ => Ok(()),
    })
}

/// Whether whoever is at `issuer` may have us ask there: a stranger must not reach by us what only this machine and its network can.
fn may_name(issuer: &Url, endpoint: &Url) -> bool {
    is_loopback(issuer) || issuer.host() == endpoint.host() || !is_inside(endpoint)
}

/// Whether events may be fetched at an address that whoever is at `issuer` has named.
pub(super) fn may_poll(issuer: &Url, address: &str) -> bool {
    Url::parse(address).is_ok_and(|address| is_safe(&address) && may_name(issuer, &address))
}

/// Where its metadata is: between the host and the path of its issuer (section 7.2.1).
fn well_known(issuer: &Url) -> String {
    format!("{}/.well-known/ssf-configuration{}", issuer.origin().ascii_serialization(), issuer.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_transmitter_elsewhere_names_no_address_of_this_network() {
        let url = |host: &str| Url::parse(&format!("https://{host}/x")).unwrap();
        for inside in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[::127.0.0.1]",
            "[64:ff9b::a00:1]",
            "[64:ff9b:1::a00:1]",
            "[2002:a00:1::1]",
            "[fec0::1]",
            "[feff::1]",
            "192.0.0.8",
            "198.18.0.1",
            "198.19.255.1",
            "240.0.0.1",
            "localhost",
            "a.localhost",
            "localhost.",
        ] {
            assert!(!may_name(&url("tr.example"), &url(inside)), "{inside}");
            assert!(!may_name(&url("192.0.2.7"), &url(inside)), "{inside}");
            assert!(may_name(&url("127.0.0.1:8443"), &url(inside)), "what is on this machine may name it: {inside}");
            assert!(may_name(&url(inside), &url(inside)), "its own: {inside}");
        }
        for outside in [
            "tr.example",
            "keys.tr.example:8443",
            "192.0.2.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "172.32.0.1",
            "[2001:db8::1]",
            "[2003::1]",
            "[::ffff:192.0.2.1]",
        ] {
            assert!(may_name(&url("tr.example"), &url(outside)), "{outside}");
        }
    }

    #[test]
    fn metadata_is_between_the_host_and_the_path() {
        for (issuer, expected) in [
            ("https://tr.example", "https://tr.example/.well-known/ssf-configuration"),
            ("https://tr.example/", "https://tr.example/.well-known/ssf-configuration"),
            ("https://tr.example:8443/realms/a/", "https://tr.example:8443/.well-known/ssf-configuration/realms/a"),
        ] {
            assert_eq!(well_known(&Url::parse(issuer).unwrap()), expected);
        }
    }
}
