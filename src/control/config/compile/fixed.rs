//! `redirect:` and `respond:`, of an app or of an entry under its paths. In: what the file says. Out: an answer. Must never let
//! a target through that a path behind it could lead elsewhere.

use super::Context;
use super::values::{bare, parse};
use crate::control::config::file::rewriting::{Redirect, Respond};
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::fixed::Fixed;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;

/// The answer, where there is one.
pub(super) fn compile(
    redirect: Option<&Redirect>,
    respond: Option<&Respond>,
    place: &Place,
    context: &mut Context<'_>,
) -> Option<Arc<Fixed>> {
    if redirect.is_some() && respond.is_some() {
        let wrong = Wrong::new("there is `redirect` already", "keep either of the two");
        context.findings.error_in_key(&place.key("respond"), wrong);
    }
    let redirect = redirect.and_then(|redirect| self::redirect(redirect, &place.key("redirect"), context));
    let respond = respond.and_then(|respond| self::respond(respond, &place.key("respond"), context));
    redirect.or(respond).map(Arc::new)
}

fn redirect(written: &Redirect, place: &Place, context: &mut Context<'_>) -> Option<Fixed> {
    let keep_path = written.keep_path;
    let to = context.findings.take(&place.key("to"), target(&written.to, keep_path));
    let place = place.key("status");
    let status = status(written.status.as_deref(), StatusCode::TEMPORARY_REDIRECT);
    let status = status.and_then(|status| match status.as_u16() {
        301 | 302 | 303 | 307 | 308 => Ok(status),
        _ => Err(Wrong::new("not the status of a redirect", "301, 302, 303, 307 or 308")),
    });
    let status = context.findings.take(&place, status);
    Some(Fixed::Redirect { status: status?, to: to?, keep_path })
}

/// An absolute URL, or a path that no browser takes for one.
fn target(text: &str, keep_path: bool) -> Result<Box<str>, Wrong> {
    let wrong = || Wrong::new("not a URL to go on to", "write `https://host/path`, or `/path` for the same host");
    let is_path = text.starts_with('/') && !text.starts_with("//");
    let url = parse(&if is_path { format!("https://host{text}") } else { text.to_owned() }).map_err(|_| wrong())?;
    let absolute = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) && url.has_host();
    if !(is_path || absolute) || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err(wrong());
    }
    if !keep_path {
        return if url.username().is_empty() && url.password().is_none() { Ok(text.into()) } else { Err(wrong()) };
    }
    bare(&url)?;
    Ok(text.trim_end_matches('/').into())
}

fn respond(written: &Respond, place: &Place, context: &mut Context<'_>) -> Option<Fixed> {
    let status = status(written.status.as_deref(), StatusCode::OK).and_then(|status| {
        let helps = "any from 200 to 599 but a redirect, for which there is `redirect`";
        if (200..300).contains(&status.as_u16()) || (400..600).contains(&status.as_u16()) {
            Ok(status)
        } else {
            Err(Wrong::new("not the status of an answer", helps))
        }
    });
    let status = context.findings.take(&place.key("status"), status);
    let body = written.body.clone().unwrap_or_default();
    if status.is_some_and(|status| matches!(status.as_u16(), 204 | 205)) && !body.is_empty() {
        context.findings.error(&place.key("body"), Wrong::plain("an answer with this status has no body"));
    }
    let content_type = written.content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
    let wrong = |_| Wrong::new("not a type", "as in `text/html; charset=utf-8`");
    let content_type = context.findings.take(&place.key("content_type"), HeaderValue::from_str(content_type).map_err(wrong));
    Some(Fixed::Respond { status: status?, content_type: content_type?, body: body.into() })
}

fn status(text: Option<&str>, default: StatusCode) -> Result<StatusCode, Wrong> {
    let Some(text) = text else { return Ok(default) };
    StatusCode::from_bytes(text.as_bytes()).map_err(|_| Wrong::plain("not a status"))
}
