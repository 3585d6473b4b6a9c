//! What there is to fear of people and devices. In: what somebody says of them. Out: the worst that is said. Must never let a
//! smaller risk hide a larger one, not even one whose time is over: that one says that nothing is known.

use super::identity::Subject;
use super::{Email, Identity, Observed, ProviderName, Risk, Source, Timestamp};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Of whom or what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Whoever has this verified address.
    Email(Email),
    /// This person.
    Subject(Subject),
    /// The device of this name.
    Device(String),
}

impl Whose {
    /// `user` and an e-mail address or `provider:subject`; `device` and its name.
    pub fn parse(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "device" => super::device::entry::is_id(name).then(|| Self::Device(name.to_owned())),
            "user" => Email::parse(name).map(Self::Email).ok().or_else(|| {
                let (provider, subject) = name.split_once(':')?;
                let provider = ProviderName::parse(provider)?;
                (!subject.is_empty()).then(|| Self::Subject(Subject { provider, subject: subject.to_owned() }))
            }),
            _ => None,
        }
    }

    /// `user` or `device`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) | Self::Subject(_) => "user",
            Self::Device(_) => "device",
        }
    }
}

/// The name, as it is parsed.
impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => f.write_str(email.as_str()),
            Self::Subject(subject) => subject.fmt(f),
            Self::Device(id) => f.write_str(id),
        }
    }
}

/// What several say of one, each in place of what it said before.
type Said = Vec<Observed<Arc<Risk>>>;

/// All that is said.
#[derive(Clone, Debug, Default)]
pub struct Risks {
    emails: HashMap<Email, Said>,
    subjects: HashMap<Subject, Said>,
    devices: HashMap<String, Said>,
    /// Of people whose credentials others know: it counts until they have proved anew who they are.
    compromised: HashMap<Subject, Said>,
}

impl Risks {
    /// Somebody says this, in place of what they said before.
    pub fn put(&mut self, whose: Whose, risk: Observed<Arc<Risk>>) {
        let said = match whose {
            Whose::Email(email) => self.emails.entry(email).or_default(),
            Whose::Subject(subject) => self.subjects.entry(subject).or_default(),
            Whose::Device(id) => self.devices.entry(id).or_default(),
        };
        said.retain(|other| other.source != risk.source);
        said.push(risk);
    }

    /// Somebody says that others know a credential of this person.
    pub fn put_compromise(&mut self, of: Subject, risk: Observed<Arc<Risk>>) {
        self.compromised.entry(of).or_default().push(risk);
    }

    /// Nothing is said any more, by anybody; what administrators said before.
    pub fn remove(&mut self, whose: &Whose) -> Option<Observed<Arc<Risk>>> {
        let said = match whose {
            Whose::Email(email) => self.emails.remove(email),
            Whose::Subject(subject) => {
                self.compromised.remove(subject);
                self.subjects.remove(subject)
            }
            Whose::Device(id) => self.devices.remove(id),
        };
        said?.into_iter().find(is_administered)
    }

    /// Nothing that transmitters say counts any more.
    pub fn forget_transmitters(&mut self) {
        for said in self.emails.values_mut().chain(self.subjects.values_mut()).chain(self.devices.values_mut()) {
            said.retain(is_administered);
        }
        self.compromised.clear();
    }

    /// What administrators say of one.
    pub fn find(&self, whose: &Whose) -> Option<&Observed<Arc<Risk>>> {
        let said = match whose {
            Whose::Email(email) => self.emails.get(email),
            Whose::Subject(subject) => self.subjects.get(subject),
            Whose::Device(id) => self.devices.get(id),
        };
        said?.iter().find(|risk| is_administered(risk))
    }

