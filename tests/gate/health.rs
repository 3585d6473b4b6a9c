//! Health checks go the same way as requests, whatever that is.

use crate::world::scripted::{Link, Scripted};
use crate::world::secure::Secure;
use crate::world::{Setup, WIKI, World, eventually};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;

const CHECKED: &str = "    health: { path: /healthz, interval: 1s, timeout: 1s, healthy: 1, unhealthy: 1 }\n";

async fn world(apps: String) -> World {
    World::of(Setup { apps, ..Setup::default() }).await
}

/// Answers `/healthz` with this status, and anything else with 200.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, health: Arc<AtomicU16>) {
    let service = service_fn(|request: Request<Incoming>| {
        let status = if request.uri().path() == "/healthz" { health.load(SeqCst) } else { 200 };
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn status(world: &World) -> u16 {
    world.get(WIKI, "/scripted/x", "").await.status
}

/// It follows what the checks say.
async fn is_followed(world: &World, health: &AtomicU16) {
    for (says, gets) in [(200, 200), (500, 503), (200, 200)] {
        health.store(says, SeqCst);
        eventually("the checks are believed", async || (status(world).await == gets).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_checked_over_tls_and_its_certificate_too() {
    let (secure, health) = (Secure::new(&[b"http/1.1"]), Arc::new(AtomicU16::new(200)));
    let (of_app, told) = (Arc::clone(&secure), Arc::clone(&health));
    let app = Scripted::start(move |link: Link| {
        let (secure, health) = (Arc::clone(&of_app), Arc::clone(&told));
        async move {
            if let Some(stream) = secure.accept(link.stream).await {
                serve(stream, health).await;
            }
        }
    })
    .await;
    let trusting = world(app.app(WIKI, "https", &format!("{CHECKED}{}", secure.trusted("")))).await;
    is_followed(&trusting, &health).await;
    let other = Secure::new(&[]);
    let wary = world(app.app(WIKI, "https", &format!("{CHECKED}{}", other.trusted("")))).await;
    eventually("it is not who it should be", async || (status(&wary).await == 503).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_checked_over_a_socket_of_this_machine() {
    let (folder, health) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU16::new(200)));
    let path = folder.path().join("app.sock");
    let (listener, told) = (UnixListener::bind(&path).unwrap(), Arc::clone(&health));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, Arc::clone(&told)));
        }
    });
    let nobody = Scripted::start(async |_| {}).await;
    let app = nobody.app(WIKI, "http", CHECKED).replace(&nobody.url("http"), &format!("unix:{}", path.display()));
    is_followed(&world(app).await, &health).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_announced_as_our_own_and_a_request_as_the_client_s() {
    for (version, own, client) in [
        ("v1", "PROXY UNKNOWN\r\n", "PROXY TCP4 127.0.0.1 127.0.0.1 "),
        ("v2", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01"),
    ] {
        let said = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&said);
        let app = Scripted::start(move |mut link: Link| {
            let heard = Arc::clone(&heard);
            async move {
                // The header of version 2 has an empty line in it.
                let mut head = String::new();
                while !head.contains("HTTP/1.1") {
                    let Some(more) = link.head().await else { return };
                    head.push_str(&more);
                }
                heard.lock().unwrap().push(head);
                link.answer().await;
            }
        })
        .await;
        let world = world(app.app(WIKI, "http", &format!("{CHECKED}    send_proxy_protocol: {version}\n"))).await;
        let head = async |path: &str| {
            let find = async || said.lock().unwrap().iter().find(|head| head.contains(path)).cloned();
            eventually("it is asked", find).await
        };
        assert!(head("GET /healthz ").await.starts_with(&format!("{own}GET ")), "{version}");
        assert_eq!(status(&world).await, 200);
        assert!(head("GET /scripted/x ").await.starts_with(client), "{version}");
    }
}
