//! How well somebody proved who they are. In: what a provider says (`acr`, `amr`), and what that means there. Out: what was
//! attained, and what to ask for where more is wanted. Must never take silence for strength.

use super::identity::Profile;
use super::{Identity, Timestamp};
use std::fmt;
use std::time::Duration;

/// What of a provider's words means one kind of strength.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// Any of these methods (RFC 8176).
    pub amr: Vec<String>,
    /// Any of these context classes, the preferred one first: also what is asked for.
    pub acr: Vec<String>,
}

/// What the words of one provider mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strength {
    /// More than one factor.
    pub mfa: Means,
    /// A method that does not work at a false site.
    pub phishing_resistant: Means,
}

/// A stronger or fresher sign-in that would turn a refusal into an allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// More than one factor.
    pub mfa: bool,
    /// A method that does not work at a false site.
    pub phishing_resistant: bool,
    /// The context classes to ask the provider for, any of which is enough; empty where the strength is enough as it is.
    pub acr_values: Vec<String>,
    /// How long ago the person may have signed in; `None` where that does not matter.
    pub max_age: Option<Duration>,
}

impl Default for Strength {
    /// What registered values mean (RFC 8176; OpenID Connect Extended Authentication Profile ACR Values 1.0).
    fn default() -> Self {
        let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Self {
            mfa: Means { amr: texts(&["mfa"]), acr: Vec::new() },
            phishing_resistant: Means { amr: Vec::new(), acr: texts(&["phr", "phrh"]) },
        }
    }
}

impl Strength {
    /// No word means anything.
    pub const fn nothing() -> Self {
        const NONE: Means = Means { amr: Vec::new(), acr: Vec::new() };
        Self { mfa: NONE, phishing_resistant: NONE }
    }

    /// Whether more than one factor was used; `None` where the provider said nothing of how.
    pub fn mfa(&self, profile: &Profile) -> Option<bool> {
        self.mfa.attained(profile)
    }

    /// Whether a method was used that does not work at a false site; `None` where the provider said nothing of how.
    pub fn phishing_resistant(&self, profile: &Profile) -> Option<bool> {
        self.phishing_resistant.attained(profile)
    }
}

impl Means {
    fn attained(&self, profile: &Profile) -> Option<bool> {
        let said = profile.acr.is_some() || !profile.amr.is_empty();
        let by_class = profile.acr.as_ref().is_some_and(|class| self.acr.contains(class));
        said.then(|| by_class || profile.amr.iter().any(|method| self.amr.contains(method)))
    }
}

/// What a sign-in lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A second factor.
    Mfa,
    /// A method that does not work at a false site.
    PhishingResistant,
    /// One of the context classes.
    Class,
    /// It is too long ago, or nobody says when it was.
    Fresh,
}

impl Strength {
    /// Whether this class means anything here.
    pub fn knows(&self, class: &str) -> bool {
        [&self.mfa, &self.phishing_resistant].iter().any(|means| means.acr.iter().any(|known| known == class))
    }
}

impl StepUp {
    /// What of it this provider has words for. A link could name a class that is weaker than the sign-in it would replace.
    pub fn at(&self, strength: &Strength) -> Self {
        let known = self.acr_values.iter().filter(|class| strength.knows(class)).cloned().collect();
        Self { acr_values: known, ..self.clone() }
    }

    /// What this person's sign-in lacks of it; `None` where it is enough.
    pub fn lack(&self, strength: &Strength, identity: &Identity, now: Timestamp) -> Option<Lack> {
        let profile = &identity.profile;
        let class = || profile.acr.as_ref().is_some_and(|class| self.acr_values.contains(class));
        let fresh = |most: Duration| now.since(identity.authenticated_at) <= most;
        match () {
            () if self.mfa && strength.mfa(profile) != Some(true) => Some(Lack::Mfa),
            () if self.phishing_resistant && strength.phishing_resistant(profile) != Some(true) => Some(Lack::PhishingResistant),
            () if self.names_classes_alone() && !class() => Some(Lack::Class),
            () if !self.max_age.is_none_or(fresh) => Some(Lack::Fresh),
            () => None,
        }
    }

    /// The classes are what is wanted, and not merely the way to it.
    const fn names_classes_alone(&self) -> bool {
        !self.acr_values.is_empty() && !self.mfa && !self.phishing_resistant
    }

