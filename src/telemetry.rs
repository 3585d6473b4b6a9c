//! What is told to operators: logs and metrics. In: events. Out: JSON lines and numbers. Must never carry a secret.

pub mod logs;
pub mod metrics;
