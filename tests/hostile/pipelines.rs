//! What comes behind a request on its connection: judged by itself or not read at all, and never part of another.

use crate::judge::{honest, honest_on, smuggled};
use crate::world::raw::{Got, Raw};
use crate::world::tape::Act::{Close, Hang, Pause, Reset, Say};
use crate::world::{TAPE, World, eventually, strict};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn targets(world: &World) -> Vec<String> {
    world.tape.whole().into_iter().map(|request| request.target).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_together_are_judged_one_by_one_and_answered_in_order() {
    let world = World::start().await;
    let mut client = Raw::connect(&world, TAPE).await;
    let get = |path| world.head("GET", TAPE, path, "");
    let posted = world.head("POST", TAPE, "/public/b", "Content-Length: 5\r\n") + "abcde";
    let chunked = world.head("POST", TAPE, "/public/c", "Transfer-Encoding: chunked\r\n") + "1\r\na\r\n0\r\n\r\n";
    client.write([get("/public/a"), get("/private"), posted, chunked, get("/public/d")].concat()).await;
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(client.answer(false).await);
    }
    let statuses: Vec<u16> = got.iter().map(Got::status).collect();
    assert_eq!(statuses, [200, 401, 200, 200, 200]);
    assert_eq!((got[0].text(), got[4].text()), ("GET /public/a".into(), "GET /public/d".into()));
    assert_eq!(targets(&world), ["/public/a", "/public/b", "/public/c", "/public/d"]);
    honest_on(&world, &mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_behind_a_request_that_is_refused() {
    let world = World::start().await;
    for bad in [
        world.head("GET", TAPE, "/public/%2e%2e/x", ""),
        world.head("GET", TAPE, "/public/x", "Content-Length: 01\r\n"),
        world.head("GET", TAPE, "/public/x", "Host: evil.example\r\n"),
        world.head("GET", TAPE, "/public/x", "X : 1\r\n"),
        world.head("TRACE", TAPE, "/public/x", ""),
    ] {
        world.tape.forget();
        let mut client = Raw::connect(&world, TAPE).await;
        client.write(world.head("GET", TAPE, "/public/before", "") + &bad + &smuggled(&world)).await;
        assert_eq!(client.answer(false).await.text(), "GET /public/before");
        assert_eq!(client.answer(false).await.status(), 400, "{bad:?}");
        assert_eq!(client.rest().await, b"");
        honest(&world).await;
        assert!(!targets(&world).contains(&"/public/smuggled".to_owned()), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_is_no_request() {
    let world = World::start().await;
    let smuggled = smuggled(&world);
    let long = smuggled.repeat(4000);
    for body in [&smuggled, &long] {
        for (framing, body) in [
            (format!("Content-Length: {}\r\n", body.len()), body.clone()),
            ("Transfer-Encoding: chunked\r\n".into(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        ] {
            // The head alone first, and all of it at once.
            for at_once in [true, false] {
                world.tape.forget();
                let mut client = Raw::connect(&world, TAPE).await;
                let head = world.head("POST", TAPE, "/private", &framing);
                let mut statuses = Vec::new();
                if at_once {
                    client.write(format!("{head}{body}")).await;
                    statuses.push(client.answer(false).await.status());
                } else {
                    client.write(&head).await;
                    statuses.push(client.answer(false).await.status());
                    client.write(&body).await;
                }
                assert_eq!(statuses, [401]);
                // Either the body was passed over, or the connection is of no more use.
                client.write(world.head("GET", TAPE, "/public/next", "")).await;
                match client.answer(false).await {
                    Got::Answer(answer) => assert_eq!(answer.body, b"GET /public/next"),
                    Got::Ended(rest) => assert_eq!(rest, b""),
                }
                honest(&world).await;
                assert!(!targets(&world).contains(&"/public/smuggled".to_owned()), "{framing}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_app_does_not_wait_for_is_no_request_of_anybody() {
    let world = World::start().await;
    let smuggled = smuggled(&world);
    let body = smuggled.repeat(2000);
    let answer = Say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec());
    for acts in [vec![answer.clone()], vec![answer.clone(), Close], vec![answer.clone(), Hang], vec![answer, Pause, Reset]] {
        for (framing, body) in [
            (format!("Content-Length: {}\r\n", body.len()), body.clone()),
            ("Transfer-Encoding: chunked\r\n".into(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        ] {
            world.tape.forget();
            world.tape.play_early(&acts);
            let mut client = Raw::connect(&world, TAPE).await;
            client.write(world.head("POST", TAPE, "/public/early", &framing) + &body[..100]).await;
            let got = client.answer(false).await;
            assert_eq!((got.status(), got.text()), (403, "no".into()), "{acts:?}");
            client.write(&body[100..]).await;
            client.write(world.head("GET", TAPE, "/public/next", "")).await;
            match client.answer(false).await {
                Got::Answer(answer) => assert_eq!(answer.body, b"GET /public/next", "{acts:?}"),
                Got::Ended(rest) => assert_eq!(rest, b""),
            }
            honest(&world).await;
            assert!(!targets(&world).contains(&"/public/smuggled".to_owned()), "{framing} {acts:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_the_app_refuses_opens_no_tunnel() {
    let world = World::start().await;
    for answer in [
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 102 Processing\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ] {
        world.tape.forget();
        world.tape.play(&[Say(answer.into())]);
        let mut client = Raw::connect(&world, TAPE).await;
        let behind = world.head("GET", TAPE, "/private/smuggled", "X-Remote-User: root\r\n");
        client.write(world.head("GET", TAPE, "/public/ws", UPGRADE) + &behind).await;
        assert!(answer.contains(&format!(" {} ", client.answer(false).await.status())));
        assert_eq!(client.answer(false).await.status(), 401, "{answer}");
        assert_eq!(targets(&world), ["/public/ws"]);
        honest_on(&world, &mut client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_something_else_is_no_answer() {
    let world = World::start().await;
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        world.tape.forget();
        world.tape.play(&[Say(answer.into())]);
        let mut client = Raw::connect(&world, TAPE).await;
        client.write(world.head("GET", TAPE, "/public/ws", UPGRADE) + &smuggled(&world)).await;
        assert_eq!(client.answer(false).await.status(), 502, "{answer}");
        // What was judged by itself is answered by itself.
        assert_eq!(client.answer(false).await.text(), "GET /public/smuggled");
        honest_on(&world, &mut client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plain_wish_for_a_websocket_reaches_the_app_as_a_plain_request() {
    let world = World::start().await;
    let with = |method: &str, lines: &str, body: &str| world.head(method, TAPE, "/public/ws", &format!("{UPGRADE}{lines}")) + body;
    for text in [
        with("GET", "Content-Length: 5\r\n", "abcde"),
        with("GET", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        with("POST", "", ""),
        with("get", "", ""),
        with("GET", "", "").replace("HTTP/1.1", "HTTP/1.0").replace("Connection: Upgrade", "Connection: Upgrade, keep-alive"),
        with("GET", "", "").replace(": websocket", ": websocket/13"),
        with("GET", "", "").replace(": websocket", ": \"websocket\""),
        with("GET", "", "").replace("Connection: Upgrade", "Connection: Upgraded"),
        with("GET", "", "").replace("Connection: Upgrade", "Connection: keep-alive"),
        with("GET", "", "").replace("Connection: Upgrade\r\n", ""),
    ] {
        world.tape.forget();
        let mut client = Raw::connect(&world, TAPE).await;
        client.write(&text).await;
        if !text.contains("HTTP/1.0") {
            assert_eq!(client.answer(false).await.status(), 200, "{text}");
        }
        let request = eventually("the app has it", async || world.tape.whole().first().cloned()).await;
        for name in ["upgrade", "connection"] {
            assert_eq!(strict::values(&request.headers, name).count(), 0, "{text}");
        }
        honest(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_the_app_s_and_nobody_else_gets_its_connection() {
    let world = World::start().await;
    world.tape.play(&[Say([SWITCH, b"hello"].concat()), Hang]);
    let mut client = Raw::connect(&world, TAPE).await;
    client.write(world.head("GET", TAPE, "/public/ws", UPGRADE)).await;
    assert_eq!(client.answer(false).await.status(), 101);
    client.write(smuggled(&world)).await;
    honest(&world).await;
    assert!(!targets(&world).contains(&"/public/smuggled".to_owned()));
    // The app goes, and so does the tunnel.
    world.tape.play(&[Say(SWITCH.to_vec()), Say(b"bye".to_vec()), Close]);
    let mut client = Raw::connect(&world, TAPE).await;
    client.write(world.head("GET", TAPE, "/public/ws", UPGRADE)).await;
    assert_eq!(client.answer(false).await.status(), 101);
    assert_eq!(client.rest().await, b"bye");
    honest(&world).await;
}
