//! Answers that need no app. In: a permit, and a route that has an answer of its own. Out: the answer. Must never answer without
//! a permit, and never send anybody to where the configuration does not.

use super::body::ResponseBody;
use super::decide::Permit;
use super::route::Routed;
use super::target::Target;
use super::visit::Visit;
use crate::model::{Reason, Refusal};
use crate::snapshot::App;
use crate::snapshot::fixed::Fixed;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};

/// Whether a request is answered here.
pub enum Answered {
    /// It is.
    Here(Result<Response<ResponseBody>, Refusal>),
    /// It is not: the permit is for the app.
    Elsewhere(Permit),
}

/// Answers, where the configuration does.
pub fn answer(visit: &mut Visit, target: &Target, place: &Routed<'_>, permit: Permit) -> Answered {
    let answer = match place.route.fixed.as_deref() {
        Some(Fixed::Respond { status, content_type, body }) => {
            let mut response = Response::new(ResponseBody::full(body.clone()));
            response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
            *response.status_mut() = *status;
            Ok(response)
        }
        Some(Fixed::Redirect { status, to, keep_path }) => {
            location(target, place.app, to, *keep_path).map(|to| redirect(*status, to))
        }
        None if lacks_slash(target, place.app) => with_slash(target).map(|to| redirect(StatusCode::TEMPORARY_REDIRECT, to)),
        None => return Answered::Elsewhere(permit),
    };
    visit.trail.reason = Some(permit.reason());
    Answered::Here(answer)
}

fn redirect(status: StatusCode, to: HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(""));
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, to);
    response
}

/// What is appended always stands behind a whole authority, so that no path can be read as one.
fn location(target: &Target, app: &App, to: &str, keep_path: bool) -> Result<HeaderValue, Refusal> {
    if !keep_path {
        return value(to);
    }
    let path = target.path_and_query().as_str().strip_prefix(&*app.prefix).ok_or(Reason::AmbiguousTarget)?;
    let host = if to.contains("://") { String::new() } else { format!("https://{}", target.authority()) };
    let slash = if path.starts_with('/') || path.is_empty() { "" } else { "/" };
    value(&format!("{host}{to}{slash}{path}"))
}

/// The start of an app whose prefix is stripped: at `/wiki`, its relative links would lead out of it.
fn lacks_slash(target: &Target, app: &App) -> bool {
    app.rewriting.prefix.as_ref().is_some_and(|prefix| !prefix.strip.is_empty() && target.path() == &*prefix.strip)
}

fn with_slash(target: &Target) -> Result<HeaderValue, Refusal> {
    let query = target.path_and_query().query().map(|query| format!("?{query}"));
    value(&format!("{}/{}", target.path(), query.unwrap_or_default()))
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| Reason::BadRequest.into())
}
