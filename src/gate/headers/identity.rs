//! Who the app is told is asking. In: a session and an app. Out: headers, made every few minutes and kept with the session. Must
//! never let a claim break out of its header or its list.

use crate::assertion;
use crate::gate::route::Routed;
use crate::gate::session::Recognized;
use crate::gate::visit::Visit;
use crate::model::{AppIndex, Identity, Reason, Refusal, Timestamp};
use crate::snapshot::Attribute;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const USER: HeaderName = HeaderName::from_static("x-doorward-user");
const EMAIL: HeaderName = HeaderName::from_static("x-doorward-email");
const NAME: HeaderName = HeaderName::from_static("x-doorward-name");
const GROUPS: HeaderName = HeaderName::from_static("x-doorward-groups");
const ASSERTION: HeaderName = HeaderName::from_static("x-doorward-assertion");

/// How long an assertion is handed out before a new one is made: it then holds for a minute more.
const REUSED: Duration = assertion::LIFE.saturating_sub(Duration::from_secs(60));
/// How many apps of one host a session remembers the headers of.
const REMEMBERED: usize = 8;

/// The headers that were made for one session.
#[derive(Default)]
pub struct Carried(ArcSwapOption<Vec<Arc<Made>>>);

/// A copy that one connection has for itself of the headers that it used last.
#[derive(Default)]
pub struct OwnCopy(RefCell<Option<Made>>);

struct Made {
    epoch: u64,
    app: AppIndex,
    identity: Arc<Identity>,
    made: Timestamp,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Adds the headers of a session's identity.
pub fn add(headers: &mut HeaderMap, visit: &Visit, place: &Routed<'_>, session: &Recognized) -> Result<(), Refusal> {
    let identity = session.sign_in().identity();
    if let Some(own) = session.own.0.borrow().as_ref().filter(|own| own.fits(visit, place, &identity)) {
        own.copy_to(headers);
        return Ok(());
    }
    let shared = &session.known().carried.0;
    let carried = shared.load();
    let found = carried.as_ref().and_then(|all| all.iter().find(|made| made.fits(visit, place, &identity)));
    let made = match found {
        Some(made) => Arc::clone(made),
        None => {
            let made = Arc::new(make(visit, place, session, &identity)?);
            let others = carried.iter().flat_map(|all| all.iter()).filter(|other| other.stands_beside(&made));
            let others = others.take(REMEMBERED - 1).cloned();
            shared.store(Some(Arc::new(std::iter::once(Arc::clone(&made)).chain(others).collect())));
            made
        }
    };
    made.copy_to(headers);
    if session.again.get() {
        session.own.0.replace(Some(made.duplicate()));
    }
    Ok(())
}

impl Made {
    fn fits(&self, visit: &Visit, place: &Routed<'_>, identity: &Arc<Identity>) -> bool {
        self.app == place.app_index
            && self.epoch == visit.snapshot.epoch
            && self.made <= visit.now
            && visit.now < self.made.plus(REUSED)
            && Arc::ptr_eq(&self.identity, identity)
    }

    /// Whether it is still good, and for another app.
    fn stands_beside(&self, newer: &Self) -> bool {
        let good = self.epoch == newer.epoch && newer.made < self.made.plus(REUSED) && Arc::ptr_eq(&self.identity, &newer.identity);
        good && self.app != newer.app
    }

    fn copy_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// The same, sharing no count of references with any other worker.
    fn duplicate(&self) -> Self {
        let again = |name: &HeaderName| HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone());
        let values = self.headers.iter().map(|(name, value)| (again(name), value.as_bytes()));
        Self { identity: Arc::clone(&self.identity), headers: together(values), ..*self }
    }
}

/// Headers whose values lie side by side and share one count of references.
fn together<'a>(values: impl Iterator<Item = (HeaderName, &'a [u8])>) -> Vec<(HeaderName, HeaderValue)> {
    let (mut names, mut bytes) = (Vec::new(), Vec::new());
    for (name, value) in values {
        bytes.extend_from_slice(value);
        names.push((name, value.len()));
    }
    let mut bytes = Bytes::from(bytes);
    let value = |length: usize| HeaderValue::from_maybe_shared(bytes.split_to(length.min(bytes.len())));
    let mut value = value;
    names.into_iter().filter_map(|(name, length)| value(length).ok().map(|value| (name, value))).collect()
}

fn make(visit: &Visit, place: &Routed<'_>, session: &Recognized, identity: &Arc<Identity>) -> Result<Made, Refusal> {
    let issuer = visit.snapshot.auth.to_string();
    let cookie = &session.known().session.cookie;
    let signed = visit.gate().keys.sign(&issuer, &place.app.url, cookie, identity, visit.now).map_err(refused)?;
    let built_in = [(USER, Attribute::User), (EMAIL, Attribute::Email), (NAME, Attribute::Name), (GROUPS, Attribute::Groups)];
    let mut values = vec![(ASSERTION, signed)];
    values.extend(built_in.into_iter().filter_map(|(name, attribute)| Some((name, carry(identity, &attribute)?))));
    let configured = place.app.identity.iter();
    values.extend(configured.filter_map(|(name, attribute)| Some((name.clone(), carry(identity, attribute)?))));
    let headers = together(values.iter().map(|(name, value)| (name.clone(), value.as_bytes())));
    Ok(Made { epoch: visit.snapshot.epoch, app: place.app_index, identity: Arc::clone(identity), made: visit.now, headers })
}

fn refused(error: assertion::Error) -> Refusal {
    tracing::error!(%error, "an assertion can't be signed");
    Reason::StoreUnavailable.into()
}

/// The value of one attribute; `None` where the person has none, so that the app sees no header at all.
fn carry(identity: &Identity, attribute: &Attribute) -> Option<String> {
    let profile = &identity.profile;
    let text = match attribute {
        Attribute::User => identity.subject.to_string(),
        Attribute::Email => profile.email.as_ref()?.as_str().to_owned(),
        Attribute::Name => profile.name.clone()?,
        Attribute::Provider => identity.subject.provider.as_str().to_owned(),
        Attribute::Groups => join(&profile.groups)?,
        Attribute::Claim(name) => join(profile.claims.get(name)?)?,
    };
    Some(escape(&text, ""))
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
