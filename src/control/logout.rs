//! Signing out: of one app, of everything, at the provider (OpenID Connect RP-Initiated Logout 1.0). In: a request that the
//! person meant. Out: a page or the way to the provider. Must never say that something has ended that has not.

use super::answer::{self, Answer};
use super::session::token;
use super::{Call, Control, oidc, unavailable};
use crate::cookies;
use crate::model::Refusal;
use crate::pages;
use crate::snapshot::Snapshot;
use http::Method;
use http::header::ORIGIN;

const LOGOUT: &str = "/.doorward/logout";

impl Control {
    /// `logout` on an app's host.
    pub(super) async fn log_out_of_app(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let (app, home) = app_at(&call.place.snapshot, &call.place.host);
        let everything = format!("{}{LOGOUT}", call.place.snapshot.auth);
        let signed_out = || {
            answer::page(pages::signed_out(&pages::SignedOutPage { app: Some(app), everything: Some(&everything), again: &home }))
        };
        let Some(cookie) = token(call, cookies::SESSION) else {
            return Ok(signed_out());
        };
        if !is_meant(call) {
            return Ok(confirm(Some(app), LOGOUT));
        }
        self.store.end_app_session(&cookie.hash()).await.map_err(unavailable)?;
        let lines = [cookies::expire(cookies::SESSION), cookies::expire(cookies::LANDED)];
        Ok(answer::with_cookies(signed_out(), lines))
    }

    /// `logout` on the auth host; with `scope=all` it leaves the sign-in at the provider alone.
    pub(super) async fn log_out_of_everything(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let Some(cookie) = token(call, cookies::SSO) else {
            return Ok(signed_out_of_everything());
        };
        let only_here = call.query.find("scope") == Some("all");
        if !is_meant(call) {
            return Ok(confirm(None, if only_here { "/.doorward/logout?scope=all" } else { LOGOUT }));
        }
        let mut ended = None;
        if let Some(sign_in) = self.store.sign_in(&cookie.hash()).await.map_err(unavailable)? {
            ended = self.store.end_sign_in(sign_in.id).await.map_err(unavailable)?;
        }
        let provider = ended.filter(|_| !only_here).and_then(|ended| oidc::logout::url(self, call, &ended));
        let answer = match provider {
            Some(url) => answer::redirect(&url)?,
            None => signed_out_of_everything(),
        };
        Ok(answer::with_cookies(answer, [cookies::expire(cookies::SSO)]))
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

/// Whether the person asked for it, rather than a page elsewhere (Fetch Metadata, `Origin`).
fn is_meant(call: &Call<'_>) -> bool {
    let header = |name: &str| call.headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let site = header("sec-fetch-site");
    if *call.method == Method::POST {
        let ours = format!("https://{}", call.place.authority);
        return site.map_or_else(|| header(ORIGIN.as_str()) == Some(&*ours), |site| site == "same-origin");
    }
    matches!(site, None | Some("same-origin" | "same-site" | "none"))
}

/// The title and the path of the app where a host has one; the host itself where it has several.
fn app_at<'a>(snapshot: &'a Snapshot, host: &'a str) -> (&'a str, String) {
    let mut here = snapshot.apps.iter().filter(|app| app.origin.host() == host);
    match (here.next(), here.next()) {
        (Some(app), None) => (&app.title, format!("{}/", app.prefix)),
        _ => (host, "/".to_owned()),
    }
}
