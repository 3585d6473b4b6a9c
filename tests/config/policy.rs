//! The language of rules: what is wrong is said with its place and its cure, and what silence would switch off is warned of.

use crate::scene::{BASE, Scene, with};

/// [`BASE`] with this rule in place of its own.
fn rule(text: &str) -> String {
    with("      - groups: [staff]\n", &format!("      - {text}\n"))
}

#[test]
fn what_is_wrong_with_circumstances_is_said_where_it_is() {
    let cases = [
        ("when: {}", "no circumstance", ""),
        ("when: { mfa: yes }", "must be `true` or `false`", ""),
        ("when: { auth_age: 4 }", "not a duration", "`90s`"),
        ("when: { network: [10.0.0.1/8] }", "bits outside", "10.0.0.0/8"),
        ("when: { network: office }", "not a network", ""),
        ("when: { network: $ofice }", "no list is called `ofice`", "did you mean `office`?"),
        ("when: { network: $people }", "`eve@corp.example`: not a network", ""),
        ("when: { country: [Germany] }", "not a country", "ISO 3166"),
        ("when: { country: [de] }", "capitals", "`DE`"),
        ("when: { asn: [x] }", "not an autonomous system", "AS3320"),
        ("when: { hours: 'Mon-Fri 07:00-19:00' }", "no time zone", "Europe/Berlin"),
        ("when: { hours: 'Mon-Fri 07:00-19:00 Berlin' }", "no time zone is called `Berlin`", "Europe/Berlin"),
        ("when: { dates: 2026-12-24 }", "not a range of dates", ".."),
        ("when: { device: mangaed }", "`managed`, `known` or `certified`", "did you mean `managed`?"),
        ("when: { device: {} }", "nothing is asked", ""),
        ("when: { device: { os_version: Sonoma } }", "not a version", "14.6"),
        ("when: { device: { disk_encription: true } }", "unknown key", "`disk_encryption`"),
        ("when: { risk: [hight] }", "risk is", "`high`"),
        ("when: { header: { 'a b': x } }", "not the name of a header", ""),
        ("when: { path: [admin] }", "starts with `/`", ""),
        ("when: { user_agent: firefox }", "one of `browser`, `program`", ""),
        ("when: { contry: [DE] }", "unknown key `contry`", "`country`"),
        ("any: []", "an empty list", ""),
        ("any: [{}]", "this says nothing", ""),
        ("not: {}", "this says nothing", ""),
        ("not: { shadow: true, groups: x }", "only a whole rule", ""),
        ("rule: stron", "no rule is called `stron`", "did you mean `strong`?"),
        ("rule: one", "`one` would stand for itself", ""),
        ("groups: [$nobody]", "no list is called", ""),
    ];
    let scene = Scene::new();
    let top = "lists: { office: [10.0.0.0/8], people: [eve@corp.example] }\nrules: { strong: { when: { mfa: true } }, one: { rule: two }, two: { rule: one } }\n";
    for (text, message, help) in cases {
        let looped = text == "rule: one";
        let top = if looped { top.to_owned() } else { top.replace(", one: { rule: two }, two: { rule: one }", "") };
        let problems = scene.errors(&format!("{}{top}", rule(text)));
        let found = problems.iter().any(|problem| {
            let at = looped || problem.line == 18;
            at && problem.message.contains(message) && problem.help.as_deref().unwrap_or("").contains(help)
        });
        assert!(found, "{text}: {problems:#?}");
    }
}

