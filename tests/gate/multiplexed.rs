//! Apps that speak HTTP/2: many requests on one connection, which are nothing to each other.

use crate::world::http2::Http2;
use crate::world::scripted::{Link, Scripted, in_time};
use crate::world::{Setup, WIKI, World};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

async fn world(app: &Scripted, more: &str) -> World {
    World::of(Setup { apps: app.app(WIKI, "h2c", more), ..Setup::default() }).await
}

/// An app whose pages are a mebibyte where they are `/large`.
async fn pages() -> Scripted {
    Scripted::start(async |link: Link| {
        let service = service_fn(|request: Request<Incoming>| async move {
            let length = if request.uri().path().ends_with("/large") { 1 << 20 } else { 1 };
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(vec![b'x'; length])))
        });
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(link.stream), service).await);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_not_in_the_way_of_others() {
    let app = pages().await;
    let world = world(&app, "").await;
    // All streams of one client are served by one worker, over one connection to the app.
    let mut client = Http2::connect_with_window(&world, WIKI, 1000).await;
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(in_time("a head", client.unread(&world.url(WIKI, "/scripted/large"))).await);
    }
    let answer = in_time("an answer", client.ask("GET", &world.url(WIKI, "/scripted/small"), &[])).await.unwrap();
    assert_eq!((answer.status, answer.text(), app.connections()), (200, "x".to_owned(), 1));
}
