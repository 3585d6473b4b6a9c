//! What signals do for and against people: fresh, stale and absent.

use crate::circumstances::{NOON, contrary, device, everything, hours, network, not, observed, silence, tests_of_signals};
use crate::{compiled, people, rule};
use doorward::model::device::Standing;
use doorward::model::strength::Means;
use doorward::model::{DeviceFacts, Identity, StepUp, Strength, Timestamp};
use doorward::policy::condition::{DeviceTest, Labelled, Version};
use doorward::policy::hours::{Period, Window};
use doorward::policy::{Authentication, Compiler, Condition, Decision, Effect, Facts, Kind, Principal, Rule, Ruleset, Test};
use http::{HeaderMap, Method};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn ana() -> Identity {
    people()[0].clone()
}

fn with(id: &str, effect: Effect, conditions: Vec<Condition>) -> Rule {
    Rule { conditions, ..rule(id, effect) }
}

fn verdict(rules: &[Rule], facts: &Facts) -> Decision {
    compiled(rules).evaluate(&Principal::new(&ana()).unwrap(), facts).decision
}

fn allows(rules: &[Rule], facts: &Facts) -> bool {
    match verdict(rules, facts) {
        Decision::Error(error) => panic!("{error}"),
        decision => decision.allows(),
    }
}

/// Whether an allow rule of this condition lets in, and a deny rule of it keeps out.
fn says(condition: &Condition, facts: &Facts) -> (bool, bool) {
    let allow = with("a", Effect::Allow, vec![condition.clone()]);
    let deny = with("d", Effect::Deny, vec![condition.clone()]);
    (allows(&[allow], facts), !allows(&[rule("everybody", Effect::Allow), deny], facts))
}

#[test]
fn only_what_is_fresh_lets_in_and_what_was_last_said_keeps_out() {
    for test in tests_of_signals() {
        // What the provider said at the sign-in does not become stale by itself.
        let lasting = matches!(test, Test::Mfa(_) | Test::PhishingResistant(_) | Test::Acr(_));
        let plain = Condition::Test(test.clone());
        assert_eq!(says(&plain, &everything(false)), (true, true), "{test}: fresh");
        assert_eq!(says(&plain, &everything(true)), (lasting, true), "{test}: stale");
        assert_eq!(says(&plain, &contrary()), (false, false), "{test}: the contrary");
        assert_eq!(says(&plain, &silence()), (false, false), "{test}: absent");
        let negated = not(plain);
        assert_eq!(says(&negated, &everything(false)), (false, false), "not {test}: fresh");
        assert_eq!(says(&negated, &everything(true)), (false, !lasting), "not {test}: stale");
        assert_eq!(says(&negated, &contrary()), (true, true), "not {test}: the contrary");
        assert_eq!(says(&negated, &silence()), (false, true), "not {test}: absent");
        let twice = not(negated);
        assert_eq!(says(&twice, &everything(true)), (lasting, true), "not not {test}: stale");
        assert_eq!(says(&twice, &silence()), (false, false), "not not {test}: absent");
    }
}

#[test]
fn what_the_inventory_does_not_say_of_a_device_is_neither_so_nor_otherwise() {
    let bare = |standing| Facts { device: Some(observed(Arc::new(DeviceFacts { standing, device: None }), false)), ..silence() };
    let certified = bare(Standing::Certified);
    for test in [
        DeviceTest::Platform(vec!["macos".to_owned()]),
        DeviceTest::OsVersion(Version::parse("1").unwrap()),
        DeviceTest::DiskEncryption(true),
        DeviceTest::DiskEncryption(false),
        DeviceTest::ScreenLock(true),
        DeviceTest::Compliant(true),
        DeviceTest::Tags(vec!["finance".to_owned()]),
    ] {
        let condition = Condition::Test(Test::Device(test.clone()));
        assert_eq!(says(&condition, &certified), (false, false), "{test}");
        assert_eq!(says(&not(condition), &certified), (false, true), "not {test}");
    }
    let unknown_lock = Condition::Test(Test::Device(DeviceTest::ScreenLock(true)));
    assert_eq!(says(&unknown_lock, &everything(false)), (false, false));
}

