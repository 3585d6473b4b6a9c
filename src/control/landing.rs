//! An app host's `callback`: the last step of a sign-in. In: a handoff code, the browser's flow cookie. Out: the app's own
//! session cookie, and the way to where the person was going. Must never make a session for a browser that did not ask.

use super::answer::{self, Answer};
use super::session::token;
use super::target::ReturnTarget;
use super::{Call, Control, unavailable};
use crate::cookies;
use crate::model::identity::Act;
use crate::model::{Reason, Refusal, Token};
use crate::store::{AppSession, Cause};
use std::sync::Arc;

/// How long the mark of a landing stays, in seconds: as many landings as a person can't do by hand make a loop.
const LANDED: u32 = 30;

impl Control {
    /// `GET /.doorward/callback` on an app's host.
    pub(super) async fn land(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let target = landing_target(call)?;
        let held = self.app_session(call).await?;
        match (self.take_handoff(call).await, held) {
            (Ok(cookie), held) => self.settle(call, &target, cookie, held).await,
            // A tab that comes late: another one has signed in here.
            (Err(refusal), Some(_)) if refusal.reason == Reason::HandoffInvalid => {
                Ok(answer::with_cookies(answer::redirect(&target.to_string())?, [cookies::expire(cookies::LANDED)]))
            }
            (Err(refusal), _) => Err(refusal),
        }
    }

    /// Trades the code for a session; the token is its cookie.
    async fn take_handoff(&self, call: &Call<'_>) -> Result<Token, Refusal> {
        let code = call.query.find("code").and_then(Token::parse).ok_or(Reason::HandoffInvalid)?;
        let flow = flow_cookie(call).and_then(|name| token(call, &name));
        // Without the cookie the code is tried all the same, so that it is gone.
        let binding = flow.as_ref().map_or_else(Token::random, |flow| Ok(flow.clone())).map_err(unavailable)?;
        let cookie = Token::random().map_err(unavailable)?;
        let taken = self.store.take_handoff(&code.hash(), &call.place.host, &binding.hash(), &cookie.hash()).await;
        match (taken.map_err(unavailable)?, flow) {
            (true, _) => Ok(cookie),
            (false, Some(_)) => Err(Reason::HandoffInvalid.into()),
            (false, None) => Err(Refusal::with_detail(
                Reason::HandoffInvalid,
                "This browser has no trace of having asked: cookies may be blocked, or the link is from another browser.",
            )),
        }
    }

    /// One session a browser and host: a session of the same sign-in stays, so that tabs don't take it from each other; any
    /// other ends.
    async fn settle(
        &self,
        call: &Call<'_>,
        target: &ReturnTarget,
        cookie: Token,
        held: Option<Arc<AppSession>>,
    ) -> Result<Answer, Refusal> {
        let made = self.store.app_session(cookie.hash(), &call.place.host).await.map_err(unavailable)?;
        // Signed out between the two.
        let made = made.ok_or(Reason::HandoffInvalid)?;
        let same = |held: &Arc<AppSession>| made.sign_in.id == held.sign_in.id;
        let stays = held.as_ref().is_some_and(same);
        let ends = if stays { Some(cookie.hash()) } else { token(call, cookies::SESSION).map(|old| old.hash()) };
        if let Some(ends) = ends {
            self.store.end_app_session(&ends, Cause::Replaced).await.map_err(unavailable)?;
        }
        let mut lines = vec![landed(call, held.is_some() && !call.query.has("step_up"))];
        lines.extend(flow_cookie(call).map(|name| cookies::expire(&name)));
        lines.extend((!stays).then(|| cookies::set(cookies::SESSION, cookie.reveal(), None)));
        let answer = answer::acted(answer::redirect(&target.to_string())?, &made.sign_in.identity(), Act::Landed);
        Ok(answer::with_cookies(answer, lines))
    }
}

/// `to` is a path and query on this very host.
fn landing_target(call: &Call<'_>) -> Result<ReturnTarget, Refusal> {
    let to = call.query.find("to").filter(|to| to.starts_with('/')).ok_or(Reason::BadReturnTarget)?;
    let target = ReturnTarget::parse(&call.place.snapshot, &format!("https://{}{to}", call.place.authority));
    let here = target.ok().filter(|target| target.host() == call.place.host);
    here.ok_or_else(|| Reason::BadReturnTarget.into())
}

/// The name of the cookie that `flow` names.
fn flow_cookie(call: &Call<'_>) -> Option<String> {
    let flow = call.query.find("flow")?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (flow.len() == 8 && flow.bytes().all(fine)).then(|| format!("{}{flow}", cookies::FLOW))
}

/// One more landing; none where the browser has kept a session, which is no loop but another tab, unless it was for a stronger one.
fn landed(call: &Call<'_>, kept: bool) -> String {
    if kept {
        return cookies::expire(cookies::LANDED);
    }
    let before: u32 = cookies::find(call.headers, cookies::LANDED).and_then(|n| n.parse().ok()).unwrap_or(0);
    cookies::set(cookies::LANDED, &before.saturating_add(1).to_string(), Some(LANDED))
}
