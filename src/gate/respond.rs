//! What a refused request gets. In: a refusal, and how the client asked. Out: the answer. The only place that chooses a status.
//! Must never show unescaped what came from outside, and never redirect to anywhere but our own sign-in.

mod advice;
pub mod challenge;

use super::body::ResponseBody;
use super::headers::name;
use super::headers::response::secure;
use super::visit::Visit;
use crate::model::{Reason, Refusal};
use crate::pages;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};

/// How a client asked, as far as an answer depends on it.
pub struct Manner {
    kind: Kind,
    /// Where a script of another origin asked from.
    origin: Option<HeaderValue>,
    cookies: Vec<HeaderValue>,
    h1: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A browser going to a page: it can show one, and be sent elsewhere.
    Navigation,
    /// A browser that loads or sends something that is no page it goes to with GET, but can show one (a form).
    Page,
    /// A script or a program.
    Program,
    /// A gRPC client.
    Grpc,
}

impl Manner {
    /// Reads it: fetch metadata first (the browser's own word), then `Accept`.
    pub fn read<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let kind = kind(headers, request.method());
        let cookies = match kind {
            Kind::Navigation => headers.get_all(header::COOKIE).iter().cloned().collect(),
            _ => Vec::new(),
        };
        Self { kind, origin: headers.get(header::ORIGIN).cloned(), cookies, h1: request.version() != Version::HTTP_2 }
    }
}

fn kind(headers: &HeaderMap, method: &Method) -> Kind {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Kind::Grpc;
    }
    let navigates = match text(HeaderName::from_static("sec-fetch-mode")) {
        Some(mode) => mode == "navigate",
        None => text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html")),
    };
    match (navigates, matches!(*method, Method::GET | Method::HEAD)) {
        (true, true) => Kind::Navigation,
        (true, false) => Kind::Page,
        (false, _) => Kind::Program,
    }
}

/// The status of every reason.
const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Allowed | Reason::PublicRoute | Reason::Preflight | Reason::Reserved => StatusCode::OK,
        Reason::Abandoned | Reason::AmbiguousTarget | Reason::BadHost | Reason::BadRequest | Reason::BadReturnTarget => {
            StatusCode::BAD_REQUEST
        }
        Reason::HandoffInvalid | Reason::SignInExpired | Reason::SignInFailed | Reason::SignInLoop => StatusCode::BAD_REQUEST,
        Reason::NotSignedIn | Reason::SessionInvalid | Reason::SessionExpired => StatusCode::UNAUTHORIZED,
        Reason::ProviderNotAccepted | Reason::StepUpRequired => StatusCode::UNAUTHORIZED,
        Reason::AccessEnded | Reason::DeviceCertificateInvalid => StatusCode::FORBIDDEN,
        Reason::DeviceLocked | Reason::UserLocked => StatusCode::FORBIDDEN,
        Reason::NotAllowed | Reason::DeniedByRule | Reason::PolicyError => StatusCode::FORBIDDEN,
        Reason::AccountDeactivated | Reason::NotInDirectory | Reason::SignInRefused | Reason::StepUpFailed => StatusCode::FORBIDDEN,
        Reason::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
        Reason::UnknownPath => StatusCode::NOT_FOUND,
        Reason::UpstreamFailed | Reason::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
        Reason::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Reason::UploadTooSlow => StatusCode::REQUEST_TIMEOUT,
        Reason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::RateLimited | Reason::SessionBusy => StatusCode::TOO_MANY_REQUESTS,
        Reason::AppBusy | Reason::NoHealthyUpstream | Reason::UpstreamBusy => StatusCode::SERVICE_UNAVAILABLE,
        Reason::AuditUnavailable | Reason::ProviderUnavailable | Reason::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Reasons after which nothing more on this connection can be trusted to mean what it says, or is wanted.
const fn closes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AmbiguousTarget
            | Reason::BadHost
            | Reason::BadRequest
            | Reason::BodyTooLarge
            | Reason::UploadTooSlow
            | Reason::AccessEnded
    )
}

