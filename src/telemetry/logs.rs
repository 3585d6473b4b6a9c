//! Logs: JSON lines on standard error. In: `RUST_LOG`, else `info`. Out: a subscriber for the whole process.

use tracing_subscriber::EnvFilter;

/// Starts logging; a second call changes nothing.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr);
    // Only a second start fails, and then the first one serves.
    let _ = builder.try_init();
}
