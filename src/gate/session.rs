//! Which session a request has. In: the session cookie. Out: a [`Session`]: absent, invalid and valid are three different
//! things. Must never take a cookie at another host than its own, nor any other cookie of ours for a session.

use super::decide::Memo;
use super::headers::Carried;
use super::target::Target;
use super::visit::Visit;
use crate::cookies;
use crate::model::{Reason, Refusal, Token, TokenHash};
use crate::store::{AppSession, Life};
use http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;

/// What a request's cookie says.
pub enum Session {
    /// There is none.
    Absent,
    /// There is one, and it is not good (any more).
    Invalid(Reason),
    /// It is good.
    Valid(Arc<Known>),
}

/// A session, and what was worked out for it.
pub struct Known {
    /// The session.
    pub session: Arc<AppSession>,
    /// Names it in audit and assertions without giving it away.
    pub id: Arc<str>,
    pub(super) memo: Memo,
    pub(super) carried: Carried,
}

/// The sessions that were used lately.
pub type Cache = moka::sync::Cache<TokenHash, Arc<Known>, AlreadyRandom>;

/// How long to wait for a renewal of stale claims before going on with what is known.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);

/// A cache for this many sessions.
pub fn cache(capacity: u64) -> Cache {
    moka::sync::Cache::builder().max_capacity(capacity).build_with_hasher(AlreadyRandom)
}

/// Looks the session up.
pub async fn look_up(visit: &Visit, target: &Target, headers: &HeaderMap) -> Result<Session, Refusal> {
    let Some(cookie) = cookies::find(headers, cookies::SESSION) else {
        return Ok(Session::Absent);
    };
    let Some(hash) = Token::hash_of(cookie) else {
        return Ok(Session::Invalid(Reason::SessionInvalid));
    };
    let Some(known) = find(visit, target, hash).await? else {
        return Ok(Session::Invalid(Reason::SessionInvalid));
    };
    if known.session.life(visit.now, visit.snapshot.lifetimes.idle) == Life::Live {
        renew(visit, &known).await;
    }
    Ok(check(visit, known))
}

async fn find(visit: &Visit, target: &Target, hash: TokenHash) -> Result<Option<Arc<Known>>, Refusal> {
    let gate = visit.gate();
    if let Some(known) = gate.sessions.get(&hash) {
        return Ok((*known.session.host == *target.host()).then_some(known));
    }
    let session = gate.store.app_session(hash, target.host()).await.map_err(|error| {
        tracing::error!(%error, "a session could not be looked up");
        Reason::StoreUnavailable
    })?;
    Ok(session.map(|session| {
        let known = Arc::new(Known {
            id: TokenHash::of(hash.as_bytes()).encode().into(),
            session,
            memo: Memo::default(),
            carried: Carried::default(),
        });
        gate.sessions.insert(hash, Arc::clone(&known));
        known
    }))
}

/// Has the claims renewed when it is time: beside the request while they hold, before it once they are stale.
async fn renew(visit: &Visit, known: &Known) {
    let sign_in = &known.session.sign_in;
    if !sign_in.renewal_is_due(visit.now) {
        return;
    }
    visit.gate().store.ask_renewal(sign_in);
    if sign_in.is_stale(visit.now) && tokio::time::timeout(RENEWAL_PATIENCE, sign_in.renewed()).await.is_err() {
        tracing::warn!("the provider is slow to renew claims: going on with those that are known");
    }
}

fn check(visit: &Visit, known: Arc<Known>) -> Session {
    match known.session.life(visit.now, visit.snapshot.lifetimes.idle) {
        Life::Live => {
            known.session.sign_in.seen(visit.now);
            Session::Valid(known)
        }
        life => {
            visit.gate().sessions.invalidate(&known.session.cookie);
            Session::Invalid(if life == Life::Expired { Reason::SessionExpired } else { Reason::SessionInvalid })
        }
    }
}

/// The keys are SHA-256 already: hashing them again would cost and add nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlreadyRandom;

impl std::hash::BuildHasher for AlreadyRandom {
    type Hasher = FirstBytes;
    fn build_hasher(&self) -> FirstBytes {
        FirstBytes(0)
    }
}

/// Takes the first eight bytes for the hash.
#[derive(Clone, Copy, Debug)]
pub struct FirstBytes(u64);

impl std::hash::Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
