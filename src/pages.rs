//! The pages that people see. In: what happened. Out: HTML that works without scripts. Must never put text into a page but
//! through a template, which escapes it.

use crate::model::{Advice, Reason, Refusal, RequestId};
use askama::Template;

/// What every page of ours is sent with.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The style sheet of every page, at `/.doorward/assets/doorward.css`.
pub const STYLE_SHEET: &str = include_str!("pages/doorward.css");

/// A refused request.
#[derive(Template)]
#[template(path = "refusal.html")]
pub struct RefusalPage<'a> {
    /// Why.
    pub refusal: &'a Refusal,
    /// What to quote.
    pub request_id: RequestId,
    /// The app's title.
    pub app: Option<&'a str>,
    /// What failed, and what would help.
    pub advice: &'a [Advice],
    /// Whom to ask, and what that leads to: a link of `mailto:` or `https:`.
    pub contact: Option<(&'a str, Option<&'a str>)>,
    /// What the person can do.
    pub links: Links<'a>,
}

/// Where a refused person can go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Links<'a> {
    /// Once more.
    pub retry: Option<&'a str>,
    /// To sign out, in order to come back as somebody else.
    pub sign_out: Option<&'a str>,
}

/// Which provider to sign in at.
#[derive(Template)]
#[template(path = "chooser.html")]
pub struct ChooserPage<'a> {
    /// The app's title.
    pub app: Option<&'a str>,
    /// A title and a link each.
    pub providers: &'a [(String, String)],
}

/// Signed out.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage<'a> {
    /// Of what: an app; of everything where there is none.
    pub app: Option<&'a str>,
    /// To sign out of everything.
    pub everything: Option<&'a str>,
    /// To sign in again.
    pub again: &'a str,
}

/// A link from elsewhere asks to sign out.
#[derive(Template)]
#[template(path = "confirm_logout.html")]
pub struct ConfirmLogoutPage<'a> {
    /// Of what: an app; of everything where there is none.
    pub app: Option<&'a str>,
    /// What does it.
    pub sign_out: &'a str,
}

/// Who is signed in.
#[derive(Template)]
#[template(path = "account.html")]
pub struct AccountPage<'a> {
    /// What to call the person.
    pub name: &'a str,
    /// The provider's title.
    pub provider: &'a str,
    /// To sign out.
    pub sign_out: &'a str,
}

/// The page of a refused request.
pub fn refusal(page: &RefusalPage<'_>) -> String {
    render(page)
}

/// The page that asks for a provider.
pub fn chooser(page: &ChooserPage<'_>) -> String {
    render(page)
}

/// The page after signing out.
pub fn signed_out(page: &SignedOutPage<'_>) -> String {
    render(page)
}

/// The page that asks whether to sign out.
pub fn confirm_logout(page: &ConfirmLogoutPage<'_>) -> String {
    render(page)
}

/// The page of the auth host itself.
pub fn account(page: &AccountPage<'_>) -> String {
    render(page)
}

fn render(page: &impl Template) -> String {
    page.render().unwrap_or_else(|error| {
        // Writing into a string does not fail; nothing in our templates does.
        tracing::error!(%error, "a page can't be rendered");
        String::new()
    })
}

impl RefusalPage<'_> {
    fn title(&self) -> &'static str {
        explanation(self.refusal.reason).0
    }

    fn text(&self) -> &'static str {
        explanation(self.refusal.reason).1
    }
}

/// A title, and what it means for the person: for pages and for JSON.
pub const fn explanation(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Allowed | Reason::Preflight | Reason::PublicRoute | Reason::Reserved => {
            ("Nothing is wrong", "This request is fine.")
        }
        Reason::Abandoned | Reason::AmbiguousTarget | Reason::BadHost | Reason::BadRequest => (
            "This address can’t be opened",
            "The address can be read in more than one way, so it was not passed on. Check it for odd characters.",
        ),
        Reason::AuditUnavailable => {
            ("Try again in a moment", "Access can’t be recorded right now, and nothing is let through unrecorded.")
        }
        Reason::BadReturnTarget => (
            "This link leads nowhere",
            "It asks to go on to an address that is not one of our apps. Open the app directly instead.",
        ),
        Reason::DeniedByRule | Reason::NotAllowed => (
            "You don’t have access",
            "You are signed in, but your account may not open this. If you should have access, ask the owner of the app.",
        ),
        Reason::DeviceCertificateInvalid => (
            "This device’s certificate is not good",
            "This page is open to known devices only, and the certificate that your browser has shown does not tell which one it is.",
        ),
        Reason::DeviceLocked => (
            "This device is locked",
            "It was locked by an administrator, and can’t be used here until that is lifted. Ask your help desk.",
        ),
        Reason::UserLocked => (
            "Your account is locked",
            "It was locked by an administrator: you can’t sign in until that is lifted. Ask your help desk.",
        ),
        Reason::PolicyError => (
            "Access can’t be decided",
            "The rules for this page could not be worked out, so nobody is let in. Tell the owner of the app.",
        ),
        Reason::AccountDeactivated => (
            "Your account is not active",
            "The directory of your organization says that you may not sign in. If that is wrong, ask your help desk.",
        ),
        Reason::NotInDirectory => (
            "Your account is not known here",
            "The sign-in service knows you, but the directory of your organization does not. Ask your help desk to add you.",
        ),
        Reason::NotSignedIn => ("Sign in to go on", "This app is open to people who are signed in."),
        Reason::ProviderNotAccepted => (
            "Another account is needed",
            "This app does not take the account that you are signed in with. Sign out, and sign in with another one.",
        ),
        Reason::StepUpFailed => (
            "The sign-in was not strong enough",
            "You signed in, but the sign-in service did not confirm what this app asks for. Try another way of signing in there.",
        ),
        Reason::StepUpRequired => (
            "A stronger sign-in is needed",
            "You may do this once you have signed in again. What you sent was not passed on: send it again after that.",
        ),
        _ => explanation_of_failure(reason),
    }
}