#[test]
fn what_is_wrong_with_files_and_lists_is_said() {
    let scene = Scene::new();
    scene.write("bad.cedar", "permit (principal, action, resource) when { context.contry.value == \"DE\" };");
    scene.write("broken.cedar", "permit (");
    scene
        .write("twice.cedar", "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);");
    scene.write("slot.cedar", "permit (principal == ?principal, action, resource);");
    scene.write("bad.mmdb", "nonsense");
    let cases = [
        ("policies: bad.cedar\n", "`bad.cedar`: the rule does not fit the schema"),
        ("policies: broken.cedar\n", "`broken.cedar`: the rule can't be compiled"),
        ("policies: twice.cedar\n", "two rules are called `a`"),
        ("policies: slot.cedar\n", "a template"),
        ("shadow_policies: none.cedar\n", "can't read `none.cedar`"),
        ("geo: {}\n", "name a file"),
        ("geo: { country: none.mmdb }\n", "can't read `none.mmdb`"),
        ("geo: { country: bad.mmdb }\n", "`bad.mmdb` is not a database"),
        ("geo: { country: bad.mmdb, max_age: 0d }\n", "can't be zero"),
        ("lists: { a: [] }\n", "an empty list"),
        ("lists: { a: 'file:none.txt' }\n", "can't read `none.txt`"),
        ("lists: { a b: x }\n", "letters, digits"),
    ];
    for (text, message) in cases {
        let problems = scene.errors(&format!("{BASE}{text}"));
        assert!(problems.iter().any(|problem| problem.message.contains(message) && problem.line == 19), "{text}: {problems:#?}");
    }
}

#[test]
fn what_the_words_of_a_provider_mean_must_be_said() {
    let scene = Scene::new();
    for (text, message) in [
        ("{ mfa: {} }", "this says nothing"),
        ("{ mfa: { acr: ['a b'] } }", "not a value"),
        ("{ mffa: { acr: a } }", "unknown key"),
    ] {
        let yaml = with("    client_id: doorward\n", &format!("    client_id: doorward\n    strength: {text}\n"));
        let problems = scene.errors(&yaml);
        assert!(problems.iter().any(|problem| problem.message.contains(message) && problem.line == 11), "{text}: {problems:#?}");
    }
}

#[test]
fn a_protection_that_silence_switches_off_is_warned_of_with_the_form_that_is_not() {
    let cases = [
        ("when: { country: [RU] }", Some("country: [those that may]")),
        ("when: { risk: high }", Some("risk: [low, medium]")),
        ("when: { mfa: false }", Some("mfa: true")),
        ("when: { device: { disk_encryption: false } }", Some("device:")),
        ("when: { header: { X-A: b } }", Some("header: { x-a:")),
        ("any: [{ groups: [staff] }, { when: { asn: [1] } }]", Some("asn: [those that may]")),
        ("not: { not: { when: { country: [RU] } } }", Some("country:")),
        ("not: { when: { country: [DE] } }", None),
        ("when: { network: 192.0.2.0/24 }", None),
        ("when: { hours: 'Sat,Sun UTC' }", None),
        ("when: { auth_age: 1h }", None),
        ("groups: [staff]\n        when: { risk: high }", Some("risk:")),
    ];
    for (deny, help) in cases {
        let yaml = with("      - groups: [staff]\n", &format!("      - groups: [staff, more]\n    deny:\n      - {deny}\n"));
        let warnings = Scene::new().fine(&yaml).warnings;
        let found = warnings.iter().find(|warning| warning.message.contains("where that is not known"));
        assert_eq!(found.is_some(), help.is_some(), "{deny}: {warnings:?}");
        if let (Some(found), Some(help)) = (found, help) {
            assert!(found.help.as_deref().unwrap().contains(&format!("not: {{ when: {{ {help}")), "{found:?}");
        }
    }
}

#[test]
fn lists_stand_for_their_entries_and_a_dollar_can_be_written() {
    let scene = Scene::new();
    scene.write("groups.txt", "staff # the staff\n\nmore\n");
    let yaml = with("groups: [staff]", "groups: [$g, x, $$y]") + "lists: { g: ['file:groups.txt', last] }\n";
    let snapshot = scene.fine(&yaml).snapshot;
    let doorward::snapshot::Access::Rules(rules) = &snapshot.routes[0].access else { panic!("rules") };
    let rule = rules.rules().next().unwrap();
    assert_eq!(rule.groups.as_deref().unwrap(), ["staff", "more", "last", "x", "$y"]);
    assert_eq!(&*rule.place, "doorward.yaml:18");
}

