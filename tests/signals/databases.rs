//! What events do is the same in SQLite and in PostgreSQL, and reaches the other replicas.

use crate::postgres::Postgres;
use crate::world::eventually;
use doorward::clock::now;
use doorward::model::identity::{Profile, Subject};
use doorward::model::inventory::{Inventories, Inventory};
use doorward::model::risks::Whose;
use doorward::model::{Device, Email, Fingerprint, Identity, Lifetimes, Owner, ProviderName, RiskLevel, Timestamp, Token};
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
    fact_of(kind, value, now())
}

fn fact_of(kind: Kind, value: &str, at: Timestamp) -> Fact {
    Fact { kind, value: value.to_owned(), reasons: vec!["why".to_owned()], at }
}

fn subject(sub: &str) -> Person {
    Person::Subject(sub.to_owned())
}

async fn in_a_file() -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("db").display()), Handle::current()).await.unwrap();
    (folder, store)
}

async fn sign_in(store: &Store, provider: &str, sub: &str) -> Option<Arc<SignIn>> {
    sign_in_as(store, provider, sub, Some(&format!("sid-{sub}"))).await
}

async fn sign_in_as(store: &Store, provider: &str, sub: &str, sid: Option<&str>) -> Option<Arc<SignIn>> {
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
        provider_sid: sid.map(str::to_owned),
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
        Taken::Done(Effect { people, ended, renewed, ..Effect::default() })
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
    let known = store.known(Whose::parse("user", "ana@corp.example").as_ref()).await.unwrap();
    let kept_out: Vec<_> =
        known.kept_out.iter().map(|one| (one.subject.to_string(), one.source.code(), &*one.lock.reason)).collect();
    assert_eq!(kept_out, [("staff:ana".to_owned(), "transmitter hr", "why")]);
    assert_eq!(known.people.len(), 2, "of two providers: {:?}", known.people);
    assert_eq!(
        store.take_event(&event(ana(), Act::Unlock(fact_of(Kind::Lock, "unlocked", now().plus(HOUR))))).await.unwrap(),
        one(0, 0)
    );
    assert!(store.kept_out().await.unwrap().is_empty());
    assert!(sign_in(store, "staff", "ana").await.is_some());
    let held = sign_in_as(store, "staff", "ana", Some("another-sid")).await.unwrap();
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
    let people = store.people_since(&staff(), 0).await.unwrap();
    assert_eq!(people.len(), 0, "the only one was forgotten");
    store.added_people("hr", 7).await.unwrap();
    store.keep_stream("hr", "s-1", None, HOUR).await.unwrap();
    assert_eq!(store.stream("hr").await.unwrap().unwrap().added, 7);
    store.keep_stream("hr", "s-2", None, HOUR).await.unwrap();
    assert_eq!(store.stream("hr").await.unwrap().unwrap().added, 0, "a new stream knows nobody");
    let paused = event(Person::Subject(String::new()), Act::Stream(Status::Paused, now()));
    store.take_event(&paused).await.unwrap();
    assert!(!store.stream("hr").await.unwrap().unwrap().is_alive(now().plus(Duration::from_millis(1))));
    assert!(store.forget_transmitter("hr", true).await.unwrap());
    assert_eq!(store.stream("hr").await.unwrap().unwrap().id.as_deref(), Some("s-2"), "its stream goes on");
    assert!(store.forget_transmitter("hr", false).await.unwrap() && !store.forget_transmitter("hr", false).await.unwrap());
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
    let replica = Store::open_at(location.clone(), Handle::current()).await.unwrap();
    sign_in(&store, "staff", "ana").await.unwrap();
    let risk = event(Person::Subject("ana".to_owned()), Act::OfPeople(fact(Kind::UserRisk, "high")));
    store.take_event(&risk).await.unwrap();
    eventually("the replica knows", async || (replica.risks().all().count() == 1).then_some(())).await;
    for (name, people) in [("ANA@corp.example", 2), ("staff:ana", 1), ("staff:nobody", 0)] {
        let beside = doorward::store::known(&location, Whose::parse("user", name).as_ref()).await.unwrap();
        assert_eq!((beside.risks.all().count(), beside.people.len()), (1, people), "and so does whoever reads beside them: {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_lock_and_its_end_the_later_one_counts_in_whatever_order_they_come() {
    let (_folder, store) = in_a_file().await;
    let at = |seconds| now().plus(Duration::from_secs(seconds));
    let lock = |sub: &str, seconds| event(subject(sub), Act::Lock(fact_of(Kind::Lock, "locked", at(seconds))));
    let unlock = |sub: &str, seconds| event(subject(sub), Act::Unlock(fact_of(Kind::Lock, "unlocked", at(seconds))));
    for (sub, events, lets_in) in [
        ("ana", [lock("ana", 20), unlock("ana", 10)], false),
        ("bob", [unlock("bob", 20), lock("bob", 10)], true),
        ("eve", [lock("eve", 10), unlock("eve", 20)], true),
    ] {
        for event in events {
            store.take_event(&event).await.unwrap();
        }
        assert_eq!(sign_in(&store, "staff", sub).await.is_some(), lets_in, "{sub}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_facts_of_one_second_the_worse_counts_and_what_does_not_is_called_older() {
    let (_folder, store) = in_a_file().await;
    let (one, two) = (now(), now().plus(Duration::from_secs(1)));
    for (level, at, is_older, expected) in [
        ("high", one, false, RiskLevel::High),
        ("low", one, true, RiskLevel::High),
        ("low", two, false, RiskLevel::Low),
        ("medium", two, false, RiskLevel::Medium),
        ("high", one, true, RiskLevel::Medium),
    ] {
        let risk = event(subject("ana"), Act::OfPeople(fact_of(Kind::UserRisk, level, at)));
        let Taken::Done(effect) = store.take_event(&risk).await.unwrap() else { panic!("it is done") };
        let said = store.risks().all().next().unwrap().1.value.level;
        assert_eq!((effect.is_older, said), (is_older, expected), "{level}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_paused_is_not_alive_by_older_word() {
    let (_folder, store) = in_a_file().await;
    store.keep_stream("hr", "s-1", None, HOUR).await.unwrap();
    let at = |seconds| now().plus(Duration::from_secs(seconds));
    for (status, seconds, expected) in
        [(Status::Paused, 20, Status::Paused), (Status::Enabled, 10, Status::Paused), (Status::Enabled, 30, Status::Enabled)]
    {
        store.take_event(&event(subject("-"), Act::Stream(status, at(seconds)))).await.unwrap();
        assert_eq!(store.stream("hr").await.unwrap().unwrap().status, expected, "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_named_ends_also_sign_ins_whose_session_is_not_known() {
    let (_folder, store) = in_a_file().await;
    let unknown = sign_in_as(&store, "staff", "ana", None).await.unwrap();
    let another = sign_in_as(&store, "staff", "ana", Some("another")).await.unwrap();
    let mut end = event(subject("ana"), Act::End { before: None });
    end.about.session = Some("sid".to_owned());
    store.take_event(&end).await.unwrap();
    assert!(!lives(&unknown) && lives(&another));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_somebody_before_their_first_sign_in_counts() {
    let (_folder, store) = in_a_file().await;
    let lock = event(subject("ana"), Act::Lock(fact(Kind::Lock, "locked")));
    let people = vec![Subject { provider: staff(), subject: "ana".to_owned() }];
    assert_eq!(store.take_event(&lock).await.unwrap(), Taken::Done(Effect { people, ..Effect::default() }));
    assert!(sign_in(&store, "staff", "ana").await.is_none(), "locked out");
    assert!(sign_in(&store, "partners", "ana").await.is_some(), "another provider's");
    store.take_event(&event(subject("bob"), Act::OfPeople(fact(Kind::UserRisk, "high")))).await.unwrap();
    store.take_event(&event(subject("bob"), Act::Compromised(fact(Kind::Compromise, "high")))).await.unwrap();
    assert_eq!(store.risks().all().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_back_only_what_its_own_transmitter_said() {
    let (_folder, store) = in_a_file().await;
    sign_in(&store, "staff", "ana").await.unwrap();
    let said = |transmitter: &str, act| SecurityEvent { transmitter: transmitter.into(), ..event(subject("ana"), act) };
    for transmitter in ["hr", "mdm"] {
        store.take_event(&said(transmitter, Act::OfPeople(fact(Kind::UserRisk, "high")))).await.unwrap();
    }
    store.take_event(&said("hr", Act::Erase)).await.unwrap();
    assert_eq!(store.risks().all().count(), 1, "what the other one said stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_outdated_stay_so_until_a_renewal_that_began_later() {
    let (folder, store) = in_a_file().await;
    let held = sign_in(&store, "staff", "ana").await.unwrap();
    let tokens =
        || Tokens { id_token: String::new(), refresh_token: Some("r".to_owned()), expires: Some(now().plus(HOUR).seconds()) };
    let take = async || store.take_on_renewal(held.id, HOUR).await.unwrap().unwrap();
    let renew = async |lease| assert!(store.renew_sign_in(&held, Identity::clone(&held.claims()), tokens(), lease).await.unwrap());
    let lease = take().await;
    store.take_event(&event(subject("ana"), Act::Renew)).await.unwrap();
    store.keep_tokens(held.id, &tokens(), lease).await.unwrap();
    assert!(held.is_stale(now()), "new tokens alone are no new claims");
    renew(lease).await;
    assert!(held.is_stale(now()) && held.renewal_is_due(now()), "what the provider said is older than the event");
    held.postpone_renewal(now().plus(HOUR));
    assert!(held.is_stale(now()), "a provider that fails does not make them fresh");
    let location = format!("sqlite:{}", folder.path().join("db").display());
    let other = Store::open(&location, Handle::current()).await.unwrap();
    assert!(other.take_on_renewal(held.id, Duration::ZERO).await.unwrap().is_some());
    let lease = take().await;
    assert!(held.is_stale(now()));
    renew(lease).await;
    assert!(!held.is_stale(now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_outdated_at_once_whatever_clocks_say_and_no_event_begins_that_time_anew() {
    use sqlx::{Connection as _, Executor as _};
    let (folder, store) = in_a_file().await;
    let held = sign_in(&store, "staff", "ana").await.unwrap();
    assert!(held.outdated_for().is_none());
    let mut database = sqlx::SqliteConnection::connect(&format!("sqlite:{}", folder.path().join("db").display())).await.unwrap();
    // As a replica has written it whose clock is ahead.
    database.execute("UPDATE sign_ins SET outdated_at = (SELECT now FROM clock) + 30000").await.unwrap();
    let lease = store.take_on_renewal(held.id, HOUR).await.unwrap().unwrap();
    assert!(held.renewal_is_due(now()) && held.is_stale(now()), "it is asked for at once");
    let (since, pause) = (held.outdated_for().unwrap(), Duration::from_millis(50));
    for _ in 0..2 {
        tokio::time::sleep(pause).await;
        store.take_event(&event(subject("ana"), Act::Renew)).await.unwrap();
        assert!(held.renewal_is_due(now()));
    }
    assert!(held.outdated_for().unwrap() >= since + pause * 2);
    let tokens =
        || Tokens { id_token: String::new(), refresh_token: Some("r".to_owned()), expires: Some(now().plus(HOUR).seconds()) };
    assert!(store.renew_sign_in(&held, Identity::clone(&held.claims()), tokens(), lease).await.unwrap());
    assert!(held.outdated_for().is_some(), "it began before the events");
    let lease = store.take_on_renewal(held.id, HOUR).await.unwrap().unwrap();
    assert!(store.renew_sign_in(&held, Identity::clone(&held.claims()), tokens(), lease).await.unwrap());
    assert!(held.outdated_for().is_none() && !held.renewal_is_due(now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_is_committed_is_told_even_where_it_can_t_be_read_yet() {
    use sqlx::{Connection as _, Executor as _};
    let (folder, store) = in_a_file().await;
    let mut database = sqlx::SqliteConnection::connect(&format!("sqlite:{}", folder.path().join("db").display())).await.unwrap();
    let trigger = "CREATE TRIGGER odd AFTER INSERT ON signal_facts BEGIN UPDATE signal_facts SET observed_at = 'no time'; END";
    database.execute(trigger).await.unwrap();
    let odd = event(subject("ana"), Act::OfPeople(fact(Kind::UserRisk, "high")));
    let Taken::Done(effect) = store.take_event(&odd).await.unwrap() else { panic!("it is done") };
    assert!(effect.is_unread && effect.people.len() == 1);
    assert!(store.take_event(&odd).await.is_err(), "it is not acknowledged before it is known in memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_does_not_read_hides_no_lock_and_nobody() {
    use sqlx::{Connection as _, Executor as _};
    let (folder, store) = in_a_file().await;
    sign_in(&store, "staff", "ana").await.unwrap();
    store.take_event(&event(subject("ana"), Act::Lock(fact(Kind::Lock, "locked")))).await.unwrap();
    let location = format!("sqlite:{}", folder.path().join("db").display());
    let mut database = sqlx::SqliteConnection::connect(&location).await.unwrap();
    for statement in [
        "INSERT INTO signal_facts (transmitter, kind, name, value, reasons, observed_at)
         VALUES ('hr', 'lock', 'nobody', 'locked', '[]', 1), ('hr', 'lock', 'staff:ben', 'locked', 'odd', 1)",
        "INSERT INTO users (provider, subject, profile, first_seen, last_sign_in)
         VALUES ('staff', 'odd', '{\"email\":\"ana@corp.example\"', 1, 1)",
    ] {
        database.execute(statement).await.unwrap();
    }
    let asked = Whose::parse("user", "ana@corp.example");
    let beside = doorward::store::known(&Location::parse(&location).unwrap(), asked.as_ref()).await.unwrap();
    for known in [store.known(asked.as_ref()).await.unwrap(), beside] {
        let mut kept_out: Vec<_> = known.kept_out.iter().map(|one| one.subject.to_string()).collect();
        kept_out.sort_unstable();
        assert_eq!(kept_out, ["staff:ana", "staff:ben"], "who is named is kept out, whatever else does not read");
        assert_eq!(known.people.iter().map(|one| &*one.subject.subject).collect::<Vec<_>>(), ["ana"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_of_a_device_goes_with_it_and_with_its_certificate() {
    let (_folder, store) = in_a_file().await;
    let device = |certificate| Device {
        id: "mac-1".to_owned(),
        owner: Owner::Shared,
        fingerprint: Some(Fingerprint([certificate; 32])),
        platform: None,
        os_version: None,
        disk_encryption: None,
        screen_lock: None,
        managed: true,
        compliant: None,
        tags: Vec::new(),
        reported_at: now(),
        expires_at: None,
    };
    let compliant = || {
        let (devices, listed) = (store.devices(), Inventory::default());
        let both = Inventories { administered: &devices, listed: &listed };
        both.judged(both.by_id("mac-1").unwrap()).compliant
    };
    let (keeps, fears) = (fact(Kind::Compliance, "true"), fact(Kind::DeviceRisk, "high"));
    for replaces in [true, false] {
        store.put_device(device(1)).await.unwrap().unwrap();
        for fact in [&keeps, &fears] {
            store.take_event(&event(subject("ana"), Act::OfDevice(fact.clone()))).await.unwrap();
        }
        store.put_device(device(1)).await.unwrap().unwrap();
        assert_eq!((compliant(), store.risks().all().count()), (Some(true), 1), "the same device");
        if !replaces {
            assert!(store.remove_device("mac-1").await.unwrap());
        }
        store.put_device(device(2)).await.unwrap().unwrap();
        assert_eq!((compliant(), store.risks().all().count()), (None, 0), "replaced: {replaces}");
    }
}
