//! Taking access away is the same in SQLite and in PostgreSQL, and reaches the other replicas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "world/ports.rs"]
#[allow(dead_code)]
mod ports;
#[path = "world/postgres.rs"]
#[allow(dead_code)]
mod postgres;

use doorward::clock::now;
use doorward::model::identity::{Profile, Subject};
use doorward::model::locks::Lock;
use doorward::model::notice::Kind;
use doorward::model::risks::Whose;
use doorward::model::{Email, Fingerprint, Identity, Lifetimes, ProviderName, SignInId, Token};
use doorward::store::{
    AppSession, Barred, Cause, Client, Handoff, Life, Location, NewSignIn, Selection, Store, Subscriber, Tokens, name,
};
use postgres::Postgres;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

const HOUR: Duration = Duration::from_secs(3600);
const KEY: &str = "1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

/// Two processes with one database: this one, and where there is a server, a replica.
struct Both {
    here: Arc<Store>,
    there: Option<Arc<Store>>,
    location: String,
    _folder: TempDir,
}

async fn open(shared: bool) -> Option<Both> {
    let folder = tempfile::tempdir().unwrap();
    if !shared {
        let location = format!("sqlite:{}", folder.path().join("db").display());
        let here = Store::open(&location, Handle::current()).await.unwrap();
        return Some(Both { here, there: None, location, _folder: folder });
    }
    let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap()?;
    let location = format!("{}?sslmode=disable", server.database());
    std::fs::write(folder.path().join("keys"), KEY).unwrap();
    let keys = folder.path().join("keys");
    let replica = async || {
        let location = Location::parse(&location).unwrap().with_keys(keys.clone());
        Store::open_at(location, Handle::current()).await.unwrap()
    };
    let (here, there) = (replica().await, Some(replica().await));
    Some(Both { here, there, location, _folder: folder })
}

fn new(provider: &str, subject: &str) -> NewSignIn {
    let subject = Subject { provider: ProviderName::parse(provider).unwrap(), subject: subject.to_owned() };
    let email = Email::parse(&format!("{}@corp.example", subject.subject)).ok();
    NewSignIn {
        cookie: Token::random().unwrap().hash(),
        identity: Identity { subject, profile: Profile { email, ..Profile::default() }, authenticated_at: now() },
        provider_sid: Some("sid".to_owned()),
        tokens: Tokens { id_token: String::new(), refresh_token: None, expires: None },
        ends: now().plus(HOUR),
        replaces: None,
        client: Client { address: Some([192, 0, 2, 7].into()), agent: Some("a browser".to_owned()) },
    }
}

/// A session at a host: the objects that each process holds of it.
async fn session(both: &Both, provider: &str, subject: &str, host: &str) -> Vec<Arc<AppSession>> {
    let sign_in = both.here.create_sign_in(new(provider, subject)).await.unwrap().unwrap();
    both.here.used_with(&sign_in, Fingerprint([7; 32]), Some("mac-7"));
    let (code, cookie) = (Token::random().unwrap().hash(), Token::random().unwrap().hash());
    let handoff = Handoff { code, sign_in: sign_in.id, host: host.to_owned(), binding: code, expires: now().plus(HOUR) };
    assert!(both.here.create_handoff(&handoff).await.unwrap());
    assert!(both.here.take_handoff(&code, host, &code, &cookie).await.unwrap());
    let mut held = Vec::new();
    for store in std::iter::once(&both.here).chain(&both.there) {
        held.push(store.app_session(cookie, host).await.unwrap().unwrap());
    }
    held
}

fn life(session: &AppSession) -> Life {
    session.life(now(), Lifetimes { idle: HOUR, lifetime: HOUR })
}

