//! Whom or what an event is about (RFC 9493, and the complex subjects of SSF 1.0). In: a subject identifier. Out: names of people of
//! the transmitter's provider, of sessions and of devices. Must never name anybody of another provider.

use super::set::Refused;
use crate::model::Email;
use crate::snapshot::Provider;
use crate::snapshot::transmitters::Transmitter;
use crate::store::signals::{About, Person};
use serde_json::{Map, Value};

/// The parts of a complex subject that are looked at.
const READ: [&str; 4] = ["user", "session", "device", "tenant"];
/// How many names one person may have.
const MOST_ALIASES: usize = 16;

/// Who speaks, and of whom.
#[derive(Clone, Copy)]
pub(super) struct Speaker<'a> {
    /// The names of who issues subjects.
    pub(super) issuers: [&'a str; 2],
    pub(super) tenant: Option<&'a str>,
    pub(super) provider: &'a Provider,
}

impl<'a> Speaker<'a> {
    pub(super) fn of(transmitter: &'a Transmitter, provider: &'a Provider) -> Self {
        Self { issuers: [&transmitter.issuer, provider.issuer.as_str()], tenant: transmitter.tenant.as_deref(), provider }
    }

    /// Reads it. A subject of a kind that nobody here has leads to nobody.
    pub(super) fn read(self, subject: &Value, critical: &[String]) -> Result<About, Refused> {
        let parts = subject.as_object().ok_or(Refused::Request("the subject is no object"))?;
        let named: Vec<_> = READ.iter().filter_map(|name| Some((*name, parts.get(*name)?))).collect();
        if format(parts) != Some("complex") && (parts.contains_key("format") || named.is_empty()) {
            return Ok(About { people: self.people(parts), session: None, device: name(parts).map(str::to_owned) });
        }
        let unread = |part: &&String| !READ.contains(&part.as_str()) || (*part == "tenant" && self.tenant.is_none());
        if critical.iter().filter(|part| parts.contains_key(*part)).any(|part| unread(&part)) {
            return Err(Refused::Request("the subject has a critical part that is not known here"));
        }
        let part = |wanted: &str| named.iter().find(|(name, _)| *name == wanted).and_then(|(_, part)| part.as_object());
        if let (Some(ours), Some(theirs)) = (self.tenant, part("tenant"))
            && name(theirs) != Some(ours)
        {
            return Ok(About::default());
        }
        let text = |wanted: &str| part(wanted).and_then(name).map(str::to_owned);
        let people = part("user").map(|user| self.people(user));
        // A user whom nobody can be does not leave the session to whoever has it.
        if people.as_ref().is_some_and(Vec::is_empty) {
            return Ok(About { device: text("device"), ..About::default() });
        }
        Ok(About { people: people.unwrap_or_default(), session: text("session"), device: text("device") })
    }

    /// The names of a person in a simple subject.
    fn people(self, subject: &Map<String, Value>) -> Vec<Person> {
        let text = |name: &str| subject.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let one = match format(subject) {
            Some("iss_sub" | "iss-sub") => {
                let ours = text("iss").is_some_and(|issuer| self.issuers.contains(&issuer));
                text("sub").filter(|_| ours).map(|sub| Person::Subject(sub.to_owned()))
            }
            Some("opaque") => text("id").map(|id| Person::SubjectOrSession(id.to_owned())),
            Some("email") => text("email").and_then(email),
            Some("account") => text("uri").and_then(|uri| uri.strip_prefix("acct:")).and_then(email),
            Some("phone_number" | "phone") => text("phone_number").and_then(|number| self.phone(number)),
            Some("aliases") => {
                let aliases = subject.get("identifiers").and_then(Value::as_array).into_iter().flatten().take(MOST_ALIASES);
                // Aliases in aliases are forbidden (RFC 9493, section 3.2.8).
                let simple = aliases.filter_map(Value::as_object).filter(|alias| format(alias) != Some("aliases"));
                return simple.flat_map(|alias| self.people(alias)).collect();
            }
            _ => None,
        };
        one.into_iter().collect()
    }

