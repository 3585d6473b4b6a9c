//! Sign-ins and app sessions in memory, one object each however many hold it. In: rows. Out: answers to "is it still good?"
//! without a lock. Must never come back to life.

use crate::clock;
use crate::model::{Fingerprint, Identity, Lifetimes, SignInId, Timestamp, TokenHash};
use arc_swap::ArcSwap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often the last use of what is in use all the time is written down at the most.
const OFTEN: Duration = Duration::from_secs(60);

/// One sign-in of one person in one browser.
#[derive(Debug)]
pub struct SignIn {
    /// Its row.
    pub id: SignInId,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends whatever happens.
    pub ends: Timestamp,
    claims: ArcSwap<Identity>,
    identity: ArcSwap<Identity>,
    version: AtomicU64,
    last_seen: AtomicU64,
    last_written: AtomicU64,
    /// When it ended, in milliseconds; 0 while it goes on.
    ended: AtomicU64,
    renew_at: AtomicU64,
    stale_at: AtomicU64,
    /// Until when its row says that the claims hold.
    expires: AtomicU64,
    /// By what its row says that the claims are outdated; 0 where they are not. It is no time of this machine.
    outdated: AtomicU64,
    /// When this process learned that they are, by [`clock::elapsed`]; 0 where they are not.
    outdated_since: AtomicU64,
    renewing: watch::Sender<bool>,
    /// The devices that it was used with since it is held here.
    devices: Mutex<Vec<Fingerprint>>,
}

/// Whether a sign-in is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is.
    Live,
    /// Idle too long, or past its end.
    Expired,
    /// Signed out or revoked.
    Ended,
}

/// The session of one app's host, made from a sign-in.
#[derive(Debug)]
pub struct AppSession {
    /// What its cookie hashes to.
    pub cookie: TokenHash,
    /// The only host that it is good for, lower case, no port.
    pub host: Box<str>,
    /// What it was made from.
    pub sign_in: Arc<SignIn>,
    /// When it ended, in milliseconds; 0 while it goes on.
    ended: AtomicU64,
}

/// The claims can be renewed: from when on to try, and from when on they are stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    pub(super) at: Timestamp,
    pub(super) stale: Timestamp,
    /// By what their row says that the claims are outdated; 1970 where they are not.
    pub(super) outdated: Timestamp,
}

impl SignIn {
    pub(super) fn new(
        id: SignInId,
        (claims, identity): (Arc<Identity>, Arc<Identity>),
        created: Timestamp,
        seen: Timestamp,
        ends: Timestamp,
        renewal: Option<Renewal>,
    ) -> Self {
        let never = Timestamp::from_millis(u64::MAX);
        let renewal = renewal.unwrap_or(Renewal { at: never, stale: never, outdated: Timestamp::default() });
        let outdated_since = if renewal.outdated == Timestamp::default() { 0 } else { clock::elapsed() };
        Self {
            id,
            created,
            ends,
            claims: ArcSwap::new(claims),
            identity: ArcSwap::new(identity),
            version: AtomicU64::new(0),
            last_seen: AtomicU64::new(seen.millis()),
            last_written: AtomicU64::new(seen.millis()),
            ended: AtomicU64::new(0),
            renew_at: AtomicU64::new(renewal.at.millis()),
            stale_at: AtomicU64::new(renewal.stale.millis()),
            expires: AtomicU64::new(renewal.stale.millis()),
            outdated: AtomicU64::new(renewal.outdated.millis()),
            outdated_since: AtomicU64::new(outdated_since),
            renewing: watch::Sender::new(false),
            devices: Mutex::default(),
        }
    }

    /// Who the provider said it is.
    pub fn claims(&self) -> Arc<Identity> {
        self.claims.load_full()
    }

    /// Who it is now, with the directory laid over the claims; a refresh of the claims, or a change of the directory, puts another
    /// one in its place.
    pub fn identity(&self) -> arc_swap::Guard<Arc<Identity>> {
        self.identity.load()
    }

    /// Counts the identities that it has had. Whoever reads this first and the identity then will learn of the next one.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether it is good at this time.
    pub fn life(&self, now: Timestamp, lifetimes: Lifetimes) -> Life {
        if self.ended.load(Ordering::Acquire) != 0 {
            return Life::Ended;
        }
        let idle_since = self.last_seen();
        // A lifetime that was shortened since counts too.
        let over = now >= self.ends || now.since(self.created) >= lifetimes.lifetime || now.since(idle_since) >= lifetimes.idle;
        if over { Life::Expired } else { Life::Live }
    }

    /// When it was last used.
    pub fn last_seen(&self) -> Timestamp {
        Timestamp::from_millis(self.last_seen.load(Ordering::Relaxed))
    }

    /// Notes that it was used.
    pub fn seen(&self, now: Timestamp) {
        // A plain store where nothing changed would take the cache line from the other workers at every request.
        if now.millis() > self.last_seen.load(Ordering::Relaxed).saturating_add(1000) {
            self.last_seen.store(now.millis(), Ordering::Relaxed);
        }
    }

    /// Whether its claims should be renewed now.
    pub fn renewal_is_due(&self, now: Timestamp) -> bool {
        now.millis() >= self.renew_at.load(Ordering::Relaxed)
    }

