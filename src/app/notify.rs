//! What the service manager is told (sd_notify(3)): only where it asked, by `NOTIFY_SOCKET`. In: turns in the life of the process.
//! Out: messages. Must never fail the process: a manager that does not listen is its own affair.

use sd_notify::NotifyState;
use std::time::Duration;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// Requests are answered.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration was read anew, whatever came of it.
pub(super) fn reloaded(status: &str) {
    let begun = NotifyState::monotonic_usec_now().ok();
    // Both at once: until the new configuration is in force, the old one is.
    tell(&[&[NotifyState::Reloading][..], begun.as_slice()].concat());
    ready(status);
}

/// No more connections are taken.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: requests in progress may end")]);
}

/// Another process has taken over.
pub(super) fn handed_over(to: u32) {
    tell(&[NotifyState::MainPid(to), NotifyState::Status("another process has taken over")]);
}

/// Tells the manager that the process lives, as often as it wants to hear it, while it does.
pub(super) async fn watchdog(lives: impl Fn() -> bool) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        if lives() {
            tell(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep((limit / 3).max(Duration::from_millis(100))).await;
    }
}
