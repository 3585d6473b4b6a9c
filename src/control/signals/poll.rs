//! Fetching events (RFC 8936). In: the stream of a transmitter. Out: the effect of its tokens, and then word of it. Must never
//! acknowledge a token whose effect is not committed, nor ask in a circle without a pause, nor ask where only our own network may.

use super::link::{Link, may_poll};
use super::receive::receive;
use super::set::{Refused, TYPES};
use crate::control::Control;
use crate::control::oidc::http;
use crate::control::oidc::jws::Signed;
use crate::store;
use ::http::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many tokens are asked for at once, and how many are looked at where more come.
const ASKED: usize = 100;
const MOST: usize = 1000;
/// How long the transmitter may keep the question open, beyond the usual.
const OPEN: Duration = Duration::from_secs(30);
/// The least time between two questions that were answered with nothing new.
const LEAST: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why there are no events.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("`{0}`, which is kept for its events, is not https, or an address of this network: set the stream up again")]
    Unsafe(String),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the store: {0}")]
    Store(#[from] store::Error),
}

/// What is still to be told of tokens.
#[derive(Default)]
struct Word {
    taken: Vec<String>,
    refused: Map<String, Value>,
}

#[derive(Default, Deserialize)]
struct Batch {
    #[serde(default)]
    sets: BTreeMap<String, String>,
}

/// Fetches for ever.
pub(super) async fn work(control: Arc<Control>, link: Arc<Link>) {
    let (mut word, mut pause) = (Word::default(), LEAST);
    loop {
        let asked = Instant::now();
        let wait = match fetch(&control, &link, &mut word).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => LEAST.saturating_sub(asked.elapsed()),
            Err(error) => {
                tracing::warn!(transmitter = %link.transmitter.name, %error, "events can't be fetched; trying again");
                pause = (pause * 2).min(LONGEST_PAUSE);
                pause
            }
        };
        if wait < LEAST {
            pause = LEAST;
        }
        tokio::time::sleep(wait).await;
    }
}

/// Asks once; whether there was anything new.
async fn fetch(control: &Arc<Control>, link: &Arc<Link>, word: &mut Word) -> Result<bool, Failed> {
    let stream = control.store.stream(&link.transmitter.name).await?;
    let (Some(url), Some(token)) = (stream.and_then(|stream| stream.poll_url), &link.transmitter.token) else {
        return Ok(false);
    };
    // It was kept when the transmitter may have been another, or these rules.
    if !may_poll(&link.transmitter.url, &url) {
        return Err(Failed::Unsafe(url));
    }
    let question = json!({ "maxEvents": ASKED, "returnImmediately": false, "ack": word.taken, "setErrs": word.refused });
    let answer = match link.http().tell((Method::POST, &url), token.expose_secret(), &question, OPEN).await {
        // Nothing has happened for as long as anybody waits.
        Err(http::Error::Request(error)) if error.is_timeout() => return Ok(false),
        answer => answer?,
    };
    if !answer.status().is_success() {
        return Err(Failed::Status(answer.status()));
    }
    *word = Word::default();
    let batch = if answer.body().is_empty() { Batch::default() } else { serde_json::from_slice(answer.body())? };
    Ok(take(control, link, batch, word).await)
}

/// Takes them in the order in which they were issued; whether any was new. Of those that can't be looked at now, no word is given.
async fn take(control: &Arc<Control>, link: &Arc<Link>, batch: Batch, word: &mut Word) -> bool {
    let (mut is_new, mut sets) = (false, batch.sets.into_iter().take(MOST).collect::<Vec<_>>());
    sets.sort_by_cached_key(|(_, token)| issued(token));
    for (id, token) in sets {
        let (control, link) = (Arc::clone(control), Arc::clone(link));
        // A task of its own ends, whatever becomes of the configuration.
        let taken = tokio::spawn(async move { receive(&control, &link, &token).await }).await;
        match taken.unwrap_or(Err(Refused::Unavailable)) {
            Ok(taken) => {
                is_new |= taken;
                word.taken.push(id);
            }
            Err(Refused::Unavailable) => {}
            Err(refused) => {
                word.refused.insert(id, json!({ "err": refused.code(), "description": refused.to_string() }));
            }
        }
    }
    is_new
}

/// When a token says that it was issued, in milliseconds.
fn issued(token: &str) -> u64 {
    let issued = |signed: Signed<'_>| signed.unchecked().get("iat").and_then(Value::as_f64);
    Signed::read(token, &TYPES).ok().and_then(issued).map_or(0, |seconds| (seconds * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::assertion;
    use crate::control::{ControlMetrics, fixture, tests::store};
    use crate::model::ProviderName;
    use crate::snapshot::transmitters::{Delivery, Transmitter};
    use arc_swap::ArcSwap;
    use url::Url;

    fn transmitter() -> Transmitter {
        Transmitter {
            name: "hr".into(),
            issuer: "https://tr.example".to_owned(),
            url: Url::parse("https://tr.example").unwrap(),
            provider: ProviderName::parse("staff").unwrap(),
            audience: Vec::new(),
            delivery: Delivery::Poll,
            token: Some("secret".to_owned().into()),
            events: Vec::new(),
            tenant: None,
            silent_after: Duration::from_secs(300),
            leeway: Duration::ZERO,
            ca: None,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_address_of_this_network_that_was_kept_before_is_not_asked() {
        let (_folder, store) = store().await;
        let keys = Arc::new(assertion::Keys::load(&store).await.unwrap());
        let mut snapshot = fixture::snapshot(Vec::new());
        snapshot.transmitters.insert("hr".into(), Arc::new(transmitter()));
        let snapshot = Arc::new(snapshot);
        let metrics = ControlMetrics::register(&prometheus::Registry::new()).unwrap();
        let control = Control::new(store, keys, Arc::new(ArcSwap::new(Arc::clone(&snapshot))), metrics);
        let link = control.links.take_in(&snapshot).pop().unwrap();
        for address in ["https://127.0.0.1:9/poll", "https://169.254.169.254/poll", "http://tr.example/poll", "poll"] {
            control.store.keep_stream("hr", "s-1", Some(address.to_owned()), Duration::ZERO).await.unwrap();
            let asked = fetch(&control, &link, &mut Word::default()).await;
            assert!(matches!(&asked, Err(Failed::Unsafe(named)) if named == address), "{address}: {asked:?}");
        }
    }
}
