//! An operator's own cases: `doorward test`.

use crate::scene::{self, Scene, doorward};

const PAGE: &str = include_str!("../../docs/policy.md");

/// The first block of the page that begins like this and has this in it.
fn block(fence: &str, part: &str) -> &'static str {
    let blocks = PAGE.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.into_iter().find(|block| block.contains(part)).unwrap()
}

fn run(scene: &Scene) -> (Option<i32>, String, String) {
    let output = doorward(scene.path(), &["test", "-c", "doorward.yaml", "policy-tests.yaml"]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn payroll() -> Scene {
    Scene::of(block("```yaml\n", "auth_age: 4h"))
}

#[test]
fn the_cases_of_the_page_are_decided_as_it_says() {
    let scene = payroll();
    scene.write("policy-tests.yaml", block("```yaml tests\n", "tests:"));
    assert_eq!(run(&scene), (Some(0), "3 tests, 0 failed\n".to_owned(), String::new()));
}

#[test]
fn a_case_that_is_decided_otherwise_is_shown_with_what_came_and_why() {
    let scene = payroll();
    let cases = "tests:
  - given: { app: payroll, user: eve@corp.example, groups: finance, amr: mfa, device: managed, country: DE, at: 2026-11-23T09:00:00Z }
    expect: allow
    rule: payroll.allow[1]
  - name: she needs no device
    given: { app: payroll, user: eve@corp.example, groups: finance, amr: mfa, country: DE, at: 2026-11-23T09:00:00Z }
    expect: allow
  - name: an app that is gone
    given: { app: ledger }
    expect: deny
";
    scene.write("policy-tests.yaml", cases);
    let (code, text, _) = run(&scene);
    assert_eq!(code, Some(1));
    let line = scene::line(&scene, "- groups: [finance]");
    for part in [
        "a case without a name (policy-tests.yaml:2)\n  - allow by payroll.allow[1]\n  + allow by payroll.allow[0]\n".to_owned(),
        "she needs no device (policy-tests.yaml:5)\n  - allow\n  + deny\n    no rule allows it\n".to_owned(),
        format!("    payroll.allow[0] (doorward.yaml:{line}, allow) does not match\n"),
        "      - device: managed (nothing is known, absent): use the managed device that is yours\n".to_owned(),
        "an app that is gone (policy-tests.yaml:8)\n  - deny\n  + no answer: no app is called `ledger`\n".to_owned(),
        "3 tests, 3 failed\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
}

#[test]
fn a_file_that_can_not_be_read_is_a_usage_error_that_says_where() {
    let scene = payroll();
    for (cases, message) in [
        ("tests:\n  - given: { app: payroll, grups: [x] }\n    expect: allow\n", "grups"),
        ("tests:\n  - given: { app: payroll }\n    expect: maybe\n", "must be one of `allow`, `deny`, `challenge`"),
        ("tests:\n  - expect: allow\n", "`tests[0].given.app` is missing"),
        ("- x\n", "must be a mapping"),
    ] {
        scene.write("policy-tests.yaml", cases);
        let (code, text, problems) = run(&scene);
        assert!(code == Some(2) && text.is_empty() && problems.contains(message), "{problems}");
    }
}
