//! Transmitters of security events: what the file may say of them.

use crate::scene::{Scene, with};
use doorward::model::event::EventType;
use doorward::snapshot::transmitters::{Delivery, GlobalRevocation};
use std::time::Duration;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("secret", "hunter2");
    scene
}

/// A transmitter with these keys, at line 13.
fn signals(keys: &str) -> String {
    with("store:", &format!("signals:\n  idp: {{ {keys} }}\nstore:"))
}

const GOOD: &str = "issuer: https://idp.corp.example, provider: staff";

#[test]
fn what_is_not_said_has_a_default() {
    let loaded = scene().fine(&signals(&format!("{GOOD}, deliver: push")));
    assert_eq!(loaded.warnings, []);
    let idp = &loaded.snapshot.transmitters["idp"];
    assert_eq!((&*idp.issuer, idp.audience.join(" "), idp.events.len()), ("https://idp.corp.example", "doorward".to_owned(), 11));
    assert_eq!((idp.silent_after, idp.leeway), (Duration::from_secs(3600), Duration::from_secs(60)));
    assert!(matches!(idp.delivery, Delivery::Push(None)) && idp.token.is_none() && idp.tenant.is_none());
    assert!(loaded.snapshot.providers.values().all(|provider| provider.global_revocation.is_none()));
}

#[test]
fn everything_that_is_said_counts() {
    let keys = "deliver: poll, token: { file: secret }, audience: [a, b], events: [account-disabled], tenant: t, silent_after: 5m, leeway: 2s";
    let loaded = scene().fine(&signals(&format!("{GOOD}, {keys}")));
    let idp = &loaded.snapshot.transmitters["idp"];
    assert_eq!(
        (idp.audience.join(" "), &*idp.events, idp.tenant.as_deref()),
        ("a b".to_owned(), &[EventType::AccountDisabled][..], Some("t"))
    );
    assert_eq!((idp.silent_after.as_secs(), idp.leeway.as_secs()), (300, 2));
    assert!(matches!(idp.delivery, Delivery::Poll) && idp.token.is_some());
    for (written, signed) in [("{}", true), ("{ token: { file: secret } }", false)] {
        let yaml = with("client_id: doorward\n", &format!("client_id: doorward\n    global_token_revocation: {written}\n"));
        let loaded = scene().fine(&yaml);
        let revocation = loaded.snapshot.providers.values().next().unwrap().global_revocation.as_ref().unwrap();
        assert_eq!(matches!(revocation, GlobalRevocation::Signed), signed, "{written}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_cure() {
    let good = |more: &str| format!("{GOOD}, {more}");
    let two = format!("{GOOD}, deliver: push }}\n  other: {{ {GOOD}, deliver: push");
    for (keys, line, message, help) in [
        (GOOD.to_owned(), 13, "`signals.idp.deliver` is missing", ""),
        ("issuer: idp, provider: staff, deliver: push".to_owned(), 13, "not a URL", "exactly as the provider spells it"),
        ("issuer: http://idp.corp.example, provider: staff, deliver: push".to_owned(), 13, "by https", ""),
        (
            "issuer: https://a.example, provider: staf, deliver: push".to_owned(),
            13,
            "there is no provider `staf`",
            "identity_providers",
        ),
        (good("deliver: pull"), 13, "one of `push`, `poll`", ""),
        (good("deliver: poll"), 13, "can't be fetched without a `token`", "deliver: push"),
        (good("deliver: poll, token: { file: secret }, authorization: { file: secret }"), 13, "nothing is pushed", "deliver: push"),
        (good("deliver: push, events: [session-revokd]"), 13, "not an event that is known", "session-revoked"),
        (good("deliver: push, events: []"), 13, "an empty list", ""),
        (good("deliver: push, audience: ['']"), 13, "an audience has a name", ""),
        (good("deliver: push, silent_after: 0s"), 13, "can't be zero", ""),
        (good("deliver: push, leeway: 1h"), 13, "", ""),
        (good("deliver: push, token: { file: none }"), 13, "can't read `none`", ""),
        (good("deliver: push, ca: secret"), 13, "no certificate in PEM form", ""),
        (good("deliver: push, audiance: a"), 13, "unknown key `audiance`", "did you mean `audience`?"),
        (two, 14, "two transmitters push with one issuer", "name it once"),
    ] {
        let errors = scene().errors(&signals(&keys));
        let [error] = &errors[..] else { panic!("{keys}: {errors:?}") };
        assert_eq!(error.line, line, "{keys}");
        assert!(error.message.contains(message), "{keys}: {}", error.message);
        assert!(error.help.as_deref().unwrap_or("").contains(help), "{keys}: {:?}", error.help);
    }
}
