//! Discovery (OpenID Connect Discovery 1.0): in the background, for every configured provider, for as long as it is configured.
//! In: the snapshot. Out: metadata and keys as last known. Must never hold up the start, nor forget what was good.

use super::Error;
use super::http::{Http, is_safe};
use super::jws::{Signed, Signer, Unsound};
use super::keys::Keys;
use crate::model::ProviderName;
use crate::snapshot::{Provider, Snapshot};
use crate::telemetry::metrics::control::ControlMetrics;
use arc_swap::{ArcSwap, ArcSwapOption};
use openidconnect::IssuerUrl;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, LogoutProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often a good discovery is refreshed.
const REFRESH: Duration = Duration::from_secs(3600);
/// The longest pause between two failed ones.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a login waits for the first answer of a provider, right after the start.
const FIRST_TRY: Duration = Duration::from_secs(3);

/// A provider's metadata, with what RP-Initiated Logout and RFC 9207 add.
pub(super) type Metadata = ProviderMetadata<
    LogoutProviderMetadata<Extra>,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// RFC 9207, section 3.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Extra {
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Extra {}

/// A configured provider, for the readiness page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Its name.
    pub name: ProviderName,
    /// Whether it has been discovered, so that people can sign in.
    pub discovered: bool,
}

/// What is known of every provider.
pub(in crate::control) struct Directory {
    issuers: ArcSwap<BTreeMap<ProviderName, Arc<Issuer>>>,
    metrics: ControlMetrics,
}

/// One issuer as we reach it. What it was discovered as stays while its configuration does.
#[derive(Debug)]
pub(super) struct Issuer {
    url: IssuerUrl,
    ca: Option<Vec<u8>>,
    pub(super) http: Http,
    pub(super) keys: Keys,
    metadata: ArcSwapOption<Metadata>,
    tried: watch::Sender<bool>,
}

impl Issuer {
    fn new(provider: &Provider) -> Result<Self, super::http::Error> {
        Ok(Self {
            url: provider.issuer.clone(),
            ca: provider.ca.clone(),
            http: Http::new(provider.ca.as_deref(), provider.issuer.url())?,
            keys: Keys::default(),
            metadata: ArcSwapOption::empty(),
            tried: watch::Sender::new(false),
        })
    }

    /// The metadata as last discovered.
    pub(super) fn metadata(&self) -> Result<Arc<Metadata>, Error> {
        self.metadata.load_full().ok_or(Error::Undiscovered)
    }

    fn is_of(&self, provider: &Provider) -> bool {
        self.url == provider.issuer && self.ca == provider.ca
    }

    async fn discover(&self) -> Result<(), Error> {
        let issuer = self.url.as_str().trim_end_matches('/');
        let answer = self.http.fetch(&format!("{issuer}/.well-known/openid-configuration"), None).await?;
        let metadata: Metadata =
            serde_json::from_slice(answer.body()).map_err(|error| Error::Unreadable(format!("the metadata: {error}")))?;
        check(&metadata, &self.url)?;
        self.keys.fetch(&self.http, metadata.jwks_uri()).await?;
        self.metadata.store(Some(Arc::new(metadata)));
        Ok(())
    }
}

/// The issuer is the one that was asked, and every endpoint is safe to talk to.
fn check(metadata: &Metadata, issuer: &IssuerUrl) -> Result<(), Error> {
    let (asked, said) = (issuer.as_str(), metadata.issuer().as_str());
    if said != asked {
        return Err(Error::Unreadable(format!("it says that it is {said}, not {asked}")));
    }
    let token = metadata.token_endpoint().ok_or_else(|| Error::Unreadable("it has no token endpoint".to_owned()))?;
    let required = [metadata.authorization_endpoint().url(), token.url(), metadata.jwks_uri().url()];
    let end_session = metadata.additional_metadata().end_session_endpoint.as_ref();
    let optional = metadata.userinfo_endpoint().map(|e| e.url()).into_iter().chain(end_session.map(|e| e.url()));
    match required.into_iter().chain(optional).find(|url| !is_safe(url)) {
        Some(url) => Err(Error::Unreadable(format!("{url} is not https"))),
        None => Ok(()),
    }
}

