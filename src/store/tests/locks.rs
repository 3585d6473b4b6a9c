//! Whoever is locked out stays out: at the sign-in, at a renewal, and whatever happens at the same moment.

use super::*;
use crate::model::locks::{Lock, Locks};
use crate::model::{Email, Timestamp};

fn lock(until: Option<Duration>) -> Lock {
    let since = clock::now();
    Lock { reason: "left".to_owned(), since, until: until.map(|until| since.plus(until)), fingerprints: Vec::new() }
}

fn user(name: &str) -> Whose {
    Whose::parse("user", name).unwrap()
}

fn with_email(cookie: TokenHash, email: &str) -> NewSignIn {
    let mut new = new_sign_in(cookie);
    new.identity.profile.email = Some(Email::parse(email).unwrap());
    new
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_counts_for_whom_it_names_for_as_long_as_it_says() {
    for (name, until, kept_out) in [
        ("staff:ana", None, true),
        ("staff:ana", Some(HOUR), true),
        ("staff:ana", Some(Duration::ZERO), false),
        ("partners:ana", None, false),
        ("staff:ana2", None, false),
        ("ANA@corp.example", None, true),
        ("ana@corp.example.com", None, false),
    ] {
        let (folder, store) = store().await;
        store.put_lock(user(name), lock(until), Cause::Lock.into()).await.unwrap();
        let made = store.create_sign_in(with_email(hash(), "Ana@corp.example")).await.unwrap();
        assert_eq!(made.is_err(), kept_out, "{name}");
        // As a process sees it that starts now.
        let other = Store::open(&format!("sqlite:{}", folder.path().join("db").display()), Handle::current()).await.unwrap();
        assert_eq!(other.locks().find(&user(name), clock::now()).is_some(), until != Some(Duration::ZERO));
        other.tidy(LASTING).await.unwrap();
        assert_eq!(rows(&other, "SELECT count(*) FROM locks").await, i64::from(until != Some(Duration::ZERO)));
        assert_eq!(store.remove_lock(&user(name), Cause::Administration.into()).await.unwrap(), until != Some(Duration::ZERO));
        assert!(store.create_sign_in(with_email(hash(), "ana@corp.example")).await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_makes_no_lock_last_longer() {
    let (_folder, store) = store().await;
    let over = Lock { until: Some(Timestamp::from_seconds(1)), ..lock(None) };
    store.put_lock(user("staff:ana"), over, Cause::Lock.into()).await.unwrap();
    let holds = || store.locks().find(&user("staff:ana"), clock::now()).is_some();
    assert!(!holds());
    // As if one of the clocks had been set since the lock was read.
    let mut locks = Locks::clone(&store.locks());
    locks.end_by(Timestamp::default(), clock::now());
    store.told.locks.store(Arc::new(locks));
    assert!(holds());
    store.tidy(LASTING).await.unwrap();
    assert!(!holds());
    assert_eq!(rows(&store, "SELECT count(*) FROM locks").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_turn_somebody_into_one_who_is_locked_out_are_not_taken() {
    let (_folder, store) = store().await;
    let made = store.create_sign_in(with_email(hash(), "ana@corp.example")).await.unwrap().unwrap();
    store.put_lock(user("ben@corp.example"), lock(None), Cause::Lock.into()).await.unwrap();
    let mut identity = Identity::clone(&made.identity());
    let tokens = || Tokens { id_token: String::new(), refresh_token: None, expires: None };
    let lease = store.take_on_renewal(made.id, HOUR).await.unwrap().unwrap();
    assert!(store.renew_sign_in(&made, identity.clone(), tokens(), lease).await.unwrap());
    identity.profile.email = Some(Email::parse("BEN@corp.example").unwrap());
    let lease = store.take_on_renewal(made.id, HOUR).await.unwrap().unwrap();
    assert!(!store.renew_sign_in(&made, identity, tokens(), lease).await.unwrap());
    assert_eq!(made.identity().profile.email.as_ref().unwrap().as_str(), "ana@corp.example");
    // It ends by the lock, and not as one whose provider renews nothing.
    assert_eq!(made.life(clock::now(), LASTING), Life::Ended);
    let mut applied = store.applied().unwrap();
    assert_eq!(applied.try_recv().unwrap().cause, Some(Cause::Lock));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_while_the_lock_is_set_is_out_when_both_are_done() {
    let (_folder, store) = store().await;
    for _ in 0..20 {
        let signing_in: Vec<_> = (0..4)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.create_sign_in(new_sign_in(hash())).await.unwrap() })
            })
            .collect();
        store.put_lock(user("staff:ana"), lock(None), Cause::Lock.into()).await.unwrap();
        for one in signing_in {
            if let Ok(made) = one.await.unwrap() {
                assert_eq!(made.life(clock::now(), LASTING), Life::Ended);
            }
        }
        assert_eq!(rows(&store, "SELECT count(*) FROM sign_ins").await, 0);
        assert!(store.remove_lock(&user("staff:ana"), Cause::Administration.into()).await.unwrap());
    }
}
