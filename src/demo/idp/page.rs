//! The provider's pages: login, logout, messages. No JavaScript, a strict Content-Security-Policy.
//!
//! In: what to show. Out: a response. Every value is escaped by the template; nothing of a request may reach a
//! page in another way.

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use super::Person;

const STYLE: &str = "\
body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
.notice{border-left:.3rem solid #8a5a00;background:#fff6e0;padding:.5rem .8rem}
.problem{border-left:.3rem solid #a40000;background:#fdeaea;padding:.5rem .8rem}
label{display:block;margin-top:1rem;font-weight:600}
input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}
button{font:inherit;margin-top:1.2rem;padding:.6rem 1.4rem}
";

/// The login page. Its form goes to the URL that the page was shown at.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in - Demo identity provider</title><link rel="stylesheet" href="/style.css"></head>
<body><main>
<p class="notice"><strong>Demo identity provider</strong> - for trying Doorward, not for real use.</p>
<h1>Sign in</h1>
{% if let Some(problem) = problem %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
<form method="post">
<input type="hidden" name="form_token" value="{{ form_token }}">
<label for="email">Email</label>
<input id="email" name="email" type="email" value="{{ email }}" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
{% if let Some(code) = code %}<label for="code">Code from your authenticator (in this demo: {{ code }})</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required>{% endif %}
<button type="submit">Sign in</button>
</form>
<h2>Who you can be</h2>
<ul>{% for person in people %}
<li><strong>{{ person.email }}</strong> - {{ person.name }}, {% if person.groups.is_empty() %}in no group{% else %}in {{ person.groups.join(", ") }}{% endif %}</li>{% endfor %}
</ul>
<p>The passwords are in the welcome that <code>doorward demo</code> printed.</p>
</main></body></html>
"#
)]
pub(super) struct Login<'a> {
    /// What was wrong with the last attempt.
    pub(super) problem: Option<&'static str>,
    /// What the address field starts with.
    pub(super) email: &'a str,
    pub(super) form_token: &'a str,
    /// The code to type, where a second factor is asked for.
    pub(super) code: Option<&'static str>,
    pub(super) people: &'a [Person],
}

/// Asks before signing out, where the request does not prove that the client sent the browser.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign out - Demo identity provider</title><link rel="stylesheet" href="/style.css"></head>
<body><main>
<p class="notice"><strong>Demo identity provider</strong> - for trying Doorward, not for real use.</p>
<h1>Sign out?</h1>
<form method="post" action="/end_session">
<input type="hidden" name="form_token" value="{{ form_token }}">
<button type="submit">Sign out</button>
</form>
</main></body></html>
"#
)]
pub(super) struct Logout<'a> {
    pub(super) form_token: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} - Demo identity provider</title><link rel="stylesheet" href="/style.css"></head>
<body><main>
<p class="notice"><strong>Demo identity provider</strong> - for trying Doorward, not for real use.</p>
<h1>{{ title }}</h1>
<p>{{ text }}</p>
</main></body></html>
"#
)]
struct Message {
    title: &'static str,
    text: &'static str,
}

/// A page with a form, whose answer may redirect the browser through `return_origins`.
pub(super) fn form(status: StatusCode, page: &impl Template, return_origins: &[String]) -> Response {
    respond(status, page, &format!("'self' {}", return_origins.join(" ")))
}

/// A page that only says something.
pub(super) fn message(status: StatusCode, title: &'static str, text: &'static str) -> Response {
    respond(status, &Message { title, text }, "'none'")
}

/// `GET /`.
pub(super) async fn about() -> Response {
    let text = "It signs people in for Doorward's demo, and listens on this machine only.";
    message(StatusCode::OK, "Demo identity provider", text)
}

/// `GET /style.css`.
pub(super) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

fn respond(status: StatusCode, page: &impl Template, form_action: &str) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (status, security_headers(form_action), Html(html)).into_response()
}

fn security_headers(form_action: &str) -> [(HeaderName, String); 5] {
    let policy =
        format!("default-src 'none'; style-src 'self'; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'");
    [
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY".into()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
        (REFERRER_POLICY, "no-referrer".into()),
        (CACHE_CONTROL, "no-store".into()),
    ]
}
