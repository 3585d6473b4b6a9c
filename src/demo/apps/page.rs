//! The apps' start pages.
//!
//! In: the headers of a request. Out: HTML that greets the person the headers name. Every value is escaped by the
//! template.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use super::echo::received;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ccc } td + td { overflow-wrap: anywhere }
</style></head>
<body><main>
<h1>{{ title }}</h1>
<p>Hello, <strong>{{ user }}</strong>.</p>
<h2>{{ heading }}</h2>
<table>{% for (left, right) in rows %}
<tr><td>{{ left }}</td><td>{{ right }}</td></tr>{% endfor %}
</table>
<h2>What this app was told about you</h2>
<table><thead><tr><th scope="col">Header</th><th scope="col">Value</th></tr></thead><tbody>{% for (name, value) in identity %}
<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}
</tbody></table>
<h2>Elsewhere</h2>
<ul>
<li><a href="/headers">All headers that this app received</a></li>
<li><a href="/events">An event a second, as long as you may</a></li>
<li><a href="/.doorward/session">Who Doorward says you are</a></li>
<li><a href="/.doorward/logout">Sign out</a></li>
</ul>
</main></body></html>
"#
)]
struct Page<'a> {
    title: &'a str,
    user: String,
    heading: &'a str,
    rows: [(&'a str, &'a str); 3],
    identity: Vec<(String, String)>,
}

/// The wiki's start page.
pub(super) fn wiki(headers: &HeaderMap) -> Response {
    let rows = [
        ("Welcome", "Read this first: who does what, and where lunch is"),
        ("Travel", "How to book, and what is paid back"),
        ("On call", "What to do when the pager rings at night"),
    ];
    page(headers, "Wiki", "Pages", rows)
}

/// Payroll's start page.
pub(super) fn payroll(headers: &HeaderMap) -> Response {
    let rows = [("Alice Adams", "4,900.00"), ("Bob Brown", "5,100.00"), ("Eve Evans", "4,700.00")];
    page(headers, "Payroll", "Salaries of this month, all made up", rows)
}

fn page(headers: &HeaderMap, title: &str, heading: &str, rows: [(&str, &str); 3]) -> Response {
    let user = Some(received(headers, "x-remote-user")).filter(|user| !user.is_empty());
    let page = Page { title, user: user.unwrap_or_else(|| "stranger".into()), heading, rows, identity: identity(headers) };
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The headers that say something about the person.
fn identity(headers: &HeaderMap) -> Vec<(String, String)> {
    let names = headers.keys().map(|name| name.as_str());
    let named = names.filter(|name| name.starts_with("x-remote-") || name.starts_with("x-doorward-"));
    named.map(|name| (name.to_owned(), received(headers, name))).collect()
}
