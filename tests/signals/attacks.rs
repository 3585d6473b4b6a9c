//! What nobody may do by the way of security events.

use crate::world::transmitter::{AUTHORIZATION, Transmitter};
use crate::world::wire::Connection;
use crate::world::{ALICE, LOGIN, Setup, WIKI};
use crate::{CAEP, Scene};
use serde_json::{Value, json};

const KIND: &str = "Content-Type: application/secevent+jwt\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_fails_one_check_ends_nothing_and_says_why() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    let (uri, stranger) = (format!("{CAEP}session-revoked"), Transmitter::start("").await);
    let header = || json!({ "typ": "secevent+jwt" });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = |changes: Value| scene.hr.claims(&uri, &scene.of_alice(), &json!({}), &changes);
    let good = || claims(json!({}));
    let both = json!({ uri.as_str(): {}, format!("{CAEP}credential-change"): {} });
    let cases = [
        ("alg none", scene.hr.sign(json!({ "typ": "secevent+jwt", "alg": "none" }), &good()), "invalid_key"),
        ("a secret that is public", scene.hr.sign(json!({ "typ": "secevent+jwt", "alg": "HS256" }), &good()), "invalid_key"),
        ("another's signature", stranger.sign(header(), &good()), "invalid_key"),
        ("another issuer", stranger.token(&uri, &scene.of_alice(), &json!({})), "invalid_issuer"),
        ("no type", scene.hr.sign(json!({}), &good()), "invalid_request"),
        ("an ID token", scene.hr.sign(json!({ "typ": "JWT" }), &good()), "invalid_request"),
        ("a logout token", scene.hr.sign(json!({ "typ": "logout+jwt" }), &good()), "invalid_request"),
        ("crit", scene.hr.sign(json!({ "typ": "secevent+jwt", "crit": ["x"], "x": 1 }), &good()), "invalid_request"),
        ("another audience", scene.hr.sign(header(), &claims(json!({ "aud": "https://other.example" }))), "invalid_audience"),
        ("no audience", scene.hr.sign(header(), &claims(json!({ "aud": null }))), "invalid_audience"),
        ("exp", scene.hr.sign(header(), &claims(json!({ "exp": now + 60 }))), "invalid_request"),
        ("sub", scene.hr.sign(header(), &claims(json!({ "sub": "s-alice" }))), "invalid_request"),
        ("nonce", scene.hr.sign(header(), &claims(json!({ "nonce": "n" }))), "invalid_request"),
        ("no jti", scene.hr.sign(header(), &claims(json!({ "jti": null }))), "invalid_request"),
        ("long jti", scene.hr.sign(header(), &claims(json!({ "jti": "x".repeat(300) }))), "invalid_request"),
        ("no iat", scene.hr.sign(header(), &claims(json!({ "iat": null }))), "invalid_request"),
        ("from tomorrow", scene.hr.sign(header(), &claims(json!({ "iat": now + 86_400 }))), "invalid_request"),
        ("too old", scene.hr.sign(header(), &claims(json!({ "iat": now - 8 * 86_400 }))), "invalid_request"),
        ("no events", scene.hr.sign(header(), &claims(json!({ "events": null }))), "invalid_request"),
        ("empty events", scene.hr.sign(header(), &claims(json!({ "events": {} }))), "invalid_request"),
        ("two events", scene.hr.sign(header(), &claims(json!({ "events": both }))), "invalid_request"),
        (
            "an event that is a text",
            scene.hr.sign(header(), &claims(json!({ "events": { uri.as_str(): "x" } }))),
            "invalid_request",
        ),
        ("no subject", scene.hr.sign(header(), &claims(json!({ "sub_id": null }))), "invalid_request"),
        ("an odd time", scene.hr.token(&uri, &scene.of_alice(), &json!({ "event_timestamp": "x" })), "invalid_request"),
        ("an odd risk", scene.hr.token(&format!("{CAEP}risk-level-change"), &scene.of_alice(), &json!({})), "invalid_request"),
        ("no token", "{}".to_owned(), "invalid_request"),
        ("a huge body", "x".repeat(1 << 20), "invalid_request"),
    ];
    for (what, token, code) in cases {
        let answer = scene.hr.push(&token).await;
        assert_eq!((answer.status, answer.json()["err"].as_str()), (400, Some(code)), "{what}: {}", answer.text());
        assert!(!answer.json()["description"].as_str().unwrap().is_empty());
        assert!(scene.lives(&alice).await, "{what}");
    }
    // A claim that was added behind the signature.
    let token = scene.hr.sign(header(), &claims(json!({ "aud": "https://other.example" })));
    let forged = scene.hr.sign(header(), &good());
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mixed = format!("{}.{}.{}", parts(&token)[0], parts(&forged)[1], parts(&token)[2]);
    assert_eq!(scene.hr.push(&mixed).await.json()["err"], "invalid_key");
    assert!(scene.lives(&alice).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_knows_what_was_agreed_may_push() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    let token = scene.hr.token(&format!("{CAEP}session-revoked"), &scene.of_alice(), &json!({}));
    for (lines, code) in [
        (KIND.to_owned(), "authentication_failed"),
        (format!("{KIND}Authorization: Bearer wrong\r\n"), "authentication_failed"),
        (format!("{KIND}Authorization: {AUTHORIZATION}x\r\n"), "authentication_failed"),
        (format!("Authorization: {AUTHORIZATION}\r\n"), "invalid_request"),
        (format!("Authorization: {AUTHORIZATION}\r\nContent-Type: application/json\r\n"), "invalid_request"),
    ] {
        let answer = scene.hr.push_with(&token, &lines).await;
        assert_eq!((answer.status, answer.json()["err"].as_str()), (400, Some(code)), "{lines}");
        assert!(scene.lives(&alice).await);
    }
    let form = scene.hr.post("/.doorward/backchannel-logout", &format!("logout_token={token}"), "").await;
    assert_eq!(form.status, 400, "it is no logout token");
    assert!(scene.lives(&alice).await);
    assert_eq!(scene.hr.push(&token).await.status, 202);
    assert!(!scene.lives(&alice).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_acts_once_and_is_acknowledged_again() {
    let scene = Scene::pushed().await;
    let first = scene.session(ALICE).await;
    let token = scene.hr.token(&format!("{CAEP}session-revoked"), &scene.of_alice(), &json!({}));
    assert_eq!(scene.hr.push(&token).await.status, 202);
    assert!(!scene.lives(&first).await);
    let second = scene.session(ALICE).await;
    assert_eq!(scene.hr.push(&token).await.status, 202, "the transmitter has not heard the answer");
    assert!(scene.lives(&second).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    scene.hr.rotate();
    scene.happens(&format!("{CAEP}session-revoked"), scene.of_alice(), json!({})).await;
    assert!(!scene.lives(&alice).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_another_transmitter_or_from_elsewhere_is_not_taken() {
    for (changes, redirects) in [
        (json!({ "issuer": "https://other.example" }), false),
        (json!({ "jwks_uri": "http://other.example/jwks" }), false),
        (json!({ "verification_endpoint": "http://other.example/verify" }), false),
        (json!({}), true),
    ] {
        let hr = Transmitter::start("").await;
        {
            let mut behaviour = hr.behaviour();
            (behaviour.metadata, behaviour.redirects) = (changes.clone(), redirects);
        }
        let signals = hr.configured("hr", "deliver: push");
        let files = vec![("api-token", "x".into())];
        let world = crate::World::of(crate::Setup { signals, files, ..Default::default() }).await;
        hr.reaches(&world);
        // It has been asked by then, and asked again.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        let shown = world.admin("/api/v1/signals").await.json();
        assert_eq!(shown["transmitters"][0]["discovered"], false, "{changes}");
        let token = hr.token(&format!("{CAEP}session-revoked"), &json!({ "format": "opaque", "id": "x" }), &json!({}));
        assert_eq!(hr.push(&token).await.status, 503, "nobody knows yet");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_key_that_can_t_be_fetched_just_now_is_to_come_again() {
    let scene = Scene::pushed().await;
    scene.hr.rotate();
    scene.hr.behaviour().hides_keys = true;
    let token = scene.hr.token(&format!("{CAEP}session-revoked"), &scene.of_alice(), &json!({}));
    // The second one comes while nobody may fetch again.
    for _ in 0..2 {
        let answer = scene.hr.push(&token).await;
        assert_eq!((answer.status, answer.json()["err"].as_str()), (503, Some("unavailable")), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_prove_nothing_are_counted_and_good_ones_never_are() {
    let more = "limits: { reserved: { rate_per_address: 10/m } }";
    let scene = Scene::of("deliver: push, authorization: { file: authorization }", Setup { more, ..Setup::default() }).await;
    let uri = format!("{CAEP}session-revoked");
    // Whose access has ended is to be heard of, however many they are.
    for _ in 0..30 {
        scene.happens(&uri, scene.of_alice(), json!({})).await;
    }
    let mut statuses = Vec::new();
    for guess in 0..20 {
        let (path, lines) = match guess % 3 {
            0 => ("/.doorward/events", KIND),
            1 => ("/.doorward/backchannel-logout", "Content-Type: application/x-www-form-urlencoded\r\n"),
            _ => ("/.doorward/events", ""),
        };
        let answer = scene.hr.post(path, "logout_token=guess", lines).await;
        if answer.status == 429 {
            assert_eq!(answer.reason(), "rate_limited");
            assert!(answer.header("retry-after").is_some() && answer.header("x-request-id").is_some());
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [[400; 10], [429; 10]].concat());
    // Nothing else of that address is refused for it, nor is what is proved.
    assert_eq!(scene.world.get(WIKI, "/.doorward/jwks.json", "").await.status, 200);
    let alice = scene.session(ALICE).await;
    scene.happens(&uri, scene.of_alice(), json!({})).await;
    assert!(!scene.lives(&alice).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_dawdle_keep_no_good_token_of_their_address_out() {
    let more = "limits: { reserved: { in_flight_per_address: 1 } }";
    let scene = Scene::of("deliver: push, authorization: { file: authorization }", Setup { more, ..Setup::default() }).await;
    let alice = scene.session(ALICE).await;
    let mut held = Vec::new();
    for path in ["/.doorward/events", "/.doorward/backchannel-logout"].repeat(4) {
        let mut connection = Connection::tls(&scene.world, LOGIN).await;
        connection.write(scene.world.head("POST", LOGIN, path, "Content-Length: 100\r\n")).await;
        held.push(connection);
    }
    scene.happens(&format!("{CAEP}session-revoked"), scene.of_alice(), json!({})).await;
    assert_eq!(scene.world.get(WIKI, "/.doorward/jwks.json", "").await.status, 200, "they are in no browser's way either");
    assert!(!scene.lives(&alice).await);
    for connection in &mut held {
        assert_eq!(connection.answer().await.status, 400, "what never comes is not waited for");
    }
}
