//! Protections that silence switches off. In: deny rules. Out: warnings where a rule denies by what may not be known, with the form
//! that denies then too.

use crate::control::config::compile::Written;
use crate::control::config::findings::{Findings, Wrong};
use crate::model::RiskLevel;
use crate::policy::condition::{Condition, Test};
use crate::policy::{Effect, Rule};

/// Looks at one rule.
pub(super) fn look(written: &Written, findings: &mut Findings) {
    let rule: &Rule = &written.rule;
    if rule.effect == Effect::Allow {
        return;
    }
    let mut resting = Vec::new();
    rule.conditions.iter().for_each(|condition| collect(condition, true, &mut resting));
    for test in resting {
        let message = format!("where that is not known, `{test}` does not deny");
        findings.warning(&written.place.key("when"), Wrong::new(message, closed(test)));
    }
}

/// The tests that deny by what may not be known. Behind a `not` they deny then.
fn collect<'a>(condition: &'a Condition, denies: bool, to: &mut Vec<&'a Test>) {
    match condition {
        Condition::Test(test) if denies && may_be_silent(test) => to.push(test),
        Condition::Test(_) => {}
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| collect(part, denies, to)),
        Condition::Not(part) => collect(part, !denies, to),
    }
}

/// Whether there may be nothing to look at: neither the clock, nor the connection, nor the person is ever silent.
const fn may_be_silent(test: &Test) -> bool {
    match test {
        Test::Mfa(_) | Test::PhishingResistant(_) | Test::Acr(_) | Test::Country(_) | Test::Asn(_) => true,
        Test::Device(_) | Test::Risk(_) | Test::Header(..) => true,
        Test::Users(_) | Test::Groups(_) | Test::Domains(_) | Test::Claim(..) | Test::Methods(_) => false,
        Test::AuthAge(_) | Test::Network(_) | Test::Hours(_) | Test::Dates(_) | Test::Path(_) | Test::Browser(_) => false,
    }
}

/// What denies there too.
fn closed(test: &Test) -> String {
    let fine = match test {
        Test::Mfa(wanted) => format!("mfa: {}", !wanted),
        Test::PhishingResistant(wanted) => format!("phishing_resistant: {}", !wanted),
        Test::Risk(levels) => {
            let all = [RiskLevel::Low, RiskLevel::Medium, RiskLevel::High];
            let fine: Vec<&str> = all.iter().filter(|level| !levels.contains(level)).map(|level| level.code()).collect();
            format!("risk: [{}]", fine.join(", "))
        }
        Test::Country(_) => "country: [those that may]".to_owned(),
        Test::Asn(_) => "asn: [those that may]".to_owned(),
        Test::Acr(_) => "acr: [those that may]".to_owned(),
        Test::Header(name, _) => format!("header: {{ {name}: [those that may] }}"),
        _ => "device: { … what may }".to_owned(),
    };
    format!("say who may: `not: {{ when: {{ {fine} }} }}` denies everybody else, also where nothing is known")
}
