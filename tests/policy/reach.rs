//! Who could reach what: what is said beforehand is what is decided later.

use super::{compiled, people, person, rule, texts};
use crate::scene::{self, Scene, doorward};
use doorward::model::RiskLevel;
use doorward::model::{Email, Observed, Risk, Source, Timestamp};
use doorward::policy::condition::{Condition, Test};
use doorward::policy::remains::{Known, When, Who};
use doorward::policy::rules::User;
use doorward::policy::{Authentication, Effect, Facts, Principal, Rule};
use http::Method;
use proptest::prelude::*;
use std::sync::Arc;

fn some_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        proptest::sample::subsequence(texts(&["finance", "staff", "Finance"]), 0..3).prop_map(Test::Groups),
        proptest::sample::subsequence(texts(&["corp.example", "sub.corp.example"]), 0..2).prop_map(Test::Domains),
        proptest::sample::subsequence(texts(&["accounting", "tax", "x"]), 0..3).prop_map(|v| Test::Claim("department".into(), v)),
        proptest::sample::subsequence(vec!["partners:bob", "staff:gus"], 0..=2).prop_map(|names| {
            Test::Users(names.into_iter().map(|name| User::Subject(name.into())).chain([User::Email(ana())]).collect())
        }),
        proptest::sample::subsequence(vec![Method::GET, Method::POST], 0..=2).prop_map(Test::Methods),
        any::<bool>().prop_map(Test::Mfa),
        Just(Test::Risk(vec![RiskLevel::High])),
    ]
}

fn ana() -> Email {
    Email::parse("ana@corp.example").unwrap()
}

