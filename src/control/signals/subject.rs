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
