//! What outlives the process, and what must not: sign-ins that have ended, codes that were used, anything readable.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "world/ports.rs"]
#[allow(dead_code)]
mod ports;
#[path = "world/postgres.rs"]
#[allow(dead_code)]
mod postgres;

use doorward::clock::now;
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Identity, Lifetimes, ProviderName, Timestamp, Token};
use doorward::store::{AppSession, Cause, Client, Handoff, Life, Location, NewSignIn, SignIn, Store, StoredKey, Tokens};
use postgres::Postgres;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

const HOUR: Duration = Duration::from_secs(3600);
const LASTING: Lifetimes = Lifetimes { idle: HOUR, lifetime: HOUR };
const HOST: &str = "wiki.corp.test";

struct Bench {
    folder: TempDir,
    location: Location,
    store: Arc<Store>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = sqlite(&folder);
        let store = Store::open_at(location.clone(), Handle::current()).await.unwrap();
        Self { folder, location, store }
    }

    /// One with SQLite, and one with PostgreSQL where that is installed.
    async fn of_each_database() -> Vec<Self> {
        let mut benches = vec![Self::new().await];
        if let Some(server) = tokio::task::spawn_blocking(Postgres::shared).await.unwrap() {
            let folder = tempfile::tempdir().unwrap();
            let keys = folder.path().join("keys");
            fs::write(&keys, "1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
            let location = Location::parse(&server.database()).unwrap().with_keys(keys);
            let store = Store::open_at(location.clone(), Handle::current()).await.unwrap();
            benches.push(Self { folder, location, store });
        }
        benches
    }

    /// The same database by another process.
    async fn again(&self) -> Arc<Store> {
        Store::open_at(self.location.clone(), Handle::current()).await.unwrap()
    }

    /// A sign-in and its cookie.
    async fn sign_in(&self) -> (Arc<SignIn>, Token) {
        let cookie = Token::random().unwrap();
        (self.store.create_sign_in(new_sign_in(&cookie)).await.unwrap().unwrap(), cookie)
    }

    async fn handoff(&self, sign_in: &SignIn, expires: Timestamp) -> (Token, Token) {
        let (code, flow) = (Token::random().unwrap(), Token::random().unwrap());
        let handoff = Handoff { code: code.hash(), sign_in: sign_in.id, host: HOST.into(), binding: flow.hash(), expires };
        assert!(self.store.create_handoff(&handoff).await.unwrap());
        (code, flow)
    }

    async fn take(&self, code: &Token, host: &str, flow: &Token) -> Option<Token> {
        let cookie = Token::random().unwrap();
        self.store.take_handoff(&code.hash(), host, &flow.hash(), &cookie.hash()).await.unwrap().then_some(cookie)
    }

    /// The cookie of a new app session of this sign-in.
    async fn app_cookie(&self, sign_in: &SignIn) -> Token {
        let (code, flow) = self.handoff(sign_in, now().plus(HOUR)).await;
        self.take(&code, HOST, &flow).await.unwrap()
    }

    async fn app_session(&self, cookie: &Token) -> Option<Arc<AppSession>> {
        self.store.app_session(cookie.hash(), HOST).await.unwrap()
    }

    /// Every byte of the database, the write-ahead log included.
    fn bytes(&self) -> Vec<u8> {
        let files = ["store.db", "store.db-wal"].map(|name| fs::read(self.folder.path().join(name)).unwrap_or_default());
        files.concat()
    }
}

fn sqlite(folder: &TempDir) -> Location {
    Location::parse(&format!("sqlite:{}", folder.path().join("store.db").display())).unwrap()
}

async fn open(folder: &TempDir) -> Arc<Store> {
    Store::open_at(sqlite(folder), Handle::current()).await.unwrap()
}

fn new_sign_in(cookie: &Token) -> NewSignIn {
    NewSignIn {
        cookie: cookie.hash(),
        identity: identity(&["staff"]),
        provider_sid: None,
        tokens: tokens(),
        ends: now().plus(HOUR),
        replaces: None,
        client: Client::default(),
    }
}

fn identity(groups: &[&str]) -> Identity {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Identity {
        subject: Subject { provider: ProviderName::parse("staff").unwrap(), subject: "ana".into() },
        profile: Profile { groups, ..Profile::default() },
        authenticated_at: now(),
    }
}

