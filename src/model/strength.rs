//! How well somebody proved who they are. In: what a provider says (`acr`, `amr`), and what that means there. Out: what was
//! attained, and what to ask for where more is wanted. Must never take silence for strength.

use super::identity::Profile;
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

#[cfg(test)]
mod tests {
    use super::*;

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
