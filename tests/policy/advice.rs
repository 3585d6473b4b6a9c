//! What a refused person may be told, and what nobody may.

use super::{compiled, people, rule, texts};
use doorward::model::device::Standing;
use doorward::model::{DeviceFacts, Observed, Risk, RiskLevel, Source, Timestamp};
use doorward::policy::condition::{Condition, DeviceTest, Test};
use doorward::policy::{Authentication, Effect, Facts, Principal, Rule};
use http::Method;
use std::sync::Arc;

fn test(test: Test) -> Condition {
    Condition::Test(test)
}

fn groups(name: &str) -> Condition {
    test(Test::Groups(texts(&[name])))
}

fn mfa() -> Condition {
    test(Test::Mfa(true))
}

fn managed() -> Condition {
    test(Test::Device(DeviceTest::Standing(Standing::Managed)))
}

fn not(part: Condition) -> Condition {
    Condition::Not(Box::new(part))
}

fn allow(conditions: Vec<Condition>) -> Rule {
    Rule { conditions, ..rule("a", Effect::Allow) }
}

fn deny(conditions: Vec<Condition>) -> Rule {
    Rule { conditions, ..rule("d", Effect::Deny) }
}

/// By a device that is known, with one factor, from Russia, at a high risk.
fn facts() -> Facts {
    let now = Timestamp::from_seconds(1_000_000);
    fn said<T>(value: T, now: Timestamp) -> Option<Observed<T>> {
        Some(Observed { value, source: Source::Administration, observed_at: now, expires_at: None })
    }
    Facts {
        authentication: Authentication { mfa: Some(false), phishing_resistant: Some(false), ..Authentication::default() },
        device: said(Arc::new(DeviceFacts { standing: Standing::Known, device: None }), now),
        country: said("RU".into(), now),
        risk: said(Arc::new(Risk { level: RiskLevel::High, reasons: Vec::new() }), now),
        ..Facts::bare(now, Method::POST)
    }
}

#[test]
fn the_least_that_would_have_to_change_is_said_and_nothing_of_what_is_not_for_this_person() {
    let country = |code: &str| test(Test::Country(texts(&[code])));
    let risk = || test(Test::Risk(vec![RiskLevel::High]));
    let phishing = || test(Test::PhishingResistant(true));
    let cases: Vec<(&str, Vec<Rule>, &[&str])> = vec![
        ("both that fail", vec![allow(vec![groups("finance"), mfa(), managed()])], &["second factor", "managed device"]),
        ("a group that is not hers", vec![allow(vec![groups("other"), mfa()])], &[]),
        (
            "the rule that misses least",
            vec![allow(vec![mfa(), managed()]), Rule { id: rule("b", Effect::Allow).id, ..allow(vec![managed()]) }],
            &["managed device"],
        ),
        (
            "the shorter way",
            vec![allow(vec![Condition::Any(vec![Condition::All(vec![mfa(), managed()]), phishing()])])],
            &["security key"],
        ),
        ("a way that is not hers", vec![allow(vec![Condition::Any(vec![groups("other"), mfa()])])], &["second factor"]),
        ("what denies", vec![allow(vec![]), deny(vec![country("RU")])], &["where you seem to be"]),
        ("what denies all but", vec![allow(vec![]), deny(vec![not(country("DE"))])], &["where you seem to be"]),
        ("both", vec![allow(vec![mfa()]), deny(vec![country("RU")])], &["where you seem to be", "second factor"]),
        ("who is denied", vec![allow(vec![mfa()]), deny(vec![groups("finance")])], &[]),
        ("the risk", vec![allow(vec![mfa()]), deny(vec![risk()])], &[]),
        ("the method", vec![allow(vec![test(Test::Methods(vec![Method::GET])), mfa()])], &[]),
        ("a rule in the shadow", vec![Rule { shadow: true, ..allow(vec![mfa()]) }], &[]),
        ("no rule", vec![], &[]),
    ];
    let ana = &people()[0];
    for (what, rules, expected) in cases {
        let advice = compiled(&rules.into_iter().zip(0..).map(named).collect::<Vec<_>>()).advice(
            &Principal::new(ana).unwrap(),
            ana,
            &facts(),
        );
        let said: Vec<String> = advice.into_iter().map(|advice| format!("{} {}", advice.failed, advice.help)).collect();
        assert_eq!(said.len(), expected.len(), "{what}: {said:?}");
        for part in expected {
            assert!(said.iter().any(|advice| advice.contains(part)), "{what}: {said:?}");
        }
    }
}

fn named((rule, index): (Rule, usize)) -> Rule {
    Rule { id: doorward::model::RuleId(format!("r{index}").into()), ..rule }
}
