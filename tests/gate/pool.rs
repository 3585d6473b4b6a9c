//! Connections to an app: how many there are, how long they are kept, and who gets them.

use crate::world::http2::Http2;
use crate::world::scripted::{Link, Scripted, in_time, more_than_a_second};
use crate::world::secure::Secure;
use crate::world::wire::{Connection, shake_hands};
use crate::world::{Setup, WIKI, World, eventually};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

async fn world(app: &Scripted, scheme: &str, more: &str) -> World {
    World::of(Setup { apps: app.app(WIKI, scheme, more), ..Setup::default() }).await
}

/// An app that answers a request for every permit that it gets.
async fn held() -> (Scripted, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let of_app = Arc::clone(&permits);
    let app = Scripted::start(move |mut link: Link| {
        let permits = Arc::clone(&of_app);
        async move {
            while link.head().await.is_some() {
                permits.acquire().await.unwrap().forget();
                link.answer().await;
            }
        }
    });
    (app.await, permits)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_made_than_there_may_be_and_who_waits_is_served_in_turn() {
    let (app, permits) = held().await;
    let world = world(&app, "http", "    pool: { max_connections: 2 }\n    timeouts: { connect: 20s }\n").await;
    // One connection is served by one worker.
    let client = Http2::connect(&world, WIKI).await;
    let url = world.url(WIKI, "/scripted/x");
    let asking: Vec<_> = (0..6)
        .map(|_| {
            let (mut client, url) = (client.clone(), url.clone());
            tokio::spawn(async move { client.ask("GET", &url, &[]).await.unwrap().status })
        })
        .collect();
    eventually("two are asked", async || (app.connections() == 2).then_some(())).await;
    permits.add_permits(6);
    for asked in asking {
        assert_eq!(in_time("an answer", asked).await.unwrap(), 200);
    }
    assert_eq!(app.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_vain_is_told_that_the_app_is_busy() {
    let (app, permits) = held().await;
    let world = world(&app, "http", "    pool: { max_connections: 1 }\n    timeouts: { connect: 1s }\n").await;
    let mut client = Http2::connect(&world, WIKI).await;
    let url = world.url(WIKI, "/scripted/x");
    let first = {
        let (mut client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { client.ask("GET", &url, &[]).await.unwrap().status })
    };
    eventually("one is asked", async || (app.connections() == 1).then_some(())).await;
    let second = client.ask("GET", &url, &[]).await.unwrap();
    assert_eq!((second.status, &*second.reason(), second.header("retry-after")), (503, "upstream_busy", Some("5")));
    permits.add_permits(1);
    assert_eq!(first.await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_until_it_has_been_idle_for_too_long() {
    let (app, permits) = held().await;
    permits.add_permits(100);
    let world = world(&app, "http", "    pool: { idle: 1s }\n").await;
    let mut client = Http2::connect(&world, WIKI).await;
    let url = world.url(WIKI, "/scripted/x");
    for _ in 0..3 {
        assert_eq!(client.ask("GET", &url, &[]).await.unwrap().text(), "link 0");
    }
    more_than_a_second().await;
    assert_eq!(client.ask("GET", &url, &[]).await.unwrap().text(), "link 1");
    eventually("what is not used is closed", async || (app.closed() == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_kept_where_none_may_be() {
    let (app, permits) = held().await;
    permits.add_permits(100);
    let world = world(&app, "http", "    pool: { max_idle: 0 }\n").await;
    for number in 0..3 {
        assert_eq!(world.get(WIKI, "/scripted/x", "").await.text(), format!("link {number}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_kept_where_none_may_be_also_of_those_that_many_requests_share() {
    let app = Scripted::start(async |link: Link| {
        let mut connection = h2::server::handshake(link.stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).map(drop).unwrap();
        }
    })
    .await;
    // One place: what is not closed in time would leave the next request without a connection.
    let world = world(&app, "h2c", "    pool: { max_idle: 0, max_connections: 1 }\n    timeouts: { connect: 2s }\n").await;
    let mut client = Http2::connect(&world, WIKI).await;
    for number in 1..=3 {
        assert_eq!(client.ask("GET", &world.url(WIKI, "/scripted/x"), &[]).await.unwrap().status, 200);
        assert_eq!(app.connections(), number);
    }
}

/// Begins an upload, by one byte of a million, that never goes on; the status of each answer.
async fn begin_uploads(world: &World, count: usize) -> Vec<StatusCode> {
    let stream = shake_hands(world, WIKI, &[b"h2"]).await;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut statuses = Vec::new();
    for _ in 0..count {
        let byte = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")));
        let body = StreamBody::new(stream::iter([byte]).chain(stream::pending()));
        let request = Request::post(world.url(WIKI, "/scripted/x")).header("content-length", "1000000").body(body).unwrap();
        statuses.push(in_time("an answer", sender.send_request(request)).await.unwrap().status());
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_answered_early_does_not_hold_a_connection() {
    let app = Scripted::start(async |mut link: Link| {
        link.head().await;
        link.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        link.until_closed().await;
    })
    .await;
    let world = world(&app, "http", "    pool: { max_connections: 1 }\n    timeouts: { connect: 2s }\n").await;
    assert_eq!(begin_uploads(&world, 5).await, [StatusCode::NOT_FOUND; 5]);
    eventually("all are closed", async || (app.closed() == app.connections()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_answered_early_does_not_hold_a_stream() {
    let ended = Arc::new(Semaphore::new(0));
    let of_app = Arc::clone(&ended);
    let app = Scripted::start(move |link: Link| {
        let ended = Arc::clone(&of_app);
        async move {
            let mut connection = h2::server::handshake(link.stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (ended, mut body) = (Arc::clone(&ended), request.into_body());
                respond.send_response(Response::builder().status(404).body(()).unwrap(), true).unwrap();
                tokio::spawn(async move {
                    while let Some(Ok(_)) = body.data().await {}
                    ended.add_permits(1);
                });
            }
        }
    })
    .await;
    let world = world(&app, "h2c", "").await;
    assert_eq!(begin_uploads(&world, 5).await, [StatusCode::NOT_FOUND; 5]);
    drop(in_time("every upload ends", ended.acquire_many(5)).await.unwrap());
    assert_eq!(app.connections(), 1);
}

/// Speaks HTTP/2 without WebSockets, and HTTP/1.1 with nothing but those.
async fn serve(secure: Arc<Secure>, link: Link) {
    let Some(mut stream) = secure.accept(link.stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).map(drop).unwrap();
        }
        return;
    }
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
    while let Ok(1..) = stream.read(&mut byte).await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_needs_a_connection_of_its_own_gets_it_only_where_there_is_room() {
    let secure = Secure::new(&[b"h2", b"http/1.1"]);
    let of_app = Arc::clone(&secure);
    let app = Scripted::start(move |link: Link| serve(Arc::clone(&of_app), link)).await;
    let more = format!("{}    pool: {{ max_connections: 2 }}\n    timeouts: {{ connect: 1s }}\n", secure.trusted(", http2: true"));
    let world = world(&app, "https", &more).await;
    let open = async || {
        let mut connection = Connection::tls(&world, WIKI).await;
        connection.write(world.head("GET", WIKI, "/scripted/ws", "Connection: upgrade\r\nUpgrade: websocket\r\n")).await;
        (connection.head().await.status, connection)
    };
    let opened = futures_util::future::join_all((0..12).map(|_| open())).await;
    let statuses: Vec<_> = opened.iter().map(|(status, _)| *status).collect();
    assert!(statuses.contains(&101) && statuses.iter().all(|status| matches!(status, 101 | 503)), "{statuses:?}");
    let workers = std::thread::available_parallelism().unwrap().get();
    assert!(app.connections() <= 2 * workers, "{}", app.connections());
}
