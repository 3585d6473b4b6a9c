//! Who the app is told is asking. In: a session and an app. Out: headers, made once a minute and kept with the session. Must
//! never let a claim break out of its header or its list.

use crate::assertion;
use crate::gate::route::Routed;
use crate::gate::session::Known;
use crate::gate::visit::Visit;
use crate::model::{AppIndex, Identity, Reason, Refusal, Timestamp};
use crate::snapshot::Attribute;
use arc_swap::ArcSwapOption;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const USER: HeaderName = HeaderName::from_static("x-doorward-user");
const EMAIL: HeaderName = HeaderName::from_static("x-doorward-email");
const NAME: HeaderName = HeaderName::from_static("x-doorward-name");
const GROUPS: HeaderName = HeaderName::from_static("x-doorward-groups");
const ASSERTION: HeaderName = HeaderName::from_static("x-doorward-assertion");

/// How long an assertion is handed out before a new one is made; it holds for longer than that.
const REUSED: Duration = Duration::from_secs(60);
/// How many apps of one host a session remembers the headers of.
const REMEMBERED: usize = 8;

/// The headers that were made for one session.
#[derive(Default)]
pub struct Carried(ArcSwapOption<Vec<Arc<Made>>>);

struct Made {
    epoch: u64,
    app: AppIndex,
    identity: Arc<Identity>,
    until: Timestamp,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Adds the headers of a session's identity.
pub fn add(headers: &mut HeaderMap, visit: &Visit, place: &Routed<'_>, known: &Known) -> Result<(), Refusal> {
    let identity = known.session.sign_in.identity();
    let carried = known.carried.0.load();
    let fits = |made: &&Arc<Made>| {
        made.app == place.app_index
            && made.epoch == visit.snapshot.epoch
            && visit.now < made.until
            && Arc::ptr_eq(&made.identity, &identity)
    };
    if let Some(made) = carried.as_ref().and_then(|all| all.iter().find(fits)) {
        copy(headers, made);
        return Ok(());
    }
    let made = Arc::new(make(visit, place, known, &identity)?);
    copy(headers, &made);
    let others = carried.iter().flat_map(|all| all.iter()).filter(|other| other.app != made.app).take(REMEMBERED - 1).cloned();
    known.carried.0.store(Some(Arc::new(others.chain([Arc::clone(&made)]).collect())));
    Ok(())
}

fn copy(headers: &mut HeaderMap, made: &Made) {
    for (name, value) in &made.headers {
        headers.insert(name.clone(), value.clone());
    }
}

fn make(visit: &Visit, place: &Routed<'_>, known: &Known, identity: &Arc<Identity>) -> Result<Made, Refusal> {
    let issuer = visit.snapshot.auth.to_string();
    let signed = visit.gate().keys.sign(&issuer, &place.app.url, &known.session.cookie, identity, visit.now).map_err(refused)?;
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    headers.extend(HeaderValue::from_str(&signed).ok().map(|value| (ASSERTION, value)));
    for (name, attribute) in
        [(USER, Attribute::User), (EMAIL, Attribute::Email), (NAME, Attribute::Name), (GROUPS, Attribute::Groups)]
    {
        headers.extend(carry(identity, &attribute).map(|value| (name, value)));
    }
    for (name, attribute) in &place.app.identity {
        headers.extend(carry(identity, attribute).map(|value| (name.clone(), value)));
    }
    let until = visit.now.plus(REUSED);
    Ok(Made { epoch: visit.snapshot.epoch, app: place.app_index, identity: Arc::clone(identity), until, headers })
}

fn refused(error: assertion::Error) -> Refusal {
    tracing::error!(%error, "an assertion can't be signed");
    Reason::StoreUnavailable.into()
}

/// The value of one attribute; `None` where the person has none, so that the app sees no header at all.
fn carry(identity: &Identity, attribute: &Attribute) -> Option<HeaderValue> {
    let profile = &identity.profile;
    let text = match attribute {
        Attribute::User => identity.subject.to_string(),
        Attribute::Email => profile.email.as_ref()?.as_str().to_owned(),
        Attribute::Name => profile.name.clone()?,
        Attribute::Provider => identity.subject.provider.as_str().to_owned(),
        Attribute::Groups => join(&profile.groups)?,
        Attribute::Claim(name) => join(profile.claims.get(name)?)?,
    };
    HeaderValue::from_bytes(escape(&text, "").as_bytes()).ok()
}

/// A list joined by commas; a comma inside a value is escaped, so that one value can't pass for two.
fn join(values: &[String]) -> Option<String> {
    let escaped: Vec<String> = values.iter().map(|value| escape(value, ",%")).collect();
    (!escaped.is_empty()).then(|| escaped.join(","))
}

/// Percent-encodes control characters and `special`; everything else, UTF-8 included, stays as it is.
fn escape(text: &str, special: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || special.contains(c) {
            let mut buffer = [0; 4];
            for b in c.encode_utf8(&mut buffer).bytes() {
                // Writing to a String can't fail.
                let _ = write!(escaped, "%{b:02X}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_group_with_a_comma_is_not_two_groups() {
        let groups = ["a,admin".to_owned(), "b%2Cc".to_owned()];
        assert_eq!(join(&groups).unwrap(), "a%2Cadmin,b%252Cc");
    }

    #[test]
    fn a_line_break_in_a_name_makes_no_second_header() {
        assert_eq!(escape("Eve\r\nX-Admin: 1", ""), "Eve%0D%0AX-Admin: 1");
    }
}
