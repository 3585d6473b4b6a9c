//! What apps answer over HTTP/2: garbage, broken frames, too early, never, too much, too little. In the table: what the app sends when it
//! has the head of a request, and what the client gets. Behind every case the next request must get its own answer.

use crate::world::http2::Http2;
use crate::world::raw::{Got, PATIENCE, Raw};
use crate::world::scripted::{Link, Scripted};
use crate::world::speaker::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, block, frame,
};
use crate::world::{Setup, WIKI, World};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PUSH_PROMISE: u8 = 5;
const WINDOW_UPDATE: u8 = 8;
const WHOLE: u8 = END_HEADERS | END_STREAM;

/// What the app sends on the stream of a request, and whether it closes the connection then; without it, it answers as it should.
type Act = Option<(Vec<u8>, bool)>;

/// What the client gets.
#[derive(Clone, Copy, Debug)]
enum Gets {
    /// Our own 502.
    Failure,
    /// This answer.
    Answer(u16, &'static str),
    /// The beginning of an answer, which it can tell from a whole one.
    Beginning,
}
use Gets::{Answer, Beginning, Failure};

/// Stands for the stream of the request.
const STREAM: u32 = 0x7fff_ffff;
/// A stream that nobody has opened.
const NOBODYS: u32 = 0x7001;

fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, STREAM, &block(fields))
}

fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, STREAM, bytes)
}

/// A head that is fine, and what comes behind it.
fn ok(behind: &[Vec<u8>]) -> Vec<u8> {
    [head(END_HEADERS, &[(":status", "200")]), behind.concat()].concat()
}

fn fine() -> Vec<u8> {
    ok(&[data(END_STREAM, b"ok")])
}

/// An app that answers as it is told.
async fn app(told: &Arc<Mutex<Act>>) -> Scripted {
    let told = Arc::clone(told);
    Scripted::start(move |link| serve(link, Arc::clone(&told))).await
}

async fn serve(mut link: Link, told: Arc<Mutex<Act>>) {
    let mut preface = [0; PREFACE.len()];
    if link.stream.read_exact(&mut preface).await.is_err() || preface != PREFACE {
        return;
    }
    drop(link.stream.write_all(&frame(SETTINGS, 0, 0, b"")).await);
    while let Some((kind, stream, payload)) = next(&mut link).await {
        let act = told.lock().unwrap().clone();
        let (answer, closes) = match (kind, act) {
            (HEADERS, Some(act)) => act,
            (HEADERS, None) => (fine(), false),
            (SETTINGS, _) if !payload.is_empty() => (frame(SETTINGS, 1, 0, b""), false),
            _ => continue,
        };
        drop(link.stream.write_all(&on_stream(answer, stream)).await);
        if closes {
            // Not at once: what it has not read yet would make a reset of it, which takes back what it has sent.
            drop(link.stream.shutdown().await);
            link.until_closed().await;
            return;
        }
    }
}

/// The same frames for the stream of this request, as far as they are frames.
fn on_stream(mut bytes: Vec<u8>, stream: [u8; 4]) -> Vec<u8> {
    let mut at = 0;
    while let Some([high, middle, low, _, _, of @ ..]) = bytes.get_mut(at..at + 9) {
        if of == STREAM.to_be_bytes() {
            of.copy_from_slice(&stream);
        }
        at += 9 + (usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low));
    }
    bytes
}

async fn next(link: &mut Link) -> Option<(u8, [u8; 4], Vec<u8>)> {
    let mut head = [0; 9];
    link.stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
    link.stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], [head[5], head[6], head[7], head[8]], payload))
}