    /// The worst that is said of this person, of the device that they show, and of those that are theirs. What is said of a
    /// device that is not shown holds no longer than the rest: it may keep somebody out, and must let nobody in.
    pub fn worst<'d>(
        &self,
        identity: &Identity,
        shown: Option<&str>,
        owned: impl Iterator<Item = &'d str>,
    ) -> Option<Observed<Arc<Risk>>> {
        let email = identity.profile.email.as_ref().and_then(|email| self.emails.get(email));
        let shown = shown.and_then(|id| self.devices.get(id));
        let said = [email, self.subjects.get(&identity.subject), shown].into_iter().flatten().flatten();
        let compromised = self.compromised.get(&identity.subject).into_iter().flatten();
        let said = worst(said.chain(compromised.filter(|risk| identity.authenticated_at <= risk.observed_at)));
        let owned = worst(owned.filter_map(|id| self.devices.get(id)).flatten());
        let Some(owned) = owned.filter(|owned| said.is_none_or(|said| said.value.level < owned.value.level)) else {
            return said.cloned();
        };
        let until = said.map_or(Some(Timestamp::default()), |said| said.expires_at);
        let expires_at = until.into_iter().chain(owned.expires_at).min();
        Some(Observed { expires_at, ..owned.clone() })
    }

    /// Everything, in no order.
    pub fn all(&self) -> impl Iterator<Item = (Whose, &Observed<Arc<Risk>>)> {
        let emails = self.emails.iter().map(|(email, said)| (Whose::Email(email.clone()), said));
        let subjects = self.subjects.iter().chain(&self.compromised);
        let subjects = subjects.map(|(subject, said)| (Whose::Subject(subject.clone()), said));
        let devices = self.devices.iter().map(|(id, said)| (Whose::Device(id.clone()), said));
        let all = emails.chain(subjects).chain(devices);
        all.flat_map(|(whose, said)| said.iter().map(move |risk| (whose.clone(), risk)))
    }
}

fn is_administered(risk: &Observed<Arc<Risk>>) -> bool {
    risk.source == Source::Administration
}

