//! Metrics, in Prometheus' text format. In: counts. Out: text. Must never have a label whose values a client chooses.

pub mod control;
pub mod gate;

pub use gate::Gate;

use prometheus::{IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// The configuration's own metrics.
pub struct Configuration {
    /// Which configuration is in force.
    epoch: IntGauge,
    /// When it was put in force, in seconds since 1970.
    applied_at: IntGauge,
    /// Whether the last reload was refused.
    broken: IntGauge,
    /// Reloads, by outcome.
    reloads: IntCounterVec,
}

impl Configuration {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge =
            |name, text| IntGauge::new(name, text).and_then(|gauge| registry.register(Box::new(gauge.clone())).map(|()| gauge));
        let reloads = IntCounterVec::new(
            Opts::new("doorward_config_reloads_total", "Reloads of the configuration, by outcome."),
            &["outcome"],
        )?;
        registry.register(Box::new(reloads.clone()))?;
        Ok(Self {
            epoch: gauge("doorward_config_epoch", "Counts the configurations that were in force, from 1.")?,
            applied_at: gauge("doorward_config_applied_timestamp_seconds", "When the configuration in force was applied.")?,
            broken: gauge("doorward_config_broken", "1 while the file on disk is refused and the last good one is in force.")?,
            reloads,
        })
    }

    /// A configuration was put in force.
    pub fn applied(&self, epoch: u64) {
        self.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.applied_at.set(i64::try_from(crate::clock::now().seconds()).unwrap_or(i64::MAX));
        self.broken.set(0);
        self.reloads.with_label_values(&["applied"]).inc();
    }

    /// A configuration was refused.
    pub fn refused(&self) {
        self.broken.set(1);
        self.reloads.with_label_values(&["refused"]).inc();
    }
}

/// Everything, as text.
pub fn render(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap_or_default()
}
