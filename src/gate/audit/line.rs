//! One record as a line of JSON. In: a visit that is over. Out: bytes. Must never let what came from outside end a text, or a line.
//!
//! Written by hand because it is written at every request: nothing is allocated, and what is plain is copied as it is.

use super::{Trail, Verdict};
use crate::gate::visit::Visit;
use crate::model::Reason;
use crate::policy::RuleIndex;
use crate::snapshot::{Access, Upstream};
use std::time::Duration;

/// Appends the record of a visit. Times are milliseconds.
pub(super) fn append(line: &mut Vec<u8>, visit: &Visit, decided: (Verdict, Reason), time: &str, took: Duration) {
    let mut object = Object(line);
    object.0.extend_from_slice(b"{\"time\":\"");
    object.0.extend_from_slice(time.as_bytes());
    object.0.extend_from_slice(b"\"");
    object.text(b",\"request_id\":", visit.name.to_str().ok());
    place(&mut object, visit);
    object.text(b",\"peer\":", visit.client_text.to_str().ok());
    who(&mut object, &visit.trail);
    device(&mut object, visit);
    decision(&mut object, visit, decided);
    object.text(b",\"upstream\":", visit.upstream().map(Upstream::name));
    object.number(b",\"status\":", visit.status);
    object.number(b",\"bytes_in\":", visit.trail.upload.as_ref().map_or(0, |upload| upload.bytes()));
    object.number(b",\"bytes_out\":", visit.bytes_out);
    object.0.extend_from_slice(if visit.complete { b",\"complete\":true" } else { b",\"complete\":false" });
    duration(&mut object, took);
    object.0.extend_from_slice(b"}\n");
}

fn place(object: &mut Object<'_>, visit: &Visit) {
    let trail = &visit.trail;
    let route = trail.route.and_then(|index| visit.snapshot.route(index));
    object.text(b",\"app\":", visit.app().map(|app| &*app.name));
    object.text(b",\"route\":", route.map(|route| &*route.label));
    object.text(b",\"method\":", Some(trail.method.as_str()));
    object.text(b",\"host\":", trail.target.as_ref().map(|target| target.authority()));
    object.text(b",\"path\":", trail.target.as_ref().map(|target| target.path()));
}

/// Who it was: by the session that the gate found, or by what control did.
fn who(object: &mut Object<'_>, trail: &Trail) {
    let identity = trail.session.as_ref().map(|session| session.sign_in().identity());
    let (session, acted) = (identity.as_ref(), trail.acted.as_ref());
    let subject = session.map(|identity| &identity.subject).or(acted.map(|acted| &acted.subject));
    let email = session.and_then(|identity| identity.profile.email.as_ref()).or(acted.and_then(|acted| acted.email.as_ref()));
    object.parts(b",\"user\":", subject.map(|subject| [subject.provider.as_str(), ":", &subject.subject]).as_ref());
    object.text(b",\"email\":", email.map(|email| email.as_str()));
    object.text(b",\"session\":", trail.session.as_ref().map(|session| session.id()));
    object.text(b",\"act\":", acted.map(|acted| acted.act.code()));
    if let Some(profile) = acted.and_then(|acted| acted.profile.as_ref()) {
        object.json(b",\"profile\":", profile);
    }
}

/// What the client has shown of its device, and which one that is.
fn device(object: &mut Object<'_>, visit: &Visit) {
    let certificate = visit.certificate.as_ref();
    let verdict = certificate.map(|certificate| certificate.judged.verdict.as_ref());
    object.word(b",\"certificate\":", verdict.map(|verdict| verdict.map_or_else(|fault| fault.code(), |_| "good")));
    object.text(b",\"device\":", certificate.and_then(|certificate| certificate.device.as_ref()).map(|device| &*device.id));
}