    /// Reads what [`fmt::Display`] wrote; `None` where it is anything else. Anybody may have written it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut read = Self::default();
        for word in text.split(' ') {
            match word.split_once(':') {
                None if word == "mfa" => read.mfa = true,
                None if word == "phishing_resistant" => read.phishing_resistant = true,
                Some(("max_age", seconds)) => read.max_age = Some(Duration::from_secs(seconds.parse::<u32>().ok()?.into())),
                Some(("acr", class)) if is_class(class) && read.acr_values.len() < MOST_CLASSES => {
                    read.acr_values.push(class.to_owned());
                }
                _ => return None,
            }
        }
        Some(read)
    }
}

/// The most classes that are asked for at once, and the longest, in bytes.
const MOST_CLASSES: usize = 8;
const LONGEST_CLASS: usize = 128;

/// Whether it can be asked for: one word of plain characters, and not too long.
pub fn is_class(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_CLASS && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

impl fmt::Display for StepUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.mfa.then(|| "mfa".to_owned()));
        words.extend(self.phishing_resistant.then(|| "phishing_resistant".to_owned()));
        words.extend(self.max_age.map(|age| format!("max_age:{}", age.as_secs())));
        words.extend(self.acr_values.iter().filter(|class| is_class(class)).take(MOST_CLASSES).map(|class| format!("acr:{class}")));
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::ProviderName;
    use crate::model::identity::Subject;

    #[test]
    fn what_is_asked_for_survives_a_link_and_nothing_else_does() {
        let all = StepUp {
            mfa: true,
            phishing_resistant: true,
            acr_values: vec!["phr".to_owned(), "urn:corp:mfa".to_owned()],
            max_age: Some(Duration::from_secs(900)),
        };
        assert_eq!(all.to_string(), "mfa phishing_resistant max_age:900 acr:phr acr:urn:corp:mfa");
        for step_up in [all, StepUp { max_age: Some(Duration::ZERO), ..StepUp::default() }] {
            assert_eq!(StepUp::parse(&step_up.to_string()), Some(step_up));
        }
        for odd in ["", "MFA", "mfa  mfa", "max_age:-1", "max_age:x", "acr:", "acr:a\"b", "acr:a\u{7f}", &"acr:x ".repeat(9)] {
            assert_eq!(StepUp::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_sign_in_lacks_what_nobody_vouches_for() {
        let now = Timestamp::from_seconds(10_000);
        let identity = |acr, amr: &[&str], seconds| Identity {
            subject: Subject { provider: ProviderName::parse("staff").unwrap(), subject: "1".to_owned() },
            profile: profile(acr, amr),
            authenticated_at: Timestamp::from_seconds(seconds),
        };
        let wanted = |text: &str| StepUp::parse(text).unwrap_or_default();
        let cases = [
            ("mfa", identity(None, &[], 9_999), Some(Lack::Mfa)),
            ("mfa", identity(None, &["pwd"], 9_999), Some(Lack::Mfa)),
            ("mfa", identity(None, &["mfa"], 9_999), None),
            ("mfa max_age:60", identity(None, &["mfa"], 9_000), Some(Lack::Fresh)),
            ("max_age:60", identity(None, &[], 0), Some(Lack::Fresh)),
            ("max_age:60", identity(None, &[], 9_950), None),
            ("phishing_resistant acr:phr", identity(Some("phrh"), &[], 0), None),
            ("acr:gold", identity(Some("silver"), &[], 0), Some(Lack::Class)),
            ("acr:silver acr:gold", identity(Some("gold"), &[], 0), None),
        ];
        for (text, identity, lack) in cases {
            assert_eq!(wanted(text).lack(&Strength::default(), &identity, now), lack, "{text} {:?}", identity.profile);
        }
    }

    fn profile(acr: Option<&str>, amr: &[&str]) -> Profile {
        Profile { acr: acr.map(str::to_owned), amr: amr.iter().map(|word| (*word).to_owned()).collect(), ..Profile::default() }
    }

    #[test]
    fn silence_is_neither_strong_nor_weak() {
        let strength = Strength::default();
        let cases = [
            (profile(None, &[]), None, None),
            (profile(None, &["pwd"]), Some(false), Some(false)),
            (profile(None, &["pwd", "mfa"]), Some(true), Some(false)),
            (profile(Some("phr"), &[]), Some(false), Some(true)),
            (profile(Some("PHR"), &["MFA"]), Some(false), Some(false)),
            (profile(Some("phrh"), &["mfa"]), Some(true), Some(true)),
        ];
        for (profile, mfa, phishing_resistant) in cases {
            assert_eq!((strength.mfa(&profile), strength.phishing_resistant(&profile)), (mfa, phishing_resistant), "{profile:?}");
        }
    }
}
