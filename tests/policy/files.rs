//! Policies in Cedar's own syntax count for what they say, and for nothing less.

use crate::circumstances::NOON;
use crate::{people, rule};
use doorward::policy::{Compiler, Effect, Facts, Files, Principal, Ruleset};
use http::Method;

/// Whether everybody but whom this policy forbids is let in; `None` where it is refused.
fn allows(policy: &str) -> Option<bool> {
    let mut files = Files::default();
    files.add("p.cedar", policy, false, &[]).ok()?;
    let rules = Ruleset::compile("app", vec![rule("a", Effect::Allow)], &mut Compiler::beside(files)).unwrap();
    let facts = Facts::bare(NOON, Method::GET);
    Some(rules.evaluate(&Principal::new(&people()[0]).unwrap(), &facts).decision.allows())
}

#[test]
fn a_policy_is_in_the_shadow_only_where_it_clearly_says_so() {
    for (annotation, allowed) in [
        ("", Some(false)),
        ("@shadow(\"false\")", Some(false)),
        ("@shadow(\"true\")", Some(true)),
        ("@shadow", Some(true)),
        ("@shadow(\"False\")", None),
        ("@shadow(\"no\")", None),
        ("@shadow(\" \")", None),
    ] {
        assert_eq!(allows(&format!("{annotation} forbid (principal, action, resource);")), allowed, "{annotation}");
    }
}
