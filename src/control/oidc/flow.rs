//! A login in progress: one sealed cookie each on the auth host, so that many tabs can log in at once. In: what the callback
//! will need. Out: the cookie, and the flow back from it. Must never open for another id, or as anything else.

use crate::control::login::Destination;
use crate::control::{Call, unavailable};
use crate::cookies;
use crate::model::secret::random;
use crate::model::{Refusal, Timestamp, Token, TokenHash};
use crate::store::seal::{KeyRing, Purpose};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// How long a login may take.
const LIFE: Duration = Duration::from_secs(600);
/// How many logins one browser may have in progress.
const MOST: usize = 20;
/// How large their cookies may be together, in bytes: servers refuse requests with more headers than twice this.
const LARGEST: usize = 16 * 1024;
/// The largest single cookie: browsers drop those of more than 4096 bytes, name and attributes included.
const LARGEST_ONE: usize = 3800;

/// What a callback needs to know of its login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) provider: String,
    pub(super) state: String,
    pub(super) nonce: String,
    /// The PKCE code verifier (RFC 7636).
    pub(super) verifier: String,
    pub(super) to: Option<String>,
    pub(super) binding: Option<String>,
    /// How strong or fresh the sign-in must be.
    #[serde(default)]
    pub(super) step_up: Option<String>,
    /// In milliseconds since 1970.
    pub(super) started: u64,
}

/// The name of a login, which is the first part of its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FlowId(String);

impl FlowId {
    /// A new one, and the state that carries it.
    pub(super) fn random() -> Result<(Self, String), Refusal> {
        let id = URL_SAFE_NO_PAD.encode(random::<9>().map_err(unavailable)?);
        let state = format!("{id}.{}", Token::random().map_err(unavailable)?.reveal());
        Ok((Self(id), state))
    }

    /// The id in a state.
    fn of_state(state: &str) -> Option<Self> {
        let (id, _) = state.split_once('.')?;
        Self::parse(id)
    }

    fn parse(id: &str) -> Option<Self> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (id.len() == 12 && id.bytes().all(fine)).then(|| Self(id.to_owned()))
    }

    /// The name of its cookie.
    pub(super) fn cookie(&self) -> String {
        format!("{}{}", cookies::FLOW, self.0)
    }
}

impl Flow {
    /// When it began.
    pub(super) const fn started(&self) -> Timestamp {
        Timestamp::from_millis(self.started)
    }

    /// Where it leads.
    pub(super) fn lead_to(&mut self, destination: &Destination) {
        self.to = destination.target.as_ref().map(ToString::to_string);
        self.binding = destination.binding.as_ref().map(TokenHash::encode);
        self.step_up = destination.step_up.as_ref().map(|(step_up, _)| step_up.to_string());
    }

    /// The value of its cookie. A return target that is too long for a cookie loses its query, and then its path.
    pub(super) fn seal(&mut self, ring: &KeyRing, id: &FlowId, destination: &Destination) -> Result<String, Refusal> {
        for shorter in destination.ever_shorter() {
            self.lead_to(&shorter);
            let sealed = self.sealed(ring, id)?;
            if sealed.len() <= LARGEST_ONE {
                return Ok(sealed);
            }
        }
        Err(crate::model::Reason::BadReturnTarget.into())
    }

    fn sealed(&self, ring: &KeyRing, id: &FlowId) -> Result<String, Refusal> {
        let plain = serde_json::to_vec(self).unwrap_or_default();
        let sealed = ring.seal(Purpose::Flow, &id.0, &plain).map_err(unavailable)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Whether it took too long.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.started()) >= LIFE
    }

    fn open(ring: &KeyRing, id: &FlowId, value: &str) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let plain = ring.open(Purpose::Flow, &id.0, &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// The flow of this browser that a state belongs to; it may be over.
    pub(super) fn of_state(ring: &KeyRing, call: &Call<'_>, state: &str) -> Option<(FlowId, Self)> {
        let id = FlowId::of_state(state)?;
        let flow = Self::open(ring, &id, cookies::find(call.headers, &id.cookie())?)?;
        bool::from(flow.state.as_bytes().ct_eq(state.as_bytes())).then_some((id, flow))
    }
}

/// The `Set-Cookie` line of a login.
pub(super) fn cookie(id: &FlowId, sealed: &str) -> String {
    cookies::set(&id.cookie(), sealed, Some(600))
}

/// `Set-Cookie` lines that make room for one more cookie of this size: the expired go, then the oldest.
pub(super) fn make_room(ring: &KeyRing, call: &Call<'_>, size: usize, now: Timestamp) -> Vec<String> {
    let mut held: Vec<(u64, &str, usize)> = cookies::pairs(call.headers)
        .filter(|(name, _)| *name != cookies::LANDED)
        .filter_map(|(name, value)| {
            let id = FlowId::parse(name.strip_prefix(cookies::FLOW)?)?;
            let started = Flow::open(ring, &id, value).filter(|flow| !flow.is_over(now)).map_or(0, |flow| flow.started);
            Some((started, name, name.len() + value.len()))
        })
        .collect();
    held.sort_unstable_by(|a, b| b.cmp(a));
    let (mut count, mut bytes) = (1, size);
    held.retain(|(started, _, size)| {
        count += 1;
        bytes += size;
        *started == 0 || count > MOST || bytes > LARGEST
    });
    held.into_iter().map(|(_, name, _)| cookies::expire(name)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
