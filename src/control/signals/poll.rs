//! Fetching events (RFC 8936). In: the stream of a transmitter. Out: the effect of its tokens, and then word of it. Must never
//! acknowledge a token whose effect is not committed, nor ask in a circle without a pause.

use super::link::Link;
use super::receive::receive;
use super::set::Refused;
use crate::control::Control;
use crate::control::oidc::http;
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
/// The least time between two questions that were answered with nothing.
const LEAST: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why there are no events.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the store: {0}")]
    Store(#[from] store::Error),
    #[error("some events can't be looked at now")]
    Unavailable,
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

/// Asks once; whether there was anything.
async fn fetch(control: &Arc<Control>, link: &Arc<Link>, word: &mut Word) -> Result<bool, Failed> {
    let stream = control.store.stream(&link.transmitter.name).await?;
    let (Some(url), Some(token)) = (stream.and_then(|stream| stream.poll_url), &link.transmitter.token) else {
        return Ok(false);
    };
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
    let (count, complete) = (batch.sets.len(), take(control, link, batch, word).await);
    if complete { Ok(count > 0) } else { Err(Failed::Unavailable) }
}

/// Takes them; false where some are to come again.
async fn take(control: &Arc<Control>, link: &Arc<Link>, batch: Batch, word: &mut Word) -> bool {
    let mut complete = true;
    for (id, token) in batch.sets.into_iter().take(MOST) {
        let (control, link) = (Arc::clone(control), Arc::clone(link));
        // A task of its own ends, whatever becomes of the configuration.
        let taken = tokio::spawn(async move { receive(&control, &link, &token).await }).await;
        match taken.unwrap_or(Err(Refused::Unavailable)) {
            Ok(()) => word.taken.push(id),
            Err(Refused::Unavailable) => complete = false,
            Err(refused) => {
                word.refused.insert(id, json!({ "err": refused.code(), "description": refused.to_string() }));
            }
        }
    }
    complete
}
