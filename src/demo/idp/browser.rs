//! What the provider keeps in the browser: the login cookie, and the token that ties a form to it.
//!
//! In: request headers. Out: cookie values, `Set-Cookie` values. A form that this browser was not shown must
//! never be accepted (login CSRF).

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use super::grants::random;
use super::same;

const LOGIN: &str = "demo-idp-login";
const FORM: &str = "demo-idp-form";

/// The value of the login cookie, if the browser sent one.
pub(super) fn login_cookie(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, LOGIN)
}

/// Keeps a login in the browser. `Lax`, because the browser comes from the client's site by a redirect; not
/// `Secure`, because the provider is plain HTTP on loopback.
pub(super) fn keep_login(cookie: &str) -> String {
    format!("{LOGIN}={cookie}; Path=/; HttpOnly; SameSite=Lax")
}

/// Forgets the login in the browser.
pub(super) fn forget_login() -> String {
    format!("{LOGIN}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
}

/// The token for a form: the one the browser has, so that forms in several tabs all work, or a new one.
pub(super) fn form_token(headers: &HeaderMap) -> String {
    cookie(headers, FORM).filter(|token| is_token(token)).map_or_else(random, String::from)
}

/// Keeps the form token in the browser.
pub(super) fn keep_form_token(token: &str) -> String {
    format!("{FORM}={token}; Path=/; HttpOnly; SameSite=Strict")
}

/// Whether a form with this token was shown to this browser.
pub(super) fn was_shown(headers: &HeaderMap, token: &str) -> bool {
    cookie(headers, FORM).is_some_and(|kept| is_token(kept) && same(kept, token))
}

fn is_token(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}
