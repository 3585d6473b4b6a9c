//! What is sent a second time, and what never is.

use crate::world::http2::Http2;
use crate::world::scripted::{Link, Scripted, more_than_a_second};
use crate::world::{Setup, WIKI, World};
use bytes::Bytes;
use http::{Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

async fn world(app: &Scripted, scheme: &str) -> World {
    World::of(Setup { apps: app.app(WIKI, scheme, "    timeouts: { connect: 2s, first_byte: 5s }\n"), ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rested_and_then_breaks_costs_no_idempotent_request_an_answer() {
    let app = Scripted::start(async |mut link: Link| {
        link.head().await;
        link.answer().await;
        // The second request is seen, and not answered.
        link.head().await;
    })
    .await;
    let world = world(&app, "http").await;
    let mut client = Http2::connect(&world, WIKI).await;
    let url = world.url(WIKI, "/scripted/x");
    for (method, status) in [("GET", 200), ("POST", 502), ("DELETE", 200), ("PATCH", 502)] {
        // A connection on which one request was answered, and that has rested.
        while client.ask("POST", &url, &[]).await.unwrap().status != 200 {}
        more_than_a_second().await;
        assert_eq!(client.ask(method, &url, &[]).await.unwrap().status, status, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_body_is_never_sent_twice() {
    let app = Scripted::start(async |mut link: Link| {
        link.head().await;
        link.answer().await;
        link.head().await;
    })
    .await;
    let world = world(&app, "http").await;
    let mut client = Http2::connect(&world, WIKI).await;
    client.ask("GET", &world.url(WIKI, "/scripted/x"), &[]).await.unwrap();
    more_than_a_second().await;
    let request = Request::put(world.url(WIKI, "/scripted/x")).body(Bytes::from_static(b"once").into()).unwrap();
    assert_eq!(client.send(request).await.unwrap().status, 502);
    assert_eq!(app.connections(), 1);
}

/// What an HTTP/2 server does with its requests, by their number on the connection.
#[derive(Clone, Copy)]
enum Does {
    Answer,
    Refuse,
    /// Answers, and takes no more.
    AnswerTheLast,
    /// Breaks the connection.
    Break,
}

async fn multiplexed(
    seen: &Arc<AtomicUsize>,
    streams: u32,
    does: impl Fn(usize, usize) -> Does + Send + Sync + Copy + 'static,
) -> Scripted {
    let seen = Arc::clone(seen);
    Scripted::start(move |link: Link| {
        let seen = Arc::clone(&seen);
        async move {
            let mut connection =
                h2::server::Builder::new().max_concurrent_streams(streams).handshake::<_, Bytes>(link.stream).await.unwrap();
            let mut number = 0;
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                seen.fetch_add(1, SeqCst);
                match does(link.number, number) {
                    Does::Break => return,
                    Does::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
                    Does::AnswerTheLast => {
                        connection.graceful_shutdown();
                        respond.send_response(Response::new(()), true).map(drop).unwrap();
                    }
                    Does::Answer => {
                        tokio::spawn(async move {
                            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                            drop(respond.send_response(Response::new(()), true));
                        });
                    }
                }
                number += 1;
            }
        }
    })
    .await
}

async fn ask_all(world: &World, method: &'static str, count: usize) -> Vec<u16> {
    let client = Http2::connect(world, WIKI).await;
    let url = world.url(WIKI, "/scripted/x");
    let asking: Vec<_> = (0..count)
        .map(|_| {
            let (mut client, url) = (client.clone(), url.clone());
            tokio::spawn(async move { client.ask(method, &url, &[]).await.unwrap().status })
        })
        .collect();
    let mut statuses = Vec::new();
    for asked in asking {
        statuses.push(asked.await.unwrap());
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_server_has_refused_is_sent_again_whatever_its_method() {
    let seen = Arc::<AtomicUsize>::default();
    let app = multiplexed(&seen, 100, |_, number| if number % 2 == 0 { Does::Refuse } else { Does::Answer }).await;
    let world = world(&app, "h2c").await;
    for method in ["GET", "POST"] {
        assert_eq!(ask_all(&world, method, 1).await, [200], "{method}");
    }
    assert_eq!(seen.load(SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_broke_its_connection_is_sent_again_only_if_that_does_no_harm() {
    let seen = Arc::<AtomicUsize>::default();
    let app = multiplexed(&seen, 100, |link, _| if link % 2 == 0 { Does::Break } else { Does::Answer }).await;
    let world = world(&app, "h2c").await;
    assert_eq!(ask_all(&world, "GET", 1).await, [200]);
    let other = Scripted::start(async |link: Link| {
        let mut connection = h2::server::handshake(link.stream).await.unwrap();
        let _seen: Option<Result<(_, h2::server::SendResponse<Bytes>), _>> = connection.accept().await;
    })
    .await;
    let world = World::of(Setup { apps: other.app(WIKI, "h2c", ""), ..Setup::default() }).await;
    assert_eq!(ask_all(&world, "POST", 1).await, [502]);
    assert_eq!(other.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_do_not_become_a_storm() {
    let seen = Arc::<AtomicUsize>::default();
    let app = multiplexed(&seen, 1000, |_, _| Does::Refuse).await;
    let world = world(&app, "h2c").await;
    let statuses = ask_all(&world, "GET", 100).await;
    assert!(statuses.iter().all(|status| *status == 502));
    // Ten that there are at the start, a tenth of the requests, and a tenth of the retries, which are requests too.
    let seen = seen.load(SeqCst);
    assert!((101..=125).contains(&seen), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_more_on_a_connection_gets_a_new_one_and_nobody_notices() {
    let seen = Arc::<AtomicUsize>::default();
    let app = multiplexed(&seen, 100, |_, number| if number % 7 == 6 { Does::AnswerTheLast } else { Does::Answer }).await;
    let world = world(&app, "h2c").await;
    for _ in 0..5 {
        assert_eq!(ask_all(&world, "POST", 20).await, [200; 20]);
    }
    assert!(app.connections() >= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_streams_are_opened_than_a_server_takes() {
    let seen = Arc::<AtomicUsize>::default();
    let app = multiplexed(&seen, 5, |_, _| Does::Answer).await;
    let world = world(&app, "h2c").await;
    // The first come before the server has said how many it takes.
    assert_eq!(ask_all(&world, "POST", 40).await, [200; 40]);
    assert_eq!(ask_all(&world, "POST", 40).await, [200; 40]);
    assert_eq!(seen.load(SeqCst), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_a_request_unseen_has_not_failed() {
    let (seen, unseen) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let one = multiplexed(&seen, 100, |_, number| if number % 2 == 0 { Does::Refuse } else { Does::Answer }).await;
    let other = multiplexed(&unseen, 100, |_, _| Does::Answer).await;
    let apps = one.app(WIKI, "h2c", "    ejection: { failures: 1, for: 1h }\n");
    let apps = apps.replace(&one.url("h2c"), &format!("[{}, {}]", one.url("h2c"), other.url("h2c")));
    let world = World::of(Setup { apps, ..Setup::default() }).await;
    let mut client = Http2::connect(&world, WIKI).await;
    for _ in 0..4 {
        assert_eq!(client.ask("POST", &world.url(WIKI, "/scripted/x"), &[]).await.unwrap().status, 200);
    }
    assert_eq!([seen, unseen].map(|seen| seen.load(SeqCst)), [4, 2], "the same server takes it the second time");
    let ejections = format!("doorward_upstream_ejections_total{{app=\"scripted\",server=\"{}\"}}", one.url("h2c"));
    assert_eq!(world.metric(&ejections).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_http2_server_has_not_taken_another_gets_by_http1() {
    let closing = Scripted::start(async |_| {}).await;
    let other = Scripted::start(async |mut link: Link| {
        while let Some(head) = link.head().await {
            assert!(head.starts_with("GET /scripted/x HTTP/1.1\r\n") && head.contains("\r\nhost: wiki.corp.test:"), "{head}");
            link.answer().await;
        }
    })
    .await;
    let apps = other.app(WIKI, "http", "    ejection: { failures: off }\n");
    let apps = apps.replace(&other.url("http"), &format!("[{}, {}]", closing.url("h2c"), other.url("http")));
    let world = World::of(Setup { apps, ..Setup::default() }).await;
    assert_eq!(ask_all(&world, "GET", 12).await, [200; 12]);
    assert!(closing.connections() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_as_many_as_stand_for_nothing_gets_them_all_on_one_connection() {
    let seen = Arc::<AtomicUsize>::default();
    let app = multiplexed(&seen, 97, |_, _| Does::Answer).await;
    let world = world(&app, "h2c").await;
    assert_eq!(ask_all(&world, "POST", 40).await, [200; 40]);
    assert_eq!(app.connections(), 1);
}