    /// Whether its claims are past the provider's word for them, so that a request must wait for their renewal.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.millis() >= self.stale_at.load(Ordering::Relaxed)
    }

    /// For how long its claims have been known here to be outdated, where they are.
    pub fn outdated_for(&self) -> Option<Duration> {
        let since = self.outdated_since.load(Ordering::Relaxed);
        (since != 0).then(|| Duration::from_millis(clock::elapsed().saturating_sub(since)))
    }

    /// Waits until no renewal is under way.
    pub async fn renewed(&self) {
        // The sender lives in self, so that the wait can only end by the value.
        let _ = self.renewing.subscribe().wait_for(|renewing| !renewing).await;
    }

    /// A renewal failed for a reason that may pass: the next try, while the claims stay as they are. Those that are known to be
    /// outdated stay stale.
    pub fn postpone_renewal(&self, until: Timestamp) {
        self.renew_at.store(until.millis(), Ordering::Relaxed);
        if self.outdated.load(Ordering::Relaxed) == 0 {
            self.stale_at.fetch_max(until.millis(), Ordering::Relaxed);
        }
    }

    /// The renewal is over, one way or the other.
    pub fn renewal_ends(&self) {
        self.renewing.send_replace(false);
    }

    pub(super) fn renewal_begins(&self) -> bool {
        self.renewing.send_if_modified(|renewing| !std::mem::replace(renewing, true))
    }

    /// Takes over what its row says now.
    pub(super) fn become_like(&self, fresh: &Self) {
        self.claims.store(fresh.claims());
        let identity = fresh.identity();
        if **self.identity() != **identity {
            self.identity.store(Arc::clone(&identity));
            self.version.fetch_add(1, Ordering::Release);
        }
        // Of the same tokens the time of their renewal stays: what is left of their life says nothing of it.
        let (expires, outdated) = (fresh.expires.load(Ordering::Relaxed), fresh.outdated.load(Ordering::Relaxed));
        let before = (self.expires.swap(expires, Ordering::Relaxed), self.outdated.swap(outdated, Ordering::Relaxed));
        if before != (expires, outdated) {
            self.renew_at.store(fresh.renew_at.load(Ordering::Relaxed), Ordering::Relaxed);
            self.stale_at.store(fresh.stale_at.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let since = fresh.outdated_since.load(Ordering::Relaxed);
        // One event after another must not begin the time anew: what flows would never be cut.
        if since == 0 || self.outdated_since.load(Ordering::Relaxed) == 0 {
            self.outdated_since.store(since, Ordering::Relaxed);
        }
        self.was_seen(Timestamp::from_millis(fresh.last_seen.load(Ordering::Relaxed)));
    }

    /// Its claims have been renewed here, perhaps for no longer than before: then the next time comes nearer and nearer.
    pub(super) fn renewed_until(&self, renewal: Option<Renewal>) {
        if let Some(renewal) = renewal.filter(|renewal| renewal.stale.millis() == self.expires.load(Ordering::Relaxed)) {
            self.renew_at.store(renewal.at.millis(), Ordering::Relaxed);
        }
    }

    /// Another process has written down a use.
    pub(super) fn was_seen(&self, seen: Timestamp) {
        self.last_seen.fetch_max(seen.millis(), Ordering::Relaxed);
        self.written(seen);
    }

    /// It ends at this time, or has ended before.
    pub(super) fn end(&self, at: Timestamp) {
        end(&self.ended, at);
    }

    /// Whether it was not used with this device before, as far as that is known here.
    pub(super) fn is_new_with(&self, fingerprint: Fingerprint) -> bool {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !devices.contains(&fingerprint);
        if is_new {
            devices.push(fingerprint);
        }
        is_new
    }

    /// The time of the last use, where it is to be written down now. Each has its moment in every [`OFTEN`], at another time than others, so
    /// that those who come together are not all written at once. One that comes back after a rest can't wait for that: by what is
    /// written, another process would soon take it for idle.
    pub(super) fn unwritten(&self, (before, now): (Timestamp, Timestamp), idle: Duration) -> Option<Timestamp> {
        let (seen, written) = (self.last_seen(), Timestamp::from_millis(self.last_written.load(Ordering::Relaxed)));
        let is_due = self.has_its_moment((before, now), OFTEN.min(idle / 64)) || seen.since(written) >= idle / 2;
        (seen > written && is_due).then_some(seen)
    }

    fn has_its_moment(&self, (before, now): (Timestamp, Timestamp), often: Duration) -> bool {
        let Some(often) = u64::try_from(often.as_millis()).ok().and_then(NonZeroU64::new) else { return true };
        // Fibonacci hashing: neighbours lie far apart.
        let own = self.id.0.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) % often;
        let stretch = |time: Timestamp| time.millis().saturating_add(own) / often;
        stretch(now) != stretch(before)
    }

    /// This time of use has been written down, and committed.
    pub(super) fn written(&self, seen: Timestamp) {
        self.last_written.fetch_max(seen.millis(), Ordering::Relaxed);
    }
}

impl AppSession {
    pub(super) const fn new(cookie: TokenHash, host: Box<str>, sign_in: Arc<SignIn>) -> Self {
        Self { cookie, host, sign_in, ended: AtomicU64::new(0) }
    }

    /// Whether it is good at this time.
    pub fn life(&self, now: Timestamp, lifetimes: Lifetimes) -> Life {
        if self.ended.load(Ordering::Acquire) != 0 { Life::Ended } else { self.sign_in.life(now, lifetimes) }
    }

    /// When it was ended by somebody, where it was.
    pub fn ended(&self) -> Option<Timestamp> {
        let at = [&self.ended, &self.sign_in.ended].map(|ended| ended.load(Ordering::Acquire)).into_iter().find(|at| *at != 0);
        at.map(Timestamp::from_millis)
    }

    pub(super) fn end(&self, at: Timestamp) {
        end(&self.ended, at);
    }
}

/// The first end is the one that counts.
fn end(ended: &AtomicU64, at: Timestamp) {
    // Nothing is left to do where it had ended before.
    let _ = ended.compare_exchange(0, at.millis().max(1), Ordering::AcqRel, Ordering::Acquire);
}
