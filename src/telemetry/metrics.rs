//! Metrics, in Prometheus' text format. In: counts. Out: text. Must never have a label whose values a client chooses.

pub mod control;
pub mod gate;
pub mod signals;
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
    /// When the lists of revoked certificates were written, and when they must be replaced, in seconds since 1970.
    revocation: IntGaugeVec,
}

/// What is known of devices, looked at when somebody asks.
pub struct Devices {
    count: IntGaugeVec,
    reported: IntGaugeVec,
}

impl Devices {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_source = |name: &str, text: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, text), &["source"])?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        Ok(Self {
            count: by_source("doorward_devices", "Devices of the inventory, by who told of them.")?,
            reported: by_source(
                "doorward_devices_reported_timestamp_seconds",
                "When the device that was last heard of was heard of.",
            )?,
        })
    }

    /// How many devices a source tells of, and when it last heard of one.
    pub fn set(&self, source: &str, count: usize, reported: Option<Timestamp>) {
        self.count.with_label_values(&[source]).set(i64::try_from(count).unwrap_or(i64::MAX));
        match reported {
            Some(at) => self.reported.with_label_values(&[source]).set(i64::try_from(at.seconds()).unwrap_or(i64::MAX)),
            // It fails where the series was never made, which is as good.
            None => drop(self.reported.remove_label_values(&[source])),
        }
    }
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
        let written = Opts::new(
            "doorward_device_revocation_list_timestamp_seconds",
            "When the oldest list of revoked certificates in use was written, and before when the first must be replaced.",
        );
        let revocation = IntGaugeVec::new(written, &["time"])?;
        registry.register(Box::new(revocation.clone()))?;
        Ok(Self {
            epoch: gauge("doorward_config_epoch", "Counts the configurations that were in force, from 1.")?,
            applied_at: gauge("doorward_config_applied_timestamp_seconds", "When the configuration in force was applied.")?,
            broken: gauge("doorward_config_broken", "1 while the file on disk is refused and the last good one is in force.")?,
            reloads,
            databases,
            revocation,
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

    /// When the lists of revoked certificates that are in use were written, and when they must be replaced.
    pub fn revocation_lists(&self, (written, next): (Option<Timestamp>, Option<Timestamp>)) {
        self.revocation.reset();
        for (time, at) in [("written", written), ("next_update", next)] {
            if let Some(at) = at {
                self.revocation.with_label_values(&[time]).set(i64::try_from(at.seconds()).unwrap_or(i64::MAX));
            }
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