/// Answers a refused request.
pub fn refuse(visit: &mut Visit, manner: &Manner, refusal: &Refusal) -> Response<ResponseBody> {
    let status = status(refusal.reason);
    // Our own pages are no place to come back to.
    if manner.kind == Kind::Navigation && status == StatusCode::UNAUTHORIZED && visit.trail.app.is_some() {
        return challenge(visit, manner, refusal);
    }
    visit.trail.reason = Some(refusal.reason);
    let mut response = match manner.kind {
        Kind::Grpc => grpc(status, refusal),
        Kind::Program => json(visit, status, refusal),
        // What was sent is lost either way; a script that sent it wants to know why.
        Kind::Page if status == StatusCode::UNAUTHORIZED && refusal.step_up.is_none() => json(visit, status, refusal),
        Kind::Navigation | Kind::Page => page(visit, refusal),
    };
    finish(visit, manner, refusal, status, response.headers_mut());
    response
}

/// Sends a browser to the sign-in; where that would be a loop, says so instead.
fn challenge(visit: &mut Visit, manner: &Manner, refusal: &Refusal) -> Response<ResponseBody> {
    match challenge::redirect(visit, &manner.cookies, refusal.step_up.as_deref()) {
        Ok(mut response) => {
            visit.trail.reason = Some(refusal.reason);
            finish(visit, manner, refusal, response.status(), response.headers_mut());
            response
        }
        // None of its reasons is a 401 again.
        Err(other) => refuse(visit, manner, &other),
    }
}

fn finish(visit: &Visit, manner: &Manner, refusal: &Refusal, status: StatusCode, headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Without a target nobody knows which host this would be said for.
    if let Some(target) = &visit.trail.target {
        secure(headers, visit.snapshot.security(target.host()));
    }
    name(visit, headers);
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, challenge::words(refusal.step_up.as_deref()));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(refusal.retry_after.unwrap_or(1)));
    }
    if manner.h1 && closes(refusal.reason) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    share(visit, manner, headers);
}

/// Lets a script of another origin read the refusal, where the app itself answers such scripts: else it would see nothing
/// but a network error.
fn share(visit: &Visit, manner: &Manner, headers: &mut HeaderMap) {
    if let (Some(origin), true) = (&manner.origin, visit.app().is_some_and(|app| app.cors_preflight)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, www-authenticate"));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json(visit: &Visit, status: StatusCode, refusal: &Refusal) -> Response<ResponseBody> {
    let (title, _) = pages::explanation(refusal.reason);
    let mut body = serde_json::json!({
        "reason": refusal.reason.code(),
        "message": refusal.detail.as_deref().unwrap_or(title),
        "request_id": visit.request_id.to_string(),
    });
    if status == StatusCode::UNAUTHORIZED
        && let Some(object) = body.as_object_mut()
    {
        object.insert("login".to_owned(), challenge::login_page(visit, refusal.step_up.as_deref()).into());
    }
    answer(status, "application/json", format!("{body}\n"))
}

fn page(visit: &Visit, refusal: &Refusal) -> Response<ResponseBody> {
    let (retry, sign_out) = (challenge::once_more(visit, refusal), format!("{}/.doorward/logout", visit.snapshot.auth));
    let advice::Told { advice, contact } = advice::told(visit, refusal);
    let page = pages::RefusalPage {
        refusal,
        request_id: visit.request_id,
        app: visit.app().map(|app| &*app.title),
        advice: &advice,
        contact: contact.map(|contact| (&*contact.text, contact.link.as_deref())),
        links: pages::Links { retry: retry.as_deref(), sign_out: visit.trail.session.as_ref().map(|_| &*sign_out) },
    };
    let mut response = answer(status(refusal.reason), "text/html; charset=utf-8", pages::refusal(&page));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(pages::CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// gRPC takes its status from the headers of an answer without a body (gRPC over HTTP/2, "Trailers-Only").
fn grpc(status: StatusCode, refusal: &Refusal) -> Response<ResponseBody> {
    let mut response = answer(StatusCode::OK, "application/grpc", String::new());
    response.headers_mut().extend(grpc_status(status, refusal.reason));
    response
}

/// Where the right to a call ends while it is answered, it ends as one that is refused: its client learns that, and not that a connection
/// broke. Over HTTP/1.1 an answer has no trailers that nobody announced.
pub fn prepare(manner: &Manner, response: &mut Response<ResponseBody>) {
    if !manner.h1 {
        response.body_mut().grpc_ends_with(|reason| grpc_status(status(reason), reason));
    }
}

fn grpc_status(status: StatusCode, reason: Reason) -> HeaderMap {
    let code = match status {
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND | StatusCode::MISDIRECTED_REQUEST => "12",
        StatusCode::BAD_REQUEST => "3",
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => "8",
        _ => "14",
    };
    let said = [("grpc-status", code), ("grpc-message", reason.code())];
    said.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).into_iter().collect()
}