async fn judge(cases: Vec<(&'static str, Vec<u8>, Gets)>) {
    let told = Arc::<Mutex<Act>>::default();
    let app = app(&told).await;
    // A connection for each request: what one case leaves behind on its own is no business of the next.
    let options = "    timeouts: { first_byte: 1s }\n    ejection: { failures: off }\n    pool: { max_idle: 0 }\n";
    let apps = app.app(WIKI, "h2c", options);
    let world = World::of(Setup { apps, ..Setup::default() }).await;
    let mut wrong = Vec::new();
    for (what, bytes, gets) in cases {
        for closes in [false, true] {
            // A connection that goes takes along what stands at its end.
            if closes && matches!(gets, Answer(504, _)) {
                continue;
            }
            for h2 in [false, true] {
                *told.lock().unwrap() = Some((bytes.clone(), closes));
                if AssertUnwindSafe(judge_one(&world, &told, h2, gets)).catch_unwind().await.is_err() {
                    wrong.push(format!("{what}{}, h2 {h2}", if closes { ", then closes" } else { "" }));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

async fn judge_one(world: &World, told: &Mutex<Act>, h2: bool, gets: Gets) {
    let got = if h2 { over_http2(world, "/scripted/bad").await } else { over_http1(world, "/scripted/bad").await };
    *told.lock().unwrap() = None;
    match gets {
        // Whichever is noticed first: that it is none, or that it does not come.
        Failure => assert!(matches!(got, Some((502 | 504, _))), "{got:?}"),
        Answer(status, body) => assert_eq!(got.map(|(was, text)| (was, text.contains(body))), Some((status, true))),
        Beginning => assert_eq!(got, None),
    }
    let honest = over_http1(world, "/scripted/honest").await;
    assert_eq!(honest, Some((200, "ok".to_owned())));
}

/// An answer that came whole.
async fn over_http1(world: &World, path: &str) -> Option<(u16, String)> {
    let mut client = Raw::connect(world, WIKI).await;
    client.write(world.head("GET", WIKI, path, "")).await;
    match client.answer(false).await {
        got @ Got::Answer(_) => Some((got.status(), got.text())),
        Got::Ended(_) => None,
    }
}

async fn over_http2(world: &World, path: &str) -> Option<(u16, String)> {
    let mut client = Http2::connect(world, WIKI).await;
    let url = world.url(WIKI, path);
    let answer = tokio::time::timeout(PATIENCE, client.ask("GET", &url, &[])).await.expect("an answer or an end in time");
    answer.map(|answer| (answer.status, answer.text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_of_http2_is_a_failure() {
    let status = (":status", "200");
    judge(vec![
        ("HTTP/1.1", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec(), Failure),
        ("no meaning", vec![0xff; 200], Failure),
        ("no status", head(WHOLE, &[("x", "1")]), Failure),
        ("an empty head", head(WHOLE, &[]), Failure),
        ("a status that is none", head(WHOLE, &[(":status", "abc")]), Failure),
        ("a status that is too short", head(WHOLE, &[(":status", "20")]), Failure),
        ("a status that is too long", head(WHOLE, &[(":status", "2000")]), Failure),
        ("a status that is too low", head(WHOLE, &[(":status", "099")]), Failure),
        ("two statuses", head(WHOLE, &[status, (":status", "204")]), Failure),
        ("a status behind a field", head(WHOLE, &[("x", "1"), status]), Failure),
        ("a switch of protocols", head(WHOLE, &[(":status", "101")]), Failure),
        ("a name in capitals", head(WHOLE, &[status, ("X", "1")]), Failure),
        ("a name with a line", head(WHOLE, &[status, ("x\r\nset-cookie", "1")]), Failure),
        ("a value with a line", head(WHOLE, &[status, ("x", "1\r\nset-cookie: a=b")]), Failure),
        ("a value with a line feed", head(WHOLE, &[status, ("x", "1\nset-cookie: a=b")]), Failure),
        ("a value with a zero", head(WHOLE, &[status, ("x", "1\0")]), Failure),
        ("a coding", head(WHOLE, &[status, ("transfer-encoding", "chunked")]), Failure),
        ("a connection", head(WHOLE, &[status, ("connection", "close")]), Failure),
        ("an index of nothing", frame(HEADERS, WHOLE, STREAM, &[0x80]), Failure),
        ("no code", frame(HEADERS, WHOLE, STREAM, &[0xff; 40]), Failure),
        ("all padding", frame(HEADERS, WHOLE | 8, STREAM, &[200, 1, 2]), Failure),
        ("a head on a stream of nobody", frame(HEADERS, WHOLE, NOBODYS, &block(&[status])), Failure),
        ("data before a head", data(END_STREAM, b"ok"), Failure),
        ("a reset", frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 2]), Failure),
        ("a cancellation", frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 8]), Failure),
        ("a push", frame(PUSH_PROMISE, END_HEADERS, STREAM, &[&[0, 0, 0, 2], &block(&[(":method", "GET")])[..]].concat()), Failure),
        ("a window that is too large", [frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), fine()].concat(), Failure),
        ("settings that are cut", [frame(SETTINGS, 0, 0, &[0, 1, 0]), fine()].concat(), Failure),
        ("a ping that is cut", [frame(PING, 0, 0, &[0; 3]), fine()].concat(), Failure),
        ("a head that something interrupts", [head(0, &[status]), frame(PING, 0, 0, &[0; 8]), fine()].concat(), Failure),
        (
            "a huge head",
            [head(0, &[status]), frame(CONTINUATION, 0, STREAM, &block(&[("x", &"x".repeat(15_000))])).repeat(80)].concat(),
            Failure,
        ),
        ("a head without end", [head(0, &[status]), frame(CONTINUATION, 0, STREAM, b"").repeat(10_000)].concat(), Failure),
        ("nothing", Vec::new(), Answer(504, "upstream_timeout")),
        ("a farewell", frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 2]), Answer(504, "upstream_timeout")),
        ("the beginning of a head", head(0, &[status]), Failure),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_http2_that_breaks_off_can_not_be_taken_for_a_whole_one() {
    let sized = |length: &str, parts: &[Vec<u8>]| {
        [head(END_HEADERS, &[(":status", "200"), ("content-length", length)]), parts.concat()].concat()
    };
    let reset = || frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 2]);
    judge(vec![
        ("a reset", ok(&[data(0, b"abc"), reset()]), Beginning),
        ("a farewell with an error and garbage", ok(&[data(0, b"abc"), vec![0xff; 64]]), Beginning),
        ("less than it says", sized("10", &[data(END_STREAM, b"abc")]), Beginning),
        ("more than it says", sized("2", &[data(END_STREAM, b"abc")]), Beginning),
        ("data on a stream of nobody", ok(&[data(0, b"abc"), frame(DATA, 0, NOBODYS, b"abc")]), Beginning),
        ("trailers that are broken", ok(&[data(0, b"abc"), head(WHOLE, &[("X", "1")])]), Beginning),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_http2_allows_passes() {
    let early = || head(END_HEADERS, &[(":status", "103"), ("link", "</a>")]);
    judge(vec![
        ("a head and data", fine(), Answer(200, "ok")),
        ("early hints", [early(), fine()].concat(), Answer(200, "ok")),
        ("very many early hints", [early().repeat(500), fine()].concat(), Answer(200, "ok")),
        ("frames that nobody knows", [frame(0x42, 0, 0, b"x"), fine()].concat(), Answer(200, "ok")),
        ("trailers", ok(&[data(0, b"ok"), head(WHOLE, &[("x-sum", "1")])]), Answer(200, "ok")),
        (
            "a length",
            [head(END_HEADERS, &[(":status", "200"), ("content-length", "2")]), data(END_STREAM, b"ok")].concat(),
            Answer(200, "ok"),
        ),
        ("nothing to read", head(WHOLE, &[(":status", "204")]), Answer(204, "")),
        // What stands where it means nothing is passed over, and reaches nobody.
        ("a field of requests", head(WHOLE, &[(":status", "200"), (":path", "/")]), Answer(200, "")),
        ("a status among trailers", ok(&[data(0, b"ok"), head(WHOLE, &[(":status", "500")])]), Answer(200, "ok")),
        ("a status of nobody", head(WHOLE, &[(":status", "299")]), Answer(299, "")),
    ])
    .await;
}