fn decision(object: &mut Object<'_>, visit: &Visit, (verdict, reason): (Verdict, Reason)) {
    let route = visit.trail.route.and_then(|index| visit.snapshot.route(index));
    let named = |rule: Option<RuleIndex>| {
        route.zip(rule).and_then(|(route, rule)| match &route.access {
            Access::Rules(rules) => rules.rule(rule).map(|rule| &*rule.0),
            Access::Public(_) => None,
        })
    };
    object.word(b",\"decision\":", Some(verdict.as_str()));
    object.word(b",\"reason\":", Some(reason.code()));
    if let Some(cause) = visit.trail.cause {
        object.word(b",\"cause\":", Some(cause.code()));
    }
    object.text(b",\"rule\":", named(visit.trail.rule));
    if let Some(evidence) = &visit.trail.evidence {
        object.json(b",\"signals\":", evidence);
    }
    if let Some(shadow) = &visit.trail.shadow {
        object.text(b",\"shadow\":", Some(if shadow.allows { Verdict::Allow } else { Verdict::Deny }.as_str()));
        object.text(b",\"shadow_rule\":", named(shadow.rule));
    }
}

/// To the microsecond.
fn duration(object: &mut Object<'_>, took: Duration) {
    let microseconds = took.as_micros();
    object.number(b",\"duration_ms\":", u64::try_from(microseconds / 1000).unwrap_or(u64::MAX));
    let fraction = u64::try_from(microseconds % 1000).unwrap_or(0) + 1000;
    object.number(b"", fraction);
    if let Some(point) = object.0.len().checked_sub(4).and_then(|at| object.0.get_mut(at)) {
        // The leading one of 1000…1999 kept the zeros, and makes room for the point.
        *point = b'.';
    }
}

/// An object of JSON (RFC 8259), after its first member.
struct Object<'a>(&'a mut Vec<u8>);

impl Object<'_> {
    fn text(&mut self, key: &[u8], value: Option<&str>) {
        self.parts(key, value.map(|value| [value]).as_ref());
    }

    /// A word of ours: it is plain; `null` where there is none.
    fn word(&mut self, key: &[u8], word: Option<&'static str>) {
        self.0.extend_from_slice(key);
        match word {
            Some(word) => {
                self.0.push(b'"');
                self.0.extend_from_slice(word.as_bytes());
                self.0.push(b'"');
            }
            None => self.0.extend_from_slice(b"null"),
        }
    }

    /// One text of several parts; `null` where there is none.
    fn parts<const N: usize>(&mut self, key: &[u8], parts: Option<&[&str; N]>) {
        self.0.extend_from_slice(key);
        let Some(parts) = parts else {
            self.0.extend_from_slice(b"null");
            return;
        };
        self.0.push(b'"');
        parts.iter().for_each(|part| self.characters(part));
        self.0.push(b'"');
    }

    fn characters(&mut self, text: &str) {
        // Without an early end, so that many bytes are looked at together.
        let is_plain = text.bytes().fold(true, |plain, b| plain & (b >= b' ') & (b != b'"') & (b != b'\\'));
        if is_plain {
            self.0.extend_from_slice(text.as_bytes());
        } else {
            let quoted = serde_json::to_string(text).unwrap_or_default();
            let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            self.0.extend_from_slice(inside.unwrap_or_default().as_bytes());
        }
    }

    /// What is JSON already, of one line.
    fn json(&mut self, key: &[u8], value: &str) {
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn number(&mut self, key: &[u8], value: impl itoa::Integer) {
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>(), other in any::<String>()) {
            let mut line = b"{\"a\":1".to_vec();
            Object(&mut line).parts(b",\"b\":", Some(&[&*text, ":", &*other]));
            line.push(b'}');
            prop_assert!(!line.contains(&b'\n'));
            let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(read["b"].as_str().unwrap(), format!("{text}:{other}"));
        }
    }

    #[test]
    fn a_duration_is_milliseconds_to_the_microsecond() {
        for (microseconds, written) in [(0, "0.000"), (5, "0.005"), (999, "0.999"), (1000, "1.000"), (12_345, "12.345")] {
            let mut line = Vec::new();
            duration(&mut Object(&mut line), Duration::from_micros(microseconds));
            assert_eq!(String::from_utf8(line).unwrap(), format!(",\"duration_ms\":{written}"));
        }
    }
}
