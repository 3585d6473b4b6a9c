//! What events do is the same in SQLite and in PostgreSQL, and reaches the other replicas.

use crate::postgres::Postgres;
use crate::world::eventually;
use doorward::clock::now;
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, Lifetimes, ProviderName, Timestamp, Token};
use doorward::store::signals::{About, Act, Effect, Fact, Kind, Person, SecurityEvent, Status, Taken};
use doorward::store::{Client, Life, Location, NewSignIn, SignIn, Store, Tokens};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

const HOUR: Duration = Duration::from_secs(3600);

fn staff() -> ProviderName {
    ProviderName::parse("staff").unwrap()
}

fn event(person: Person, act: Act) -> SecurityEvent {
    SecurityEvent {
        transmitter: "hr".into(),
        provider: staff(),
        token: Token::random().unwrap().hash(),
        until: now().plus(HOUR),
        about: About { people: vec![person], session: None, device: Some("mac-1".to_owned()) },
        act,
        why: None,
        silent_after: Some(HOUR),
    }
}

fn fact(kind: Kind, value: &str) -> Fact {
    Fact { kind, value: value.to_owned(), reasons: vec!["why".to_owned()], at: now() }
}

async fn sign_in(store: &Store, provider: &str, sub: &str) -> Option<Arc<SignIn>> {
    sign_in_as(store, provider, sub, &format!("sid-{sub}")).await
}

async fn sign_in_as(store: &Store, provider: &str, sub: &str, sid: &str) -> Option<Arc<SignIn>> {
    let subject = Subject { provider: ProviderName::parse(provider).unwrap(), subject: sub.to_owned() };
    let email = Email::parse("ana@corp.example").ok();
    let claims = [("phone".to_owned(), vec!["+15550100".to_owned()])].into();
    let new = NewSignIn {
        cookie: Token::random().unwrap().hash(),
        identity: Identity {
            subject,
            profile: Profile { email, claims, ..Profile::default() },
            authenticated_at: Timestamp::default(),
        },
        provider_sid: Some(sid.to_owned()),
        tokens: Tokens { id_token: String::new(), refresh_token: Some("r".to_owned()), expires: Some(now().plus(HOUR).seconds()) },
        ends: now().plus(HOUR),
        replaces: None,
        client: Client::default(),
    };
    store.create_sign_in(new).await.unwrap().ok()
}

fn lives(sign_in: &SignIn) -> bool {
    sign_in.life(now(), Lifetimes { idle: HOUR, lifetime: HOUR }) == Life::Live
}

