//! Tells others of locks and revocations. In: the outbox of the store. Out: signed posts, tried again until they are taken. Must never
//! hold up what it tells of, follow a redirect, or log an address beyond its host.
//!
//! The form is that of Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, and `webhook-signature` with an HMAC-SHA256 of the two and
//! the body.

use super::Control;
use super::oidc::is_loopback;
use crate::clock;
use crate::model::Timestamp;
use crate::snapshot::Snapshot;
use crate::snapshot::webhooks::Webhook;
use crate::store::{self, Notice, Subscriber};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a post may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody else tries what one process is trying.
const LEASE: Duration = Duration::from_secs(30);
/// How many posts to one address are under way at once.
const AT_ONCE: usize = 8;
/// How often to look for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// When a notice that nobody takes is given up.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// How often to look for those.
const LOOK_FOR_OLD: Duration = Duration::from_secs(60);

/// The way to one address.
#[derive(Clone)]
struct Line {
    client: reqwest::Client,
    places: Arc<Semaphore>,
}

impl Line {
    fn to(webhook: &Webhook) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
        let client = if is_loopback(&webhook.url) { client.no_proxy() } else { client.https_only(true) };
        Ok(Self { client: client.build()?, places: Arc::new(Semaphore::new(AT_ONCE)) })
    }
}

/// Why a post did not arrive.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Request(reqwest::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }
}

/// Has the store note what these webhooks want to know.
pub(super) fn subscribe(control: &Control, snapshot: &Snapshot) {
    let subscriber = |webhook: &Webhook| Subscriber { webhook: webhook.name(), kinds: webhook.kinds.clone() };
    control.store.subscribe(snapshot.webhooks.iter().map(subscriber).collect());
}

/// Tells whatever is to be told, for ever; nothing more once this is dropped.
pub(super) async fn work(control: Arc<Control>) {
    let (mut lines, mut telling) = (HashMap::new(), JoinSet::new());
    let mut known = control.snapshot.load_full();
    let mut looked: Option<Instant> = None;
    loop {
        let snapshot = control.snapshot.load_full();
        if !Arc::ptr_eq(&snapshot, &known) {
            subscribe(&control, &snapshot);
            known = Arc::clone(&snapshot);
        }
        for index in 0..snapshot.webhooks.len() {
            if let Err(error) = start_due(&control, &snapshot, index, &mut lines, &mut telling).await {
                tracing::error!(%error, "webhooks can't be told");
            }
        }
        // Also where no webhook is left: what it was not told is in nobody's way any more.
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_FOR_OLD) {
            give_up_old(&control).await;
            looked = Some(Instant::now());
        }
        while telling.try_join_next().is_some() {}
        // A wake-up that comes too late is made up for by the next look.
        let _ = tokio::time::timeout(LOOK, control.store.noted()).await;
    }
}

async fn start_due(
    control: &Arc<Control>,
    snapshot: &Arc<Snapshot>,
    index: usize,
    lines: &mut HashMap<String, Line>,
    telling: &mut JoinSet<()>,
) -> Result<(), Failure> {
    let Some(webhook) = snapshot.webhooks.get(index) else { return Ok(()) };
    let name = webhook.name();
    let line = match lines.entry(name.clone()) {
        Entry::Occupied(line) => line.into_mut(),
        Entry::Vacant(place) => place.insert(Line::to(webhook)?),
    };
    let free = line.places.available_permits();
    if free == 0 {
        return Ok(());
    }
    for notice in control.store.due(&name, free, LEASE).await? {
        let (control, snapshot, line) = (Arc::clone(control), Arc::clone(snapshot), line.clone());
        telling.spawn(async move {
            let _place = line.places.acquire().await;
            if let Some(webhook) = snapshot.webhooks.get(index) {
                tell(&control, &line.client, webhook, &notice).await;
            }
        });
    }
    Ok(())
}

async fn tell(control: &Control, client: &reqwest::Client, webhook: &Webhook, notice: &Notice) {
    let kept = match post(client, webhook, notice).await {
        Ok(()) => {
            control.metrics.webhook("delivered");
            control.store.forget_notice(&notice.id).await
        }
        Err(failure) => {
            control.metrics.webhook("failed");
            let pause = pause(notice.attempts);
            tracing::warn!(%webhook, id = notice.id, attempts = notice.attempts, %failure, "a webhook could not be told; trying again");
            control.store.postpone_notice(&notice.id, clock::now().plus(pause)).await
        }
    };
    if let Err(error) = kept {
        // It is told again when the lease is over: whoever receives it knows its id.
        tracing::error!(%error, "what became of a notice can't be written down");
    }
}

/// Twice as long every time, from a second.
fn pause(attempts: u32) -> Duration {
    Duration::from_secs(1u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX)).min(LONGEST_PAUSE)
}

async fn give_up_old(control: &Control) {
    let before = Timestamp::from_seconds(clock::now().seconds().saturating_sub(GIVE_UP.as_secs()));
    match control.store.forget_old_notices(before).await {
        Ok(0) => {}
        Ok(count) => {
            tracing::error!(count, "notices were given up: their webhooks have not taken them for a day");
            (0..count).for_each(|_| control.metrics.webhook("given_up"));
        }
        Err(error) => tracing::error!(%error, "old notices can't be removed"),
    }
}

async fn post(client: &reqwest::Client, webhook: &Webhook, notice: &Notice) -> Result<(), Failure> {
    let timestamp = clock::now().seconds().to_string();
    let request = client.post(webhook.url.clone()).body(notice.body.clone());
    let request = request.header(http::header::CONTENT_TYPE, "application/json").header("webhook-id", &notice.id);
    let request = request.header("webhook-signature", signature(&webhook.key, &notice.id, &timestamp, &notice.body));
    let answer = request.header("webhook-timestamp", timestamp).send().await?;
    if answer.status().is_success() { Ok(()) } else { Err(Failure::Status(answer.status())) }
}

fn signature(key: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_standard_webhooks_gives_as_its_example() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body), expected);
    }

    #[test]
    fn the_pauses_grow_and_end_growing() {
        let seconds = [1, 2, 3, 10, 11, 64, 65, u32::MAX].map(|attempts| pause(attempts).as_secs());
        assert_eq!(seconds, [1, 2, 4, 512, 900, 900, 900, 900]);
    }
}
