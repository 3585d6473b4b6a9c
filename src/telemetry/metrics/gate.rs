//! The gate's metrics. In: ended visits. Out: counters. Must never lock, share or look a label up on the hot path:
//! every worker counts for itself.

use crate::model::AppIndex;
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::cell::RefCell;
use std::time::Duration;

/// What the gate counts.
pub struct Gate {
    requests: IntCounterVec,
    seconds: HistogramVec,
    decisions: Histogram,
    healthy: IntGaugeVec,
    ejections: IntCounterVec,
    shadow: IntCounterVec,
    /// Connections from clients that are open.
    pub connections: IntGauge,
    refused_connections: IntCounterVec,
    /// TLS handshakes that failed or took too long.
    pub failed_handshakes: IntCounter,
    /// Connections to apps that are open.
    pub upstream_connections: IntGauge,
    /// Connections to apps that could not be made.
    pub upstream_failures: IntCounter,
    /// Audit records that found no room.
    pub lost_records: IntCounter,
    /// The number of the last audit record.
    pub last_record: IntGauge,
    /// Sessions that are cached.
    pub sessions: IntGauge,
    /// WebSockets, event streams and gRPC streams that are open.
    pub streams: IntGauge,
    cuts: Histogram,
}

impl Gate {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge =
            |name, text| IntGauge::new(name, text).and_then(|gauge| registry.register(Box::new(gauge.clone())).map(|()| gauge));
        let counter = |name, text| {
            IntCounter::new(name, text).and_then(|counter| registry.register(Box::new(counter.clone())).map(|()| counter))
        };
        let buckets = || vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let requests = Opts::new("doorward_requests_total", "Answered requests.");
        let seconds = HistogramOpts::new("doorward_request_seconds", "From the head of a request to the end of its answer.")
            .buckets(buckets());
        let fast = vec![1e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 1e-2];
        let decisions = HistogramOpts::new("doorward_decision_seconds", "Decisions that were not remembered.").buckets(fast);
        let healthy = Opts::new("doorward_upstream_healthy", "1 while a server takes its turns, 0 while it is down or left out.");
        let ejections = Opts::new("doorward_upstream_ejections_total", "How often a server was left out because requests failed.");
        let shadow =
            Opts::new("doorward_shadow_decisions_total", "Visits that rules in the shadow would have decided the other way.");
        let cuts =
            HistogramOpts::new("doorward_cut_seconds", "From the end of a session until something that flowed by it was cut.");
        let gate = Self {
            shadow: IntCounterVec::new(shadow, &["app", "decision"])?,
            requests: IntCounterVec::new(requests, &["app", "decision", "status"])?,
            seconds: HistogramVec::new(seconds, &["app"])?,
            decisions: Histogram::with_opts(decisions)?,
            healthy: IntGaugeVec::new(healthy, &["app", "server"])?,
            ejections: IntCounterVec::new(ejections, &["app", "server"])?,
            connections: gauge("doorward_connections", "Open connections from clients.")?,
            refused_connections: IntCounterVec::new(
                Opts::new(
                    "doorward_connections_refused_total",
                    "Connections that were closed at once, by the limit that was reached.",
                ),
                &["limit"],
            )?,
            failed_handshakes: counter("doorward_tls_handshake_failures_total", "TLS handshakes that failed or took too long.")?,
            upstream_connections: gauge("doorward_upstream_connections", "Open connections to apps.")?,
            upstream_failures: counter("doorward_upstream_connect_failures_total", "Connections to apps that could not be made.")?,
            lost_records: counter("doorward_audit_lost_total", "Audit records that found no room in the queue.")?,
            last_record: gauge("doorward_audit_last_record", "The number of the last audit record that this process wrote.")?,
            sessions: gauge("doorward_sessions", "Sessions in the cache.")?,
            streams: gauge("doorward_streams", "Open WebSockets, event streams and gRPC streams.")?,
            cuts: Histogram::with_opts(cuts.buckets(vec![0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0]))?,
        };
        registry.register(Box::new(gate.cuts.clone()))?;
        registry.register(Box::new(gate.refused_connections.clone()))?;
        registry.register(Box::new(gate.requests.clone()))?;
        registry.register(Box::new(gate.seconds.clone()))?;
        registry.register(Box::new(gate.decisions.clone()))?;
        registry.register(Box::new(gate.healthy.clone()))?;
        registry.register(Box::new(gate.ejections.clone()))?;
        registry.register(Box::new(gate.shadow.clone()))?;
        Ok(gate)
    }

    /// A connection was closed at once.
    pub fn refused(&self, limit: Refused) {
        self.refused_connections.with_label_values(&[limit.as_str()]).inc();
    }

    /// A decision was made anew.
    pub fn decided(&self, took: Duration) {
        self.decisions.observe(took.as_secs_f64());
    }

    /// Something that flowed was cut this long after its session had ended.
    pub fn cut(&self, after: Duration) {
        self.cuts.observe(after.as_secs_f64());
    }

    /// Rules in the shadow would have decided a visit the other way.
    pub fn shadowed(&self, app: &str, decision: &str) {
        self.shadow.with_label_values(&[app, decision]).inc();
    }

    /// A server was left out because requests failed.
    pub fn ejected(&self, app: &str, server: &str) {
        self.ejections.with_label_values(&[app, server]).inc();
    }

    /// Whether a server takes its turns.
    pub fn server_health(&self, app: &str, server: &str) -> IntGauge {
        self.healthy.with_label_values(&[app, server])
    }

    /// A server is no longer configured.
    pub fn server_gone(&self, app: &str, server: &str) {
        // They fail where the series was never made, which is as good.
        let _ = self.healthy.remove_label_values(&[app, server]);
        let _ = self.ejections.remove_label_values(&[app, server]);
    }
}

