//! A changed configuration, taken up while requests go on. In: changes of the files, SIGHUP. Out: a new snapshot, whole,
//! and a report. Must never take the last good configuration away for a broken one.

mod links;

use super::problem::{Problem, Problems};
use super::sources::Watched;
use super::{AuditTrail, Listen, Loaded, load};
use crate::clock;
use crate::snapshot::Snapshot;
use crate::store::Location;
use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How long after the first sign of a change everything is read: editors and mounts write in several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// How often the files are compared in any case, for file systems that report nothing.
const COMPARE: Duration = Duration::from_secs(30);
/// The same where changes can't be reported at all.
const COMPARE_UNWATCHED: Duration = Duration::from_secs(2);

/// What came of a change.
#[derive(Debug)]
pub enum Outcome {
    /// Requests are judged by the new configuration.
    Applied {
        /// Of the new snapshot.
        epoch: u64,
        /// What can hardly have been meant.
        warnings: Vec<Problem>,
    },
    /// The last good configuration stays.
    Refused(Problems),
    /// The new configuration counts except for these keys, which are read at the start only.
    RestartNeeded(Vec<&'static str>),
}

/// What of a configuration is fixed at the start, and what it was made from.
pub struct Started {
    listen: Listen,
    admin_token: Option<SecretString>,
    store: Location,
    audit: AuditTrail,
    watched: Watched,
}

impl Started {
    /// Of the configuration that the process starts with.
    pub fn from(loaded: &Loaded) -> Self {
        Self {
            listen: loaded.listen,
            admin_token: loaded.admin_token.clone(),
            store: loaded.store.clone(),
            audit: loaded.audit.clone(),
            watched: loaded.watched.clone(),
        }
    }

    fn differences(&self, new: &Loaded) -> Vec<&'static str> {
        let token = |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
        let all = [
            ("listen", self.listen != new.listen),
            ("admin.token", token(&self.admin_token) != token(&new.admin_token)),
            ("store", self.store != new.store),
            ("audit.file", self.audit.file != new.audit.file),
            ("audit.rotate", self.audit.rotation != new.audit.rotation),
        ];
        all.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}

/// Follows the configuration at `path` for ever. A change of any of its files, or SIGHUP, reads it anew; what came of it
/// is reported.
pub async fn watch(path: PathBuf, started: Started, current: Arc<ArcSwap<Snapshot>>, report: impl Fn(Outcome)) {
    let mut watched = started.watched.clone();
    // Without the signal, changes of the files are still followed.
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        let (changed, watcher) = subscribe(&watched);
        let asked = wait(&watched, &changed, watcher.is_some(), &mut hangup).await;
        if asked || has_changed(&watched).await {
            watched = reload(&path, &started, &current, &report).await;
        }
    }
}

/// Until something happens; whether somebody asked for a reload.
async fn wait(watched: &Watched, changed: &Notify, reported: bool, hangup: &mut Option<Signal>) -> bool {
    // What changed before the watcher was there.
    if has_changed(watched).await {
        sleep(SETTLE).await;
        return false;
    }
    let asked = async {
        match hangup {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = asked => true,
        // A limit on the wait is all that the regular comparison needs.
        _ = timeout(if reported { COMPARE } else { COMPARE_UNWATCHED }, changed.notified()) => {
            sleep(SETTLE).await;
            false
        }
    }
}

/// Reading files blocks.
async fn has_changed(watched: &Watched) -> bool {
    let watched = watched.clone();
    tokio::task::spawn_blocking(move || watched.has_changed()).await.unwrap_or(false)
}

/// Reads everything anew; what to watch from now on.
async fn reload(path: &Path, started: &Started, current: &ArcSwap<Snapshot>, report: &impl Fn(Outcome)) -> Watched {
    let (path, epoch) = (path.to_owned(), current.load().epoch + 1);
    let loaded = tokio::task::spawn_blocking(move || load(&path, epoch)).await;
    match loaded {
        Ok(Ok(mut loaded)) => {
            loaded.snapshot.take_over(&current.load(), clock::ticks());
            let restart = started.differences(&loaded);
            current.store(Arc::new(loaded.snapshot));
            let warnings = loaded.warnings;
            report(Outcome::Applied { epoch, warnings });
            if !restart.is_empty() {
                report(Outcome::RestartNeeded(restart));
            }
            loaded.watched
        }
        Ok(Err(problems)) => {
            let watched = problems.watched.clone();
            report(Outcome::Refused(problems));
            watched
        }
        // The runtime is going down.
        Err(_) => std::future::pending().await,
    }
}

/// A watcher of everything that decides what the files hold; none where the system can't.
fn subscribe(watched: &Watched) -> (Arc<Notify>, Option<RecommendedWatcher>) {
    let changed = Arc::new(Notify::new());
    let concerned = links::resolve(watched.paths());
    let directories = links::directories(&concerned);
    // A directory with two paths is reported under one of them, so that only the last part can be compared.
    let concerned: BTreeSet<OsString> = concerned.iter().filter_map(|path| path.file_name()).map(OsString::from).collect();
    let notify = changed.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let concerns = |event: &Event| {
            is_change(event.kind) && event.paths.iter().filter_map(|path| path.file_name()).any(|name| concerned.contains(name))
        };
        // Lost events may have been about us.
        if event.as_ref().map_or(true, |event| event.need_rescan() || concerns(event)) {
            notify.notify_one();
        }
    });
    let all = watcher.and_then(|mut watcher| {
        for directory in directories {
            watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    (changed, all.ok())
}

/// Our own reading is not a change.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
