//! What becomes of a case. In: bytes, and what should become of them. Out: a failed test where something else does. Must never let a
//! case take longer than its patience, nor spoil the next.

use crate::world::raw::Raw;
use crate::world::strict;
use crate::world::{TAPE, World};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is to become of bytes that a client sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// This status, and the end of the connection; nothing of it reaches the app.
    Refused(u16),
    /// 400 or nothing, and the end of the connection; at most a beginning reaches the app.
    Cut,
    /// No answer for as long as the client stays; when it goes, at most a beginning has reached the app.
    Awaited,
    /// The app gets a request with this method, target and body, and the client its answer.
    Passes(&'static str, &'static str, &'static str),
}

/// Each character as one byte.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect()
}

/// A request that must never be read out of what is not one.
pub(crate) fn smuggled(world: &World) -> String {
    world.head("GET", TAPE, "/public/smuggled", "")
}

/// The head of a POST to the recording app.
pub(crate) fn post(world: &World, lines: &str) -> String {
    world.head("POST", TAPE, "/public/x", lines)
}

/// Judges every case, and fails with all that went wrong.
pub(crate) async fn judge(world: &World, cases: impl IntoIterator<Item = (String, Fate)>) {
    let mut wrong = Vec::new();
    for (text, fate) in cases {
        let judged = AssertUnwindSafe(judge_one(world, &text, fate)).catch_unwind().await;
        if judged.is_err() {
            wrong.push(format!("{fate:?}: {:?}", text.chars().take(300).collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Sends bytes (each character is one) on a connection of their own, and sees what becomes of them.
async fn judge_one(world: &World, text: &str, fate: Fate) {
    world.tape.forget();
    let mut client = Raw::connect(world, TAPE).await;
    client.write(bytes(text)).await;
    let honest_before = match fate {
        Fate::Refused(status) => {
            assert_eq!(client.answer(false).await.status(), status);
            assert_eq!(client.rest().await, b"");
            assert_eq!(world.tape.states().len(), 0, "it reached the app");
            0
        }
        Fate::Cut => {
            assert!(matches!(client.answer(false).await.status(), 0 | 400));
            assert_eq!(client.rest().await, b"");
            0
        }
        Fate::Awaited => {
            drop(client);
            0
        }
        Fate::Passes(method, target, body) => {
            let got = client.answer(method == "HEAD").await;
            assert_eq!(got.status(), 200, "{got:?}");
            let [request] = &world.tape.whole()[..] else { panic!("{:?}", world.tape.states()) };
            assert_eq!((&*request.method, &*request.target, &*request.body), (method, target, &*bytes(body)));
            honest_on(world, &mut client).await;
            2
        }
    };
    honest(world).await;
    assert_eq!(world.tape.whole().len(), honest_before + 1, "{:?}", world.tape.states());
}

/// An honest request on a new connection gets its own answer.
pub(crate) async fn honest(world: &World) {
    honest_on(world, &mut Raw::connect(world, TAPE).await).await;
}

/// An honest request on this connection gets its own answer, and reaches the app as it is.
pub(crate) async fn honest_on(world: &World, client: &mut Raw) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let path = format!("/public/honest/{}?q=%20", NEXT.fetch_add(1, Ordering::Relaxed));
    client.write(world.head("POST", TAPE, &path, "Content-Length: 3\r\n") + "abc").await;
    let got = client.answer(false).await;
    assert_eq!(got.status(), 200, "{got:?}");
    assert_eq!(got.text(), format!("POST {path}"));
    let arrived = world.tape.whole();
    let request = arrived.iter().find(|request| request.target == path).expect("it arrived");
    assert_eq!((&*request.method, &*request.body), ("POST", &b"abc"[..]));
    assert_eq!(strict::values(&request.headers, "host").next(), Some(&*world.authority(TAPE)));
}

#[test]
fn what_two_parsers_could_read_differently_is_a_breach() {
    let fine = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: 1\r\n\r\nGET";
    let (read, length) = strict::request(fine).unwrap().unwrap();
    assert_eq!((&*read.body, &*read.trailers, length), (&b"ab"[..], &[("T".to_owned(), "1".to_owned())][..], fine.len() - 3));
    for length in 0..fine.len() - 3 {
        assert_eq!(strict::request(&fine[..length]), Ok(None));
    }
    for lines in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nContent-Length: 01\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: a\r\nContent_Length: 1\r\n",
        "Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: a\nX: 1\r\n",
        "Host: a\r\nX: 1\rY: 2\r\n",
        "Host: a\r\nX : 1\r\n",
        "Host: a\r\n X: 1\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n+0\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0;a\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ] {
        assert!(strict::request(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes()).is_err(), "{lines}");
    }
    for line in
        ["GET /", "GET / HTTP/1.0", "GET  / HTTP/1.1", "GET /a b HTTP/1.1", "GET a HTTP/1.1", "G(T / HTTP/1.1", "GET /#a HTTP/1.1"]
    {
        assert!(strict::request(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).is_err(), "{line}");
    }
}
