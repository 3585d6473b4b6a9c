//! Streams: set up, verified, fetched, and told of people.

use crate::world::transmitter::Transmitter;
use crate::world::{ALICE, BOB, Setup, eventually};
use crate::{CAEP, Scene};
use serde_json::{Value, json};
use std::process::{Command, Output};

impl Scene {
    async fn polled() -> Self {
        let scene = Self::of("deliver: poll", Setup::default()).await;
        let answer = scene.world.administer("POST", "/api/v1/signals/hr/stream", "", "").await;
        assert_eq!((answer.status, &answer.json()["stream_id"]), (200, &json!("stream-1")), "{}", answer.text());
        scene
    }

    async fn command(&self, act: &str) -> Output {
        let config = self.world.path("doorward.yaml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["signals", act, "-c"]).arg(config);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_is_acknowledged_once_it_is_done_and_what_is_wrong_is_refused() {
    let scene = Scene::polled().await;
    let alice = scene.session(ALICE).await;
    let good = scene.hr.token(&format!("{CAEP}session-revoked"), &scene.of_alice(), &json!({}));
    scene.hr.queue("good", good.clone());
    assert_eq!(scene.hr.heard_of("good").await, None);
    assert!(!scene.lives(&alice).await, "it is acknowledged when that is so");
    let stranger = Transmitter::start("").await;
    scene.hr.queue("strange", stranger.token(&format!("{CAEP}session-revoked"), &scene.of_alice(), &json!({})));
    let error = scene.hr.heard_of("strange").await.unwrap();
    assert_eq!(error["err"], "invalid_issuer");
    let again = scene.session(ALICE).await;
    scene.hr.queue("again", good.clone());
    assert_eq!(scene.hr.heard_of("again").await, None);
    assert!(scene.lives(&again).await, "once is enough");
    let answer = {
        scene.hr.reaches(&scene.world);
        scene.hr.push(&good).await
    };
    assert_eq!(answer.json()["err"], "invalid_issuer", "what is fetched is not pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_ten_thousand_tokens_costs_no_more_than_a_part_of_it_at_a_time() {
    let scene = Scene::polled().await;
    let alice = scene.session(ALICE).await;
    for number in 0..10_000 {
        scene.hr.queue(&format!("{number:05}"), "x".to_owned());
    }
    scene.hr.queue("00000", scene.hr.token(&format!("{CAEP}session-revoked"), &scene.of_alice(), &json!({})));
    assert_eq!(scene.hr.heard_of("00000").await, None);
    assert!(!scene.lives(&alice).await);
    let first = scene.hr.behaviour().errors.len();
    assert!(first < 10_000, "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_set_a_stream_up_and_prove_that_it_works() {
    let scene = Scene::pushed().await;
    let text = |output: &Output| format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let output = scene.command("verify").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("doorward signals add"), "{}", text(&output));
    for _ in 0..2 {
        let output = scene.command("add").await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    let stream = scene.hr.behaviour().stream.clone().unwrap();
    assert_eq!(stream["delivery"]["endpoint_url"], scene.world.url(crate::world::LOGIN, "/.doorward/events"));
    assert_eq!(stream["delivery"]["authorization_header"], crate::AUTHORIZATION);
    assert_eq!(stream["events_requested"].as_array().map(Vec::len), Some(11));
    let output = scene.command("status").await;
    assert!(text(&output).contains("silent"), "{}", text(&output));
    let output = scene.command("verify").await;
    assert_eq!((output.status.code(), text(&output).contains("hr")), (Some(0), true), "{}", text(&output));
    let shown = scene.shown().await;
    assert_eq!((&shown["silent"], &shown["status"], &shown["stream"]), (&json!(false), &json!("enabled"), &json!("stream-1")));
    assert!(shown["last_verified_at"].is_string() && shown["last_event_at"].is_null(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_nobody_asked_for_is_refused_and_a_paused_stream_is_silent() {
    let scene = Scene::pushed().await;
    let about = json!({ "format": "opaque", "id": "stream-1" });
    let ssf = "https://schemas.openid.net/secevent/ssf/event-type/";
    let push = async |event: &str, details: Value| scene.hr.push(&scene.hr.token(&format!("{ssf}{event}"), &about, &details)).await;
    let answer = push("verification", json!({ "state": "made-up" })).await;
    assert_eq!((answer.status, &answer.json()["err"]), (400, &json!("invalid_state")));
    assert!(scene.shown().await["silent"] == true);
    assert_eq!(push("verification", json!({})).await.status, 202, "one of its own accord");
    assert_eq!(scene.shown().await["silent"], false);
    assert_eq!(push("stream-updated", json!({ "status": "paused", "reason": "licence" })).await.status, 202);
    assert_eq!((&scene.shown().await["silent"], &scene.shown().await["status"]), (&json!(true), &json!("paused")));
    assert_eq!(push("stream-updated", json!({ "status": "enabled" })).await.status, 202);
    assert_eq!(scene.shown().await["silent"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transmitter_that_speaks_of_nobody_unasked_is_told_of_people() {
    let hr = Transmitter::start("").await;
    hr.behaviour().metadata = json!({ "default_subjects": "NONE" });
    let signals = hr.configured("hr", "deliver: poll, silent_after: 3s");
    let files = vec![("api-token", crate::TOKEN.into())];
    let world = crate::World::of(Setup { signals, files, ..Setup::default() }).await;
    eventually("it is discovered", async || {
        let shown = world.admin("/api/v1/signals").await.json();
        (shown["transmitters"][0]["discovered"] == true).then_some(())
    })
    .await;
    assert_eq!(world.administer("POST", "/api/v1/signals/hr/stream", "", "").await.status, 200);
    for who in [ALICE, BOB] {
        world.session(crate::WIKI, who).await;
    }
    let subjects = eventually("it knows of both", async || {
        let subjects = hr.behaviour().subjects.clone();
        (subjects.len() >= 2).then_some(subjects)
    })
    .await;
    let subs: Vec<_> = subjects.iter().map(|subject| subject["sub"].clone()).collect();
    assert_eq!(subs, ["s-alice", "s-bob"], "each once");
}
