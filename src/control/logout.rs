//! Signing out: of one app, of everything, at the provider (OpenID Connect RP-Initiated Logout 1.0). In: a request that the
//! person meant. Out: a page or the way to the provider. Must never say that something has ended that has not.

use super::answer::{self, Answer};
use super::session::{sso_tokens, token};
use super::{Call, Control, oidc, unavailable};
use crate::cookies;
use crate::model::identity::Act;
use crate::model::{Refusal, Token};
use crate::pages;
use crate::snapshot::Snapshot;
use crate::store::{Cause, Ended, SignIn};
use http::Method;
use http::header::ORIGIN;
use std::sync::Arc;

const LOGOUT: &str = "/.doorward/logout";

impl Control {
    /// `logout` on an app's host.
    pub(super) async fn log_out_of_app(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let (app, home) = app_at(&call.place.snapshot, &call.place.host);
        let everything = format!("{}{LOGOUT}", call.place.snapshot.auth);
        let signed_out = || {
            answer::page(pages::signed_out(&pages::SignedOutPage { app: Some(app), everything: Some(&everything), again: &home }))
        };
        let cookie = token(call, cookies::SESSION);
        if must_ask(call, cookie.is_some()) {
            return Ok(confirm(Some(app), LOGOUT));
        }
        let Some(cookie) = cookie else {
            return Ok(signed_out());
        };
        let held = self.app_session(call).await?;
        self.store.end_app_session(&cookie.hash(), Cause::SignedOut).await.map_err(unavailable)?;
        let lines = [cookies::expire(cookies::SESSION), cookies::expire(cookies::LANDED)];
        let answer = answer::with_cookies(signed_out(), lines);
        Ok(match held {
            Some(held) => answer::acted(answer, &held.sign_in.identity(), Act::SignedOut),
            None => answer,
        })
    }

    /// `logout` on the auth host; with `scope=all` it leaves the sign-in at the provider alone. Of
    /// several providers the browser goes on to the one that it signed in at last.
    pub(super) async fn log_out_of_everything(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let only_here = call.query.find("scope") == Some("all");
        let tokens: Vec<_> = sso_tokens(call).collect();
        if must_ask(call, !tokens.is_empty()) {
            return Ok(confirm(None, if only_here { "/.doorward/logout?scope=all" } else { LOGOUT }));
        }
        if tokens.is_empty() {
            return Ok(signed_out_of_everything());
        }
        let ended = self.end_all(tokens).await?;
        let latest = ended.first().filter(|_| !only_here);
        let answer = match latest.and_then(|(_, ended)| oidc::logout::url(self, call, ended)) {
            Some(url) => answer::redirect(&url)?,
            None => signed_out_of_everything(),
        };
        let answer = answer::with_cookies(answer, [cookies::expire(cookies::SSO)]);
        Ok(match ended.first() {
            Some((sign_in, _)) => answer::acted(answer, &sign_in.identity(), Act::SignedOutOfEverything),
            None => answer,
        })
    }

    /// Ends the sign-ins of these cookies; those that there were.
    async fn end_all(&self, tokens: Vec<Token>) -> Result<Vec<(Arc<SignIn>, Ended)>, Refusal> {
        let mut all = Vec::new();
        for token in tokens {
            if let Some(sign_in) = self.store.sign_in(&token.hash()).await.map_err(unavailable)? {
                let ended = self.store.end_sign_in(sign_in.id, Cause::SignedOut).await.map_err(unavailable)?;
                all.extend(ended.map(|ended| (sign_in, ended)));
            }
        }
        Ok(all)
    }
}

fn signed_out_of_everything() -> Answer {
    answer::page(pages::signed_out(&pages::SignedOutPage { app: None, everything: None, again: "/.doorward/login" }))
}

/// The way on is a link, not a form: browsers apply `form-action` to every redirect that follows a form, and the provider's are
/// not ours to know.
fn confirm(app: Option<&str>, sign_out: &str) -> Answer {
    answer::page(pages::confirm_logout(&pages::ConfirmLogoutPage { app, sign_out }))
}

/// Whether to ask first. A GET without a cookie has nothing to sign out, as when the provider sends the browser back; a POST
/// from elsewhere comes without the cookie (`SameSite=Lax`) that the browser may well have.
fn must_ask(call: &Call<'_>, has_cookie: bool) -> bool {
    (has_cookie || *call.method == Method::POST) && !is_meant(call)
}

/// Whether the person asked for it, rather than a page elsewhere (Fetch Metadata, `Origin`).
fn is_meant(call: &Call<'_>) -> bool {
    let header = |name: &str| call.headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let site = header("sec-fetch-site");
    if *call.method == Method::POST {
        let ours = format!("https://{}", call.place.authority);
        return site.map_or_else(|| header(ORIGIN.as_str()) == Some(&*ours), |site| site == "same-origin");
    }
    let clicked = || header("sec-fetch-mode") == Some("navigate") && header("sec-fetch-user") == Some("?1");
    match site {
        None | Some("same-origin" | "none") => true,
        // From an app beside us: a link that was followed, not an image or a script of the app's own accord.
        Some("same-site") => clicked(),
        Some(_) => false,
    }
}

/// The title and the path of the app where a host has one; the host itself where it has several.
fn app_at<'a>(snapshot: &'a Snapshot, host: &'a str) -> (&'a str, String) {
    let mut here = snapshot.apps.iter().filter(|app| app.origin.host() == host);
    match (here.next(), here.next()) {
        (Some(app), None) => (&app.title, format!("{}/", app.prefix)),
        _ => (host, "/".to_owned()),
    }
}
