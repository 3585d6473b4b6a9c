//! The store of several replicas: no process is needed to see what they tell each other.

use crate::postgres::Postgres;
use crate::wire::Wire;
use crate::world::eventually;
use doorward::assertion::Keys;
use doorward::clock::now;
use doorward::model::device::entry::Entry;
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Identity, Lifetimes, ProviderName, Token};
use doorward::store::{AppSession, Cause, Client, Error, Handoff, Life, Location, NewSignIn, SignIn, Store, Tokens};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Handle;

const HOUR: Duration = Duration::from_secs(3600);
const LASTING: Lifetimes = Lifetimes { idle: HOUR, lifetime: HOUR };
pub(crate) const HOST: &str = "wiki.corp.test";
pub(crate) const KEY: &str = "1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
const OTHER_KEY: &str = "1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=\n";

/// A database, and what replicas need to share it.
pub(crate) struct Shared {
    pub(crate) folder: TempDir,
    pub(crate) location: String,
}

impl Shared {
    pub(crate) async fn new() -> Option<Self> {
        let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap()?;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys"), KEY).unwrap();
        Some(Self { folder, location: server.database() })
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub(crate) async fn try_replica(&self) -> Result<Arc<Store>, Error> {
        Store::open_at(Location::parse(&self.location).unwrap().with_keys(self.keys()), Handle::current()).await
    }

    pub(crate) async fn replica(&self) -> Arc<Store> {
        self.try_replica().await.unwrap()
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
    Tokens { id_token: "the-id-token".into(), refresh_token: Some("r".into()), expires: None }
}

pub(crate) async fn sign_in(store: &Store) -> (Arc<SignIn>, Token) {
    let (new, cookie) = new_sign_in();
    (store.create_sign_in(new).await.unwrap().unwrap(), cookie)
}

/// Ana, with the group staff.
pub(crate) fn new_sign_in() -> (NewSignIn, Token) {
    let cookie = Token::random().unwrap();
    let (identity, tokens, ends) = (identity(&["staff"]), tokens(), now().plus(HOUR));
    let new =
        NewSignIn { cookie: cookie.hash(), identity, provider_sid: None, tokens, ends, replaces: None, client: Client::default() };
    (new, cookie)
}

pub(crate) async fn app_cookie(store: &Store, sign_in: &SignIn) -> Token {
    let (code, cookie) = (Token::random().unwrap().hash(), Token::random().unwrap());
    let handoff = Handoff { code, sign_in: sign_in.id, host: HOST.into(), binding: code, expires: now().plus(HOUR) };
    assert!(store.create_handoff(&handoff).await.unwrap());
    assert!(store.take_handoff(&code, HOST, &code, &cookie.hash()).await.unwrap());
    cookie
}

async fn renew(store: &Store, sign_in: &SignIn, groups: &[&str]) {
    let lease = store.take_on_renewal(sign_in.id, HOUR).await.unwrap().unwrap();
    assert!(store.renew_sign_in(sign_in, identity(groups), tokens(), lease).await.unwrap());
}

pub(crate) fn lives(session: &AppSession) -> bool {
    session.life(now(), LASTING) == Life::Live
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_ends_or_changes_is_so_at_the_others() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    let (ends, _) = sign_in(&one).await;
    let (stays, _) = sign_in(&one).await;
    let mut held = Vec::new();
    for sign_in in [&ends, &stays, &stays] {
        held.push(two.app_session(app_cookie(&one, sign_in).await.hash(), HOST).await.unwrap().unwrap());
    }
    let version = held[1].sign_in.version();
    one.end_sign_in(ends.id, Cause::SignedOut).await.unwrap();
    one.end_app_session(&held[2].cookie, Cause::SignedOut).await.unwrap();
    renew(&one, &stays, &["admins"]).await;
    let entry = Entry { id: "mac-1".to_owned(), owner: "shared".to_owned(), ..Entry::default() };
    one.put_device(entry.check(now()).unwrap()).await.unwrap().unwrap();
    eventually("the other replica knows all of it", async || {
        let ended = !lives(&held[0]) && !lives(&held[2]) && lives(&held[1]);
        let renewed = held[1].sign_in.identity().profile.groups == ["admins"] && held[1].sign_in.version() > version;
        (ended && renewed && two.devices().by_id("mac-1").is_some()).then_some(())
    })
    .await;
    assert!(one.remove_device("mac-1").await.unwrap());
    eventually("the device is forgotten", async || two.devices().by_id("mac-1").is_none().then_some(())).await;
    assert!(two.followed().applied >= 5 && two.followed().anew == 1, "{:?}", two.followed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_has_ended_is_over_here_when_it_is_ended_again() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    for round in 0..40 {
        let cookie = app_cookie(&one, &sign_in(&one).await.0).await.hash();
        let held = two.app_session(cookie, HOST).await.unwrap().unwrap();
        let first = one.end_app_session(&cookie, Cause::SignedOut);
        if round % 2 == 0 {
            first.await.unwrap();
            two.end_app_session(&cookie, Cause::SignedOut).await.unwrap();
        } else {
            let (first, ()) = tokio::join!(first, async {
                two.end_app_session(&cookie, Cause::SignedOut).await.unwrap();
                assert!(!lives(&held), "{round}: both at once");
            });
            first.unwrap();
        }
        assert!(!lives(&held), "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loads_while_another_replica_ends_it_holds_nothing_that_lives_for_long() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    for round in 0..40 {
        let (sign_in, _) = sign_in(&one).await;
        let cookie = app_cookie(&one, &sign_in).await;
        let loads: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn({
                    let (two, cookie) = (Arc::clone(&two), cookie.hash());
                    async move { two.app_session(cookie, HOST).await.unwrap() }
                })
            })
            .collect();
        one.end_sign_in(sign_in.id, Cause::SignedOut).await.unwrap();
        for load in loads {
            let Some(session) = load.await.unwrap() else { continue };
            eventually(&format!("it ends in round {round}"), async || (!lives(&session)).then_some(())).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_missing_are_made_up_for_by_looking_everything_up() {
    let Some(shared) = Shared::new().await else { return };
    let server = Postgres::shared().unwrap();
    let database = shared.location.rsplit('/').next().unwrap();
    let (one, two) = (shared.replica().await, shared.replica().await);
    let mut held = Vec::new();
    for what in
        ["INSERT INTO changes VALUES ((SELECT taken FROM change_count) + 5, 'x', '', 0)", "UPDATE change_count SET taken = 0"]
    {
        let (sign_in, _) = sign_in(&one).await;
        let session = two.app_session(app_cookie(&one, &sign_in).await.hash(), HOST).await.unwrap().unwrap();
        eventually("it has caught up", async || (!two.is_behind()).then_some(())).await;
        // Behind the back of all, and without a word in the outbox.
        server.run(database, &format!("DELETE FROM sign_ins WHERE id = {}; {what}", sign_in.id.0));
        held.push(session);
    }
    for session in &held {
        eventually("what is gone has ended", async || (!lives(session)).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_changes_have_no_gaps_whoever_writes_and_fails() {
    let Some(shared) = Shared::new().await else { return };
    let server = Postgres::shared().unwrap();
    let database = shared.location.rsplit('/').next().unwrap().to_owned();
    let stores = [shared.replica().await, shared.replica().await, shared.replica().await];
    let writing: Vec<_> = stores
        .iter()
        .flat_map(|store| std::iter::repeat_n(store, 3))
        .cloned()
        .map(|store| {
            tokio::spawn(async move {
                for round in 0..15 {
                    let (sign_in, _) = sign_in(&store).await;
                    match round % 3 {
                        0 => drop(store.end_sign_in(sign_in.id, Cause::SignedOut).await.unwrap()),
                        1 => renew(&store, &sign_in, &["x"]).await,
                        // Given up in the middle: rolled back.
                        _ => drop(
                            tokio::time::timeout(Duration::from_millis(2), store.end_sign_in(sign_in.id, Cause::SignedOut)).await,
                        ),
                    }
                }
            })
        })
        .collect();
    for writer in writing {
        writer.await.unwrap();
    }
    let gaps = "SELECT count(*), max(number), (SELECT taken FROM change_count) FROM changes";
    let row = server.run(&database, gaps);
    let numbers: Vec<&str> = row.trim().split('|').collect();
    assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2], "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_share_tables_and_keys() {
    let Some(shared) = Shared::new().await else { return };
    let opening = async || {
        let store = shared.replica().await;
        let keys = Keys::load(&store).await.unwrap();
        (store, keys.key_set())
    };
    let (one, two, three, four) = tokio::join!(opening(), opening(), opening(), opening());
    assert!([&two.1, &three.1, &four.1].iter().all(|keys| **keys == one.1), "the same keys sign and are shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_other_sealing_keys_does_not_start() {
    let Some(shared) = Shared::new().await else { return };
    drop(shared.replica().await);
    fs::write(shared.keys(), OTHER_KEY).unwrap();
    assert!(matches!(shared.try_replica().await, Err(Error::OtherKeys(1))), "another key of the same number");
    let second = OTHER_KEY.replace('1', "2");
    fs::write(shared.keys(), format!("{second}{KEY}")).unwrap();
    drop(shared.replica().await);
    fs::write(shared.keys(), format!("{KEY}{second}")).unwrap();
    drop(shared.replica().await);
    fs::write(shared.keys(), KEY).unwrap();
    assert!(matches!(shared.try_replica().await, Err(Error::OtherKeys(2))), "one that has missed the new key");
    fs::remove_file(shared.keys()).unwrap();
    assert!(matches!(shared.try_replica().await, Err(Error::Keys { .. })), "no replica makes one of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_alone_renews_claims() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    let (sign_in, _) = sign_in(&one).await;
    let lease = one.take_on_renewal(sign_in.id, HOUR).await.unwrap().unwrap();
    assert!(two.take_on_renewal(sign_in.id, HOUR).await.unwrap().is_none());
    one.give_back_renewal(sign_in.id, lease).await.unwrap();
    assert!(two.take_on_renewal(sign_in.id, Duration::ZERO).await.unwrap().unwrap().is_over());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(one.take_on_renewal(sign_in.id, HOUR).await.unwrap().is_some(), "not for ever: the other one may be gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_late_does_not_take_the_place_of_a_newer_one() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    let (sign_in, _) = sign_in(&one).await;
    // The first one is stopped while the provider answers.
    let late = one.take_on_renewal(sign_in.id, Duration::ZERO).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let lease = two.take_on_renewal(sign_in.id, HOUR).await.unwrap().unwrap();
    one.give_back_renewal(sign_in.id, late).await.unwrap();
    assert!(one.take_on_renewal(sign_in.id, HOUR).await.unwrap().is_none(), "it gives back nothing that it does not have");
    let newer = Tokens { refresh_token: Some("newer".into()), ..tokens() };
    assert!(two.renew_sign_in(&sign_in, identity(&["newer"]), newer, lease).await.unwrap());
    let refused = one.renew_sign_in(&sign_in, identity(&["older"]), tokens(), late).await;
    assert!(matches!(refused, Err(Error::Overtaken)), "{refused:?}");
    assert_eq!(one.tokens(sign_in.id).await.unwrap().unwrap().refresh_token.as_deref(), Some("newer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_at_one_replica_is_not_idle_at_another() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    let (used, _) = sign_in(&one).await;
    let held = two.app_session(app_cookie(&one, &used).await.hash(), HOST).await.unwrap().unwrap();
    let lifetimes = Lifetimes { idle: Duration::from_secs(2), ..LASTING };
    tokio::time::sleep(Duration::from_millis(2100)).await;
    used.seen(now());
    one.tidy(lifetimes).await.unwrap();
    assert_eq!(held.life(now(), lifetimes), Life::Expired);
    two.tidy(lifetimes).await.unwrap();
    assert_eq!(held.life(now(), lifetimes), Life::Live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_cut_off_knows_it_and_catches_up_before_it_says_otherwise() {
    let Some(shared) = Shared::new().await else { return };
    let server = Postgres::shared().unwrap();
    let database = shared.location.rsplit('/').next().unwrap();
    let wire = Wire::to(server.port()).await;
    let one = shared.replica().await;
    let location = Location::parse(&server.location(wire.port(), database)).unwrap().with_keys(shared.keys());
    let two = Store::open_at(location, Handle::current()).await.unwrap();
    let minute = Duration::from_secs(60);
    for cuts in [true, false] {
        let (sign_in, _) = sign_in(&one).await;
        let held = two.app_session(app_cookie(&one, &sign_in).await.hash(), HOST).await.unwrap().unwrap();
        two.come_up_to_date(minute).await.unwrap();
        if cuts {
            wire.cut()
        } else {
            wire.swallow()
        }
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(two.is_behind());
        two.come_up_to_date(minute).await.unwrap();
        assert!(two.is_behind(), "it goes on for a while, and knows that it is behind");
        assert!(two.come_up_to_date(Duration::ZERO).await.is_err(), "and not longer than it may");
        assert!(
            tokio::time::timeout(Duration::from_secs(8), two.end_sign_in(sign_in.id, Cause::SignedOut))
                .await
                .map_or(true, |done| done.is_err())
        );
        one.end_sign_in(sign_in.id, Cause::SignedOut).await.unwrap();
        wire.mend();
        let mended = Instant::now();
        eventually("it is up to date", async || (!two.is_behind()).then_some(())).await;
        assert!(!lives(&held), "what was ended meanwhile has ended once it says that it is up to date");
        assert!(mended.elapsed() < Duration::from_secs(5), "{:?}", mended.elapsed());
    }
}

/// Has somebody keep the lock under which everybody writes, until they roll back or are gone.
async fn keep_the_lock(location: &str) -> sqlx::PgConnection {
    use sqlx::Executor as _;
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(location).await.unwrap();
    connection.execute("BEGIN; SELECT pg_advisory_xact_lock(4919131752989213764)").await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_wait_in_vain_leave_nothing_behind_and_keep_nobody_from_reading() {
    use sqlx::Executor as _;
    let Some(shared) = Shared::new().await else { return };
    let store = shared.replica().await;
    let (held, _) = sign_in(&store).await;
    let cookie = app_cookie(&store, &held).await;
    let mut kept = keep_the_lock(&shared.location).await;
    let write = || {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.remove_device("none").await })
    };
    let writers: Vec<_> = (0..20).map(|_| write()).collect();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    store.come_up_to_date(Duration::ZERO).await.unwrap();
    assert!(store.app_session(cookie.hash(), HOST).await.unwrap().is_some());
    let mut failed = 0;
    for writer in writers {
        failed += usize::from(writer.await.unwrap().is_err());
    }
    assert_eq!(failed, 20, "the lock was kept for longer than anybody waits");
    kept.execute("ROLLBACK").await.unwrap();
    for _ in 0..20 {
        write().await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_somebody_was_seen_is_written_without_waiting_for_those_who_write() {
    use sqlx::Executor as _;
    let Some(shared) = Shared::new().await else { return };
    let server = Postgres::shared().unwrap();
    let database = shared.location.rsplit('/').next().unwrap();
    let store = shared.replica().await;
    let ((free, _), (taken, _)) = (sign_in(&store).await, sign_in(&store).await);
    let _kept = keep_the_lock(&shared.location).await;
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&shared.location).await.unwrap();
    other
        .execute(sqlx::AssertSqlSafe(format!("BEGIN; SELECT 1 FROM sign_ins WHERE id = {} FOR UPDATE", taken.id.0)))
        .await
        .unwrap();
    let later = now().plus(Duration::from_secs(5));
    [&free, &taken].iter().for_each(|sign_in| sign_in.seen(later));
    let written = |sign_in: &SignIn| {
        let row = server.run(database, &format!("SELECT last_seen FROM sign_ins WHERE id = {}", sign_in.id.0));
        row.trim() == later.millis().to_string()
    };
    store.write_down().await.unwrap();
    assert!(written(&free) && !written(&taken));
    other.execute("ROLLBACK").await.unwrap();
    store.write_down().await.unwrap();
    assert!(written(&taken), "what was left out is not forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_use_after_all_is_not_ended_for_being_idle() {
    use sqlx::Executor as _;
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    let (used, _) = sign_in(&one).await;
    let (idle, _) = sign_in(&one).await;
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&shared.location).await.unwrap();
    other.execute("UPDATE sign_ins SET last_seen = last_seen - 300000").await.unwrap();
    // A use that another replica is about to commit.
    let seen = format!("BEGIN; UPDATE sign_ins SET last_seen = last_seen + 300000 WHERE id = {}", used.id.0);
    other.execute(sqlx::AssertSqlSafe(seen)).await.unwrap();
    let lifetimes = Lifetimes { idle: Duration::from_secs(30), ..LASTING };
    let tidying = tokio::spawn(async move { two.tidy(lifetimes).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    other.execute("COMMIT").await.unwrap();
    tidying.await.unwrap().unwrap();
    assert!(one.tokens(used.id).await.unwrap().is_some() && one.tokens(idle.id).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_who_waits_for_the_lock_does_not_keep_the_replica_from_following() {
    use sqlx::Executor as _;
    let Some(shared) = Shared::new().await else { return };
    let server = Postgres::shared().unwrap();
    let database = shared.location.rsplit('/').next().unwrap();
    let store = shared.replica().await;
    let mut kept = keep_the_lock(&shared.location).await;
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.remove_device("none").await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Without the lock, and noted all the same.
    server.run(database, "INSERT INTO risks VALUES ('user', 'ana@corp.example', 'high', '[]', 0, NULL)");
    server.run(database, &format!("{} 'risk', 'user ana@corp.example', 0 FROM t", NOTE));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(!store.is_behind());
    assert_eq!(store.risks().all().count(), 1);
    assert!(!waiting.is_finished());
    kept.execute("ROLLBACK").await.unwrap();
    assert!(!waiting.await.unwrap().unwrap());
}

pub(crate) const NOTE: &str = "WITH t AS (UPDATE change_count SET taken = taken + 1 RETURNING taken) INSERT INTO changes (number, kind, name, made_at) SELECT taken,";

#[tokio::test(flavor = "multi_thread")]
async fn a_look_ends_however_many_changes_keep_coming() {
    use sqlx::Executor as _;
    let Some(shared) = Shared::new().await else { return };
    let store = shared.replica().await;
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&shared.location).await.unwrap();
    connection.execute("SET synchronous_commit = off").await.unwrap();
    let noting = tokio::spawn(async move {
        let note = format!("{NOTE} 'device', 'none', (SELECT now FROM clock) FROM t");
        loop {
            connection.execute(sqlx::AssertSqlSafe(note.clone())).await.unwrap();
        }
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        store.come_up_to_date(Duration::ZERO).await.unwrap();
    }
    assert!(!noting.is_finished(), "they kept coming");
    noting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_has_become_a_standby_is_not_believed() {
    let Some(server) = tokio::task::spawn_blocking(|| Postgres::start(&[])).await.unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys"), KEY).unwrap();
    let shared = Shared { folder, location: server.database() };
    let store = shared.replica().await;
    store.come_up_to_date(Duration::ZERO).await.unwrap();
    server.kill();
    server.becomes_a_standby();
    tokio::task::block_in_place(|| server.restart());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(store.come_up_to_date(Duration::ZERO).await.is_err());
    assert!(store.sign_in(&Token::random().unwrap().hash()).await.is_err(), "it may not know what has ended");
    assert!(matches!(shared.try_replica().await, Err(Error::Standby)));
}

/// Takes the lock under which everybody writes, as a replica does, and keeps it.
pub(crate) async fn hold_the_lock(location: String) {
    use sqlx::Executor as _;
    let limits = "options[idle_in_transaction_session_timeout]=2000";
    let url = format!("{location}?{limits}");
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    connection.execute("BEGIN; SELECT pg_advisory_xact_lock(4919131752989213764)").await.unwrap();
    std::future::pending::<()>().await;
}