async fn eventually(what: &str, check: impl Fn() -> bool) {
    for _ in 0..500 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it should have come to this: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_selection_finds_and_ends_the_same_in_both_databases_and_on_every_replica() {
    for shared in [false, true] {
        let Some(both) = open(shared).await else { continue };
        let staff = || ProviderName::parse("staff").unwrap();
        let ana = || Subject { provider: staff(), subject: "ana".to_owned() };
        let session_of_provider = |subject: Option<&str>| Selection::ProviderSession {
            provider: staff(),
            subject: subject.map(str::to_owned),
            sid: "sid".to_owned(),
        };
        let by_name = |held: &[Arc<AppSession>]| Selection::Session(name(&held[0].cookie));
        let by_number = |held: &[Arc<AppSession>]| Selection::SignIns(vec![held[0].sign_in.id]);
        type Meant<'a> = Box<dyn Fn(&[Arc<AppSession>]) -> Selection + 'a>;
        let cases: Vec<Meant<'_>> = vec![
            Box::new(by_name),
            Box::new(by_number),
            Box::new(|_| Selection::Subject(ana())),
            Box::new(|_| Selection::Email(Email::parse("ANA@corp.example").unwrap())),
            Box::new(|_| Selection::Device { id: Some("mac-7".to_owned()), fingerprint: None }),
            Box::new(|_| Selection::Device { id: None, fingerprint: Some(Fingerprint([7; 32])) }),
            Box::new(|_| Selection::Hosts(vec!["none.example".to_owned(), "wiki.example".to_owned()])),
            Box::new(|_| Selection::Provider(staff())),
            Box::new(|_| session_of_provider(None)),
            Box::new(|_| session_of_provider(Some("ana"))),
            Box::new(|_| Selection::Everything),
        ];
        for meant in cases {
            let held = session(&both, "staff", "ana", "wiki.example").await;
            let what = meant(&held);
            let found = both.here.find(&what, SignInId(-1), 9).await.unwrap();
            let found = found.iter().find(|found| found.id == held[0].sign_in.id).unwrap_or_else(|| panic!("{what:?}"));
            assert_eq!((found.address.as_deref(), found.agent.as_deref()), (Some("192.0.2.7"), Some("a browser")));
            assert_eq!((found.parts.len(), &*found.parts[0].host), (1, "wiki.example"));
            let revoked = both.here.revoke(&what, Cause::Administration.into()).await.unwrap();
            assert_eq!(revoked.sessions(), 1, "{what:?}");
            assert_eq!(life(&held[0]), Life::Ended, "{what:?}");
            eventually("the other replica knows", || held.iter().all(|held| life(held) == Life::Ended)).await;
            both.here.revoke(&Selection::Everything, Cause::Administration.into()).await.unwrap();
        }
        let other = session(&both, "partners", "ben", "pay.example").await;
        both.here.revoke(&Selection::Subject(ana()), Cause::Administration.into()).await.unwrap();
        both.here.revoke(&Selection::Hosts(Vec::new()), Cause::Administration.into()).await.unwrap();
        assert!(other.iter().all(|held| life(held) == Life::Live));
        assert_eq!(both.here.hosts().await.unwrap(), ["pay.example"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_one_replica_sets_keeps_the_person_out_at_all_of_them() {
    for shared in [false, true] {
        let Some(both) = open(shared).await else { continue };
        let held = session(&both, "staff", "ana", "wiki.example").await;
        let lock = |until| Lock { reason: "left".to_owned(), since: now(), until, fingerprints: vec![Fingerprint([7; 32])] };
        let whose = Whose::parse("user", "ana@corp.example").unwrap();
        assert_eq!(both.here.put_lock(whose.clone(), lock(None), Cause::Lock.into()).await.unwrap().sign_ins(), 1);
        let there = both.there.as_ref().unwrap_or(&both.here);
        assert_eq!(there.create_sign_in(new("partners", "ana")).await.unwrap().unwrap_err(), Barred::Locked);
        assert!(there.create_sign_in(new("staff", "ben")).await.unwrap().is_ok());
        eventually("everybody knows", || held.iter().all(|held| life(held) == Life::Ended)).await;
        eventually("it is in the table", || there.locks().find(&whose, now()).is_some()).await;
        let device = Whose::parse("device", "mac-7").unwrap();
        both.here.put_lock(device.clone(), lock(Some(now().plus(HOUR))), Cause::Lock.into()).await.unwrap();
        eventually("so is the device", || there.locks().has_device(None, Fingerprint([7; 32]), now())).await;
        for whose in [&whose, &device] {
            assert!(both.here.remove_lock(whose, Cause::Administration.into()).await.unwrap());
        }
        eventually("it is gone", || there.locks().is_empty()).await;
        assert!(there.create_sign_in(new("staff", "ana")).await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_one_process_s_at_a_time_until_it_is_told_or_too_old() {
    for shared in [false, true] {
        let Some(both) = open(shared).await else { continue };
        let there = both.there.as_ref().unwrap_or(&both.here);
        both.here.subscribe(vec![Subscriber { webhook: "w".to_owned(), kinds: vec![Kind::SessionsRevoked] }]);
        session(&both, "staff", "ana", "wiki.example").await;
        both.here.revoke(&Selection::Everything, Cause::Administration.into()).await.unwrap();
        let (one, other) = tokio::join!(both.here.due("w", 8, HOUR), there.due("w", 8, HOUR));
        let mut due: Vec<_> = one.unwrap().into_iter().chain(other.unwrap()).collect();
        assert_eq!(due.len(), 1);
        let notice = due.remove(0);
        assert!(notice.attempts == 1 && notice.body.contains("staff:ana"));
        there.postpone_notice(&notice.id, now()).await.unwrap();
        let again = there.due("w", 8, HOUR).await.unwrap();
        assert_eq!((again.len(), &again[0].id, again[0].attempts), (1, &notice.id, 2));
        assert!(there.due("other", 8, HOUR).await.unwrap().is_empty());
        assert_eq!(there.forget_old_notices(notice.created).await.unwrap(), 1);
        there.forget_notice(&notice.id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_says_how_late_it_learned_of_an_end() {
    let Some(both) = open(true).await else { return };
    let mut applied = both.there.as_ref().unwrap().applied().unwrap();
    session(&both, "staff", "ana", "wiki.example").await;
    both.here.revoke(&Selection::Everything, Cause::Administration.into()).await.unwrap();
    let applied = tokio::time::timeout(HOUR, applied.recv()).await.unwrap().unwrap();
    assert_eq!((applied.cause, applied.count, applied.lag.is_some()), (None, 0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_saw_used_with_a_device_ends_when_it_learns_of_the_lock() {
    let Some(both) = open(true).await else { return };
    let there = both.there.as_ref().unwrap();
    let sign_in = there.create_sign_in(new("staff", "ana")).await.unwrap().unwrap();
    let lock = Lock { reason: "stolen".to_owned(), since: now(), until: None, fingerprints: vec![Fingerprint([7; 32])] };
    both.here.put_lock(Whose::parse("device", "mac-7").unwrap(), lock, Cause::Lock.into()).await.unwrap();
    there.used_with(&sign_in, Fingerprint([7; 32]), None);
    eventually("it has ended", || sign_in.life(now(), Lifetimes { idle: HOUR, lifetime: HOUR }) == Life::Ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_saw_used_with_a_device_ends_with_the_sign_ins_of_the_device() {
    use sqlx::Executor as _;
    let Some(both) = open(true).await else { return };
    let (here, there) = (Arc::clone(&both.here), both.there.as_ref().unwrap());
    let (before, after) =
        (there.create_sign_in(new("staff", "ana")).await.unwrap().unwrap(), there.create_sign_in(new("staff", "bob")).await);
    let after = after.unwrap().unwrap();
    // Nobody can write for now; whoever asks first will be the first that can.
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&both.location).await.unwrap();
    other.execute("BEGIN; SELECT pg_advisory_xact_lock(4919131752989213764)").await.unwrap();
    let device = Selection::Device { id: Some("mac-7".to_owned()), fingerprint: None };
    let revoking = tokio::spawn(async move { here.revoke(&device, Cause::Administration.into()).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    there.used_with(&before, Fingerprint([7; 32]), Some("mac-7"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.execute("ROLLBACK").await.unwrap();
    revoking.await.unwrap().unwrap();
    let lifetimes = Lifetimes { idle: HOUR, lifetime: HOUR };
    eventually("it has ended", || before.life(now(), lifetimes) == Life::Ended).await;
    there.used_with(&after, Fingerprint([7; 32]), Some("mac-7"));
    there.tidy(lifetimes).await.unwrap();
    assert_eq!(after.life(now(), lifetimes), Life::Live, "what comes later is nobody's who was meant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_by_the_clock_of_the_database_whatever_that_of_a_replica_says() {
    use sqlx::Executor as _;
    let Some(both) = open(true).await else { return };
    let there = both.there.as_ref().unwrap();
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&both.location).await.unwrap();
    // As if the replicas were an hour ahead.
    let clock =
        "CREATE OR REPLACE VIEW clock AS SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) - 3600000 AS now";
    other.execute(clock).await.unwrap();
    let until = Some(now().plus(Duration::from_millis(200)));
    let lock = Lock { reason: "stolen".to_owned(), since: now(), until, fingerprints: Vec::new() };
    let device = Whose::parse("device", "mac-7").unwrap();
    both.here.put_lock(device.clone(), lock, Cause::Lock.into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let holds = |store: &Store| store.locks().find(&device, now()).is_some();
    eventually("it holds on", || holds(there)).await;
    assert!(holds(&both.here));
    for store in [&both.here, there] {
        assert!(store.locks().find(&device, now().plus(HOUR)).is_none(), "though not for ever");
    }
}
