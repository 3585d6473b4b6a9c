//! Our cookies are ours: they reach no app, no app can set them, and all other cookies pass.

use crate::world::http2::Http2;
use crate::world::{ALICE, WIKI, World};

#[tokio::test(flavor = "multi_thread")]
async fn our_cookies_stay_here_and_others_pass() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let cases = [
        (session.clone(), None),
        (format!("theme=dark; {session}; x=__Host-doorward=1"), Some("theme=dark; x=__Host-doorward=1")),
        (format!("a=1;{session};b=2"), Some("a=1; b=2")),
        (format!("{session}; __Host-doorward-sso=x; __Host-doorward-flow-abc=y; __Host-doorward-flow-landed=1; c=3"), Some("c=3")),
        (format!("{session}; __host-DOORWARD-sso=x; __HOST-doorward=z; d=4"), Some("d=4")),
        (format!("e=5; {session}; =; novalue; f=\"quoted; here\""), Some("e=5; =; novalue; f=\"quoted; here\"")),
    ];
    for (cookie, expected) in cases {
        world.app.forget();
        assert_eq!(world.get(WIKI, "/x", &format!("Cookie: {cookie}\r\n")).await.status, 200);
        assert_eq!(world.app.only().folded("cookie").first().copied(), expected, "{cookie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crumbs_of_http2_become_one_header() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    world.app.forget();
    let crumbs = [("cookie", "a=1"), ("cookie", &*session), ("cookie", "b=2; __Host-doorward-sso=x"), ("cookie", "c=3")];
    let answer = Http2::connect(&world, WIKI).await.ask("GET", &world.url(WIKI, "/x"), &crumbs).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(world.app.only().folded("cookie"), ["a=1; b=2; c=3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_can_not_set_our_cookies() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let answer = world.get(WIKI, "/cookies", &format!("Cookie: {session}\r\n")).await;
    assert_eq!(answer.all("set-cookie"), ["theme=dark; Path=/", "a=__Host-doorward"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_speaks_for_itself_and_not_for_the_connection() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let answer = world.get(WIKI, "/nominates", &format!("Cookie: {session}\r\n")).await;
    assert_eq!(answer.header("x-internal"), None);
    assert_eq!(answer.header("keep-alive"), None);
    assert_ne!(answer.header("x-request-id"), Some("the-app's-own"));
}
