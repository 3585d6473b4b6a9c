//! What control counts. In: outcomes. Out: Prometheus series. Must never carry a person's name.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// The series of control; clones count into the same numbers.
#[derive(Clone)]
pub struct ControlMetrics {
    logins: IntCounterVec,
    provider_up: IntGaugeVec,
    scim: IntCounterVec,
}

impl ControlMetrics {
    /// Makes the series and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let logins = Opts::new("doorward_logins_total", "Logins at a provider, by how they ended");
        let up = Opts::new("doorward_provider_up", "Whether the last discovery of a provider succeeded");
        let scim = Opts::new("doorward_scim_requests_total", "Requests to directories, by what they asked for and how they ended");
        let metrics = Self {
            logins: IntCounterVec::new(logins, &["provider", "outcome"])?,
            provider_up: IntGaugeVec::new(up, &["provider"])?,
            scim: IntCounterVec::new(scim, &["provider", "operation", "status"])?,
        };
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
