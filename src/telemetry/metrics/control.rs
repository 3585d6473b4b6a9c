//! What control counts. In: outcomes. Out: Prometheus series. Must never carry a person's name.

use super::signals::SignalMetrics;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::time::Duration;

/// The series of control; clones count into the same numbers.
#[derive(Clone)]
pub struct ControlMetrics {
    logins: IntCounterVec,
    provider_up: IntGaugeVec,
    /// Those of security events.
    pub signals: SignalMetrics,
    scim: IntCounterVec,
    revoked: IntCounterVec,
    lag: Histogram,
    locks: IntGaugeVec,
    webhooks: IntCounterVec,
}

impl ControlMetrics {
    /// Makes the series and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let logins = Opts::new("doorward_logins_total", "Logins at a provider, by how they ended");
        let up = Opts::new("doorward_provider_up", "Whether the last discovery of a provider succeeded");
        let scim = Opts::new("doorward_scim_requests_total", "Requests to directories, by what they asked for and how they ended");
        let revoked = Opts::new("doorward_revocations_total", "Sign-ins, or sessions alone, that were ended, by cause");
        let lag = HistogramOpts::new(
            "doorward_revocation_lag_seconds",
            "From the commit of a revocation, by whichever process, until nobody's copy is good in this one",
        );
        let locks = Opts::new("doorward_locks", "Locks that hold");
        let webhooks = Opts::new("doorward_webhooks_total", "Posts to webhooks, by what became of them");
        let metrics = Self {
            logins: IntCounterVec::new(logins, &["provider", "outcome"])?,
            provider_up: IntGaugeVec::new(up, &["provider"])?,
            signals: SignalMetrics::register(registry)?,
            scim: IntCounterVec::new(scim, &["provider", "operation", "status"])?,
            revoked: IntCounterVec::new(revoked, &["cause"])?,
            lag: Histogram::with_opts(lag.buckets(vec![0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]))?,
            locks: IntGaugeVec::new(locks, &["kind"])?,
            webhooks: IntCounterVec::new(webhooks, &["outcome"])?,
        };
        registry.register(Box::new(metrics.revoked.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.locks.clone()))?;
        registry.register(Box::new(metrics.webhooks.clone()))?;
        registry.register(Box::new(metrics.logins.clone()))?;
        registry.register(Box::new(metrics.provider_up.clone()))?;
        registry.register(Box::new(metrics.scim.clone()))?;
        Ok(metrics)
    }

    /// A login has ended: `success`, or the code of the refusal.
    pub fn login(&self, provider: &str, outcome: &str) {
        self.logins.with_label_values(&[provider, outcome]).inc();
    }

    /// A directory's request was answered.
    pub fn scim(&self, provider: &str, operation: &str, status: &str) {
        self.scim.with_label_values(&[provider, operation, status]).inc();
    }

    /// Sign-ins or sessions have ended; those that another process has ended it counts itself.
    pub fn revoked(&self, cause: Option<&str>, count: u64, lag: Option<Duration>) {
        if let Some(cause) = cause {
            self.revoked.with_label_values(&[cause]).inc_by(count);
        }
        lag.into_iter().for_each(|lag| self.lag.observe(lag.as_secs_f64()));
    }

    /// How many locks there are on people and on devices.
    pub fn locks(&self, people: usize, devices: usize) {
        for (kind, count) in [("user", people), ("device", devices)] {
            self.locks.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// What became of a post to a webhook.
    pub fn webhook(&self, outcome: &str) {
        self.webhooks.with_label_values(&[outcome]).inc();
    }

    /// Whether a provider answered.
    pub fn provider_up(&self, provider: &str, up: bool) {
        self.provider_up.with_label_values(&[provider]).set(i64::from(up));
    }

    /// A provider is no longer configured.
    pub fn provider_gone(&self, provider: &str) {
        // It fails where the series was never made, which is as good.
        let _ = self.provider_up.remove_label_values(&[provider]);
    }
}
