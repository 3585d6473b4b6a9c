//! Who a browser is signed in as. In: cookies. Out: a live sign-in or session, or JSON. Must never take one cookie for another:
//! each has its own name, host and table.

use super::answer::{self, Answer};
use super::{Call, Control, unavailable};
use crate::clock;
use crate::cookies;
use crate::model::identity::Act;
use crate::model::{Reason, Refusal, Timestamp, Token};
use crate::store::{AppSession, Life, SignIn};
use std::sync::Arc;

/// How many sign-ins one browser may have, each at another provider.
pub(super) const MOST_SIGN_INS: usize = 4;

impl Control {
    /// The live sign-ins of the browser with their tokens, on the auth host: one a provider, the latest first.
    pub(super) async fn sign_ins(&self, call: &Call<'_>) -> Result<Vec<(Token, Arc<SignIn>)>, Refusal> {
        let (now, lifetimes) = (clock::now(), call.place.snapshot.lifetimes);
        let mut live = Vec::new();
        for token in sso_tokens(call) {
            let sign_in = self.store.sign_in(&token.hash()).await.map_err(unavailable)?;
            live.extend(sign_in.filter(|sign_in| sign_in.life(now, lifetimes) == Life::Live).map(|sign_in| (token, sign_in)));
        }
        Ok(live)
    }

    /// The live session of the browser, on an app's host.
    pub(super) async fn app_session(&self, call: &Call<'_>) -> Result<Option<Arc<AppSession>>, Refusal> {
        let Some(token) = token(call, cookies::SESSION) else {
            return Ok(None);
        };
        let session = self.store.app_session(token.hash(), &call.place.host).await.map_err(unavailable)?;
        let lifetimes = call.place.snapshot.lifetimes;
        Ok(session.filter(|session| session.life(clock::now(), lifetimes) == Life::Live))
    }

    /// `GET /.doorward/session`.
    pub(super) async fn who_am_i(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let sign_in = if call.place.is_auth {
            self.sign_ins(call).await?.into_iter().next().map(|(_, sign_in)| sign_in)
        } else {
            self.app_session(call).await?.map(|session| Arc::clone(&session.sign_in))
        };
        let sign_in = sign_in.ok_or(Reason::NotSignedIn)?;
        let answer = answer::document("application/json", "no-store", describe(&sign_in));
        Ok(answer::acted(answer, &sign_in.identity(), Act::Asked))
    }
}

/// The token in a cookie of ours.
pub(super) fn token(call: &Call<'_>, name: &str) -> Option<Token> {
    Token::parse(cookies::find(call.headers, name)?)
}

/// The tokens in the cookie of the single sign-on, the latest first.
pub(super) fn sso_tokens(call: &Call<'_>) -> impl Iterator<Item = Token> {
    let value = cookies::find(call.headers, cookies::SSO);
    value.into_iter().flat_map(|value| value.split('.')).filter_map(Token::parse).take(MOST_SIGN_INS)
}

fn describe(sign_in: &SignIn) -> String {
    let identity = sign_in.identity();
    let profile = &identity.profile;
    serde_json::json!({
        "user": identity.subject.to_string(),
        "email": profile.email.as_ref().map(|email| email.as_str()),
        "name": profile.name,
        "groups": profile.groups,
        "provider": identity.subject.provider.as_str(),
        "signed_in_at": written(sign_in.created),
        "expires_at": written(sign_in.ends),
    })
    .to_string()
}

/// RFC 3339, in UTC.
fn written(time: Timestamp) -> Option<String> {
    let milliseconds = i64::try_from(time.millis()).ok()?;
    Some(jiff::Timestamp::from_millisecond(milliseconds).ok()?.to_string())
}