#[test]
fn whom_refused_people_can_ask_must_fit_on_the_page() {
    let app = |lines: &str| with("    allow:", &format!("    {lines}\n    allow:"));
    for (lines, message) in [
        ("contact: ' '", "nothing that a page could show"),
        ("contact: \"a\\nb\"", "nothing that a page could show"),
        ("explain_denials: some", "one of `full`, `contact_only`, `off`"),
    ] {
        let errors = Scene::new().errors(&app(lines));
        assert!(errors.len() == 1 && errors[0].message.contains(message), "{errors:?}");
    }
    let loaded = Scene::new().fine(&app("contact: a@b.example\n    explain_denials: off"));
    assert!(loaded.warnings.iter().any(|warning| warning.message == "nobody is told whom to ask"), "{:?}", loaded.warnings);
    let contacts = [("a@b.example", Some("mailto:a@b.example")), ("https://x.example/a", Some("https://x.example/a"))];
    for (text, link) in contacts.into_iter().chain([("javascript:alert(1)", None), ("http://x.example", None), ("Room 7", None)]) {
        let loaded = Scene::new().fine(&app(&format!("contact: '{text}'")));
        let contact = loaded.snapshot.apps[0].denials.contact.clone().unwrap();
        assert_eq!((&*contact.text, contact.link.as_deref()), (text, link));
    }
}

#[test]
fn a_domain_that_anybody_can_claim_is_found_wherever_a_rule_names_it() {
    let unverified = with("    client_id: doorward\n", "    client_id: doorward\n    assume_email_verified: true\n");
    for rule in ["any: [{ domains: [corp.example] }, { groups: [staff] }]", "rule: ours"] {
        let yaml = unverified.replace("groups: [staff]", rule) + "rules: { ours: { domains: [corp.example] } }\n";
        let warnings = Scene::new().fine(&yaml).warnings;
        assert!(warnings.iter().any(|warning| warning.message.contains("can claim this domain")), "{rule}: {warnings:?}");
    }
}

#[test]
fn a_policy_in_cedar_asks_whether_a_signal_is_fresh() {
    let policy = |text: &str| {
        let scene = Scene::new();
        scene.write("p.cedar", text);
        scene
    };
    let yaml = format!("{BASE}policies: p.cedar\n");
    for (reads, state) in [
        ("context.country.value == \"DE\"", "country"),
        ("context[\"country\"].value == \"DE\"", "country"),
        ("!(context.risk.value == \"high\")", "risk"),
        ("context.auth_age.value > 60", "auth_age"),
        ("context.device.standing == \"managed\" && context.mfa.state == \"fresh\"", "device"),
    ] {
        let errors = policy(&format!("permit (principal, action, resource) when {{ {reads} }};")).errors(&yaml);
        let form = format!("`context.{state}.state == \"fresh\" &&`");
        assert!(errors.len() == 1 && errors[0].message.contains(&form), "{reads}: {errors:?}");
        let warnings = policy(&format!("forbid (principal, action, resource) when {{ {reads} }};")).fine(&yaml).warnings;
        let help = format!("`context.{state}.state != \"fresh\" ||` in `when`");
        let warned = |help: &str| warnings.iter().any(|warning| warning.help.as_deref().unwrap_or("").contains(help));
        assert!(warned(&help), "{reads}: {warnings:?}");
        for effect in ["permit", "forbid"] {
            let asks = format!("{effect} (principal, action, resource) when {{ context.{state}.state == \"fresh\" && {reads} }};");
            assert!(policy(&asks).fine(&yaml).warnings.iter().all(|warning| !warning.message.contains("does not ask")), "{asks}");
        }
    }
    let named = "permit (principal in Group::\"context.risk\", action, resource) when { context.method == \"GET\" };";
    assert!(policy(named).fine(&yaml).warnings.iter().all(|warning| !warning.message.contains("does not ask")));
}
