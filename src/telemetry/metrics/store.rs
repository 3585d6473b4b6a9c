//! How this process follows the others that share its store. In: what the store says when it is asked. Out: Prometheus series.

use prometheus::{Gauge, IntGauge, Registry};
use std::time::Duration;

/// The series of the store.
pub struct StoreMetrics {
    up: IntGauge,
    behind: Gauge,
    backlog: IntGauge,
    applied: IntGauge,
    anew: IntGauge,
}

impl StoreMetrics {
    /// Makes the series and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let count =
            |name, text| IntGauge::new(name, text).and_then(|gauge| registry.register(Box::new(gauge.clone())).map(|()| gauge));
        let behind = Gauge::new("doorward_store_behind_seconds", "How long ago the last look at the changes of others began.")?;
        registry.register(Box::new(behind.clone()))?;
        Ok(Self {
            up: count("doorward_store_up", "1 while the database answers.")?,
            behind,
            backlog: count("doorward_store_changes_backlog", "Changes that were committed and not applied here at the last look.")?,
            applied: count("doorward_store_changes_applied", "Changes that were applied here since the start.")?,
            anew: count("doorward_store_looked_up_anew", "How often all that is held was looked up anew, changes being missing.")?,
        })
    }

    /// How it is now.
    pub fn show(&self, up: bool, behind: Duration, backlog: u64, applied: u64, anew: u64) {
        self.up.set(i64::from(up));
        self.behind.set(behind.as_secs_f64());
        let counts = [(&self.backlog, backlog), (&self.applied, applied), (&self.anew, anew)];
        counts.into_iter().for_each(|(gauge, count)| gauge.set(i64::try_from(count).unwrap_or(i64::MAX)));
    }
}
