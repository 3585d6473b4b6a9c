//! What is meant ends, whole and at once; nothing else does.

use super::*;
use crate::model::locks::Lock;
use crate::model::{Email, Fingerprint};
use std::collections::BTreeSet;

/// Somebody with a session at each of these hosts: the sign-in, and what holds the sessions live.
async fn somebody(store: &Arc<Store>, provider: &str, subject: &str, email: Option<&str>, hosts: &[&str]) -> Held {
    let mut new = new_sign_in(hash());
    new.identity.subject = Subject { provider: ProviderName::parse(provider).unwrap(), subject: subject.to_owned() };
    new.identity.profile.email = email.map(|email| Email::parse(email).unwrap());
    new.provider_sid = Some(format!("sid-{subject}"));
    let sign_in = store.create_sign_in(new).await.unwrap().unwrap();
    let mut sessions = Vec::new();
    for host in hosts {
        let (code, cookie) = (hash(), hash());
        let expires = clock::now().plus(HOUR);
        let handoff = Handoff { code, sign_in: sign_in.id, host: (*host).to_owned(), binding: code, expires };
        assert!(store.create_handoff(&handoff).await.unwrap());
        assert!(store.take_handoff(&code, host, &code, &cookie).await.unwrap());
        sessions.push(store.app_session(cookie, host).await.unwrap().unwrap());
    }
    Held { sign_in, sessions }
}

struct Held {
    sign_in: Arc<SignIn>,
    sessions: Vec<Arc<AppSession>>,
}

impl Held {
    /// How many of its sessions are still good.
    fn live(&self) -> usize {
        self.sessions.iter().filter(|session| session.life(clock::now(), LASTING) == Life::Live).count()
    }

    fn name(&self, index: usize) -> String {
        name(&self.sessions[index].cookie)
    }
}

fn subject(name: &str) -> Selection {
    let (provider, subject) = name.split_once(':').unwrap();
    Selection::Subject(Subject { provider: ProviderName::parse(provider).unwrap(), subject: subject.to_owned() })
}

fn email(text: &str) -> Selection {
    Selection::Email(Email::parse(text).unwrap())
}

