//! Policies in Cedar's own syntax count for what they say, and for nothing less.

use crate::circumstances::NOON;
use crate::{people, rule};
use doorward::model::route::Pattern;
use doorward::policy::condition::Labelled;
use doorward::policy::{Compiler, Condition, Effect, Facts, Files, Principal, Rule, Ruleset, Test};
use http::{HeaderMap, Method};

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

#[test]
fn two_readings_of_a_path_refuse_only_where_something_enforced_asks_it() {
    let test = Test::Path(Labelled { label: "/admin/**".into(), values: [Pattern::parse("/admin/**").unwrap()].into() });
    let deny = |id, shadow| Rule { shadow, conditions: vec![Condition::Test(test.clone())], ..rule(id, Effect::Deny) };
    let asks = "forbid (principal, action, resource) when { context.paths.contains(\"/admin/**\") };";
    for (rules, policy, refused) in [
        (vec![deny("d", true)], String::new(), false),
        (vec![deny("d", false)], String::new(), true),
        (vec![deny("d", true), deny("e", false)], String::new(), true),
        (vec![deny("d", true)], asks.to_owned(), true),
        (vec![deny("d", true)], format!("@shadow(\"true\") {asks}"), false),
    ] {
        let mut files = Files::default();
        files.add("p.cedar", &policy, false, &[]).unwrap();
        let rules = Ruleset::compile("app", rules, &mut Compiler::beside(files)).unwrap();
        let asked = rules.reads().ask(&HeaderMap::new(), || std::iter::once("/Admin/x"));
        assert_eq!(asked.is_err(), refused, "{policy}");
        assert!(refused || asked == Ok(0), "a rule in the shadow does not match it either");
    }
}
