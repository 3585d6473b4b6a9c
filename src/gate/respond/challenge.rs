//! The way to the sign-in. In: a visit of nobody. Out: a redirect that brings the person back to exactly where they were going.
//! Must never send anybody round in circles.
//!
//! The redirect leaves a flow cookie: only the browser that has it can take the handoff that comes back.

use crate::cookies::{self, FLOW, LANDED};
use crate::gate::body::ResponseBody;
use crate::gate::visit::Visit;
use crate::model::{Reason, Refusal, StepUp, Token};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use std::fmt::Write as _;
use url::form_urlencoded::Serializer;

/// How many sign-ins in a row may land here without a session to show for it.
const LANDINGS: u32 = 3;
/// How many logins may be in progress at one host; beyond that the old ones are forgotten.
const IN_PROGRESS: usize = 20;
/// Seconds in which a login must be done.
const PATIENCE: u32 = 600;
/// The longest URL to come back to, in bytes; beyond it people come back to the start of the app.
const LONGEST: usize = 4096;

/// Sends a browser to the sign-in.
pub(super) fn redirect(
    visit: &Visit,
    cookie_lines: &[HeaderValue],
    step_up: Option<&StepUp>,
) -> Result<Response<ResponseBody>, Refusal> {
    let headers: HeaderMap = cookie_lines.iter().map(|line| (header::COOKIE, line.clone())).collect();
    if landings(&headers) >= LANDINGS {
        return Err(Refusal::with_detail(
            Reason::SignInLoop,
            "Signing in works, but the session cookie of this site does not come back or is not accepted.",
        ));
    }
    let token = Token::random().map_err(|_| Reason::StoreUnavailable)?;
    let binding = token.hash().encode();
    let flow = binding.get(..8).unwrap_or("");
    let mut login = Serializer::new(String::new());
    login.append_pair("to", &destination(visit)).append_pair("binding", &binding).append_pair("flow", flow);
    ask_for(&mut login, visit, step_up);
    let location = format!("{}?{}", login_page_root(visit), login.finish());
    let mut response = Response::new(ResponseBody::full(""));
    *response.status_mut() = StatusCode::FOUND;
    let to = response.headers_mut();
    to.insert(header::LOCATION, HeaderValue::from_str(&location).map_err(|_| Reason::BadRequest)?);
    forget_abandoned(&headers, to);
    let cookie = cookies::set(&format!("{FLOW}{flow}"), token.reveal(), Some(PATIENCE));
    to.append(header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|_| Reason::BadRequest)?);
    Ok(response)
}

fn ask_for(login: &mut Serializer<'_, String>, visit: &Visit, step_up: Option<&StepUp>) {
    if let (Some(step_up), Some(session)) = (step_up, &visit.trail.session) {
        let provider = &session.sign_in().identity().subject.provider;
        login.append_pair("step_up", &step_up.to_string()).append_pair("provider", provider.as_str());
    }
}

/// What a program is told: that nobody is signed in, or which sign-in would do (RFC 9470, section 3).
pub(super) fn words(step_up: Option<&StepUp>) -> HeaderValue {
    let plain = HeaderValue::from_static("Doorward realm=\"sign-in\"");
    let Some(step_up) = step_up else { return plain };
    let mut words = String::from("Bearer realm=\"sign-in\", error=\"insufficient_user_authentication\"");
    if !step_up.acr_values.is_empty() {
        // Writing to a String can't fail.
        let _ = write!(words, ", acr_values=\"{}\"", step_up.acr_values.join(" "));
    }
    if let Some(age) = step_up.max_age {
        let _ = write!(words, ", max_age=\"{}\"", age.as_secs());
    }
    HeaderValue::from_str(&words).unwrap_or(plain)
}

/// Where a person can sign in and come to the start of the app: what a program can tell its user.
pub(super) fn login_page(visit: &Visit, step_up: Option<&StepUp>) -> String {
    let mut login = Serializer::new(String::new());
    login.append_pair("to", &start_of_app(visit));
    ask_for(&mut login, visit, step_up);
    format!("{}?{}", login_page_root(visit), login.finish())
}

/// What a refused person can open to try again: the same page of ours while a provider is down, else the start of the app.
pub(super) fn once_more(visit: &Visit, refusal: &Refusal) -> Option<String> {
    let target = visit.trail.target.as_ref()?;
    match refusal.reason {
        Reason::StepUpRequired => Some(login_page(visit, refusal.step_up.as_deref())),
        Reason::ProviderUnavailable => Some(format!("https://{}{}", target.authority(), target.path_and_query())),
        _ if target.host() == visit.snapshot.auth.host() => None,
        // Nothing is there to be opened.
        Reason::UnknownHost | Reason::BadHost | Reason::BadRequest | Reason::AmbiguousTarget => None,
        _ => Some(start_of_app(visit)),
    }
}

fn start_of_app(visit: &Visit) -> String {
    let host = visit.trail.target.as_ref().map_or("", |target| target.authority());
    format!("https://{host}{}/", visit.app().map_or("", |app| &*app.prefix))
}

fn login_page_root(visit: &Visit) -> String {
    format!("{}/.doorward/login", visit.snapshot.auth)
}

fn destination(visit: &Visit) -> String {
    let Some(target) = visit.trail.target.as_ref() else {
        return visit.snapshot.auth.to_string();
    };
    let whole = format!("https://{}{}", target.authority(), target.path_and_query());
    if whole.len() <= LONGEST { whole } else { start_of_app(visit) }
}

fn landings(headers: &HeaderMap) -> u32 {
    cookies::find(headers, LANDED).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Browsers send cookies in no order that tells their age: when there are too many, all go.
fn forget_abandoned(headers: &HeaderMap, to: &mut HeaderMap) {
    let flows: Vec<&str> =
        cookies::pairs(headers).map(|(name, _)| name).filter(|name| name.starts_with(FLOW) && *name != LANDED).collect();
    if flows.len() < IN_PROGRESS {
        return;
    }
    for name in flows {
        let gone = HeaderValue::from_str(&cookies::expire(name));
        if let Ok(gone) = gone {
            to.append(header::SET_COOKIE, gone);
        }
    }
}
