//! Tests of the apps, as the proxy meets them.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::super::serve::{Server, start};
use super::*;

async fn serving(app: Router) -> (String, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, start(listener, app).unwrap())
}

async fn json(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn an_app_tells_every_header_it_received() {
    let (address, _server) = serving(wiki()).await;
    let request = reqwest::Client::new().get(format!("http://{address}/headers"));
    let request = request.header("X-Twice", "one").header("x-twice", "two").header("x-latin", &b"\xfc"[..]);
    let headers = json(request.send().await.unwrap()).await;
    assert_eq!((&headers["x-twice"], &headers["host"]), (&"one, two".into(), &address.into()));
    assert_eq!(headers["x-latin"], "\u{fffd}");
}

#[tokio::test]
async fn a_page_greets_by_the_header_and_escapes_it() {
    for (app, title) in [(wiki(), "Wiki"), (payroll(), "Payroll")] {
        let (address, _server) = serving(app).await;
        let request = reqwest::Client::new().get(format!("http://{address}/"));
        let request = request.header("x-remote-user", "<b>bob</b>").header("x-doorward-groups", "a&b<script>");
        let page = request.send().await.unwrap().text().await.unwrap();
        assert!(page.contains(&format!("<h1>{title}</h1>")) && page.contains("bob") && page.contains("x-doorward-groups"));
        assert!(!page.contains("<b>") && !page.contains("<script"), "{page}");
        let page = reqwest::get(format!("http://{address}/")).await.unwrap().text().await.unwrap();
        assert!(page.contains("stranger"));
    }
}

#[tokio::test]
async fn an_upload_is_counted_and_hashed() {
    let (address, _server) = serving(payroll()).await;
    let cases = [
        (Vec::new(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc".to_vec(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (vec![0; 5_000_000], "b39781589c4403fb82174c9647a010464cff38bad976547d339899b00053a545"),
    ];
    for (body, sha256) in cases {
        let length = body.len();
        let request = reqwest::Client::new().post(format!("http://{address}/upload")).body(body);
        let answer = json(request.send().await.unwrap()).await;
        assert_eq!((&answer["length"], &answer["sha256"]), (&length.into(), &sha256.into()));
    }
}

#[tokio::test]
async fn events_come_one_a_second_and_the_first_at_once() {
    let (address, _server) = serving(wiki()).await;
    let begin = Instant::now();
    let mut response = reqwest::get(format!("http://{address}/events")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.chunk().await.unwrap().unwrap(), "id: 1\ndata: 1\n\n");
    assert!(begin.elapsed() < Duration::from_millis(900));
    assert_eq!(response.chunk().await.unwrap().unwrap(), "id: 2\ndata: 2\n\n");
    assert!(begin.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn a_web_socket_sends_back_what_it_is_sent() {
    let (address, _server) = serving(wiki()).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![0, 255]), Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
}
