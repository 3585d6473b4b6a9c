//! The answer as the client gets it. In: an app's answer. Out: the same, with the app's internal names put right, the headers that
//! its configuration changes, and those that every answer has. Must never change an address that is not the app's own.

mod cookie;
mod own;

use super::request::edit;
use crate::gate::target::Target;
use crate::snapshot::App;
use http::header::{self, Entry, HeaderName};
use http::{HeaderMap, HeaderValue};
use own::Own;

/// Puts right what an app says of itself.
pub fn put_right(headers: &mut HeaderMap, target: &Target, app: &App) {
    let own = Own { target, rewriting: &app.rewriting };
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        change(headers, name, |value| own.url(value));
    }
    change(headers, header::REFRESH, |value| own.refresh(value));
    change(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, |value| own.origin(value));
    change(headers, header::SET_COOKIE, |value| cookie::put_right(value, &own));
}

/// Changes what the configuration says in an answer of an app, or in a fixed one.
pub fn complete(headers: &mut HeaderMap, app: &App) {
    edit(headers, &app.rewriting.response);
    secure(headers, &app.rewriting.security);
}

/// Adds what an answer lacks.
pub fn secure(headers: &mut HeaderMap, security: &[(HeaderName, HeaderValue)]) {
    for (name, value) in security {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}

/// Changes every value of a header, where there is something to change.
fn change(headers: &mut HeaderMap, name: HeaderName, put_right: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if !headers.contains_key(&name) {
        return;
    }
    if let Entry::Occupied(mut values) = headers.entry(name) {
        for value in values.iter_mut() {
            if let Some(Ok(changed)) = put_right(value.as_bytes()).map(|changed| HeaderValue::from_bytes(&changed)) {
                *value = changed;
            }
        }
    }
}
