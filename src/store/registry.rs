//! The one live object of every row that somebody holds. In: objects made from rows. Out: the object that was there first.
//! Must never take in what was read before a revocation that has since been acknowledged: that is what the generation is for.

use super::live::{AppSession, SignIn};
use crate::clock;
use crate::model::{SignInId, TokenHash};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;

#[derive(Default)]
pub(super) struct Registry {
    entries: Mutex<Entries>,
    /// Tells whoever looks at what goes on that something has ended.
    endings: watch::Sender<()>,
}

#[derive(Default)]
struct Entries {
    generation: u64,
    sign_ins: HashMap<SignInId, Weak<SignIn>>,
    app_sessions: HashMap<TokenHash, Weak<AppSession>>,
}

/// Something ended between the reading of a row and this: read again.
pub(super) struct Outdated;

impl Registry {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be read before a row is.
    pub(super) fn generation(&self) -> u64 {
        self.entries().generation
    }

    /// The live object of this sign-in: the one that is there, or this one.
    pub(super) fn sign_in(&self, fresh: SignIn, generation: u64) -> Result<Arc<SignIn>, Outdated> {
        let mut entries = self.entries();
        if entries.generation != generation {
            return Err(Outdated);
        }
        if let Some(live) = entries.sign_ins.get(&fresh.id).and_then(Weak::upgrade) {
            if live.created == fresh.created {
                return Ok(live);
            }
            // A database that was put back gives numbers again: this is somebody else.
            live.end(clock::now());
        }
        let live = Arc::new(fresh);
        entries.sign_ins.insert(live.id, Arc::downgrade(&live));
        Ok(live)
    }

    /// The live object of this app session: the one that is there, or this one.
    pub(super) fn app_session(&self, fresh: AppSession, generation: u64) -> Result<Arc<AppSession>, Outdated> {
        let mut entries = self.entries();
        if entries.generation != generation {
            return Err(Outdated);
        }
        if let Some(live) = entries.app_sessions.get(&fresh.cookie).and_then(Weak::upgrade) {
            return Ok(live);
        }
        let live = Arc::new(fresh);
        entries.app_sessions.insert(live.cookie, Arc::downgrade(&live));
        Ok(live)
    }

    /// What was read before this must not be taken in.
    pub(super) fn outdate(&self) {
        self.entries().generation += 1;
    }

    /// After the rows are gone: nobody's copy is good any more.
    pub(super) fn end(&self, sign_ins: &[SignInId], app_sessions: &[TokenHash]) {
        if sign_ins.is_empty() && app_sessions.is_empty() {
            return;
        }
        let (mut entries, now) = (self.entries(), clock::now());
        entries.generation += 1;
        for id in sign_ins {
            if let Some(live) = entries.sign_ins.remove(id).and_then(|live| live.upgrade()) {
                live.end(now);
            }
        }
        for cookie in app_sessions {
            if let Some(live) = entries.app_sessions.remove(cookie).and_then(|live| live.upgrade()) {
                live.end(now);
            }
        }
        drop(entries);
        self.endings.send_replace(());
    }

    /// Changes whenever something has ended.
    pub(super) fn endings(&self) -> watch::Receiver<()> {
        self.endings.subscribe()
    }

    /// The live object of this sign-in, where somebody holds it.
    pub(super) fn held(&self, id: SignInId) -> Option<Arc<SignIn>> {
        self.entries().sign_ins.get(&id).and_then(Weak::upgrade)
    }

    /// Whether somebody holds this app session.
    pub(super) fn holds(&self, cookie: &TokenHash) -> bool {
        self.entries().app_sessions.get(cookie).is_some_and(|live| live.strong_count() > 0)
    }

    /// The sign-ins and the app sessions that somebody holds.
    pub(super) fn held_now(&self) -> (Vec<SignInId>, Vec<TokenHash>) {
        let entries = self.entries();
        let sign_ins = entries.sign_ins.iter().filter(|(_, live)| live.strong_count() > 0).map(|(id, _)| *id);
        let app_sessions = entries.app_sessions.iter().filter(|(_, live)| live.strong_count() > 0).map(|(cookie, _)| *cookie);
        (sign_ins.collect(), app_sessions.collect())
    }

    /// Every sign-in that somebody holds; forgets those that nobody does.
    pub(super) fn live_sign_ins(&self) -> Vec<Arc<SignIn>> {
        let mut entries = self.entries();
        entries.sign_ins.retain(|_, live| live.strong_count() > 0);
        entries.app_sessions.retain(|_, live| live.strong_count() > 0);
        entries.sign_ins.values().filter_map(Weak::upgrade).collect()
    }
}
