//! What operators see from outside.

pub mod metrics;
