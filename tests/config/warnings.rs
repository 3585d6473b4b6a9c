//! What can't have been meant is said, and nothing else.

use crate::scene::{BASE, Scene, with};

fn warnings(yaml: &str) -> Vec<(usize, String)> {
    let scene = Scene::new();
    scene.certificate("other", &["other.example"]);
    let warnings = scene.fine(yaml).warnings;
    warnings.into_iter().map(|warning| (warning.line, warning.message)).collect()
}

#[test]
fn each_kind() {
    const RULE: &str = "groups: [staff]";
    const ALLOW: &str = "    allow:\n";
    let cases: &[(&str, &str, usize, &str)] = &[
        ("    allow:\n      - groups: [staff]\n", "", 14, "nobody can use `wiki`"),
        (RULE, "users: [eve@other.example]\n        domains: [corp.example]", 18, "none of these addresses"),
        ("claims: { groups: groups, department: dept }", "scopes: [openid, email]", 18, "asked for groups"),
        (RULE, "claims: { clearance: high }", 18, "no provider of this app maps a claim to `clearance`"),
        (RULE, "groups: [staff]\n    deny:\n      - groups: [staff, temps]", 18, "`wiki.deny[0]` denies everybody"),
        (RULE, "groups: [staff]\n      - groups: staff", 19, "the same as `wiki.allow[0]`"),
        (RULE, "groups: [staff]\n    deny: [{}]", 19, "denies everybody"),
        ("- groups: [staff]", "- {}", 18, "everybody who can sign in at `staff`"),
        (
            ALLOW,
            "    paths:\n      - { match: /a, methods: [GET], allow: [{ groups: x, methods: [PUT] }] }\n    allow:\n",
            18,
            "none of these is among",
        ),
        (ALLOW, "    paths: [{ match: /**, public: true }]\n    allow:\n", 18, "no path is left"),
        (ALLOW, "    paths: [{ match: /a }]\n    allow:\n", 17, "changes nothing"),
        (ALLOW, "    balance: by_session\n    allow:\n", 17, "changes nothing for a single server"),
        (ALLOW, "    slow_start: 30s\n    allow:\n", 17, "changes nothing for a single server"),
        (
            "    claims:",
            "    scim: { tokens: [{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: '2020-01-01T00:00:00Z' }] }\n    claims:",
            11,
            "this time is over",
        ),
        ("store:", "trusted_proxies: ['0.0.0.0/0']\nstore:", 12, "trusts everybody"),
        ("\"127.0.0.1:8443\"", "\"127.0.0.1:8443\", admin: \"0.0.0.0:9901\"", 1, "other machines"),
        ("url: https://wiki.corp.example", "url: https://wiki.else.example", 15, "no certificate is for `wiki.else.example`"),
        ("url: https://wiki.corp.example", "url: https://a.b.corp.example", 15, "no certificate is for `a.b.corp.example`"),
        ("key: apps.key }", "key: apps.key }\n    - { cert: apps.pem, key: apps.key }", 5, "is for `*.corp.example` already"),
    ];
    for (from, to, line, message) in cases {
        let found = warnings(&with(from, to));
        let hit = found.iter().any(|(at, text)| at == line && text.contains(message));
        assert!(hit, "{to}: {found:#?}");
    }
}

#[test]
fn a_provider_that_no_app_takes() {
    let yaml = with("store:", "  partners: { issuer: https://p.example, client_id: d }\nstore:")
        .replace("    allow:", "    providers: [staff]\n    allow:");
    assert_eq!(warnings(&yaml), [(12, "no app takes sign-ins of `partners`".to_owned())]);
}

#[test]
fn a_subject_of_a_provider_that_the_app_does_not_take() {
    let yaml = with("store:", "  partners: { issuer: https://p.example, client_id: d }\nstore:")
        .replace("    allow:", "    providers: [staff]\n    allow:")
        .replace("groups: [staff]", "users: ['partners:17']");
    assert!(warnings(&yaml).iter().any(|(_, text)| text.contains("does not take sign-ins")));
}

#[test]
fn addresses_that_nobody_vouches_for() {
    let yaml = with("    client_id", "    assume_email_verified: true\n    client_id")
        .replace("groups: [staff]", "domains: [corp.example]");
    assert_eq!(warnings(&yaml).len(), 1);
}

#[test]
fn a_key_that_everybody_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    std::fs::set_permissions(scene.path("apps.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = scene.fine(BASE).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.contains("everybody on this machine"));
}

#[test]
fn an_entry_below_the_prefix_of_another_app() {
    let yaml = with("    allow:", "    paths: [{ match: [/zoo/**, /zoology], allow: [{ groups: x }] }]\n    allow:");
    let other = "  zoo: { url: 'https://wiki.corp.example/zoo', upstream: 'http://127.0.0.1:1', allow: [{ groups: x }] }\n";
    let found = warnings(&format!("{yaml}{other}"));
    assert_eq!(found, [(17, "`/zoo/**` is never reached: paths below `/zoo` belong to `zoo`".to_owned())]);
}