async fn acts(store: &Store) {
    let other = sign_in(store, "partners", "ana").await.unwrap();
    let one = |ended, renewed| {
        let people = vec![Subject { provider: staff(), subject: "ana".to_owned() }];
        Taken::Done(Effect { people, ended, renewed })
    };
    for person in [
        Person::Subject("ana".to_owned()),
        Person::SubjectOrSession("sid-ana".to_owned()),
        Person::Email(Email::parse("ana@corp.example").unwrap()),
        Person::Claim("phone".to_owned(), "+15550100".to_owned()),
    ] {
        let held = sign_in(store, "staff", "ana").await.unwrap();
        assert!(lives(&held));
        let end = event(person.clone(), Act::End { before: None });
        assert_eq!(store.take_event(&end).await.unwrap(), one(1, 0), "{person:?}");
        assert!(!lives(&held), "{person:?}");
        assert_eq!(store.take_event(&end).await.unwrap(), Taken::Again);
    }
    let ana = || Person::Subject("ana".to_owned());
    let held = sign_in(store, "staff", "ana").await.unwrap();
    let mut either = event(Person::SubjectOrSession("nobody".to_owned()), Act::End { before: None });
    either.about.people.push(ana());
    assert_eq!(store.take_event(&either).await.unwrap(), one(1, 0));
    assert!(!lives(&held), "a name that leads nowhere narrows nothing");
    let nobody = event(Person::Subject("nobody".to_owned()), Act::End { before: None });
    assert_eq!(store.take_event(&nobody).await.unwrap(), Taken::Unmatched);
    let held = sign_in(store, "staff", "ana").await.unwrap();
    assert!(!held.is_stale(now()));
    assert_eq!(store.take_event(&event(ana(), Act::Renew)).await.unwrap(), one(0, 1));
    assert!(lives(&held) && held.is_stale(now()));
    assert_eq!(store.take_event(&event(ana(), Act::OfPeople(fact(Kind::UserRisk, "low")))).await.unwrap(), one(0, 0));
    assert_eq!(store.take_event(&event(ana(), Act::Compromised(fact(Kind::Compromise, "high")))).await.unwrap(), one(1, 0));
    assert_eq!(store.risks().all().count(), 2);
    assert!(matches!(
        store.take_event(&event(ana(), Act::OfDevice(fact(Kind::Compliance, "true")))).await.unwrap(),
        Taken::Done(_)
    ));
    assert_eq!(store.take_event(&event(ana(), Act::Lock(fact(Kind::Lock, "locked")))).await.unwrap(), one(0, 0));
    assert!(sign_in(store, "staff", "ana").await.is_none(), "locked out");
    assert_eq!(store.take_event(&event(ana(), Act::Unlock)).await.unwrap(), one(0, 0));
    assert!(sign_in(store, "staff", "ana").await.is_some());
    let held = sign_in_as(store, "staff", "ana", "another-sid").await.unwrap();
    let by_session = event(Person::SubjectOrSession("sid-ana".to_owned()), Act::Erase);
    assert_eq!(store.take_event(&by_session).await.unwrap(), one(2, 0));
    assert!(!lives(&held), "of whoever is erased, nothing is left");
    assert_eq!((store.risks().all().count(), store.take_event(&event(ana(), Act::Erase)).await.unwrap()), (0, Taken::Unmatched));
    assert!(lives(&other), "another provider's");
}

async fn streams(store: &Store) {
    store.keep_stream("hr", "s-1", Some("https://hr.example/poll".to_owned()), HOUR).await.unwrap();
    let stream = store.stream("hr").await.unwrap().unwrap();
    assert_eq!((stream.id.as_deref(), stream.verify_every, stream.status), (Some("s-1"), HOUR, Status::Enabled));
    assert!(stream.is_alive(now()) && stream.event_at.is_some() && stream.verified_at.is_none());
    let state = Token::random().unwrap().hash();
    let verified = || event(Person::Subject(String::new()), Act::Verified(Some(state)));
    assert_eq!(store.take_event(&verified()).await.unwrap(), Taken::Unexpected);
    store.await_verification("hr", state).await.unwrap();
    assert!(!store.is_verified(state).await.unwrap());
    assert_eq!(store.take_event(&verified()).await.unwrap(), Taken::Done(Effect::default()));
    assert!(store.is_verified(state).await.unwrap());
    let people = store.people_since(&staff(), Timestamp::default()).await.unwrap();
    assert_eq!(people.len(), 0, "the only one was forgotten");
    store.added_people("hr", now()).await.unwrap();
    let paused = event(Person::Subject(String::new()), Act::Stream(Status::Paused));
    store.take_event(&paused).await.unwrap();
    assert!(!store.stream("hr").await.unwrap().unwrap().is_alive(now().plus(Duration::from_millis(1))));
    assert!(store.forget_transmitter("hr").await.unwrap() && !store.forget_transmitter("hr").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_does_the_same_in_either_database_and_on_every_replica() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db").display().to_string();
    let store = Store::open(&format!("sqlite:{file}"), Handle::current()).await.unwrap();
    acts(&store).await;
    streams(&store).await;
    let Some(server) = Postgres::shared() else { return };
    let location =
        Location::parse(&format!("{}?sslmode=disable", server.database())).unwrap().with_keys(format!("{file}.keys").into());
    let store = Store::open_at(location.clone(), Handle::current()).await.unwrap();
    acts(&store).await;
    streams(&store).await;
    let replica = Store::open_at(location, Handle::current()).await.unwrap();
    sign_in(&store, "staff", "ana").await.unwrap();
    let risk = event(Person::Subject("ana".to_owned()), Act::OfPeople(fact(Kind::UserRisk, "high")));
    store.take_event(&risk).await.unwrap();
    eventually("the replica knows", async || (replica.risks().all().count() == 1).then_some(())).await;
}