    /// Found by our word for the provider's claim, where it is mapped.
    fn phone(self, number: &str) -> Option<Person> {
        let word = self.provider.claims.iter().find(|(_, theirs)| *theirs == "phone_number").map(|(ours, _)| ours);
        let number: String = number.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        // Fifteen at most, as E.164 has it.
        let is_number = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| word.map(|word| Person::Claim(word.clone(), number)))?
    }
}

fn email(text: &str) -> Option<Person> {
    Email::parse(text).ok().map(Person::Email)
}

/// The format; `subject_type` is what drafts had.
fn format(subject: &Map<String, Value>) -> Option<&str> {
    subject.get("format").or_else(|| subject.get("subject_type")).and_then(Value::as_str)
}

/// The name that a simple subject has for a session, a device or a tenant.
fn name(subject: &Map<String, Value>) -> Option<&str> {
    let key = match format(subject)? {
        "opaque" => "id",
        "iss_sub" | "iss-sub" => "sub",
        _ => return None,
    };
    subject.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::control::fixture;
    use serde_json::json;

    fn read(subject: &Value, tenant: Option<&str>, critical: &[&str]) -> Result<About, Refused> {
        let claims = [("phone".to_owned(), "phone_number".to_owned())].into();
        let provider = Provider { claims, ..fixture::provider("staff", "https://idp.example") };
        let critical: Vec<_> = critical.iter().map(|part| (*part).to_owned()).collect();
        Speaker { issuers: ["https://tr.example", "https://idp.example"], tenant, provider: &provider }.read(subject, &critical)
    }

    #[test]
    fn a_phone_number_is_found_by_the_claim_that_has_it() {
        let people = |number: &str| read(&json!({ "format": "phone_number", "phone_number": number }), None, &[]).unwrap().people;
        assert_eq!(people("+1 (555) 01-00"), [Person::Claim("phone".to_owned(), "+15550100".to_owned())]);
        for odd in ["", "+", "%", "+1555%", "555_0100", &"1".repeat(16)] {
            assert_eq!(people(odd), [], "{odd}");
        }
    }

    #[test]
    fn a_tenant_has_to_be_ours_where_we_have_one() {
        let user = json!({ "format": "opaque", "id": "ana" });
        let of = |id: &str| json!({ "format": "complex", "user": user, "tenant": { "format": "opaque", "id": id } });
        for (tenant, named, found) in [(None, "t", 1), (Some("t"), "t", 1), (Some("t"), "u", 0)] {
            assert_eq!(read(&of(named), tenant, &[]).unwrap().people.len(), found, "{tenant:?} {named}");
        }
    }

    #[test]
    fn a_critical_part_that_nobody_looks_at_refuses_the_event() {
        let subject = |part: &str| {
            let opaque = json!({ "format": "opaque", "id": "x" });
            json!({ "format": "complex", "user": opaque, part: opaque })
        };
        for (part, tenant, is_read) in
            [("session", None, true), ("tenant", Some("x"), true), ("tenant", None, false), ("application", None, false)]
        {
            assert_eq!(read(&subject(part), tenant, &[part]).is_ok(), is_read, "{part}");
            assert!(read(&subject(part), tenant, &["group"]).is_ok(), "{part}");
        }
    }

    #[test]
    fn aliases_do_not_nest_and_are_not_endless() {
        let one = |id: usize| json!({ "format": "opaque", "id": id.to_string() });
        let nested = json!({ "format": "aliases", "identifiers": [one(1)] });
        let many: Vec<_> = (0..100).map(one).chain([nested]).collect();
        assert_eq!(read(&json!({ "format": "aliases", "identifiers": many }), None, &[]).unwrap().people.len(), MOST_ALIASES);
    }
}
