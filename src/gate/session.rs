//! Which session a request has. In: the session cookie. Out: a [`Session`]: absent, invalid and valid are three different
//! things. Must never take a cookie at another host than its own, nor any other cookie of ours for a session.

use super::decide::Memo;
use super::device::Presented;
use super::headers::{Carried, OwnCopy};
use super::target::Target;
use super::visit::Visit;
use crate::clock;
use crate::cookies;
use crate::model::{Lifetimes, Reason, Refusal, Timestamp, Token, TokenHash};
use crate::store::{self, AppSession, Life, SignIn};
use http::HeaderMap;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// What a request's cookie says.
pub enum Session {
    /// There is none.
    Absent,
    /// There is one, and it is not good (any more).
    Invalid(Reason),
    /// It is good.
    Valid(Rc<Recognized>),
}

/// A session, and what was worked out for it; one object for all workers.
pub struct Known {
    /// The session.
    pub session: Arc<AppSession>,
    /// Names it in audit and assertions without giving it away.
    pub id: Box<str>,
    pub(super) memo: Memo,
    pub(super) carried: Carried,
}

/// A session as one connection knows it. Requests of the connection that send the same cookie again need no look-up, and count
/// their references here: a count that all workers share would be fought over at every request.
pub struct Recognized {
    known: Arc<Known>,
    cookie: Box<str>,
    /// Whether a second request has come with it.
    pub(super) again: Cell<bool>,
    pub(super) own: OwnCopy,
    /// The certificate that it last came with.
    shown: RefCell<Weak<Presented>>,
}

impl Recognized {
    fn new(known: Arc<Known>, cookie: &str) -> Rc<Self> {
        Rc::new(Self { known, cookie: cookie.into(), again: Cell::new(false), own: OwnCopy::default(), shown: RefCell::default() })
    }

    /// What names it in audit and assertions without giving it away.
    pub fn id(&self) -> &str {
        &self.known.id
    }

    /// The sign-in that it was made from.
    pub fn sign_in(&self) -> &Arc<SignIn> {
        &self.known.session.sign_in
    }

    /// Whether it is good at this time.
    pub(super) fn life(&self, now: Timestamp, lifetimes: Lifetimes) -> Life {
        self.known.session.life(now, lifetimes)
    }

    /// Notes the device that it comes from, once a certificate.
    fn comes_from(&self, visit: &Visit) {
        let Some(shown) = &visit.certificate else { return };
        let mut last = self.shown.borrow_mut();
        if std::ptr::eq(last.as_ptr(), Rc::as_ptr(shown)) {
            return;
        }
        *last = Rc::downgrade(shown);
        if let Ok(certified) = &shown.judged.verdict {
            let device = shown.device.as_ref().map(|device| &*device.id);
            visit.gate().store.used_with(self.sign_in(), certified.fingerprint, device);
        }
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }
}

/// The sessions that were used lately.
pub type Cache = moka::sync::Cache<TokenHash, Arc<Known>, AlreadyRandom>;

/// How long to wait for a renewal of stale claims before going on with what is known; of outdated ones, before refusing.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);

/// When a session that is not used is let go of; until then it is one object for all who use it.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// A cache for this many sessions.
pub fn cache(capacity: u64) -> Cache {
    moka::sync::Cache::builder().max_capacity(capacity).time_to_idle(FORGOTTEN).build_with_hasher(AlreadyRandom)
}

