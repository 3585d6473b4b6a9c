//! Renewal of claims.

use super::browser::Browser;
use super::provider::{Behaviour, TestProvider};
use super::{World, fixture};
use crate::model::{Lifetimes, Token};
use crate::store::{Life, SignIn};
use axum::http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

async fn signed_in() -> (World, TestProvider, Arc<SignIn>) {
    let provider = TestProvider::start().await;
    let world = World::new(vec![fixture::provider("staff", &provider.issuer)]).await;
    world.discovered().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, "https://wiki.corp.example/").await.unwrap();
    let cookie = browser.cookie("login.corp.example", "__Host-doorward-sso").unwrap();
    let hash = Token::parse(&cookie).unwrap().hash();
    let sign_in = world.control.store.sign_in(&hash).await.unwrap().unwrap();
    (world, provider, sign_in)
}

async fn renew(world: &World, sign_in: &Arc<SignIn>) {
    for _ in 0..50 {
        world.control.store.ask_renewal(sign_in);
    }
    tokio::time::timeout(Duration::from_secs(5), sign_in.renewed()).await.unwrap();
}

fn lives(sign_in: &SignIn) -> bool {
    let lifetimes = Lifetimes { idle: Duration::from_secs(60), lifetime: Duration::from_secs(60) };
    sign_in.life(crate::clock::now(), lifetimes) == Life::Live
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_follow_a_refresh_that_is_made_once_however_many_ask() {
    let (world, provider, sign_in) = signed_in().await;
    provider.set(|b| {
        b.claims = json!({"groups": ["finance"], "nonce": null});
        b.response = json!({"refresh_token": "rotated"});
    });
    renew(&world, &sign_in).await;
    assert_eq!(sign_in.identity().profile.groups, ["finance"]);
    assert_eq!(provider.asked(), 2);
    renew(&world, &sign_in).await;
    let asked = provider.behaviour.lock().unwrap().asked[2].clone();
    assert_eq!(asked["refresh_token"], "rotated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_refresh_token_is_kept_where_none_is_rotated_in() {
    let (world, provider, sign_in) = signed_in().await;
    provider.set(|b| b.response = json!({"refresh_token": null}));
    renew(&world, &sign_in).await;
    renew(&world, &sign_in).await;
    assert_eq!(provider.behaviour.lock().unwrap().asked[2]["refresh_token"], "refresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_token_the_claims_come_from_user_info() {
    let (world, provider, sign_in) = signed_in().await;
    provider.set(|b| {
        b.response = json!({"id_token": null});
        b.user_info = Some(json!({"sub": "ana", "groups": ["finance"]}));
    });
    renew(&world, &sign_in).await;
    assert_eq!(sign_in.identity().profile.groups, ["finance"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_has_ended_ends_here() {
    let changes: [fn(&mut Behaviour); 4] = [
        |b| b.response = json!({"error": "invalid_grant"}),
        |b| b.claims = json!({"sub": "bob", "nonce": null}),
        |b| b.claims = json!({"nonce": "another"}),
        |b| b.claims = json!({"aud": "other", "nonce": null}),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (world, provider, sign_in) = signed_in().await;
        provider.set(change);
        renew(&world, &sign_in).await;
        assert!(!lives(&sign_in), "change {index}");
        assert!(world.control.store.tokens(sign_in.id).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_outgrow_the_token_end_the_session_as_they_would_refuse_a_sign_in() {
    for claims in [json!({"groups": null, "_claim_names": {"groups": "src1"}}), json!({"groups": ["staff", 7]})] {
        let (world, provider, sign_in) = signed_in().await;
        provider.set(|b| {
            b.user_info = Some(json!({"sub": "ana"}));
            b.claims = claims.clone();
            b.claims["nonce"] = json!(null);
        });
        renew(&world, &sign_in).await;
        assert!(!lives(&sign_in), "{claims}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_ends_nothing() {
    let changes: [fn(&mut Behaviour); 5] = [
        |b| b.status = StatusCode::INTERNAL_SERVER_ERROR,
        |b| b.status = StatusCode::TOO_MANY_REQUESTS,
        |b| b.response = json!({"error": "temporarily_unavailable"}),
        |b| b.response = json!({"error": "invalid_client"}),
        |b| {
            b.response = json!({"refresh_token": "rotated"});
            b.claims = json!({"groups": null, "nonce": null});
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (world, provider, sign_in) = signed_in().await;
        provider.set(change);
        renew(&world, &sign_in).await;
        let now = crate::clock::now();
        assert!(lives(&sign_in) && !sign_in.renewal_is_due(now) && !sign_in.is_stale(now), "change {index}");
        assert_eq!(sign_in.identity().profile.groups, ["staff"]);
        let held = world.control.store.tokens(sign_in.id).await.unwrap().unwrap().refresh_token.unwrap();
        assert_eq!(held, if index == 4 { "rotated" } else { "refresh" }, "what may be the only good one is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_whose_row_is_gone_ends_instead_of_asking_for_ever() {
    let (world, provider, sign_in) = signed_in().await;
    world.control.store.lose_sign_in(sign_in.id).await;
    renew(&world, &sign_in).await;
    assert!(!lives(&sign_in));
    assert_eq!(provider.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_another_process_has_used_ends_nothing() {
    let (world, provider, sign_in) = signed_in().await;
    provider.set(|b| b.response = json!({"error": "invalid_grant"}));
    let store = Arc::clone(&world.control.store);
    let tokens = store.tokens(sign_in.id).await.unwrap().unwrap();
    let identity = crate::model::Identity::clone(&sign_in.identity());
    // The other process writes down what it got while this one is told that the token is spent.
    let (id, elsewhere) = (sign_in.id, Arc::clone(&sign_in));
    let other = async {
        for _ in 0..100 {
            if provider.asked() > 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let renewed = crate::store::Tokens { refresh_token: Some("rotated".to_owned()), ..tokens };
        store.lose_lease(id).await;
        let lease = store.take_on_renewal(id, Duration::from_secs(60)).await.unwrap().unwrap();
        assert!(store.renew_sign_in(&elsewhere, identity, renewed, lease).await.unwrap());
    };
    tokio::join!(renew(&world, &sign_in), other);
    assert!(lives(&sign_in) && !sign_in.renewal_is_due(crate::clock::now()));
    assert_eq!(world.control.store.tokens(id).await.unwrap().unwrap().refresh_token.as_deref(), Some("rotated"));
}
