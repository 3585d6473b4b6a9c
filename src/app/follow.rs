//! Keeps the configuration up to date. In: the file, and what is in force. Out: a new configuration in its place whenever the file
//! changes, and word of it. Must never let a configuration with an error in it take the place of one without.

use super::notify;
use crate::control::config::reload::{self, Outcome, Started};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::telemetry::metrics;
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::Arc;

/// Follows it for ever.
pub(super) async fn follow(
    path: PathBuf,
    snapshot: Arc<ArcSwap<Snapshot>>,
    started: Started,
    configuration: Arc<metrics::Configuration>,
    store: Arc<Store>,
) {
    let current = Arc::clone(&snapshot);
    let report = move |outcome: Outcome| match outcome {
        Outcome::Applied { epoch, warnings } => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            store.lay_directories(current.load().overlays());
            configuration.applied(epoch);
            ages(&configuration, &current.load());
            notify::reloaded("the configuration was reloaded");
            tracing::info!(epoch, "the configuration was reloaded");
        }
        Outcome::Refused(problems) => {
            configuration.refused();
            notify::reloaded("the configuration has errors, the last good one stays in force");
            tracing::error!("the configuration was not reloaded, the last good one stays in force:\n{problems}");
        }
        Outcome::RestartNeeded(what) => tracing::warn!(what = what.join(", "), "this change takes effect at the next start"),
    };
    reload::watch(path, started, snapshot, report).await;
}

/// Shows how old is what was read from elsewhere.
pub(super) fn ages(configuration: &metrics::Configuration, snapshot: &Snapshot) {
    configuration.databases(snapshot.geo.built());
    configuration.revocation_lists(snapshot.tls.devices.as_ref().map_or((None, None), |devices| devices.listed));
}