/// Looks the session up.
pub async fn look_up(visit: &mut Visit, target: &Target, headers: &HeaderMap) -> Result<Session, Refusal> {
    let Some(cookie) = cookies::find(headers, cookies::SESSION) else {
        return Ok(Session::Absent);
    };
    if visit.gate().store.is_behind() {
        Box::pin(come_up_to_date(visit)).await?;
    }
    let recognized = match recognize(visit, target, cookie) {
        Some(recognized) => recognized,
        None => match find(visit, target, cookie).await? {
            Some(known) => remember(visit, Recognized::new(known, cookie)),
            None => return Ok(Session::Invalid(Reason::SessionInvalid)),
        },
    };
    if recognized.sign_in().renewal_is_due(visit.now) && life(visit, &recognized) == Life::Live {
        Box::pin(renew(visit, recognized.sign_in())).await;
        visit.now = clock::now();
        // That took time, in which this process may have been stopped too.
        if visit.gate().store.is_behind() {
            Box::pin(come_up_to_date(visit)).await?;
        }
    }
    if recognized.sign_in().outdated_for().is_some() && life(visit, &recognized) == Life::Live {
        return Err(outdated());
    }
    Ok(check(visit, recognized))
}

/// What the provider has said to be different now lets nobody in, for as long as it can't be asked.
fn outdated() -> Refusal {
    Refusal::with_detail(
        Reason::ProviderUnavailable,
        "What is known of you has changed, and your identity provider can't be asked now.",
    )
}

/// What other replicas have ended must be known here before anything that is held is used; after a stop of this process it is not.
async fn come_up_to_date(visit: &mut Visit) -> Result<(), Refusal> {
    let grace = visit.snapshot.store_grace;
    visit.gate().store.come_up_to_date(grace).await.map_err(|_| Reason::StoreUnavailable)?;
    visit.now = clock::now();
    Ok(())
}

/// The session of the request before on this connection, when this one has the same cookie and host.
fn recognize(visit: &Visit, target: &Target, cookie: &str) -> Option<Rc<Recognized>> {
    let last = visit.connection.recognized.borrow();
    let recognized = last.as_ref()?;
    // In constant time: behind another proxy a connection may be shared with somebody who guesses.
    let same: bool = recognized.cookie.as_bytes().ct_eq(cookie.as_bytes()).into();
    if !same || *recognized.known.session.host != *target.host() {
        return None;
    }
    recognized.again.set(true);
    Some(Rc::clone(recognized))
}

fn remember(visit: &Visit, recognized: Rc<Recognized>) -> Rc<Recognized> {
    visit.connection.recognized.replace(Some(Rc::clone(&recognized)));
    recognized
}

async fn find(visit: &mut Visit, target: &Target, cookie: &str) -> Result<Option<Arc<Known>>, Refusal> {
    let Some(hash) = Token::hash_of(cookie) else { return Ok(None) };
    let gate = visit.gate();
    if let Some(known) = gate.sessions.get(&hash) {
        return Ok((*known.session.host == *target.host()).then_some(known));
    }
    let session = Box::pin(gate.store.app_session(hash, target.host())).await.map_err(|error| {
        tracing::error!(%error, "a session could not be looked up");
        Reason::StoreUnavailable
    })?;
    // It may have taken a while, and lives are judged by the time.
    visit.now = clock::now();
    let gate = visit.gate();
    Ok(session.map(|session| {
        let id = store::name(&hash).into();
        let known = Arc::new(Known { id, session, memo: Memo::default(), carried: Carried::default() });
        gate.sessions.insert(hash, Arc::clone(&known));
        known
    }))
}

fn life(visit: &Visit, recognized: &Recognized) -> Life {
    recognized.life(visit.now, visit.snapshot.lifetimes)
}

/// Has the claims renewed: beside the request while they hold, before it once they are stale.
async fn renew(visit: &Visit, sign_in: &Arc<SignIn>) {
    visit.gate().store.ask_renewal(sign_in);
    if sign_in.is_stale(visit.now) && tokio::time::timeout(RENEWAL_PATIENCE, sign_in.renewed()).await.is_err() {
        tracing::warn!("the provider is slow to renew claims: those that are known count, unless they are outdated");
    }
}

fn check(visit: &Visit, recognized: Rc<Recognized>) -> Session {
    match life(visit, &recognized) {
        Life::Live => {
            recognized.sign_in().seen(visit.now);
            recognized.comes_from(visit);
            Session::Valid(recognized)
        }
        life => {
            visit.gate().sessions.invalidate(&recognized.known.session.cookie);
            visit.connection.recognized.take();
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
