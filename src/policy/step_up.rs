//! What a person could do to be let through: sign in again, stronger or fresher. In: rules that refuse. Out: the least that is
//! asked for, if it helps. Must never ask for what the provider has no word for, nor where it would not help.

use super::reads::Kind;
use super::{Authentication, Facts, Principal, Ruleset};
use crate::model::identity::Profile;
use crate::model::{Identity, StepUp, Strength};
use std::time::Duration;

impl Ruleset {
    /// The sign-in that would be let through, of the same person in the same circumstances: as it is but fresher, with more than
    /// one factor, or phishing-resistant, in this order.
    pub fn step_up(&self, principal: &Principal, identity: &Identity, facts: &Facts, strength: &Strength) -> Option<StepUp> {
        if !self.reads().has(Kind::Authentication) {
            return None;
        }
        let classes = |listed: &[String]| listed.iter().cloned().map(Some).collect::<Vec<_>>();
        let levels = [vec![None], classes(&strength.mfa.acr), classes(&strength.phishing_resistant.acr)];
        let fresher = self.reads().ages();
        // As old as it is before fresher: who signed in a moment ago need not do it again.
        let ages = || std::iter::once(None).chain(fresher.iter().copied().map(Some));
        levels.iter().flat_map(|level| ages().map(move |age| (level, age))).find_map(|(level, age)| {
            let helps = |class: &&Option<String>| {
                let facts = signed_in_anew(facts, identity, strength, class.as_deref(), age);
                self.evaluate(principal, &facts).decision.allows()
            };
            let fitting: Vec<&Option<String>> = level.iter().filter(helps).collect();
            let reached = fitting.first().map(|class| signed_in_anew(facts, identity, strength, class.as_deref(), age))?;
            // All that the rules need of it, also what the present sign-in has: the next one comes in its place.
            let needs = |weaken: fn(&mut Authentication)| {
                let mut weaker = reached.clone();
                weaken(&mut weaker.authentication);
                !self.evaluate(principal, &weaker).decision.allows()
            };
            let attained = &reached.authentication;
            let mfa = attained.mfa == Some(true) && needs(|authentication| authentication.mfa = None);
            let phishing_resistant =
                attained.phishing_resistant == Some(true) && needs(|authentication| authentication.phishing_resistant = None);
            let named: Vec<String> = fitting.into_iter().flatten().cloned().collect();
            let present = || attained.acr.iter().filter(|class| strength.knows(class)).cloned().collect();
            let same_class = named.is_empty() && (mfa || phishing_resistant || needs(|authentication| authentication.acr = None));
            Some(StepUp { mfa, phishing_resistant, acr_values: if same_class { present() } else { named }, max_age: age })
        })
    }
}

/// The same with another sign-in of the same person. Its methods are expected to be no fewer.
fn signed_in_anew(facts: &Facts, identity: &Identity, strength: &Strength, class: Option<&str>, age: Option<Duration>) -> Facts {
    let mut facts = facts.clone();
    let authentication = &mut facts.authentication;
    if let Some(class) = class {
        let profile = Profile { acr: Some(class.to_owned()), amr: identity.profile.amr.clone(), ..Profile::default() };
        authentication.mfa = strength.mfa(&profile);
        authentication.phishing_resistant = strength.phishing_resistant(&profile);
        authentication.acr = profile.acr;
    }
    if let Some(age) = age {
        let at = facts.now.millis().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        authentication.at = authentication.at.max(crate::model::Timestamp::from_millis(at));
    }
    facts
}
