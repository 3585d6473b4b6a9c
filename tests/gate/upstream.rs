//! Apps that fail: the client gets an answer of ours, and no request is ever sent twice that an app may have seen.

use crate::world::wire::Connection;
use crate::world::{ALICE, ROUGH, WIKI, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_is_a_502_that_says_so() {
    let world = World::start().await;
    for (path, reason) in [
        ("/nowhere/x", "upstream_unreachable"),
        ("/garbage", "upstream_failed"),
        ("/hang-up", "upstream_failed"),
        ("/half-a-head", "upstream_failed"),
        ("/two-lengths", "upstream_failed"),
        ("/switch", "upstream_failed"),
    ] {
        let answer = world.get(ROUGH, path, "").await;
        assert_eq!((answer.status, &*answer.reason()), (502, reason), "{path}");
        assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
        assert!(!answer.text().contains("127.0.0.1"), "where the app is, is nobody's business: {}", answer.text());
    }
    let page = world.get(ROUGH, "/garbage", "Accept: text/html\r\n").await;
    assert!(page.status == 502 && page.text().starts_with("<!doctype html>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_an_app_are_used_again_by_whoever_comes_next() {
    let world = World::start().await;
    let mut connection = Connection::tls(&world, ROUGH).await;
    for served in ["1", "2", "3"] {
        connection.write(world.head("GET", ROUGH, "/fine", "")).await;
        assert_eq!(connection.answer().await.header("x-served"), Some(served));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_app_has_closed_costs_nobody_an_answer() {
    let world = World::start().await;
    let mut connection = Connection::tls(&world, ROUGH).await;
    for _ in 0..10 {
        connection.write(world.head("POST", ROUGH, "/fine-then-close", "Content-Length: 0\r\n")).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.header("x-served")), (200, Some("1")));
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_an_app_may_have_seen_is_not_sent_again() {
    let world = World::start().await;
    let mut connection = Connection::tls(&world, ROUGH).await;
    for (method, path, status) in
        [("GET", "/fine", 200), ("GET", "/only-once", 502), ("GET", "/fine", 200), ("POST", "/only-once", 502)]
    {
        connection.write(world.head(method, ROUGH, path, "Content-Length: 0\r\n")).await;
        assert_eq!(connection.answer().await.status, status, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_broken_off_spoils_no_other() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    for _ in 0..5 {
        let mut connection = Connection::tls(&world, WIKI).await;
        connection.write(world.head("GET", WIKI, "/endless", &format!("Cookie: {session}\r\n"))).await;
        connection.head().await;
        drop(connection);
        let answer = world.get(WIKI, "/next", &format!("Cookie: {session}\r\n")).await;
        assert_eq!(answer.text(), "you asked for /next\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_in_the_middle_of_an_upload_gets_to_read_why() {
    let world = World::start().await;
    let part = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
    for (host, path, status, reason) in [
        (WIKI, "/x", 401, "not_signed_in"),
        (ROUGH, "/nowhere/x", 502, "upstream_unreachable"),
        (ROUGH, "/garbage", 502, "upstream_failed"),
    ] {
        for lines in ["Content-Length: 8000000\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut connection = Connection::tls(&world, host).await;
            connection.write(world.head("POST", host, path, lines)).await;
            // More than any buffer between here and there takes: it only goes through if somebody reads it.
            for number in 0..79 {
                assert!(connection.wrote(&part).await, "{path}: part {number}");
            }
            let answer = connection.answer().await;
            assert_eq!((answer.status, &*answer.reason()), (status, reason));
        }
    }
}