impl Directory {
    /// Nothing known yet.
    pub(in crate::control) fn new(metrics: ControlMetrics) -> Self {
        Self { issuers: ArcSwap::default(), metrics }
    }

    /// What is known of this provider as it is configured.
    pub(super) fn find(&self, provider: &Provider) -> Result<Arc<Issuer>, Error> {
        let issuers = self.issuers.load();
        let issuer = issuers.get(&provider.name).filter(|issuer| issuer.is_of(provider));
        issuer.cloned().ok_or(Error::Undiscovered)
    }

    /// The claims of a token, where this provider has signed them; nothing while it is not known.
    pub(in crate::control) async fn signed_by(
        &self,
        provider: &Provider,
        signed: Signed<'_>,
    ) -> Option<Result<Map<String, Value>, Unsound>> {
        let issuer = self.find(provider).ok()?;
        let metadata = issuer.metadata().ok()?;
        let announced = Some(metadata.id_token_signing_alg_values_supported().as_slice());
        let signer = Signer { keys: &issuer.keys, http: &issuer.http, jwks_uri: metadata.jwks_uri(), announced };
        Some(signed.by(signer).await)
    }

    /// Waits until the provider has been asked once, whatever came of it; never long.
    pub(super) async fn tried(&self, provider: &Provider) {
        let tried = async {
            loop {
                match self.find(provider) {
                    Ok(issuer) => return drop(issuer.tried.subscribe().wait_for(|tried| *tried).await),
                    // A new configuration is about to be taken in.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        // Without an answer in time the provider counts as down.
        drop(tokio::time::timeout(FIRST_TRY, tried).await);
    }

    /// Every configured provider, discovered or not.
    pub(in crate::control) fn status(&self, snapshot: &Snapshot) -> Vec<ProviderStatus> {
        let discovered = |provider: &Provider| self.find(provider).and_then(|issuer| issuer.metadata()).is_ok();
        let status = |provider: &Provider| ProviderStatus { name: provider.name.clone(), discovered: discovered(provider) };
        snapshot.providers.values().map(status).collect()
    }

    /// Discovers for ever, each provider by itself; starts again when the configuration changes.
    pub(in crate::control) async fn follow(&self, snapshot: &ArcSwap<Snapshot>) {
        let (mut epoch, mut tasks) = (None, JoinSet::new());
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let current = snapshot.load_full();
            if epoch.replace(current.epoch) != Some(current.epoch) {
                tasks = self.take_in(&current);
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    fn take_in(&self, snapshot: &Snapshot) -> JoinSet<()> {
        let (mut tasks, mut issuers) = (JoinSet::new(), BTreeMap::new());
        for provider in snapshot.providers.values() {
            match self.find(provider).or_else(|_| Ok(Arc::new(Issuer::new(provider)?))) {
                Ok(issuer) => {
                    tasks.spawn(keep_discovering(provider.name.clone(), Arc::clone(&issuer), self.metrics.clone()));
                    issuers.insert(provider.name.clone(), issuer);
                }
                Err(Error::Http(error)) => {
                    tracing::error!(provider = %provider.name, %error, "no client can be made for the provider")
                }
                Err(error) => tracing::error!(provider = %provider.name, %error, "the provider can't be discovered"),
            }
        }
        let before = self.issuers.swap(Arc::new(issuers));
        let gone = before.keys().filter(|name| !snapshot.providers.contains_key(name));
        gone.for_each(|name| self.metrics.provider_gone(name.as_str()));
        tasks
    }
}

async fn keep_discovering(name: ProviderName, issuer: Arc<Issuer>, metrics: ControlMetrics) {
    let mut pause = Duration::from_secs(1);
    loop {
        let discovered = issuer.discover().await;
        issuer.tried.send_replace(true);
        metrics.provider_up(name.as_str(), discovered.is_ok());
        match discovered {
            Ok(()) => {
                tracing::info!(provider = %name, "discovered");
                pause = Duration::from_secs(1);
                tokio::time::sleep(REFRESH).await;
            }
            Err(error) => {
                tracing::warn!(provider = %name, %error, "discovery failed; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
