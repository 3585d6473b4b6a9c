//! Who may: every kind of rule against every kind of person, and what must hold whatever the rules are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "policy/advice.rs"]
mod advice;
#[path = "policy/cases.rs"]
mod cases;
#[path = "policy/circumstances.rs"]
mod circumstances;
#[path = "policy/files.rs"]
mod files;
#[path = "policy/known.rs"]
mod known;
#[path = "policy/reach.rs"]
mod reach;
#[path = "policy/replay.rs"]
mod replay;
#[path = "policy/scene.rs"]
mod scene;
#[path = "policy/sign_ins.rs"]
mod sign_ins;
#[path = "policy/signals.rs"]
mod signals;
#[path = "policy/written.rs"]
mod written;

use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, ProviderName, RuleId, Timestamp};
use doorward::policy::rules::User;
use doorward::policy::{Compiler, Decision, Effect, Facts, Kind, Principal, Rule, Ruleset};
use http::Method;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn rule(id: &str, effect: Effect) -> Rule {
    Rule::new(RuleId(id.into()), effect)
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn person(provider: &str, subject: &str, email: Option<&str>, groups: &[&str], claims: &[(&str, &[&str])]) -> Identity {
    Identity {
        subject: Subject { provider: ProviderName::parse(provider).unwrap(), subject: subject.into() },
        profile: Profile {
            email: email.map(|email| Email::parse(email).unwrap()),
            groups: texts(groups),
            claims: claims.iter().map(|(name, values)| ((*name).to_owned(), texts(values))).collect(),
            ..Profile::default()
        },
        authenticated_at: Timestamp::default(),
    }
}

fn compiled(rules: &[Rule]) -> Ruleset {
    Ruleset::compile("app", rules.to_vec(), &mut Compiler::default()).unwrap()
}

fn asking(method: &Method) -> Facts {
    Facts::bare(Timestamp::default(), method.clone())
}

fn decide(rules: &[Rule], identity: &Identity, method: &Method) -> Decision {
    compiled(rules).evaluate(&Principal::new(identity).unwrap(), &asking(method)).decision
}

fn allows(rules: &[Rule], identity: &Identity) -> bool {
    matches!(decide(rules, identity, &Method::GET), Decision::Allow(_))
}

/// Ana has everything, Bob another address and group, Gus nothing at all.
fn people() -> [Identity; 3] {
    [
        person("staff", "ana", Some("Ana@Corp.Example"), &["staff", "finance"], &[("department", &["accounting", "tax"])]),
        person("partners", "bob", Some("bob@sub.corp.example"), &["Finance"], &[("department", &[])]),
        person("staff", "gus", None, &[], &[]),
    ]
}

#[test]
fn a_rule_matches_whom_it_says_and_nobody_else() {
    let email = |text| User::Email(Email::parse(text).unwrap());
    let subject = |text: &str| User::Subject(text.to_owned());
    let users = |users: Vec<User>| Rule { users: Some(users), ..rule("r", Effect::Allow) };
    let groups = |groups: &[&str]| Rule { groups: Some(texts(groups)), ..rule("r", Effect::Allow) };
    let domains = |domains: &[&str]| Rule { domains: Some(texts(domains)), ..rule("r", Effect::Allow) };
    let claim = |name: &str, values: &[&str]| Rule {
        claims: BTreeMap::from([(name.to_owned(), texts(values))]),
        ..rule("r", Effect::Allow)
    };
    let cases = [
        ("no part", rule("r", Effect::Allow), [true, true, true]),
        ("an address", users(vec![email("ana@corp.example")]), [true, false, false]),
        ("an address of another case", users(vec![email("ANA@CORP.example")]), [true, false, false]),
        ("a subject", users(vec![subject("partners:bob")]), [false, true, false]),
        ("a subject of another provider", users(vec![subject("staff:bob")]), [false, false, false]),
        ("a subject that is somebody's address", users(vec![subject("ana@corp.example")]), [false, false, false]),
        ("two people", users(vec![email("ana@corp.example"), subject("staff:gus")]), [true, false, true]),
        ("nobody", users(vec![]), [false, false, false]),
        ("a group", groups(&["finance"]), [true, false, false]),
        ("a group of another case", groups(&["Finance"]), [false, true, false]),
        ("any of two groups", groups(&["Finance", "staff"]), [true, true, false]),
        ("an unknown group", groups(&["financ", "finance ", "finance,staff", "fin*", "*"]), [false, false, false]),
        ("no group", groups(&[]), [false, false, false]),
        ("the empty group", groups(&[""]), [false, false, false]),
        ("a domain, exactly", domains(&["corp.example"]), [true, false, false]),
        ("a domain below", domains(&["sub.corp.example"]), [false, true, false]),
        ("a suffix that is no domain", domains(&["example", "orp.example", ".corp.example"]), [false, false, false]),
        ("a claim", claim("department", &["tax"]), [true, false, false]),
        ("any value of a claim", claim("department", &["x", "accounting"]), [true, false, false]),
        ("another value", claim("department", &["tax,accounting"]), [false, false, false]),
        ("a claim that nobody has", claim("role", &["x"]), [false, false, false]),
        ("a claim of no value", claim("department", &[]), [false, false, false]),
        (
            "a group and a domain",
            Rule { domains: Some(texts(&["corp.example"])), ..groups(&["staff", "Finance"]) },
            [true, false, false],
        ),
        ("a group and a foreign domain", Rule { domains: Some(texts(&["x.example"])), ..groups(&["staff"]) }, [false; 3]),
    ];
    for (what, allow, expected) in cases {
        let deny = Rule { id: RuleId("d".into()), effect: Effect::Deny, ..allow.clone() };
        let all = [rule("everybody", Effect::Allow), deny];
        for (person, expected) in people().iter().zip(expected) {
            assert_eq!(allows(std::slice::from_ref(&allow), person), expected, "{what}: {}", person.subject);
            assert_eq!(allows(&all, person), !expected, "deny {what}: {}", person.subject);
        }
    }
}

#[test]
fn without_an_address_nobody_is_in_a_domain_not_even_in_the_empty_one() {
    // The configuration refuses such rules; here they must not do harm either.
    let [_, _, gus] = people();
    let rules = [Rule { domains: Some(texts(&["corp.example"])), ..rule("r", Effect::Allow) }];
    assert!(!allows(&rules, &gus));
}

#[test]
fn methods_are_compared_as_they_are() {
    let rules = [Rule { methods: Some(vec![Method::GET, Method::POST]), ..rule("r", Effect::Allow) }];
    let ruleset = compiled(&rules);
    assert!(ruleset.reads().has(Kind::Method));
    let principal = Principal::new(&people()[0]).unwrap();
    for (method, allowed) in [("GET", true), ("POST", true), ("HEAD", false), ("get", false), ("DELETE", false), ("GETX", false)] {
        let decision = ruleset.evaluate(&principal, &asking(&method.parse().unwrap())).decision;
        assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{method}");
    }
    let deny = [rule("a", Effect::Allow), Rule { methods: Some(vec![Method::DELETE]), ..rule("d", Effect::Deny) }];
    assert_eq!(decide(&deny, &people()[0], &Method::DELETE), Decision::Deny(RuleId("d".into())));
    assert_eq!(decide(&deny, &people()[0], &Method::GET), Decision::Allow(RuleId("a".into())));
    assert!(compiled(&[rule("r", Effect::Allow)]).reads().nothing());
}

#[test]
fn a_decision_names_its_rule() {
    let [ana, ..] = people();
    let finance = Rule { groups: Some(texts(&["finance"])), ..rule("app.allow[1]", Effect::Allow) };
    let nobody = Rule { groups: Some(texts(&["x"])), ..rule("app.allow[0]", Effect::Allow) };
    let allowed = [nobody.clone(), finance];
    assert_eq!(decide(&allowed, &ana, &Method::GET), Decision::Allow(RuleId("app.allow[1]".into())));
    let denied = [&allowed[..], &[rule("app.deny[0]", Effect::Deny)]].concat();
    assert_eq!(decide(&denied, &ana, &Method::GET), Decision::Deny(RuleId("app.deny[0]".into())));
    assert_eq!(decide(&[nobody], &ana, &Method::GET), Decision::NoRule);
    assert_eq!(decide(&[], &ana, &Method::GET), Decision::NoRule);
}

/// Texts that would mean something else if they got out of their quotes.
const NASTY: [&str; 14] = [
    "\" || true || \"",
    "\"}; permit (principal, action, resource); //",
    "x\") || (\"a\" == \"a",
    "\\",
    "\\\"",
    "\\u{22}",
    "a\nb",
    "a\rb\tc\0d",
    "*",
    "// comment",
    "${x}",
    "é😀\u{202e}",
    "principal",
    "Group::\"finance\"",
];

#[test]
fn no_text_gets_out_of_its_quotes() {
    let [ana, ..] = people();
    for text in NASTY {
        let by_group = Rule { groups: Some(texts(&[text])), ..rule("g", Effect::Allow) };
        let by_value = Rule { claims: BTreeMap::from([("department".into(), texts(&[text]))]), ..rule("v", Effect::Allow) };
        let by_name = Rule { claims: BTreeMap::from([(text.to_owned(), texts(&["x"]))]), ..rule("n", Effect::Allow) };
        let by_subject = Rule { users: Some(vec![User::Subject(text.into())]), ..rule("s", Effect::Allow) };
        let by_domain = Rule { domains: Some(texts(&[text])), ..rule("d", Effect::Allow) };
        for rule in [&by_group, &by_value, &by_name, &by_subject, &by_domain] {
            assert_eq!(decide(std::slice::from_ref(rule), &ana, &Method::GET), Decision::NoRule, "{text:?}");
        }
        let theirs = person("staff", "x", None, &[text], &[("department", &[text]), (text, &["x"])]);
        for rule in [by_group, by_value, by_name] {
            assert!(allows(&[rule], &theirs), "and it still says what it says: {text:?}");
        }
    }
}

#[test]
fn two_rules_of_one_name_are_refused() {
    let twice = vec![rule("r", Effect::Allow), rule("r", Effect::Deny)];
    assert!(Ruleset::compile("app", twice, &mut Compiler::default()).is_err());
}

fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]", 1 => any::<String>()]
}