fn hosts(hosts: &[&str]) -> Selection {
    Selection::Hosts(hosts.iter().map(|host| (*host).to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_ends_and_nothing_else_does() {
    let provider = |name: &str| ProviderName::parse(name).unwrap();
    let session = |subject: Option<&str>, sid: &str| Selection::ProviderSession {
        provider: provider("staff"),
        subject: subject.map(str::to_owned),
        sid: sid.to_owned(),
    };
    // The live sessions of ana, of ben, of ana at the other provider, and of the one without an address.
    let cases: [(Selection, [usize; 4]); 17] = [
        (subject("staff:ana"), [0, 2, 1, 1]),
        (subject("staff:AN_"), [2, 2, 1, 1]),
        (subject("staff:%"), [2, 2, 1, 1]),
        (subject("none:ana"), [2, 2, 1, 1]),
        (email("ANA@corp.example"), [0, 2, 0, 1]),
        (email("an%@corp.example"), [2, 2, 1, 1]),
        (hosts(&["wiki.corp.example"]), [1, 1, 0, 0]),
        (hosts(&["pay.corp.example", "wiki.corp.example"]), [0, 0, 0, 0]),
        (hosts(&["%.corp.example"]), [2, 2, 1, 1]),
        (hosts(&[]), [2, 2, 1, 1]),
        (Selection::Provider(provider("partners")), [2, 2, 0, 1]),
        (session(None, "sid-ana"), [0, 2, 1, 1]),
        (session(Some("ben"), "sid-ana"), [2, 2, 1, 1]),
        (session(Some("ben"), "sid-ben"), [2, 0, 1, 1]),
        (Selection::SignIns(Vec::new()), [2, 2, 1, 1]),
        (Selection::Session(String::new()), [2, 2, 1, 1]),
        (Selection::Everything, [0, 0, 0, 0]),
    ];
    for (selection, expected) in cases {
        let (_folder, store) = store().await;
        let both = ["wiki.corp.example", "pay.corp.example"];
        let all = [
            somebody(&store, "staff", "ana", Some("ana@corp.example"), &both).await,
            somebody(&store, "staff", "ben", Some("ben@corp.example"), &both).await,
            somebody(&store, "partners", "ana", Some("Ana@corp.example"), &both[..1]).await,
            somebody(&store, "staff", "nobody", None, &both[..1]).await,
        ];
        let revoked = store.revoke(&selection, Cause::Administration.into()).await.unwrap();
        assert_eq!(all.each_ref().map(Held::live), expected, "{selection:?}");
        let ended = 6 - expected.iter().sum::<usize>();
        assert_eq!((revoked.sessions(), revoked.is_empty()), (ended, ended == 0), "{selection:?}");
        // What the process knows is what a process that starts now finds.
        for (held, live) in all.iter().zip(expected) {
            let mut there = 0;
            for session in &held.sessions {
                there += usize::from(store.app_session(session.cookie, &session.host).await.unwrap().is_some());
            }
            assert_eq!(there, live, "{selection:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_found_by_what_audit_shows_of_it_and_ends_alone() {
    let (_folder, store) = store().await;
    let ana = somebody(&store, "staff", "ana", None, &["wiki.corp.example", "pay.corp.example"]).await;
    let selection = Selection::Session(ana.name(0));
    let found = store.find(&selection, SignInId(-1), 10).await.unwrap();
    assert_eq!((found.len(), found[0].id, found[0].parts.len()), (1, ana.sign_in.id, 2));
    let revoked = store.revoke(&selection, Cause::Administration.into()).await.unwrap();
    assert_eq!((revoked.sign_ins(), revoked.sessions(), &*revoked.found[0].parts[0].host), (0, 1, "wiki.corp.example"));
    assert_eq!((ana.live(), ana.sign_in.life(clock::now(), LASTING)), (1, Life::Live));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_gone_with_the_sign_in_and_with_the_host_that_it_was_for() {
    for (selection, survives) in [
        (subject("staff:ana"), false),
        (hosts(&["wiki.corp.example"]), false),
        (hosts(&["pay.corp.example"]), true),
        (subject("staff:ben"), true),
    ] {
        let (_folder, store) = store().await;
        let ana = somebody(&store, "staff", "ana", None, &[]).await;
        let (code, expires) = (hash(), clock::now().plus(HOUR));
        let handoff = Handoff { code, sign_in: ana.sign_in.id, host: "wiki.corp.example".to_owned(), binding: code, expires };
        assert!(store.create_handoff(&handoff).await.unwrap());
        store.revoke(&selection, Cause::Administration.into()).await.unwrap();
        let taken = store.take_handoff(&code, "wiki.corp.example", &code, &hash()).await.unwrap();
        assert_eq!(taken, survives, "{selection:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_ins_of_a_device_are_those_that_were_used_with_it() {
    let (folder, store) = store().await;
    let [ana, ben, cleo] = ["ana", "ben", "cleo"];
    let ana = somebody(&store, "staff", ana, None, &["wiki.corp.example"]).await;
    let ben = somebody(&store, "staff", ben, None, &["wiki.corp.example"]).await;
    let cleo = somebody(&store, "staff", cleo, None, &["wiki.corp.example"]).await;
    let (one, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    store.used_with(&ana.sign_in, one, Some("mac-1"));
    store.used_with(&ben.sign_in, other, None);
    let nothing = Selection::Device { id: None, fingerprint: None };
    assert!(store.revoke(&nothing, Cause::Lock.into()).await.unwrap().is_empty());
    let device = |id: Option<&str>, fingerprint| Selection::Device { id: id.map(str::to_owned), fingerprint };
    assert_eq!(store.find(&device(Some("mac-1"), None), SignInId(-1), 9).await.unwrap().len(), 1);
    store.revoke(&device(Some("mac-1"), None), Cause::Lock.into()).await.unwrap();
    assert_eq!([&ana, &ben, &cleo].map(Held::live), [0, 1, 1]);
    // What was written down outlives the process.
    drop(store);
    let store = Store::open(&format!("sqlite:{}", folder.path().join("db").display()), Handle::current()).await.unwrap();
    let revoked = store.revoke(&device(None, Some(other)), Cause::Lock.into()).await.unwrap();
    assert_eq!(revoked.found[0].subject.subject, "ben");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_in_pages_none_twice_and_none_left_out() {
    let (_folder, store) = store().await;
    let mut all = BTreeSet::new();
    for number in 0..7 {
        all.insert(somebody(&store, "staff", &number.to_string(), None, &["a.example", "b.example"]).await.sign_in.id);
    }
    let (mut seen, mut after) = (Vec::new(), SignInId(-1));
    loop {
        let page = store.find(&Selection::Everything, after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        assert!(page.len() <= 3 && page.iter().all(|found| found.parts.len() == 2));
        seen.extend(page.iter().map(|found| found.id));
    }
    assert_eq!(seen, all.into_iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_older_version_are_found_by_address_and_by_name() {
    let (_folder, store) = store().await;
    let ana = somebody(&store, "staff", "ana", Some("ana@corp.example"), &["wiki.corp.example"]).await;
    let ben = somebody(&store, "staff", "ben", None, &["wiki.corp.example"]).await;
    for query in ["UPDATE sign_ins SET email = NULL", "UPDATE app_sessions SET name = NULL"] {
        sqlx::query(query).execute(&store.writer()).await.unwrap();
    }
    store.revoke(&Selection::Session(ben.name(0)), Cause::Administration.into()).await.unwrap();
    assert_eq!((ana.live(), ben.live()), (1, 0));
    sqlx::query("UPDATE sign_ins SET email = NULL").execute(&store.writer()).await.unwrap();
    assert_eq!(store.revoke(&email("ana@corp.example"), Cause::Administration.into()).await.unwrap().sign_ins(), 1);
    assert_eq!(ana.live(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_has_ended_where_the_rows_could_not_be_removed() {
    let (_folder, store) = store().await;
    let ana = somebody(&store, "staff", "ana", None, &["wiki.corp.example"]).await;
    let refuse = "CREATE TRIGGER refuse BEFORE DELETE ON sign_ins BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::query(refuse).execute(&store.writer()).await.unwrap();
    store.revoke(&Selection::Everything, Cause::Administration.into()).await.unwrap_err();
    assert_eq!(ana.live(), 1);
    let mut applied = store.applied().unwrap();
    assert!(applied.try_recv().is_err(), "nothing is counted either");
    sqlx::query("DROP TRIGGER refuse").execute(&store.writer()).await.unwrap();
    store.revoke(&Selection::Everything, Cause::Administration.into()).await.unwrap();
    assert_eq!((ana.live(), applied.try_recv().unwrap().count), (0, 1));
}

/// Waits until something is so.
async fn eventually(what: &str, check: impl AsyncFn() -> bool) {
    for _ in 0..500 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it should have come to this: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_of_a_device_is_written_down_at_once() {
    let (_folder, store) = store().await;
    let ana = somebody(&store, "staff", "ana", None, &[]).await;
    store.used_with(&ana.sign_in, Fingerprint([1; 32]), Some("mac-1"));
    let written = async || rows(&store, "SELECT count(*) FROM sign_in_devices WHERE device = 'mac-1'").await == 1;
    eventually("it is written down", written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_is_written_down_after_the_lock_ends_the_sign_in() {
    let (_folder, store) = store().await;
    let lock =
        |fingerprint| Lock { reason: "stolen".to_owned(), since: clock::now(), until: None, fingerprints: vec![fingerprint] };
    let [one, other, another] = [1, 2, 3].map(|byte| Fingerprint([byte; 32]));
    let device = Whose::Device("mac-1".to_owned());
    for fingerprint in [one, other] {
        store.put_lock(device.clone(), lock(fingerprint), Cause::Lock.into()).await.unwrap();
    }
    let mut all = Vec::new();
    for (fingerprint, name) in [(one, None), (other, None), (another, Some("mac-1")), (another, Some("mac-2")), (another, None)] {
        let held = somebody(&store, "staff", &all.len().to_string(), None, &["wiki.corp.example"]).await;
        store.used_with(&held.sign_in, fingerprint, name);
        all.push(held);
    }
    store.tidy(LASTING).await.unwrap();
    assert_eq!(all.iter().map(Held::live).collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
    assert_eq!(rows(&store, "SELECT count(*) FROM sign_ins").await, 2);
    assert_eq!(rows(&store, "SELECT count(*) FROM sign_in_devices WHERE device IS NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_sign_ins_all_end_and_some_are_named() {
    let many = [
        "INSERT INTO users (id, provider, subject, profile, first_seen, last_sign_in) VALUES (1, 'staff', 'ana', '{}', 0, 0)",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4500)
         INSERT INTO sign_ins (id, cookie, user_id, profile, authenticated_at, created_at, last_seen, ends_at, email)
         SELECT i, CAST('c' || i AS BLOB), 1, '{}', 0, 0, 0, 0, '' FROM n",
        "INSERT INTO app_sessions (cookie, sign_in, host, created_at, name)
         SELECT randomblob(32), id, 'wiki.corp.example', 0, 'n' || id FROM sign_ins",
    ];
    for (what, sign_ins) in [(Selection::Everything, 4500), (subject("staff:ana"), 4500), (hosts(&["wiki.corp.example"]), 0)] {
        let (_folder, store) = store().await;
        for query in many {
            sqlx::query(query).execute(&store.writer()).await.unwrap();
        }
        let revoked = store.revoke(&what, Cause::Administration.into()).await.unwrap();
        assert_eq!((revoked.sign_ins(), revoked.sessions(), revoked.found.len()), (sign_ins, 4500, 101), "{what:?}");
        assert_eq!(rows(&store, "SELECT count(*) FROM app_sessions").await, 0);
        assert_eq!(rows(&store, "SELECT count(*) FROM sign_ins").await, i64::try_from(4500 - sign_ins).unwrap());
    }
}
