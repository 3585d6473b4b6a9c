//! Sign-ins and sessions over time: what is written down, what is removed, what ends.

mod locks;
mod revoking;

use super::*;
use crate::clock;
use crate::model::device::entry::Entry;
use crate::model::identity::{Profile, Subject};
use crate::model::risks::Whose;
use crate::model::{Identity, Lifetimes, Observed, ProviderName, Risk, RiskLevel, SignInId, Source, Timestamp, Token, TokenHash};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const LASTING: Lifetimes = Lifetimes { idle: HOUR, lifetime: HOUR };
const HOST: &str = "wiki.corp.example";

async fn store() -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("sqlite:{}", folder.path().join("db").display());
    let store = Store::open(&location, Handle::current()).await.unwrap();
    (folder, store)
}

fn hash() -> TokenHash {
    Token::random().unwrap().hash()
}

fn new_sign_in(cookie: TokenHash) -> NewSignIn {
    let subject = Subject { provider: ProviderName::parse("staff").unwrap(), subject: "ana".to_owned() };
    NewSignIn {
        cookie,
        identity: Identity { subject, profile: Profile::default(), authenticated_at: clock::now() },
        provider_sid: None,
        tokens: Tokens { id_token: String::new(), refresh_token: None, expires: None },
        ends: clock::now().plus(HOUR),
        replaces: None,
        client: Client::default(),
    }
}

/// A sign-in whose row was last written two hours ago; nobody holds it.
async fn sign_in(store: &Store) -> TokenHash {
    let cookie = hash();
    let id = store.create_sign_in(new_sign_in(cookie)).await.unwrap().unwrap().id;
    let long_ago = clock::now().millis() - 7_200_000;
    let query = sqlx::query("UPDATE sign_ins SET last_seen = $1 WHERE id = $2");
    query.bind(i64::try_from(long_ago).unwrap()).bind(id.0).execute(&store.writer()).await.unwrap();
    cookie
}

impl Store {
    /// Removes a row behind the back of whoever holds it, as another process would.
    pub async fn lose_sign_in(&self, id: SignInId) {
        sqlx::query("DELETE FROM sign_ins WHERE id = $1").bind(id.0).execute(&self.writer()).await.unwrap();
    }

    /// Has the time of whoever renews the claims run out.
    pub async fn lose_lease(&self, id: SignInId) {
        sqlx::query("UPDATE sign_ins SET renewing_until = 0 WHERE id = $1").bind(id.0).execute(&self.writer()).await.unwrap();
    }
}