fn some_condition() -> impl Strategy<Value = Condition> {
    some_test().prop_map(Condition::Test).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

fn some_rules() -> impl Strategy<Value = Vec<Rule>> {
    proptest::collection::vec((any::<bool>(), some_condition()), 0..4).prop_map(|conditions| {
        let made = |(index, (allow, condition)): (usize, _)| Rule {
            conditions: vec![condition],
            ..rule(&format!("r{index}"), if allow { Effect::Allow } else { Effect::Deny })
        };
        conditions.into_iter().enumerate().map(made).collect()
    })
}

fn some_facts() -> impl Strategy<Value = Facts> {
    (proptest::option::of(any::<bool>()), any::<bool>(), any::<bool>()).prop_map(|(mfa, risk, post)| {
        let risk = risk.then(|| Arc::new(Risk { level: RiskLevel::High, reasons: Vec::new() }));
        let now = Timestamp::from_seconds(9);
        Facts {
            authentication: Authentication { mfa, ..Authentication::default() },
            risk: risk.map(|value| Observed { value, source: Source::Administration, observed_at: now, expires_at: None }),
            ..Facts::bare(now, if post { Method::POST } else { Method::GET })
        }
    })
}

/// Everything that could be known of a person, from nothing to all.
fn views(of: usize) -> Vec<Who> {
    let person = people()[of].clone();
    let mut all = vec![Who::Anybody, Who::Named(User::Subject(person.subject.to_string())), Who::Person(Box::new(person.clone()))];
    all.extend(person.profile.groups.iter().cloned().map(Who::Member));
    all.extend(
        person.profile.email.iter().flat_map(|email| [Who::Named(User::Email(email.clone())), Who::Domain(email.domain().into())]),
    );
    let claims = person.profile.claims.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    all.extend(claims.map(|(name, value)| Who::Claim(name.clone(), value.clone())));
    all
}

proptest! {
    #[test]
    fn whoever_is_let_through_was_said_to_be_able_to(rules in some_rules(), facts in some_facts(), of in 0_usize..3) {
        let (ruleset, person) = (compiled(&rules), &people()[of]);
        let allowed = ruleset.evaluate(&Principal::new(person).unwrap(), &facts).decision.allows();
        for who in views(of) {
            for method in [None, Some(&facts.method)] {
                let reach = ruleset.reach(Known { who: &who, method, path: None });
                prop_assert!(!allowed || !reach.ways.is_empty(), "{who}");
                let always = reach.ways.iter().any(|way| way.when == When::Always) && reach.unless.is_empty();
                prop_assert!(allowed || !always, "{who}");
            }
        }
    }
}

#[test]
fn a_condition_comes_down_to_what_is_not_known_of_whom_it_names() {
    let groups = |names: &[&str]| Condition::Test(Test::Groups(texts(names)));
    let mfa = || Condition::Test(Test::Mfa(true));
    let both = Condition::All(vec![
        groups(&["finance"]),
        mfa(),
        Condition::Not(Box::new(Condition::Test(Test::Users(vec![User::Email(ana())])))),
    ]);
    let bob = Who::Person(Box::new(person("partners", "bob", None, &["finance"], &[])));
    let cases = [
        (Who::Anybody, Some("groups: [finance] and mfa: true and not (users: [ana@corp.example])")),
        (Who::Member("finance".into()), Some("mfa: true and not (users: [ana@corp.example])")),
        (Who::Named(User::Email(ana())), None),
        (bob, Some("mfa: true")),
    ];
    for (who, left) in cases {
        let remains = Known { who: &who, method: None, path: None }.remains(&both);
        let text = remains.map(|when| match when {
            When::If(rest) => rest.to_string(),
            other => format!("{other:?}"),
        });
        assert_eq!(text.as_deref(), left, "{who}");
    }
}

const TWO: &str = "
rules:
  strong: { any: [{ when: { phishing_resistant: true } }, { when: { mfa: true, network: [10.0.0.0/8] } }] }
apps:
  payroll:
    url: https://payroll.corp.example
    upstream: http://10.0.0.20:8080
    allow:
      - groups: [finance]
        rule: strong
      - users: [cfo@corp.example]
    deny:
      - when: { risk: high }
      - groups: [suspended]
    paths:
      - { match: /health, public: true, methods: [GET] }
      - { match: /admin/**, allow: [{ groups: [payroll-admins], methods: [GET], when: { auth_age: 15m } }] }
  wiki:
    url: https://wiki.corp.example
    upstream: http://10.0.0.10:8080
    allow: [{ not: { groups: [interns] } }]
";

#[test]
fn who_can_names_everybody_whom_rules_name_and_says_under_which_conditions() {
    let scene = Scene::of(TWO);
    let output = doorward(scene.path(), &["who-can", "-c", "doorward.yaml", "--app", "payroll", "--path", "/report"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |part: &str| scene::line(&scene, part);
    let expected = format!(
        "payroll\n  group finance\n    by payroll.allow[0] (doorward.yaml:{}), where phishing_resistant: true or (mfa: true and network: \
         [10.0.0.0/8])\n    unless denied by payroll.deny[0] (doorward.yaml:{}), where risk: [high]\n    unless denied by payroll.deny[1] \
         (doorward.yaml:{}), where groups: [suspended]\n  cfo@corp.example\n    by payroll.allow[1] (doorward.yaml:{})\n    unless",
        line("- groups: [finance]"),
        line("- when: { risk"),
        line("- groups: [suspended]"),
        line("- users: [cfo"),
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(!text.contains("group suspended") && !text.contains("payroll-admins"), "{text}");
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("the store can't be read"));
    assert!(!scene.path().join("x.db").exists(), "who only asks makes no store");
    let admin =
        doorward(scene.path(), &["who-can", "-c", "doorward.yaml", "--app", "payroll", "--path", "/admin/x", "--method", "POST"]);
    assert_eq!((admin.status.code(), &*String::from_utf8(admin.stdout).unwrap()), (Some(1), "payroll /admin/**\n  nobody\n"));
}

#[test]
fn what_can_names_every_route_of_a_group_or_a_person() {
    let scene = Scene::of(TWO);
    let routes = |arguments: &[&str]| {
        let output = doorward(scene.path(), &[&["what-can", "-c", "doorward.yaml", "--json"], arguments].concat());
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let names = value.as_array().unwrap().iter().map(|route| route["route"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(routes(&["--group", "payroll-admins"]), ["payroll /health", "payroll /admin/**", "payroll", "wiki"]);
    assert_eq!(
        routes(&["--user", "eve@corp.example", "--group", "payroll-admins"]),
        ["payroll /health", "payroll /admin/**", "wiki"]
    );
    assert_eq!(routes(&["--user", "cfo@corp.example", "--group", "suspended"]), ["payroll /health", "wiki"]);
    assert_eq!(routes(&["--user", "staff:intern", "--group", "interns"]), ["payroll /health"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_store_is_judged_by_what_is_known_of_them() {
    use doorward::store::{Client, NewSignIn, Store, Tokens};
    let scene = Scene::of(TWO);
    let location = format!("sqlite:{}", scene.path().join("x.db").display());
    let store = Store::open(&location, tokio::runtime::Handle::current()).await.unwrap();
    for (subject, groups) in [("f", &["finance"][..]), ("s", &["finance", "suspended"]), ("i", &["interns"])] {
        let sign_in = NewSignIn {
            cookie: doorward::model::Token::random().unwrap().hash(),
            identity: person("staff", subject, Some(&format!("{subject}@corp.example")), groups, &[]),
            provider_sid: None,
            tokens: Tokens { id_token: String::new(), refresh_token: None, expires: None },
            ends: Timestamp::from_millis(u64::MAX / 4),
            replaces: None,
            client: Client::default(),
        };
        store.create_sign_in(sign_in).await.unwrap().unwrap();
    }
    let folder = scene.path().to_owned();
    let who = move |app: &str| {
        let output = doorward(&folder, &["who-can", "-c", "doorward.yaml", "--app", app, "--path", "/", "--json"]);
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let who = value[0]["who"].as_array().unwrap().iter();
        who.filter(|who| who["kind"] == "person").map(|who| who["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    tokio::task::spawn_blocking(move || {
        assert_eq!(who("payroll"), ["staff:f"]);
        assert_eq!(who("wiki"), ["staff:f", "staff:s"]);
    })
    .await
    .unwrap();
}