#[test]
fn a_device_is_worth_what_it_is_and_everything_less() {
    let ladder = [Standing::Certified, Standing::Known, Standing::Managed];
    for (asked, test) in ladder.iter().enumerate() {
        for (has, standing) in ladder.iter().enumerate() {
            let facts = Facts { device: Some(observed(Arc::new(device(*standing)), false)), ..silence() };
            let condition = Condition::Test(Test::Device(DeviceTest::Standing(*test)));
            assert_eq!(says(&condition, &facts).0, has >= asked, "{} for {}", standing.code(), test.code());
        }
        let facts = Facts { device: Some(observed(Arc::new(device(Standing::SomebodyElses)), false)), ..silence() };
        let condition = Condition::Test(Test::Device(DeviceTest::Standing(*test)));
        assert!(!says(&condition, &facts).0, "somebody else's");
    }
}

#[test]
fn networks_ages_hours_and_dates() {
    let at = |facts: Facts, seconds: u64| Facts { now: Timestamp::from_seconds(seconds), ..facts };
    let from = |address: &str| Facts { address: Some(address.parse().unwrap()), ..silence() };
    let office = network("office", &["10.0.0.0/8", "2001:db8::/32"]);
    let window = |text: &str, from, to| Window { text: text.into(), days: 1, from, to, zone: TimeZone::UTC };
    let morning = Test::Hours(vec![window("Mon 11:00-12:01 UTC", 660, 721)]);
    let day = Period { text: "x".into(), from: NOON, to: Timestamp::from_seconds(NOON.seconds() + 60) };
    let cases = [
        (office.clone(), from("10.9.9.9"), true),
        (office.clone(), from("11.0.0.1"), false),
        (office.clone(), from("2001:db8::1"), true),
        (office, silence(), false),
        (Test::AuthAge(hours(1)), everything(false), true),
        (Test::AuthAge(hours(1)), at(everything(false), NOON.seconds() + 1), false),
        (morning.clone(), silence(), true),
        (morning.clone(), at(silence(), NOON.seconds() + 60), false),
        (morning, at(silence(), NOON.seconds() - 86_400), false),
        (Test::Dates(vec![day.clone()]), silence(), true),
        (Test::Dates(vec![day.clone()]), at(silence(), NOON.seconds() + 60), false),
        (Test::Dates(vec![day]), at(silence(), NOON.seconds() - 1), false),
    ];
    for (test, facts, expected) in cases {
        let condition = Condition::Test(test.clone());
        assert_eq!(says(&condition, &facts), (expected, expected), "{test}");
        assert_eq!(says(&not(condition), &facts), (!expected, !expected), "not {test}");
    }
}

