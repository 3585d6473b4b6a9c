//! What is counted of security events. In: what came of them. Out: Prometheus series. Must never carry a person's name.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The series; clones count into the same numbers.
#[derive(Clone)]
pub struct SignalMetrics {
    received: IntCounterVec,
    since: IntGaugeVec,
    silent: IntGaugeVec,
    known: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl SignalMetrics {
    /// Makes the series and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let received = Opts::new("doorward_signals_total", "Security events, by transmitter, event, and what came of them");
        let since = Opts::new("doorward_signals_since_last_event_seconds", "How long ago a transmitter told of its last event");
        let silent = Opts::new("doorward_signals_silent", "Whether the stream of a transmitter has fallen silent");
        let metrics = Self {
            received: IntCounterVec::new(received, &["transmitter", "event", "outcome"])?,
            since: IntGaugeVec::new(since, &["transmitter"])?,
            silent: IntGaugeVec::new(silent, &["transmitter"])?,
            known: Arc::default(),
        };
        registry.register(Box::new(metrics.received.clone()))?;
        registry.register(Box::new(metrics.since.clone()))?;
        registry.register(Box::new(metrics.silent.clone()))?;
        Ok(metrics)
    }

    /// A token was looked at.
    pub fn received(&self, transmitter: &str, event: &str, outcome: &str) {
        self.received.with_label_values(&[transmitter, event, outcome]).inc();
    }

    /// How a stream is now; whether it was another way before.
    pub fn measured(&self, transmitter: &str, since: Option<Duration>, silent: bool) -> bool {
        if let Some(since) = since {
            self.since.with_label_values(&[transmitter]).set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        }
        self.silent.with_label_values(&[transmitter]).set(i64::from(silent));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(transmitter.to_owned(), silent) != Some(silent)
    }

    /// The transmitters that were measured.
    pub fn known(&self) -> Vec<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// A transmitter is no longer configured.
    pub fn gone(&self, transmitter: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(transmitter);
        // They fail where the series was never made, which is as good.
        let _ = self.since.remove_label_values(&[transmitter]);
        let _ = self.silent.remove_label_values(&[transmitter]);
    }
}