/// What went wrong on the way: with a sign-in, or with the app.
const fn explanation_of_failure(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::HandoffInvalid => (
            "The sign-in could not be finished",
            "This step of the sign-in was used already, took too long, or belongs to another browser. Open the app again.",
        ),
        Reason::ProviderUnavailable => (
            "Sign-in is not available right now",
            "The service that checks who you are does not answer. Those who are signed in can go on. Try again in a few minutes.",
        ),
        Reason::SessionExpired | Reason::SessionInvalid => ("Your session has ended", "Sign in again to go on where you were."),
        Reason::SignInExpired => (
            "This sign-in has expired",
            "It took too long, was started in another browser, or was finished in another tab. Open the app again.",
        ),
        Reason::SignInFailed => (
            "You could not be signed in",
            "The answer of the sign-in service did not pass our checks. Try again; if it stays so, tell your help desk.",
        ),
        Reason::SignInLoop => (
            "Signing in does not stick",
            "You were signed in, but the browser did not keep it. Allow cookies for this site, and try again.",
        ),
        Reason::SignInRefused => {
            ("The sign-in was refused", "The sign-in service did not confirm who you are, or the sign-in was cancelled.")
        }
        Reason::StoreUnavailable => {
            ("Try again in a moment", "Sessions can’t be looked up right now. You have not been signed out.")
        }
        Reason::AppBusy => ("The app is busy", "It has as much to do as it can take. Try again in a moment."),
        Reason::BodyTooLarge => ("This is too large", "The app does not take uploads of this size."),
        Reason::RateLimited | Reason::SessionBusy => {
            ("Too many requests", "More was asked for at once than is allowed. Wait a moment, and try again.")
        }
        Reason::UnknownHost | Reason::UnknownPath => {
            ("There is nothing here", "No app lives at this address. Check it for typing errors.")
        }
        Reason::NoHealthyUpstream
        | Reason::UpstreamBusy
        | Reason::UpstreamFailed
        | Reason::UpstreamTimeout
        | Reason::UpstreamUnreachable => {
            ("The app does not answer", "You have access, but the app itself is not working right now. Try again in a few minutes.")
        }
        Reason::AccessEnded => (
            "Your access has ended",
            "You were signed out, or have lost a right, while the app was still busy with this. Whether it was done is for the app to say.",
        ),
        Reason::UploadTooSlow => ("This took too long", "What you sent came too slowly. Try again on a better connection."),
        _ => ("This did not work", "Try again; if it stays so, tell your help desk."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const EVIL: &str = "\"><script>alert(1)</script>'&";

    #[test]
    fn nothing_reaches_a_page_unescaped() {
        let refusal_ = Refusal::with_detail(Reason::SignInFailed, EVIL);
        let advice = [Advice { failed: EVIL.to_owned(), help: EVIL }];
        let links = Links { retry: Some(EVIL), sign_out: Some(EVIL) };
        let page = RefusalPage {
            refusal: &refusal_,
            request_id: RequestId(7),
            app: Some(EVIL),
            advice: &advice,
            contact: Some((EVIL, Some(EVIL))),
            links,
        };
        let (app, everything) = (Some(EVIL), Some(EVIL));
        let providers = [(EVIL.to_owned(), EVIL.to_owned())];
        let pages = [
            refusal(&page),
            chooser(&ChooserPage { app, providers: &providers }),
            signed_out(&SignedOutPage { app, everything, again: EVIL }),
            confirm_logout(&ConfirmLogoutPage { app, sign_out: EVIL }),
            account(&AccountPage { name: EVIL, provider: EVIL, sign_out: EVIL }),
        ];
        for page in pages {
            assert!(page.starts_with("<!doctype html>"), "{page}");
            assert!(!page.contains("<script") && !page.contains(EVIL), "{page}");
            assert!(page.contains("/.doorward/assets/doorward.css"));
        }
    }

    #[test]
    fn a_refusal_says_why_and_what_to_quote() {
        let refusal_ = Refusal::from(Reason::NotAllowed);
        let (request_id, app, links) = (RequestId(7), Some("Payroll"), Links::default());
        let page = RefusalPage { refusal: &refusal_, request_id, app, advice: &[], contact: None, links };
        let html = refusal(&page);
        for part in ["You don’t have access", "not_allowed", "00000000000000000000000000000007", "Payroll"] {
            assert!(html.contains(part), "{html}");
        }
    }
}