#[test]
fn headers_paths_and_the_kind_of_client() {
    let pattern = |text: &str| doorward::model::route::Pattern::parse(text).unwrap();
    let header = Test::Header("x-env".parse().unwrap(), vec!["prod".to_owned(), "test".to_owned()]);
    let path = Test::Path(Labelled { label: "/admin/**".into(), values: [pattern("/admin/**")].into() });
    let headers = |lines: &[(&'static str, &str)]| {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
    };
    let firefox = headers(&[("user-agent", "Mozilla/5.0 (X11; Linux) Firefox/140.0")]);
    let cases = [
        (header.clone(), headers(&[("x-env", "prod")]), "/", (true, true), (false, false)),
        (header.clone(), headers(&[("x-env", "dev")]), "/", (false, false), (true, true)),
        (header, headers(&[]), "/", (false, false), (false, true)),
        (path.clone(), headers(&[]), "/admin/x", (true, true), (false, false)),
        (path, headers(&[]), "/other", (false, false), (true, true)),
        (Test::Browser(true), firefox.clone(), "/", (true, true), (false, false)),
        (Test::Browser(true), headers(&[("user-agent", "curl/8")]), "/", (false, false), (true, true)),
        (Test::Browser(false), headers(&[]), "/", (true, true), (false, false)),
        (Test::Browser(false), firefox, "/", (false, false), (true, true)),
    ];
    for (test, headers, path, plain, negated) in cases {
        let condition = Condition::Test(test.clone());
        let reads = compiled(&[with("r", Effect::Allow, vec![condition.clone()])]).reads().clone();
        let asked = reads.ask(&headers, || std::iter::once(path)).unwrap();
        let facts = Facts { asked, ..silence() };
        assert_eq!(says(&condition, &facts), plain, "{test}: {headers:?} {path}");
        assert_eq!(says(&not(condition), &facts), negated, "not {test}: {headers:?} {path}");
    }
}

#[test]
fn a_path_of_which_rules_match_one_reading_alone_is_refused() {
    let pattern = doorward::model::route::Pattern::parse("/admin/**").unwrap();
    let test = Test::Path(Labelled { label: "/admin/**".into(), values: [pattern].into() });
    let rules = compiled(&[with("r", Effect::Deny, vec![Condition::Test(test)])]);
    let ask = |readings: &[&'static str]| {
        let readings = readings.to_vec();
        rules.reads().ask(&HeaderMap::new(), move || readings.clone().into_iter())
    };
    assert_eq!(ask(&["/admin/x"]), Ok(1));
    assert!(ask(&["/x%2Fadmin", "/admin/x"]).is_err());
    assert!(ask(&["/Admin/x"]).is_err(), "some apps take that for the same");
    assert_eq!(ask(&["/x", "/y"]), Ok(0));
}

#[test]
fn rules_in_the_shadow_change_nothing_and_are_heard() {
    let deny = Rule { shadow: true, ..with("d", Effect::Deny, vec![Condition::Test(Test::Mfa(false))]) };
    let rules = [rule("a", Effect::Allow), deny];
    let ask = |facts: &Facts| compiled(&rules).evaluate(&Principal::new(&ana()).unwrap(), facts);
    let verdict = ask(&contrary());
    assert!(verdict.decision.allows());
    assert_eq!(verdict.shadow.unwrap().rule().unwrap().0.as_ref(), "d");
    assert_eq!(ask(&everything(false)).shadow, None);
    let alone = [Rule { shadow: true, ..rule("a", Effect::Allow) }];
    let verdict = compiled(&alone).evaluate(&Principal::new(&ana()).unwrap(), &silence());
    assert_eq!(verdict.decision, Decision::NoRule);
    assert!(verdict.shadow.unwrap().allows());
}

fn step_up(rules: &[Rule], facts: &Facts, strength: &Strength) -> Option<StepUp> {
    compiled(rules).step_up(&Principal::new(&ana()).unwrap(), &ana(), facts, strength)
}

#[test]
fn a_step_up_asks_for_the_least_that_helps() {
    let strength = Strength {
        mfa: Means { amr: vec!["mfa".to_owned()], acr: vec!["urn:mfa".to_owned(), "phr".to_owned()] },
        phishing_resistant: Means { amr: Vec::new(), acr: vec!["phr".to_owned()] },
    };
    let when = |tests: &[Test]| [with("a", Effect::Allow, tests.iter().cloned().map(Condition::Test).collect())];
    let plain = StepUp::default();
    let mfa = StepUp { mfa: true, acr_values: vec!["urn:mfa".to_owned(), "phr".to_owned()], ..plain.clone() };
    let both = StepUp { mfa: true, phishing_resistant: true, acr_values: vec!["phr".to_owned()], ..plain.clone() };
    let weak = Facts { authentication: Authentication { mfa: Some(false), ..everything(false).authentication }, ..silence() };
    let young = StepUp { max_age: Some(hours(1) / 4), ..plain.clone() };
    let cases = [
        (when(&[Test::Mfa(true)]), Some(mfa.clone())),
        (when(&[Test::AuthAge(hours(1) / 4)]), Some(young.clone())),
        (when(&[Test::Mfa(true), Test::AuthAge(hours(2))]), Some(mfa.clone())),
        (when(&[Test::Mfa(true), Test::AuthAge(hours(1) / 4)]), Some(StepUp { max_age: young.max_age, ..mfa })),
        (when(&[Test::Acr(vec!["phr".to_owned()]), Test::Mfa(true)]), Some(StepUp { phishing_resistant: false, ..both })),
        (when(&[Test::Acr(vec!["gold".to_owned()])]), None),
        (when(&[Test::Mfa(true), Test::Country(vec!["DE".to_owned()])]), None),
        (when(&[Test::Country(vec!["DE".to_owned()])]), None),
    ];
    for (rules, expected) in cases {
        assert!(!allows(&rules, &weak));
        assert_eq!(step_up(&rules, &weak, &strength), expected, "{:?}", rules[0].conditions);
    }
    // The next sign-in comes in the place of this one: what it has and the rules need is asked for with the rest.
    let strong = Authentication { mfa: Some(true), acr: Some("urn:mfa".to_owned()), ..everything(false).authentication };
    let old = Facts { authentication: strong, ..silence() };
    let fresh = Some(StepUp { mfa: true, acr_values: vec!["urn:mfa".to_owned()], max_age: Some(hours(1) / 4), ..plain });
    assert_eq!(step_up(&when(&[Test::Mfa(true), Test::AuthAge(hours(1) / 4)]), &old, &strength), fresh);
    let deny = with("d", Effect::Deny, vec![not(Condition::Test(Test::Mfa(true)))]);
    assert!(step_up(&[rule("a", Effect::Allow), deny.clone()], &weak, &strength).unwrap().mfa);
    let denied = [rule("a", Effect::Allow), deny, rule("never", Effect::Deny)];
    assert_eq!(step_up(&denied, &weak, &strength), None, "another rule would still deny");
    assert_eq!(step_up(&when(&[Test::Mfa(true)]), &weak, &Strength::default()), None, "this provider has no word for it");
}

#[test]
fn a_decision_holds_until_the_next_moment_that_could_change_it() {
    let until = |test: Test, facts: &Facts| {
        compiled(&[with("r", Effect::Allow, vec![Condition::Test(test)])]).reads().until(facts).map(|at| at.since(NOON))
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(until(Test::Country(vec!["DE".to_owned()]), &everything(false)), seconds(600));
    assert_eq!(until(Test::Country(vec!["DE".to_owned()]), &everything(true)), None);
    let signed_in = Facts { authentication: everything(false).authentication, ..silence() };
    assert_eq!(until(Test::AuthAge(hours(2)), &signed_in), seconds(3601));
    assert_eq!(until(Test::AuthAge(hours(1) / 2), &signed_in), None);
    let window = Window { text: "w".into(), days: 127, from: 0, to: 725, zone: TimeZone::UTC };
    assert_eq!(until(Test::Hours(vec![window]), &silence()), seconds(300));
    assert_eq!(until(Test::Methods(vec![Method::GET]), &silence()), None);
}

fn some_test() -> impl Strategy<Value = Test> {
    let window = Window { text: "12:00-12:10".into(), days: 127, from: 720, to: 730, zone: TimeZone::UTC };
    let ages = [Test::AuthAge(hours(1)), Test::AuthAge(hours(1) + Duration::from_secs(200)), Test::Hours(vec![window])];
    let all: Vec<Test> = tests_of_signals().into_iter().chain(ages).chain([network("office", &["10.0.0.0/8"])]).collect();
    proptest::sample::select(all)
}

fn some_condition() -> impl Strategy<Value = Condition> {
    some_test().prop_map(Condition::Test).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Condition::All),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Condition::Any),
            inner.prop_map(not),
        ]
    })
}

