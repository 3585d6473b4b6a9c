//! When a person proved who they are counts only where somebody says it.

use crate::circumstances::{NOON, everything, hours, not, silence};
use crate::{compiled, people, rule};
use doorward::model::{Strength, Timestamp};
use doorward::policy::evidence::evidence;
use doorward::policy::facts::Seen;
use doorward::policy::{Authentication, Condition, Effect, Facts, Principal, Rule, Test};

fn signed_in(at: Timestamp) -> Facts {
    Facts { authentication: Authentication { at, ..everything(false).authentication }, ..silence() }
}

fn allows(rules: &[Rule], facts: &Facts) -> bool {
    compiled(rules).evaluate(&Principal::new(&people()[0]).unwrap(), facts).decision.allows()
}

#[test]
fn a_sign_in_of_no_known_time_is_neither_young_nor_old_enough() {
    let young = Condition::Test(Test::AuthAge(hours(1)));
    let (unknown, recent) = (Timestamp::default(), NOON);
    let old = Timestamp::from_seconds(NOON.seconds() - 7_200);
    let allow = |condition: Condition| vec![Rule { conditions: vec![condition], ..rule("a", Effect::Allow) }];
    let deny = |condition| vec![rule("a", Effect::Allow), Rule { conditions: vec![condition], ..rule("d", Effect::Deny) }];
    for (rules, at_unknown, at_recent, at_old) in [
        (allow(young.clone()), false, true, false),
        (allow(not(young.clone())), false, false, true),
        (deny(not(young.clone())), false, true, false),
        (deny(not(not(young.clone()))), true, false, true),
    ] {
        for (at, allowed) in [(unknown, at_unknown), (recent, at_recent), (old, at_old)] {
            assert_eq!(allows(&rules, &signed_in(at)), allowed, "{:?} {at}", rules.last());
        }
    }
}

#[test]
fn a_sign_in_of_no_known_time_is_shown_as_absent() {
    let facts = signed_in(Timestamp::default());
    let absent = Seen { state: "absent", value: None, source: None, age: None };
    assert_eq!(facts.seen(&Test::AuthAge(hours(1))), Some(absent));
    let mfa = facts.seen(&Test::Mfa(true)).unwrap();
    assert_eq!((mfa.state, mfa.age), ("fresh", None), "that it was strong is known");
    let rules = compiled(&[Rule { conditions: vec![Condition::Test(Test::Mfa(true))], ..rule("a", Effect::Allow) }]);
    let written: serde_json::Value = serde_json::from_str(&evidence(&facts, rules.reads()).unwrap()).unwrap();
    assert_eq!(written["authentication"]["observed_at"], serde_json::Value::Null);
    let explained = rules.explain(&Principal::new(&people()[0]).unwrap(), &people()[0], &facts, &Strength::default());
    assert!(explained.decision.allows());
}