/// Of equals the one that holds for longer.
fn worst<'r>(risks: impl Iterator<Item = &'r Observed<Arc<Risk>>>) -> Option<&'r Observed<Arc<Risk>>> {
    let never = Timestamp::from_millis(u64::MAX);
    risks.max_by_key(|risk| (risk.value.level, risk.expires_at.unwrap_or(never)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::RiskLevel;
    use crate::model::identity::Profile;
    use std::iter::{empty, once};

    fn risk(level: RiskLevel, expires_at: Option<u64>) -> Observed<Arc<Risk>> {
        let (observed_at, expires_at) = (Timestamp::default(), expires_at.map(Timestamp::from_seconds));
        Observed { value: Arc::new(Risk { level, reasons: Vec::new() }), source: Source::Administration, observed_at, expires_at }
    }

    fn alice() -> Identity {
        let provider = ProviderName::parse("staff").unwrap();
        Identity {
            subject: Subject { provider, subject: "a:1".to_owned() },
            profile: Profile { email: Email::parse("alice@corp.example").ok(), ..Profile::default() },
            authenticated_at: Timestamp::default(),
        }
    }

    #[test]
    fn the_worst_counts_even_when_its_time_is_over() {
        let mut risks = Risks::default();
        let worst = |risks: &Risks| risks.worst(&alice(), Some("mac-1"), empty()).map(|risk| risk.value.level);
        assert_eq!(worst(&risks), None, "unknown is not low");
        for (kind, name, level, expected) in [
            ("device", "mac-1", RiskLevel::Low, RiskLevel::Low),
            ("user", "staff:a:1", RiskLevel::High, RiskLevel::High),
            ("user", "Alice@corp.example", RiskLevel::Medium, RiskLevel::High),
        ] {
            risks.put(Whose::parse(kind, name).unwrap(), risk(level, Some(1)));
            assert_eq!(worst(&risks), Some(expected), "{name}");
        }
        risks.put(Whose::parse("device", "mac-1").unwrap(), risk(RiskLevel::High, None));
        assert_eq!(risks.worst(&alice(), Some("mac-1"), empty()).unwrap().expires_at, None, "of equals the one that holds");
        assert_eq!(risks.worst(&alice(), None, empty()).unwrap().expires_at, Some(Timestamp::from_seconds(1)));
    }

    #[test]
    fn a_device_that_is_not_shown_can_only_make_it_worse() {
        use RiskLevel::{High, Low, Medium};
        for (said, of_device, expected) in [
            (None, (Low, None), (Low, Some(0))),
            (None, (High, None), (High, Some(0))),
            (Some((Low, None)), (High, None), (High, None)),
            (Some((Low, Some(5))), (Medium, Some(9)), (Medium, Some(5))),
            (Some((Low, Some(9))), (Medium, Some(5)), (Medium, Some(5))),
            (Some((Medium, Some(5))), (Low, None), (Medium, Some(5))),
            (Some((Medium, Some(5))), (Medium, None), (Medium, Some(5))),
        ] {
            let mut risks = Risks::default();
            if let Some((level, ends)) = said {
                risks.put(Whose::parse("user", "staff:a:1").unwrap(), risk(level, ends));
            }
            risks.put(Whose::parse("device", "mac-1").unwrap(), risk(of_device.0, of_device.1));
            let worst = risks.worst(&alice(), None, once("mac-1")).unwrap();
            assert_eq!((worst.value.level, worst.expires_at), (expected.0, expected.1.map(Timestamp::from_seconds)), "{said:?}");
        }
    }

    #[test]
    fn a_name_reads_back_as_what_it_was_written_from() {
        for (kind, name) in [("user", "alice@corp.example"), ("user", "staff:a:1"), ("device", "mac-1")] {
            let whose = Whose::parse(kind, name).unwrap();
            assert_eq!((whose.kind(), whose.to_string().as_str()), (kind, name));
        }
        for (kind, name) in [("user", "alice"), ("user", "staff:"), ("user", ":a"), ("device", "a/b"), ("group", "staff:a")] {
            assert_eq!(Whose::parse(kind, name), None, "{kind} {name}");
        }
    }

    #[test]
    fn nobody_takes_back_what_somebody_else_said() {
        let whose = || Whose::parse("user", "staff:a:1").unwrap();
        let said = |level, source| Observed { source, ..risk(level, None) };
        let mut risks = Risks::default();
        risks.put(whose(), said(RiskLevel::High, Source::Administration));
        risks.put(whose(), said(RiskLevel::High, Source::transmitter("mdm")));
        risks.put(whose(), said(RiskLevel::Low, Source::transmitter("idp")));
        let worst = |risks: &Risks| risks.worst(&alice(), None, empty()).map(|risk| (risk.value.level, risk.source));
        risks.put(whose(), said(RiskLevel::Low, Source::Administration));
        assert_eq!(worst(&risks), Some((RiskLevel::High, Source::transmitter("mdm"))));
        assert_eq!(risks.find(&whose()).map(|risk| risk.value.level), Some(RiskLevel::Low), "administrators see their own word");
        let mut administered = risks.clone();
        administered.forget_transmitters();
        assert_eq!(worst(&administered), Some((RiskLevel::Low, Source::Administration)));
        assert!(risks.remove(&whose()).is_some() && worst(&risks).is_none(), "an administrator has the last word");
    }

    #[test]
    fn a_compromise_counts_until_the_person_has_signed_in_after_it() {
        let mut risks = Risks::default();
        let at = Timestamp::from_seconds(50);
        risks.put_compromise(alice().subject, Observed { observed_at: at, ..risk(RiskLevel::High, None) });
        for (authenticated, counts) in [(0, true), (50, true), (51, false)] {
            let identity = Identity { authenticated_at: Timestamp::from_seconds(authenticated), ..alice() };
            assert_eq!(risks.worst(&identity, None, empty()).is_some(), counts, "{authenticated}");
        }
    }
}
