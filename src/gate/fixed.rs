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

/// What is answered here.
pub enum Answer<'a> {
    /// What the configuration says.
    Fixed(&'a Fixed),
    /// The way to the same path with a slash at its end.
    Slash,
}

/// Whether a request is answered here.
pub fn find<'a>(target: &Target, place: &Routed<'a>) -> Option<Answer<'a>> {
    let fixed = place.route.fixed.as_deref().map(Answer::Fixed);
    fixed.or_else(|| lacks_slash(target, place.app).then_some(Answer::Slash))
}

/// Answers.
pub fn answer(
    visit: &mut Visit,
    target: &Target,
    app: &App,
    answer: &Answer<'_>,
    permit: &Permit,
) -> Result<Response<ResponseBody>, Refusal> {
    visit.trail.reason = Some(permit.reason());
    match answer {
        Answer::Fixed(Fixed::Respond { status, content_type, body }) => {
            let mut response = Response::new(ResponseBody::full(body.clone()));
            response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
            *response.status_mut() = *status;
            Ok(response)
        }
        Answer::Fixed(Fixed::Redirect { status, to, keep_path }) => Ok(redirect(*status, location(target, app, to, *keep_path)?)),
        Answer::Slash => Ok(redirect(StatusCode::TEMPORARY_REDIRECT, with_slash(target)?)),
    }
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
    app.rewriting.prefix.as_ref().is_some_and(|prefix| prefix.strip && target.path() == &*prefix.public)
}

fn with_slash(target: &Target) -> Result<HeaderValue, Refusal> {
    let query = target.path_and_query().query().map(|query| format!("?{query}"));
    value(&format!("{}/{}", target.path(), query.unwrap_or_default()))
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| Reason::BadRequest.into())
}
