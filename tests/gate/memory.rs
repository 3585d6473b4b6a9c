//! What a connection remembers of the requests before never outlives what it rests on.

use crate::world::browser::Browser;
use crate::world::http2::Http2;
use crate::world::wire::{Answer, Connection, claims};
use crate::world::{ALICE, BOB, Setup, WIKI, Who, World, eventually};
use std::time::Duration;

/// The provider's tokens hold for this long.
const LIFE: Duration = Duration::from_secs(2);

/// A connection that is kept.
enum Kept {
    Http1(Box<Connection>),
    Http2(Http2),
}

impl Kept {
    async fn both(world: &World) -> [Self; 2] {
        let http1 = Connection::tls(world, WIKI).await;
        [Self::Http1(Box::new(http1)), Self::Http2(Http2::connect(world, WIKI).await)]
    }

    async fn ask(&mut self, world: &World, path: &str, cookie: &str) -> Answer {
        match self {
            Self::Http1(connection) => {
                connection.write(world.head("GET", WIKI, path, &format!("Cookie: {cookie}\r\n"))).await;
                connection.answer().await
            }
            Self::Http2(http2) => http2.ask("GET", &world.url(WIKI, path), &[("cookie", cookie)]).await.unwrap(),
        }
    }

    /// Often enough for everything to be remembered that can be.
    async fn is(&mut self, world: &World, cookie: &str, subject: &str, email: &str) {
        for _ in 0..4 {
            world.app.forget();
            assert_eq!(self.ask(world, "/x", cookie).await.status, 200, "{email}");
            let seen = world.app.only();
            assert_eq!((seen.folded("X-Doorward-User"), seen.folded("X-Remote-User")), (vec![subject], vec![email]));
            assert_eq!(claims(seen.folded("X-Doorward-Assertion")[0])["sub"], subject);
        }
    }
}

async fn signed_in(world: &World, who: Who) -> (Browser<'_>, String) {
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), who).await;
    let cookie = format!("__Host-doorward={}", browser.cookie(WIKI, "__Host-doorward").unwrap());
    (browser, cookie)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_on_one_connection_are_never_taken_for_each_other() {
    let world = World::start().await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    for mut kept in Kept::both(&world).await {
        for _ in 0..3 {
            kept.is(&world, &alice, "staff:s-alice", ALICE.0).await;
            kept.is(&world, &bob, "staff:s-bob", BOB.0).await;
        }
        let refused = kept.ask(&world, "/x", "__Host-doorward=nobody").await;
        assert_eq!((refused.status, &*refused.reason()), (401, "session_invalid"));
        kept.is(&world, &alice, "staff:s-alice", ALICE.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_groups_is_seen_on_a_connection_that_is_kept() {
    let world = World::of(Setup { token_life: LIFE, ..Setup::default() }).await;
    let alice = world.session(WIKI, ALICE).await;
    let mut all = Kept::both(&world).await;
    for kept in &mut all {
        kept.is(&world, &alice, "staff:s-alice", ALICE.0).await;
        assert_eq!(
            (kept.ask(&world, "/read/x", &alice).await.status, kept.ask(&world, "/admin/x", &alice).await.status),
            (200, 403)
        );
    }
    world.staff.idp.change(ALICE.0, |person| person.groups = vec!["admins".into()]);
    tokio::time::sleep(LIFE + Duration::from_millis(100)).await;
    for kept in &mut all {
        assert_eq!(kept.ask(&world, "/read/x", &alice).await.status, 403);
        world.app.forget();
        assert_eq!(kept.ask(&world, "/admin/x", &alice).await.status, 200);
        assert_eq!(world.app.only().folded("X-Remote-Groups"), ["admins"]);
        assert_eq!(claims(world.app.only().folded("X-Doorward-Assertion")[0])["groups"], serde_json::json!(["admins"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_seen_on_a_connection_that_is_kept() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let mut all = Kept::both(&world).await;
    for kept in &mut all {
        kept.is(&world, &alice, "staff:s-alice", ALICE.0).await;
        assert_eq!(kept.ask(&world, "/read/x", &alice).await.status, 200);
    }
    let yaml = std::fs::read_to_string(world.path("doorward.yaml")).unwrap();
    let changed = yaml.replace("X-Remote-User: email, X-Remote-Groups", "X-Other-User: email, X-Remote-Groups");
    std::fs::write(world.path("doorward.yaml"), changed.replace("groups: [engineering]", "groups: [nobody]")).unwrap();
    for kept in &mut all {
        eventually("the rule is gone", async || (kept.ask(&world, "/read/x", &alice).await.status == 403).then_some(())).await;
        world.app.forget();
        assert_eq!(kept.ask(&world, "/x", &alice).await.status, 200);
        let seen = world.app.only();
        assert_eq!((seen.folded("X-Other-User"), seen.folded("X-Remote-User")), (vec![ALICE.0], vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_is_seen_on_a_connection_that_is_kept() {
    let world = World::start().await;
    let mut all = Kept::both(&world).await;
    for kept in &mut all {
        let (mut browser, alice) = signed_in(&world, ALICE).await;
        kept.is(&world, &alice, "staff:s-alice", ALICE.0).await;
        browser.step(&world.url(WIKI, "/.doorward/logout"), None).await;
        let refused = kept.ask(&world, "/x", &alice).await;
        assert_eq!((refused.status, &*refused.reason()), (401, "session_invalid"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_lifetime_ends_sessions_on_a_connection_that_is_kept() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let mut all = Kept::both(&world).await;
    for kept in &mut all {
        kept.is(&world, &alice, "staff:s-alice", ALICE.0).await;
    }
    let yaml = std::fs::read_to_string(world.path("doorward.yaml")).unwrap();
    std::fs::write(world.path("doorward.yaml"), yaml.replace("idle: 1h, lifetime: 12h", "idle: 1s, lifetime: 1s")).unwrap();
    for kept in &mut all {
        eventually("the session is over", async || (kept.ask(&world, "/x", &alice).await.status == 401).then_some(())).await;
    }
}
