//! What must hold for `flow`.
use super::*;
use crate::control::fixture;
use crate::control::query::Query;
use crate::control::target::ReturnTarget;
use crate::control::tests::{call, headers, place, store};

fn flow(started: u64) -> (FlowId, Flow) {
    let (id, state) = FlowId::random().unwrap();
    let flow = Flow {
        provider: "staff".to_owned(),
        state,
        nonce: "n".to_owned(),
        verifier: "v".to_owned(),
        to: None,
        binding: None,
        step_up: None,
        started,
    };
    (id, flow)
}

fn found(ring: &KeyRing, name: &str, value: &str, state: &str) -> Option<Flow> {
    let (place, headers) = (place("login.corp.example"), headers(&[format!("{name}={value}")]));
    let call = call(&place, &headers, Query::default());
    Flow::of_state(ring, &call, state).map(|(_, flow)| flow)
}

#[tokio::test]
async fn a_flow_opens_for_its_own_state_alone() {
    let (_folder, store) = store().await;
    let (ring, (id, mut flow)) = (store.ring(), flow(1_000));
    let sealed = flow.seal(ring, &id, &Destination::default()).unwrap();
    let name = id.cookie();
    assert_eq!(found(ring, &name, &sealed, &flow.state), Some(flow.clone()));
    let other = format!("{}.{}", id.0, Token::random().unwrap().reveal());
    for state in [&*other, &*id.0, "", ".", "x.y"] {
        assert_eq!(found(ring, &name, &sealed, state), None, "{state}");
    }
}

#[test]
fn a_flow_is_over_after_ten_minutes() {
    let (_, flow) = flow(1_000);
    assert!(!flow.is_over(Timestamp::from_millis(600_999)));
    assert!(flow.is_over(Timestamp::from_millis(601_000)));
}

#[tokio::test]
async fn a_flow_that_was_tampered_with_or_moved_does_not_open() {
    let (_folder, store) = store().await;
    let (ring, (id, mut flow)) = (store.ring(), flow(1_000));
    let sealed = flow.seal(ring, &id, &Destination::default()).unwrap();
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(bytes).unwrap();
        // The last character has bits that decode to nothing.
        assert!(found(ring, &id.cookie(), &text, &flow.state).is_none() || at + 1 == sealed.len());
    }
    let (elsewhere, _) = FlowId::random().unwrap();
    let state = flow.state.replace(&id.0, &elsewhere.0);
    assert_eq!(found(ring, &elsewhere.cookie(), &sealed, &state), None);
}

#[tokio::test]
async fn a_target_that_is_too_long_for_a_cookie_gets_shorter() {
    let (_folder, store) = store().await;
    let snapshot = fixture::snapshot(Vec::new());
    let (ring, (id, mut flow)) = (store.ring(), flow(1_000));
    let long = "a".repeat(3_500);
    for (to, kept) in [
        (format!("https://wiki.corp.example/x?{long}"), "https://wiki.corp.example/x"),
        (format!("https://wiki.corp.example/{long}"), "https://wiki.corp.example/"),
    ] {
        let destination = Destination {
            target: ReturnTarget::parse(&snapshot, &to).ok(),
            binding: Some(TokenHash::of(b"x")),
            ..Destination::default()
        };
        let sealed = flow.seal(ring, &id, &destination).unwrap();
        assert!(sealed.len() < 4_000);
        assert_eq!(flow.to.as_deref(), Some(kept));
        assert!(flow.binding.is_some());
    }
}

#[tokio::test]
async fn abandoned_logins_make_room_for_new_ones_the_oldest_first() {
    let (_folder, store) = store().await;
    let ring = store.ring();
    let mut lines = Vec::new();
    let mut names = Vec::new();
    for started in 1_000..1_025 {
        let (id, mut flow) = flow(started);
        lines.push(format!("{}={}", id.cookie(), flow.seal(ring, &id, &Destination::default()).unwrap()));
        names.push(id.cookie());
    }
    lines.push("__Host-doorward-flow-AAAAAAAAAAAA=garbage".to_owned());
    lines.push("__Host-doorward-flow-landed=3; app=1".to_owned());
    let (place, headers) = (place("login.corp.example"), headers(&lines));
    let call = call(&place, &headers, Query::default());
    let gone = make_room(ring, &call, 500, Timestamp::from_millis(2_000));
    assert_eq!(gone.len(), 25 - 19 + 1);
    for name in &names[..6] {
        assert!(gone.iter().any(|line| line.starts_with(&format!("{name}=;")) && line.ends_with("Max-Age=0")));
    }
    assert!(gone.iter().all(|line| !line.contains("landed")));
    let gone = make_room(ring, &call, 15_500, Timestamp::from_millis(2_000));
    assert!(gone.len() > 20, "large cookies leave less room");
}