async fn rows(store: &Store, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&store.readers()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_could_not_be_written_down_is_written_later() {
    let (_folder, store) = store().await;
    let cookie = sign_in(&store).await;
    let held = store.sign_in(&cookie).await.unwrap().unwrap();
    let now = clock::now();
    held.seen(now);
    sqlx::query("ALTER TABLE sign_ins RENAME TO away").execute(&store.writer()).await.unwrap();
    store.tidy(LASTING).await.unwrap_err();
    assert_eq!(held.life(now, LASTING), Life::Live, "what can't be written is not removed either");
    sqlx::query("ALTER TABLE away RENAME TO sign_ins").execute(&store.writer()).await.unwrap();
    store.write_down().await.unwrap();
    assert_eq!(rows(&store, "SELECT last_seen FROM sign_ins").await, i64::try_from(now.millis()).unwrap());
}

/// So many that were last written down at this time.
fn live(count: i64, begin: Timestamp) -> Vec<SignIn> {
    let identity = Arc::new(new_sign_in(hash()).identity);
    let sign_in = |id| SignIn::new(SignInId(id), (Arc::clone(&identity), Arc::clone(&identity)), begin, begin, begin, None);
    (0..count).map(sign_in).collect()
}

#[test]
fn what_is_in_use_all_the_time_is_written_down_once_a_minute_and_not_all_at_once() {
    let (idle, step, begin) = (2 * HOUR, Duration::from_secs(5), clock::now());
    let (live, mut before, mut writes) = (live(1200, begin), begin, Vec::new());
    for _ in 0..60 {
        let now = before.plus(step);
        live.iter().for_each(|sign_in| sign_in.seen(now));
        let due: Vec<_> = live.iter().filter(|sign_in| sign_in.unwritten((before, now), idle).is_some()).collect();
        due.iter().for_each(|sign_in| sign_in.written(now));
        writes.push(due.len());
        before = now;
    }
    assert_eq!(writes.iter().sum::<usize>(), live.len() * 5, "each of them in each of five minutes");
    assert!(writes.iter().all(|count| (80..120).contains(count)), "a twelfth of them in each twelfth of a minute: {writes:?}");
}

#[test]
fn what_comes_back_after_a_rest_is_written_down_until_it_is() {
    let (begin, second) = (clock::now(), Duration::from_secs(1));
    let now = begin.plus(HOUR / 2);
    for sign_in in live(100, begin) {
        sign_in.seen(now);
        for time in [now, now.plus(second)] {
            assert_eq!(sign_in.unwritten((time, time.plus(second)), HOUR), Some(now), "whoever has the row now");
        }
        sign_in.written(now);
        assert_eq!(sign_in.unwritten((now, now.plus(HOUR)), HOUR), None, "once is enough");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_in_use_is_not_removed_for_a_row_that_lags_behind() {
    let (_folder, store) = store().await;
    let cookie = sign_in(&store).await;
    let held = store.sign_in(&cookie).await.unwrap().unwrap();
    held.seen(clock::now());
    store.remove_expired(LASTING).await.unwrap();
    assert_eq!(rows(&store, "SELECT count(*) FROM sign_ins").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_removed_ends_for_everybody_who_holds_it() {
    let (_folder, store) = store().await;
    let cookie = sign_in(&store).await;
    let held = store.sign_in(&cookie).await.unwrap().unwrap();
    store.tidy(LASTING).await.unwrap();
    assert_eq!(rows(&store, "SELECT count(*) FROM sign_ins").await, 0);
    held.seen(clock::now());
    assert_eq!(held.life(clock::now(), LASTING), Life::Ended, "a use that comes too late revives nothing");
    assert!(store.sign_in(&cookie).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_cookies_and_codes_cost_no_write() {
    let (_folder, store) = store().await;
    let generation = store.registry.generation();
    let _busy = store.write().await.unwrap();
    let made_up = async {
        store.end_app_session(&hash(), Cause::SignedOut).await.unwrap();
        assert!(!store.take_handoff(&hash(), HOST, &hash(), &hash()).await.unwrap());
        assert!(store.sign_in(&hash()).await.unwrap().is_none());
    };
    tokio::time::timeout(Duration::from_secs(2), made_up).await.expect("the writer is not waited for");
    assert_eq!(store.registry.generation(), generation, "nobody has to read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_session_that_is_ended_ends_for_everybody_who_holds_it() {
    let (_folder, store) = store().await;
    let (code, cookie) = (hash(), hash());
    let sign_in = store.create_sign_in(new_sign_in(hash())).await.unwrap().unwrap();
    let expires = clock::now().plus(HOUR);
    let handoff = Handoff { code, sign_in: sign_in.id, host: HOST.to_owned(), binding: code, expires };
    assert!(store.create_handoff(&handoff).await.unwrap());
    assert!(store.take_handoff(&code, HOST, &code, &cookie).await.unwrap());
    let held = store.app_session(cookie, HOST).await.unwrap().unwrap();
    store.end_app_session(&cookie, Cause::SignedOut).await.unwrap();
    assert_eq!(held.life(clock::now(), LASTING), Life::Ended);
    assert!(store.app_session(cookie, HOST).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_outlive_the_sealing_key_that_they_were_made_under() {
    let (folder, first) = store().await;
    let key = StoredKey { id: "k".to_owned(), created: clock::now(), pkcs8: b"secret".to_vec().into() };
    first.keep_signing_key(&key, None).await.unwrap();
    let ring = folder.path().join("db.keys");
    let old = std::fs::read_to_string(&ring).unwrap();
    let new = "2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    for lines in [format!("{old}{new}"), new.to_owned()] {
        std::fs::write(&ring, lines).unwrap();
        let location = format!("sqlite:{}", folder.path().join("db").display());
        let store = Store::open(&location, Handle::current()).await.unwrap();
        assert_eq!(**store.signing_keys().await.unwrap()[0].pkcs8, *b"secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_ends_ends_here_soon_and_nothing_else_does() {
    let (folder, store) = store().await;
    let other = Store::open(&format!("sqlite:{}", folder.path().join("db").display()), Handle::current()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        let sign_in = store.create_sign_in(new_sign_in(hash())).await.unwrap().unwrap();
        let (code, cookie) = (hash(), hash());
        let expires = clock::now().plus(HOUR);
        let handoff = Handoff { code, sign_in: sign_in.id, host: HOST.to_owned(), binding: code, expires };
        assert!(store.create_handoff(&handoff).await.unwrap());
        assert!(store.take_handoff(&code, HOST, &code, &cookie).await.unwrap());
        held.push(store.app_session(cookie, HOST).await.unwrap().unwrap());
    }
    let following = tokio::spawn(Arc::clone(&store).follow_others());
    let life = |index: usize| (held[index].sign_in.life(clock::now(), LASTING), held[index].life(clock::now(), LASTING));
    let eventually = async |index: usize, expected| {
        for _ in 0..100 {
            if life(index) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{index} is still {:?}", life(index));
    };
    tokio::time::sleep(Duration::from_millis(600)).await;
    other.end_sign_in(held[0].sign_in.id, Cause::SignedOut).await.unwrap();
    eventually(0, (Life::Ended, Life::Ended)).await;
    other.end_app_session(&held[1].cookie, Cause::SignedOut).await.unwrap();
    eventually(1, (Life::Live, Life::Ended)).await;
    other.create_sign_in(new_sign_in(hash())).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(life(2), (Life::Live, Life::Live));
    following.abort();
}

#[tokio::test]
async fn what_another_process_did_last_is_found_out_when_it_is_gone() {
    let (folder, store) = store().await;
    let other = Store::open(&format!("sqlite:{}", folder.path().join("db").display()), Handle::current()).await.unwrap();
    let ended = store.create_sign_in(new_sign_in(hash())).await.unwrap().unwrap();
    let entry = Entry { id: "mac-1".to_owned(), owner: "shared".to_owned(), ..Entry::default() };
    other.put_device(entry.check(clock::now()).unwrap()).await.unwrap().unwrap();
    other.end_sign_in(ended.id, Cause::SignedOut).await.unwrap();
    drop(other);
    store.catch_up().await.unwrap();
    assert!(store.devices().by_id("mac-1").is_some());
    assert_eq!(ended.life(clock::now(), LASTING), Life::Ended);
}

#[tokio::test]
async fn what_another_process_says_of_devices_and_risks_is_taken_over() {
    let (folder, store) = store().await;
    let other = Store::open(&format!("sqlite:{}", folder.path().join("db").display()), Handle::current()).await.unwrap();
    let following = tokio::spawn(Arc::clone(&store).follow_others());
    let entry = Entry { id: "mac-1".to_owned(), owner: "shared".to_owned(), ..Entry::default() };
    other.put_device(entry.check(clock::now()).unwrap()).await.unwrap().unwrap();
    let risk = Arc::new(Risk { level: RiskLevel::High, reasons: Vec::new() });
    let risk = Observed { value: risk, source: Source::Administration, observed_at: clock::now(), expires_at: None };
    let whose = Whose::parse("user", "alice@corp.example").unwrap();
    other.put_risk(whose.clone(), risk).await.unwrap();
    for _ in 0..200 {
        if store.devices().by_id("mac-1").is_some() && store.risks().find(&whose).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.devices().by_id("mac-1").is_some() && store.risks().find(&whose).is_some());
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_again_does_not_put_off_the_renewal_of_the_same_tokens() {
    let (_folder, store) = store().await;
    let expires = Some(clock::now().seconds() + 100);
    let tokens = Tokens { id_token: String::new(), refresh_token: Some("r".to_owned()), expires };
    let sign_in = store.create_sign_in(NewSignIn { tokens, ..new_sign_in(hash()) }).await.unwrap().unwrap();
    let begun = clock::now();
    let due = || (0..100_000).find(|millis| sign_in.renewal_is_due(begun.plus(Duration::from_millis(*millis)))).unwrap();
    let before = due();
    tokio::time::sleep(Duration::from_millis(300)).await;
    store.look_again(&[sign_in.id]).await.unwrap();
    assert_eq!(due(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_read_before_everything_is_looked_up_is_read_again() {
    let (_folder, store) = store().await;
    let generation = store.registry.generation();
    store.catch_up().await.unwrap();
    assert_ne!(store.registry.generation(), generation, "also where nothing is held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_does_not_read_stops_nothing_else() {
    let (_folder, store) = store().await;
    let damaged = sign_in(&store).await;
    let whole = sign_in(&store).await;
    let held = [store.sign_in(&damaged).await.unwrap().unwrap(), store.sign_in(&whole).await.unwrap().unwrap()];
    let query = sqlx::query("UPDATE sign_ins SET profile = '{\"of\": 1' WHERE id = $1").bind(held[0].id.0);
    query.execute(&store.writer()).await.unwrap();
    for damage in [
        "INSERT INTO devices (id, entry) VALUES ('mac-1', '{')",
        "INSERT INTO locks (kind, name, reason, locked_at) VALUES ('planet', 'x', '', 0)",
        "INSERT INTO risks (kind, name, level, reasons, observed_at) VALUES ('user', 'a@corp.example', 'odd', '[]', 0)",
    ] {
        sqlx::query(damage).execute(&store.writer()).await.unwrap();
    }
    store.catch_up().await.unwrap();
    let lifetimes = Lifetimes { idle: HOUR * 9, lifetime: HOUR };
    assert_eq!(held[0].life(clock::now(), lifetimes), Life::Ended, "nothing is known of it any more");
    assert_eq!(held[1].life(clock::now(), lifetimes), Life::Live);
    store.read_devices(["mac-1".to_owned()].into()).await.unwrap();
    store.read_risks([Whose::parse("user", "a@corp.example").unwrap()].into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_does_that_does_not_say_so_is_found_out_while_it_is_there() {
    let (_folder, store) = store().await;
    let (first, last) = (sign_in(&store).await, sign_in(&store).await);
    let (first, last) = (store.sign_in(&first).await.unwrap().unwrap(), store.sign_in(&last).await.unwrap().unwrap());
    let (leave, gone) = tokio::sync::oneshot::channel::<()>();
    let following = tokio::spawn(Arc::clone(&store).catch_up_until(async { drop(gone.await) }));
    let ended = |sign_in: &SignIn| sign_in.life(clock::now(), Lifetimes { idle: HOUR * 9, lifetime: HOUR }) == Life::Ended;
    store.lose_sign_in(first.id).await;
    while !ended(&first) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.lose_sign_in(last.id).await;
    leave.send(()).unwrap();
    following.await.unwrap();
    assert!(ended(&last));
}
