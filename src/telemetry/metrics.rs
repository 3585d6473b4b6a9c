//! Metrics, in Prometheus' text format. In: counts. Out: text. Must never have a label whose values a client chooses.

pub mod control;
pub mod gate;
pub mod store;

pub use gate::Gate;

use crate::model::Timestamp;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

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
    /// When the databases of addresses were made, in seconds since 1970.
    databases: IntGaugeVec,
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
        let built = Opts::new("doorward_geo_database_built_timestamp_seconds", "When a database of addresses in use was made.");
        let databases = IntGaugeVec::new(built, &["database"])?;
        registry.register(Box::new(databases.clone()))?;
        Ok(Self {
            epoch: gauge("doorward_config_epoch", "Counts the configurations that were in force, from 1.")?,
            applied_at: gauge("doorward_config_applied_timestamp_seconds", "When the configuration in force was applied.")?,
            broken: gauge("doorward_config_broken", "1 while the file on disk is refused and the last good one is in force.")?,
            reloads,
            databases,
        })
    }

    /// A configuration was put in force.
    pub fn applied(&self, epoch: u64) {
        self.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.applied_at.set(i64::try_from(crate::clock::now().seconds()).unwrap_or(i64::MAX));
        self.broken.set(0);
        self.reloads.with_label_values(&["applied"]).inc();
    }

    /// The databases of addresses that are in use, and when each was made.
    pub fn databases<'a>(&self, built: impl Iterator<Item = (&'a str, Timestamp)>) {
        self.databases.reset();
        for (name, at) in built {
            self.databases.with_label_values(&[name]).set(i64::try_from(at.seconds()).unwrap_or(i64::MAX));
        }
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
