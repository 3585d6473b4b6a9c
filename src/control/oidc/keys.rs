//! The keys of a provider or of a transmitter. In: its JWKS document. Out: the key set as last fetched. Must never fetch more often than every 30
//! seconds because of what a token says.

use super::http::{self, Http};
use arc_swap::ArcSwap;
use openidconnect::JsonWebKeySetUrl;
use openidconnect::core::CoreJsonWebKeySet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The least time between two fetches for unknown keys.
const PAUSE: Duration = Duration::from_secs(30);

/// There are no new keys.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum Unfetched {
    /// Nobody answers.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The answer is no key set.
    #[error("the key set: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// The keys of one provider or transmitter.
#[derive(Debug, Default)]
pub(in crate::control) struct Keys {
    set: ArcSwap<CoreJsonWebKeySet>,
    refetched: Mutex<Option<Instant>>,
}

impl Keys {
    /// The keys as last fetched.
    pub(in crate::control) fn current(&self) -> Arc<CoreJsonWebKeySet> {
        self.set.load_full()
    }

    /// Fetches them, as a part of discovery.
    pub(in crate::control) async fn fetch(&self, http: &Http, url: &JsonWebKeySetUrl) -> Result<(), Unfetched> {
        let answer = http.fetch(url.as_str(), None).await?;
        let keys: CoreJsonWebKeySet = serde_json::from_slice(answer.body())?;
        self.set.store(Arc::new(keys));
        Ok(())
    }

    /// Fetches them because a token names a key that is not there. Whoever comes while somebody else fetches waits for that.
    pub(in crate::control) async fn refetch(&self, http: &Http, url: &JsonWebKeySetUrl) -> Result<(), Unfetched> {
        let mut refetched = self.refetched.lock().await;
        if refetched.is_some_and(|at| at.elapsed() < PAUSE) {
            return Ok(());
        }
        *refetched = Some(Instant::now());
        self.fetch(http, url).await
    }
}