fn tokens() -> Tokens {
    Tokens { id_token: "the-id-token".into(), refresh_token: Some("the-refresh-token".into()), expires: None }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_has_ended_is_over_for_every_holder_at_once() {
    for bench in Bench::of_each_database().await {
        let (sign_in, cookie) = bench.sign_in().await;
        let sessions = [bench.app_cookie(&sign_in).await, bench.app_cookie(&sign_in).await];
        let mut held = Vec::new();
        for session in &sessions {
            held.push(bench.app_session(session).await.unwrap());
            held.push(bench.app_session(session).await.unwrap());
        }
        assert!(Arc::ptr_eq(&held[0], &held[1]) && Arc::ptr_eq(&held[0].sign_in, &held[2].sign_in), "there is one object of each");
        let lease = bench.store.take_on_renewal(sign_in.id, HOUR).await.unwrap().unwrap();
        let ended = bench.store.end_sign_in(sign_in.id, Cause::SignedOut).await.unwrap().unwrap();
        assert_eq!((ended.id_token.as_str(), ended.provider.as_str()), ("the-id-token", "staff"));
        assert!(held.iter().all(|session| session.life(now(), LASTING) == Life::Ended));
        assert_eq!(sign_in.life(now(), LASTING), Life::Ended);
        assert!(bench.store.sign_in(&cookie.hash()).await.unwrap().is_none());
        assert!(bench.app_session(&sessions[0]).await.is_none(), "its app sessions go with it");
        assert!(bench.store.tokens(sign_in.id).await.unwrap().is_none());
        assert!(bench.store.end_sign_in(sign_in.id, Cause::SignedOut).await.unwrap().is_none(), "once");
        let renewed = bench.store.renew_sign_in(&sign_in, identity(&["admins"]), tokens(), lease).await.unwrap();
        assert!(!renewed, "nothing brings it back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_app_session_ends_alone() {
    for bench in Bench::of_each_database().await {
        let (sign_in, _) = bench.sign_in().await;
        let [gone, stays] = [bench.app_cookie(&sign_in).await, bench.app_cookie(&sign_in).await];
        let (held, other) = (bench.app_session(&gone).await.unwrap(), bench.app_session(&stays).await.unwrap());
        bench.store.end_app_session(&gone.hash(), Cause::SignedOut).await.unwrap();
        assert_eq!((held.life(now(), LASTING), other.life(now(), LASTING)), (Life::Ended, Life::Live));
        assert!(bench.app_session(&gone).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loads_while_a_sign_in_ends_holds_nothing_that_lives() {
    for bench in Bench::of_each_database().await {
        let bench = Arc::new(bench);
        for _ in 0..60 {
            let (sign_in, cookie) = bench.sign_in().await;
            let (session, id) = (bench.app_cookie(&sign_in).await, sign_in.id);
            drop(sign_in);
            let loads = (0..6).map(|index| {
                let (bench, session, cookie) = (Arc::clone(&bench), session.clone(), cookie.clone());
                tokio::spawn(async move {
                    for _ in 0..index {
                        tokio::task::yield_now().await;
                    }
                    let sign_in = bench.store.sign_in(&cookie.hash()).await.unwrap();
                    (bench.app_session(&session).await, sign_in)
                })
            });
            let loads: Vec<_> = loads.collect();
            let ending = {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move { bench.store.end_sign_in(id, Cause::SignedOut).await.unwrap() })
            };
            ending.await.unwrap();
            for load in loads {
                let (session, sign_in) = load.await.unwrap();
                assert!(session.is_none_or(|session| session.life(now(), LASTING) == Life::Ended));
                assert!(sign_in.is_none_or(|sign_in| sign_in.life(now(), LASTING) == Life::Ended));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sign_in_ends_the_one_that_it_replaces() {
    for bench in Bench::of_each_database().await {
        let (old, cookie) = bench.sign_in().await;
        let new = NewSignIn { replaces: Some(old.id), ..new_sign_in(&Token::random().unwrap()) };
        let new = bench.store.create_sign_in(new).await.unwrap().unwrap();
        assert_eq!((old.life(now(), LASTING), new.life(now(), LASTING)), (Life::Ended, Life::Live));
        assert!(bench.store.sign_in(&cookie.hash()).await.unwrap().is_none());
        assert_ne!(old.id, new.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_is_taken_once_by_the_right_browser_at_the_right_host_in_time() {
    for bench in Bench::of_each_database().await {
        let (sign_in, _) = bench.sign_in().await;
        let (later, stranger) = (now().plus(HOUR), Token::random().unwrap());
        let (code, flow) = bench.handoff(&sign_in, later).await;
        assert!(bench.take(&stranger, HOST, &flow).await.is_none(), "another code");
        let session = bench.take(&code, HOST, &flow).await.unwrap();
        assert!(bench.take(&code, HOST, &flow).await.is_none(), "a second time");
        assert!(bench.app_session(&session).await.is_some());
        let elsewhere = bench.store.app_session(session.hash(), "payroll.corp.test").await.unwrap();
        assert!(elsewhere.is_none(), "a session belongs to its host");
        for (host, right_flow, expires, what) in [
            ("payroll.corp.test", true, later, "another host"),
            ("WIKI.corp.test", true, later, "another spelling of the host"),
            (HOST, false, later, "another browser"),
            (HOST, true, now(), "too late"),
            (HOST, true, Timestamp::from_millis(1), "far too late"),
        ] {
            let (code, flow) = bench.handoff(&sign_in, expires).await;
            assert!(bench.take(&code, host, if right_flow { &flow } else { &stranger }).await.is_none(), "{what}");
            assert!(bench.take(&code, HOST, &flow).await.is_none(), "a code that was tried is gone: {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_take_one_handoff_one_gets_it() {
    for bench in Bench::of_each_database().await {
        let bench = Arc::new(bench);
        let (sign_in, _) = bench.sign_in().await;
        let (code, flow) = bench.handoff(&sign_in, now().plus(HOUR)).await;
        let takers = (0..12).map(|_| {
            let (bench, code, flow) = (Arc::clone(&bench), code.clone(), flow.clone());
            tokio::spawn(async move { bench.take(&code, HOST, &flow).await.is_some() })
        });
        let takers: Vec<_> = takers.collect();
        let mut taken = 0;
        for taker in takers {
            taken += usize::from(taker.await.unwrap());
        }
        assert_eq!(taken, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_ends_with_its_sign_in() {
    for bench in Bench::of_each_database().await {
        let (sign_in, _) = bench.sign_in().await;
        let (code, flow) = bench.handoff(&sign_in, now().plus(HOUR)).await;
        bench.store.end_sign_in(sign_in.id, Cause::SignedOut).await.unwrap();
        assert!(bench.take(&code, HOST, &flow).await.is_none());
        let handoff =
            Handoff { code: code.hash(), sign_in: sign_in.id, host: HOST.into(), binding: flow.hash(), expires: now().plus(HOUR) };
        assert!(!bench.store.create_handoff(&handoff).await.unwrap(), "none is made for what has ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_files_lets_anybody_in() {
    let bench = Bench::new().await;
    let (sign_in, cookie) = bench.sign_in().await;
    let (code, flow) = bench.handoff(&sign_in, now().plus(HOUR)).await;
    let session = bench.app_cookie(&sign_in).await;
    let key = StoredKey { id: "a-key".into(), created: now(), pkcs8: b"the-private-key".to_vec().into() };
    bench.store.keep_signing_key(&key, None).await.unwrap();
    let bytes = bench.bytes();
    assert!(contains(&bytes, HOST) && contains(&bytes, "a-key"), "this is the database");
    for token in [&cookie, &code, &flow, &session] {
        assert!(!contains(&bytes, token.reveal()));
    }
    for secret in ["the-id-token", "the-refresh-token", "the-private-key"] {
        assert!(!contains(&bytes, secret), "{secret}");
    }
    assert_eq!(bench.store.tokens(sign_in.id).await.unwrap().unwrap().refresh_token.as_deref(), Some("the-refresh-token"));
    assert_eq!(bench.store.signing_keys().await.unwrap()[0].pkcs8.as_slice(), b"the-private-key");
    for file in fs::read_dir(bench.folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_tokens_open_with_their_key_alone() {
    let bench = Bench::new().await;
    let (sign_in, cookie) = bench.sign_in().await;
    fs::remove_file(bench.folder.path().join("store.db.keys")).unwrap();
    let robbed = open(&bench.folder).await;
    assert!(robbed.tokens(sign_in.id).await.is_err());
    assert!(robbed.sign_in(&cookie.hash()).await.unwrap().is_none(), "nobody is signed in, and can sign in again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let bench = Bench::new().await;
    let (ends, stays) = (bench.sign_in().await, bench.sign_in().await);
    let (gone, kept) = (bench.app_cookie(&ends.0).await, bench.app_cookie(&stays.0).await);
    bench.store.end_sign_in(ends.0.id, Cause::SignedOut).await.unwrap();
    // The files as they are at this moment, which is all that a crash leaves.
    let after = tempfile::tempdir().unwrap();
    for name in ["store.db", "store.db-wal", "store.db.keys"] {
        fs::copy(bench.folder.path().join(name), after.path().join(name)).unwrap();
    }
    let store = open(&after).await;
    assert!(store.sign_in(&ends.1.hash()).await.unwrap().is_none());
    assert!(store.app_session(gone.hash(), HOST).await.unwrap().is_none());
    let session = store.app_session(kept.hash(), HOST).await.unwrap().unwrap();
    assert_eq!(session.life(now(), LASTING), Life::Live);
    assert_eq!(session.sign_in.identity().profile.groups, ["staff"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_claims_are_seen_by_every_holder_and_written_down() {
    for bench in Bench::of_each_database().await {
        let (sign_in, _) = bench.sign_in().await;
        let cookie = bench.app_cookie(&sign_in).await;
        let held = bench.app_session(&cookie).await.unwrap();
        let lease = bench.store.take_on_renewal(sign_in.id, HOUR).await.unwrap().unwrap();
        assert!(bench.store.renew_sign_in(&sign_in, identity(&["admins"]), tokens(), lease).await.unwrap());
        assert_eq!(held.sign_in.identity().profile.groups, ["admins"]);
        let again = bench.again().await;
        let session = again.app_session(cookie.hash(), HOST).await.unwrap().unwrap();
        assert_eq!(session.sign_in.identity().profile.groups, ["admins"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_removed_and_what_is_used_stays() {
    let bench = Bench::new().await;
    let over = NewSignIn { ends: now(), ..new_sign_in(&Token::random().unwrap()) };
    let over = bench.store.create_sign_in(over).await.unwrap().unwrap();
    assert_eq!(over.life(now(), LASTING), Life::Expired);
    let ((idle, _), (used, _)) = (bench.sign_in().await, bench.sign_in().await);
    let (code, flow) = bench.handoff(&used, Timestamp::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    used.seen(now());
    let lifetimes = Lifetimes { idle: Duration::from_secs(1), ..LASTING };
    bench.store.tidy(lifetimes).await.unwrap();
    assert!(bench.store.tokens(over.id).await.unwrap().is_none(), "past its end");
    assert!(bench.store.tokens(idle.id).await.unwrap().is_none(), "idle for too long");
    assert!(bench.store.tokens(used.id).await.unwrap().is_some());
    assert!(bench.take(&code, HOST, &flow).await.is_none());
    assert_eq!(used.life(now(), lifetimes), Life::Live);
    // Whatever it was when the person signed in.
    let shortened = Lifetimes { lifetime: Duration::from_secs(1), ..LASTING };
    assert_eq!(used.life(now(), shortened), Life::Expired);
    bench.store.tidy(shortened).await.unwrap();
    assert!(bench.store.tokens(used.id).await.unwrap().is_none(), "past a lifetime that was shortened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_is_not_known_is_refused() {
    for location in ["", "sqlite:", "postgres://x", "store.db", "sqlite:/nowhere/at/all/store.db"] {
        assert!(Store::open(location, Handle::current()).await.is_err(), "{location}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_key_file_is_an_error_and_not_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).await);
    for text in ["", "1", "1 short", "x AAAA", "1 !!!"] {
        fs::write(folder.path().join("store.db.keys"), text).unwrap();
        let location = format!("sqlite:{}", folder.path().join("store.db").display());
        assert!(Store::open(&location, Handle::current()).await.is_err(), "{text:?}");
        assert_eq!(fs::read_to_string(folder.path().join("store.db.keys")).unwrap(), text);
    }
}
