//! Who is told of locks and revocations.

use crate::scene::{BASE, Scene};
use doorward::model::notice::Kind;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn with(webhook: &str) -> String {
    format!("{BASE}webhooks: [{{ {webhook} }}]\n")
}

#[test]
fn what_can_not_be_told_in_confidence_is_refused() {
    let scene = Scene::new();
    scene.write("good", SECRET);
    for (name, secret) in [("plain", "a-secret"), ("short", "whsec_c2hvcnQ="), ("odd", "whsec_%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%")] {
        scene.write(name, secret);
    }
    let cases = [
        ("url: 'http://hooks.corp.example/', secret: { file: good }", "webhooks[0].url", "reached by https"),
        ("url: 'ftp://127.0.0.1/', secret: { file: good }", "webhooks[0].url", "reached by https"),
        ("url: 'http://127.0.0.1.corp.example/', secret: { file: good }", "webhooks[0].url", "reached by https"),
        ("url: 'https://me:pw@hooks.corp.example/', secret: { file: good }", "webhooks[0].url", "has no place here"),
        ("url: hooks, secret: { file: good }", "webhooks[0].url", "not a URL"),
        ("url: 'https://hooks.corp.example/', secret: { file: plain }", "webhooks[0].secret", "whsec_"),
        ("url: 'https://hooks.corp.example/', secret: { file: short }", "webhooks[0].secret", "whsec_"),
        ("url: 'https://hooks.corp.example/', secret: { file: odd }", "webhooks[0].secret", "whsec_"),
        (
            "url: 'https://hooks.corp.example/', secret: { file: good }, events: [lock.sett]",
            "webhooks[0].events[0]",
            "nothing that is told",
        ),
        ("url: 'https://hooks.corp.example/', secret: { file: good }, events: []", "webhooks[0].events", "empty list"),
    ];
    for (webhook, place, message) in cases {
        let errors = scene.errors(&with(webhook));
        assert_eq!(errors.len(), 1, "{webhook}: {errors:?}");
        assert!(errors[0].place == place && errors[0].message.contains(message), "{webhook}: {errors:?}");
    }
    let twice = "{ url: 'https://a.example/', secret: { file: good } }";
    assert_eq!(scene.errors(&format!("{BASE}webhooks: [{twice}, {twice}]\n")).len(), 1);
}

#[test]
fn everything_is_told_unless_less_is_asked_for_and_a_name_gives_no_address_away() {
    let scene = Scene::new();
    scene.write("good", SECRET);
    let kinds = |events: &str| {
        let loaded = scene.fine(&with(&format!("url: 'https://hooks.corp.example/s3cret', secret: {{ file: good }}{events}")));
        let webhook = &loaded.snapshot.webhooks[0];
        assert!(!format!("{webhook} {}", webhook.name()).contains("s3cret"));
        webhook.kinds.clone()
    };
    assert_eq!(kinds(""), Kind::ALL);
    assert_eq!(kinds(", events: lock.set"), [Kind::LockSet]);
    scene.fine(&with("url: 'http://localhost:9/', secret: { file: good }"));
}

#[test]
fn the_administration_is_found_where_other_secrets_are_missing() {
    let scene = Scene::new();
    scene.write("token", "a-token");
    let yaml = BASE.replace("8443\" }", "8443\", admin: \"127.0.0.1:9901\" }");
    let yaml = yaml.replace("client_id: doorward\n", "client_id: doorward\n    client_secret: { env: NOT_IN_THIS_SHELL }\n");
    scene.write("doorward.yaml", &format!("{yaml}admin: {{ token: {{ file: token }} }}\n"));
    let (address, _) = doorward::control::config::administration(&scene.yaml()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(address.to_string(), "127.0.0.1:9901");
    for wrong in [yaml, format!("{BASE}admin: {{ token: {{ file: token }} }}\n")] {
        scene.write("doorward.yaml", &wrong);
        assert_eq!(doorward::control::config::administration(&scene.yaml()).unwrap_err().errors.len(), 1);
    }
}
