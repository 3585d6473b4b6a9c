//! Security events of others (OpenID Shared Signals Framework 1.0, CAEP 1.0, RISC 1.0). In: the snapshot, tokens that are pushed or
//! fetched. Out: ended sign-ins, and what is known of people and devices from then on. Must never do for a transmitter what its
//! token does not prove, nor anything that leaves no trace.

pub(super) mod act;
mod happened;
mod link;
mod poll;
pub(super) mod push;
mod receive;
pub(super) mod revocation;
mod set;
pub(super) mod stream;
mod subject;

pub(super) use link::Links;

use super::Control;
use crate::clock;
use crate::snapshot::Snapshot;
use crate::snapshot::transmitters::{Delivery, Transmitter};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often to look which streams are silent.
const LOOK: Duration = Duration::from_secs(2);

/// Follows every configured transmitter for ever; starts again when the configuration changes.
pub(super) async fn follow(control: Arc<Control>) {
    let (mut epoch, mut tasks) = (None, JoinSet::new());
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let snapshot = control.snapshot.load_full();
        if epoch.replace(snapshot.epoch) != Some(snapshot.epoch) {
            tasks = take_in(&control, &snapshot);
        }
        while tasks.try_join_next().is_some() {}
        if !snapshot.transmitters.is_empty() {
            measure(&control, &snapshot).await;
        }
    }
}

fn take_in(control: &Arc<Control>, snapshot: &Snapshot) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for link in control.links.take_in(snapshot) {
        tasks.spawn(Arc::clone(&link).keep_discovering());
        if link.transmitter.token.is_some() {
            tasks.spawn(stream::watch(Arc::clone(control), Arc::clone(&link)));
        }
        if matches!(link.transmitter.delivery, Delivery::Poll) {
            tasks.spawn(poll::work(Arc::clone(control), link));
        }
    }
    for gone in control.metrics.signals.known().into_iter().filter(|name| !snapshot.transmitters.contains_key(&**name)) {
        control.metrics.signals.gone(&gone);
    }
    tasks
}

/// Counts how long each transmitter has said nothing.
async fn measure(control: &Control, snapshot: &Snapshot) {
    let streams = match control.store.streams().await {
        Ok(streams) => streams,
        Err(error) => return tracing::warn!(%error, "it can't be found out which streams are silent"),
    };
    let now = clock::now();
    for Transmitter { name, .. } in snapshot.transmitters.values().map(|transmitter| &**transmitter) {
        let stream = streams.iter().find(|stream| *stream.transmitter == **name);
        let is_silent = stream.is_none_or(|stream| !stream.is_alive(now));
        let since = stream.and_then(|stream| stream.event_at).map(|at| now.since(at));
        if control.metrics.signals.measured(name, since, is_silent) && is_silent {
            tracing::warn!(transmitter = %name, "the stream is silent: what it said is stale");
        }
    }
}