fn some_rules(effect: Effect) -> impl Strategy<Value = Vec<Rule>> {
    let rules = proptest::collection::vec(proptest::collection::vec(some_condition(), 1..3), 0..3);
    rules.prop_map(move |rules| {
        let named =
            rules.into_iter().enumerate().map(|(index, conditions)| with(&format!("{effect:?}{index}"), effect, conditions));
        named.collect()
    })
}

/// Each signal as one of several facts has it.
fn some_facts() -> impl Strategy<Value = Facts> {
    let one = || proptest::sample::select(vec![everything(false), everything(true), contrary(), silence()]);
    (one(), one(), one(), one(), one(), one()).prop_map(|(country, asn, authentication, device, risk, address)| Facts {
        address: address.address,
        country: country.country,
        asn: asn.asn,
        authentication: authentication.authentication,
        device: device.device,
        risk: risk.risk,
        ..silence()
    })
}

/// The same with less known: `take` has one bit for each signal that goes, `age` one for each that becomes stale.
fn less(facts: &Facts, take: u8, age: u8) -> Facts {
    fn weaken<T: Clone>(
        signal: &Option<doorward::model::Observed<T>>,
        take: u8,
        age: u8,
        bit: u8,
    ) -> Option<doorward::model::Observed<T>> {
        let mut signal = signal.clone().filter(|_| take >> bit & 1 == 0)?;
        if age >> bit & 1 == 1 {
            signal.expires_at = Some(NOON);
        }
        Some(signal)
    }
    let kept = |bit: u8| take >> bit & 1 == 0;
    let authentication = &facts.authentication;
    Facts {
        country: weaken(&facts.country, take, age, 0),
        asn: weaken(&facts.asn, take, age, 1),
        device: weaken(&facts.device, take, age, 2),
        risk: weaken(&facts.risk, take, age, 3),
        authentication: Authentication {
            at: authentication.at,
            acr: authentication.acr.clone().filter(|_| kept(4)),
            mfa: authentication.mfa.filter(|_| kept(5)),
            phishing_resistant: authentication.phishing_resistant.filter(|_| kept(6)),
        },
        ..facts.clone()
    }
}