/// The limits that a connection can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Open connections of one address.
    Address,
    /// Open connections in all.
    Full,
    /// Handshakes under way.
    Handshakes,
}

impl Refused {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Full => "connections",
            Self::Handshakes => "handshakes",
        }
    }
}

/// What one worker has counted under one configuration and not yet added to what all have: counters that all workers share
/// would be fought over at every request.
#[derive(Default)]
pub struct Counters(RefCell<Counted>);

#[derive(Default)]
struct Counted {
    epoch: u64,
    /// By app; before them what went to none.
    apps: Vec<Option<OfApp>>,
    /// The places in `apps` that have counted something.
    touched: Vec<usize>,
}

struct OfApp {
    seconds: LocalHistogram,
    requests: Vec<(&'static str, u16, LocalIntCounter)>,
    touched: bool,
}

impl Counters {
    /// Counts a visit; `decision` is one of a few words.
    pub fn count(
        &self,
        gate: &Gate,
        epoch: u64,
        app: Option<(AppIndex, &str)>,
        decision: &'static str,
        status: u16,
        took: Duration,
    ) {
        let mut counted = self.0.borrow_mut();
        if counted.epoch != epoch {
            counted.flush();
            *counted = Counted { epoch, ..Counted::default() };
        }
        let name = app.map_or("", |(_, name)| name);
        let place = app.map_or(0, |(index, _)| usize::try_from(index.0).unwrap_or(0).saturating_add(1));
        let Some(of_app) = counted.touch(place, || OfApp::new(gate, name)) else { return };
        of_app.seconds.observe(took.as_secs_f64());
        match of_app.requests.iter().find(|(d, s, _)| *s == status && *d == decision) {
            Some((_, _, counter)) => counter.inc(),
            None => {
                let counter = gate.requests.with_label_values(&[name, decision, &status.to_string()]).local();
                counter.inc();
                of_app.requests.push((decision, status, counter));
            }
        }
    }

    /// Adds what was counted to what all workers have.
    pub fn flush(&self) {
        self.0.borrow_mut().flush();
    }
}

impl Counted {
    fn touch(&mut self, place: usize, new: impl FnOnce() -> OfApp) -> Option<&mut OfApp> {
        if self.apps.len() <= place {
            self.apps.resize_with(place.saturating_add(1), || None);
        }
        let of_app = self.apps.get_mut(place)?.get_or_insert_with(new);
        if !std::mem::replace(&mut of_app.touched, true) {
            self.touched.push(place);
        }
        Some(of_app)
    }

    fn flush(&mut self) {
        for place in self.touched.drain(..) {
            let Some(Some(of_app)) = self.apps.get_mut(place) else { continue };
            of_app.touched = false;
            of_app.seconds.flush();
            of_app.requests.iter().for_each(|(_, _, counter)| counter.flush());
        }
    }
}

impl OfApp {
    fn new(gate: &Gate, name: &str) -> Self {
        Self { seconds: gate.seconds.with_label_values(&[name]).local(), requests: Vec::new(), touched: false }
    }
}