fn some_texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(some_text(), 0..4)
}

fn some_rule(effect: Effect) -> impl Strategy<Value = Rule> {
    let part = || proptest::option::of(some_texts());
    // No configuration has a domain without a name, which is that of those who have no address.
    let domains = part().prop_map(|domains| domains.map(|all| all.into_iter().filter(|name| !name.is_empty()).collect()));
    let claims = proptest::collection::btree_map("[xy]", some_texts(), 0..2);
    let methods = proptest::option::of(proptest::sample::subsequence(vec![Method::GET, Method::POST], 0..=2));
    (part(), domains, claims, methods).prop_map(move |(groups, domains, claims, methods)| Rule {
        groups,
        domains,
        claims,
        methods,
        ..rule("", effect)
    })
}

fn some_rules(effect: Effect, most: usize) -> impl Strategy<Value = Vec<Rule>> {
    let named = move |rules: Vec<Rule>| {
        let name = |(index, rule)| Rule { id: RuleId(format!("{effect:?}[{index}]").into()), ..rule };
        rules.into_iter().enumerate().map(name).collect::<Vec<_>>()
    };
    proptest::collection::vec(some_rule(effect), 0..most).prop_map(named)
}

fn some_person() -> impl Strategy<Value = Identity> {
    let email = proptest::option::of("[a-d]@[a-d]\\.example");
    (email, some_texts(), proptest::collection::btree_map("[xy]", some_texts(), 0..3)).prop_map(|(email, groups, claims)| {
        let mut identity = person("staff", "x", email.as_deref(), &[], &[]);
        identity.profile = Profile { groups, claims, ..identity.profile };
        identity
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_deny_that_matches_beats_every_allow(
        allow in some_rules(Effect::Allow, 4), deny in some_rules(Effect::Deny, 3), who in some_person(),
    ) {
        let as_allow: Vec<Rule> = deny.iter().map(|rule| Rule { effect: Effect::Allow, ..rule.clone() }).collect();
        let denied = allows(&as_allow, &who);
        let decision = decide(&[allow.clone(), deny].concat(), &who, &Method::GET);
        match denied {
            true => prop_assert!(matches!(decision, Decision::Deny(_))),
            false => prop_assert_eq!(decision, decide(&allow, &who, &Method::GET)),
        }
    }

    #[test]
    fn who_has_less_may_no_more(rules in some_rules(Effect::Allow, 4), who in some_person(), keep in any::<u8>()) {
        let mut less = who.clone();
        let kept = |index: usize| keep >> (index % 8) & 1 == 1;
        let mut index = 0;
        less.profile.groups.retain(|_| { index += 1; kept(index) });
        less.profile.claims.retain(|_, _| { index += 1; kept(index) });
        if !kept(7) { less.profile.email = None; }
        prop_assert!(!allows(&rules, &less) || allows(&rules, &who));
    }

    #[test]
    fn nothing_is_allowed_without_an_allow_rule(rules in some_rules(Effect::Deny, 3), who in some_person()) {
        prop_assert!(!allows(&[], &who));
        prop_assert!(!allows(&rules, &who));
    }

    #[test]
    fn a_group_is_found_whatever_it_is_called(group in any::<String>(), other in any::<String>()) {
        let rules = [Rule { groups: Some(vec![group.clone()]), ..rule("r", Effect::Allow) }];
        prop_assert!(allows(&rules, &person("staff", "x", None, &[&group], &[])));
        prop_assert_eq!(allows(&rules, &person("staff", "x", None, &[&other], &[])), group == other);
    }
}