/// Whether a deny rule rests on something that can be absent, which the configuration warns of.
fn rests_on_silence(condition: &Condition, denies: bool) -> bool {
    match condition {
        Condition::Test(Test::AuthAge(_) | Test::Hours(_) | Test::Network(_)) => false,
        Condition::Test(_) => denies,
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(|part| rests_on_silence(part, denies)),
        Condition::Not(part) => rests_on_silence(part, !denies),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn removing_evidence_never_grants(
        allow in some_rules(Effect::Allow), deny in some_rules(Effect::Deny), facts in some_facts(), take in any::<u8>(), age in any::<u8>(),
    ) {
        let weaker = less(&facts, take, age);
        prop_assert!(!allows(&allow, &weaker) || allows(&allow, &facts), "an allow rule");
        let silent = deny.iter().any(|rule| rule.conditions.iter().any(|condition| rests_on_silence(condition, true)));
        let rules = [allow.clone(), deny].concat();
        if !silent {
            prop_assert!(!allows(&rules, &weaker) || allows(&rules, &facts), "deny rules that the configuration does not warn of");
        }
        let stale = less(&facts, 0, age);
        prop_assert!(!allows(&rules, &stale) || allows(&rules, &facts), "growing old never grants");
    }

    #[test]
    fn a_deny_that_matches_beats_every_allow(allow in some_rules(Effect::Allow), deny in some_rules(Effect::Deny), facts in some_facts()) {
        let alone = [deny.clone(), vec![rule("everybody", Effect::Allow)]].concat();
        let denied = !allows(&alone, &facts);
        let rules = [allow.clone(), deny].concat();
        prop_assert_eq!(allows(&rules, &facts), !denied && allows(&allow, &facts));
    }

    #[test]
    fn a_remembered_decision_agrees_with_a_new_one_for_as_long_as_it_holds(
        allow in some_rules(Effect::Allow), deny in some_rules(Effect::Deny), facts in some_facts(), later in 0.0f64..1.0,
    ) {
        let rules = Ruleset::compile("app", [allow, deny].concat(), &mut Compiler::default()).unwrap();
        let principal = Principal::new(&ana()).unwrap();
        let until = rules.reads().until(&facts).unwrap_or(Timestamp::from_seconds(NOON.seconds() + 100_000));
        prop_assert!(until > NOON);
        let later = Timestamp::from_millis(NOON.millis() + ((until.since(NOON).as_millis() - 1) as f64 * later) as u64);
        let anew = rules.evaluate(&principal, &Facts { now: later, ..facts.clone() });
        prop_assert_eq!(rules.evaluate(&principal, &facts), anew, "{} seconds later", later.since(NOON).as_secs_f64());
    }

    #[test]
    fn explanations_agree_with_decisions(allow in some_rules(Effect::Allow), deny in some_rules(Effect::Deny), facts in some_facts()) {
        let rules = compiled(&[allow, deny].concat());
        let explained = rules.explain(&Principal::new(&ana()).unwrap(), &ana(), &facts, &Strength::default());
        for rule in &explained.rules {
            prop_assert_eq!(rule.matches.clone(), Ok(rule.parts.iter().all(|part| part.holds)));
        }
        let matching = |effect| explained.rules.iter().any(|rule| rule.effect == effect && rule.matches == Ok(true));
        prop_assert_eq!(explained.decision.allows(), matching(Effect::Allow) && !matching(Effect::Deny));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_rules_do_not_read_changes_nothing(
        allow in some_rules(Effect::Allow), deny in some_rules(Effect::Deny), facts in some_facts(), other in some_facts(),
    ) {
        let rules = compiled(&[allow, deny].concat());
        let reads = |kind| rules.reads().has(kind);
        let mixed = Facts {
            address: if reads(Kind::Address) { facts.address } else { other.address },
            country: if reads(Kind::Country) { facts.country.clone() } else { other.country },
            asn: if reads(Kind::Asn) { facts.asn.clone() } else { other.asn },
            device: if reads(Kind::Device) { facts.device.clone() } else { other.device },
            risk: if reads(Kind::Risk) { facts.risk.clone() } else { other.risk },
            authentication: if reads(Kind::Authentication) { facts.authentication.clone() } else { other.authentication },
            ..facts.clone()
        };
        let principal = Principal::new(&ana()).unwrap();
        prop_assert_eq!(rules.evaluate(&principal, &mixed), rules.evaluate(&principal, &facts));
    }
}
