//! What apps answer: garbage, too early, never, too much, too little. In the table: what the app does, and what the client gets. Behind
//! every case the next request, on the same connection and so over the same pool, must get its own answer.

use crate::judge::{honest, honest_on};
use crate::world::http2::Http2;
use crate::world::raw::{Got, Raw};
use crate::world::tape::Act::{self, Close, Hang, Pause, Reset, Say};
use crate::world::{TAPE, World};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

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

fn say(text: &str) -> Act {
    Say(crate::judge::bytes(text))
}

async fn judge(world: &World, cases: impl IntoIterator<Item = (&str, Vec<Act>, Gets)>) {
    let mut wrong = Vec::new();
    for (method, acts, gets) in cases {
        for h2 in [false, true] {
            world.tape.forget();
            world.tape.play(&acts);
            let judged = async {
                match h2 {
                    false => over_http1(world, method, gets).await,
                    true => over_http2(world, method, gets).await,
                }
                honest(world).await;
            };
            if AssertUnwindSafe(judged).catch_unwind().await.is_err() {
                let acts: String = format!("{acts:?}").chars().take(300).collect();
                wrong.push(format!("{method} {gets:?} {} {acts}", if h2 { "h2" } else { "h1" }));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

async fn over_http1(world: &World, method: &str, gets: Gets) {
    let mut client = Raw::connect(world, TAPE).await;
    client.write(world.head(method, TAPE, "/public/x", "")).await;
    let got = client.answer(method == "HEAD").await;
    match gets {
        Failure => assert!(got.status() == 502 && (method == "HEAD" || got.text().contains("upstream_failed")), "{got:?}"),
        Answer(status, body) => assert_eq!((got.status(), &*got.text()), (status, body)),
        Beginning => {
            assert!(matches!(got, Got::Ended(_)), "{got:?}");
            return;
        }
    }
    honest_on(world, &mut client).await;
}

async fn over_http2(world: &World, method: &str, gets: Gets) {
    let mut client = Http2::connect(world, TAPE).await;
    let url = world.url(TAPE, "/public/x");
    let asked = client.ask(method, &url, &[]);
    let got = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("an answer or an end in time");
    match (gets, got) {
        (Failure, Some(answer)) => assert_eq!(answer.status, 502),
        (Answer(status, body), Some(answer)) => assert_eq!((answer.status, &*answer.text()), (status, body)),
        (Beginning, None) => {}
        (_, got) => panic!("{:?}", got.map(|got| (got.status, got.text()))),
    }
    let url = world.url(TAPE, "/public/next");
    assert_eq!(client.ask("GET", &url, &[]).await.expect("an answer").text(), "GET /public/next");
}

/// A status line and fields that are the app's own to break.
fn ok(fields: &str, body: &str) -> Vec<Act> {
    vec![say(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}"))]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_a_failure() {
    let world = World::start().await;
    let endings = [Close, Reset];
    let garbage = [
        "",
        "\0",
        "\r\n\r\n",
        "hello world\r\n\r\n",
        "<html>hello</html>",
        "\u{16}\u{3}\u{1}\0\u{5}",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP",
        "HTTP/1.1",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}\0\0\0\u{80}",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
    ];
    let cases =
        garbage.iter().flat_map(|text| endings.iter().map(|ending| ("GET", vec![say(text), Pause, ending.clone()], Failure)));
    judge(&world, cases.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_could_be_two_is_a_failure() {
    let world = World::start().await;
    let fields = [
        "X\r\n",
        ": 1\r\n",
        "X : 1\r\n",
        " X: 1\r\n",
        "X\0: 1\r\n",
        "X(: 1\r\n",
        "X\u{e9}: 1\r\n",
        "X: a\0b\r\n",
        "X: a\u{7f}b\r\n",
        "X: a\u{1}b\r\n",
        "X: a\rSet-Cookie: b=1\r\n",
        "X: a\r\r\nSet-Cookie: b=1\r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tSet-Cookie: b=1\r\n",
        "Location: /\r\n\r HTTP/1.1 200 OK\r\n",
    ];
    let one = |field: &&str| ("GET", ok(&format!("{field}Content-Length: 2\r\n"), "ok"), Failure);
    let huge = ("GET", ok(&format!("X: {}\r\nContent-Length: 2\r\n", "x".repeat(1_000_000)), "ok"), Failure);
    let many = ("GET", ok(&"X: 1\r\n".repeat(10_000), ""), Failure);
    judge(&world, fields.iter().map(one).chain([huge, many]).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_end_is_unclear_is_a_failure() {
    let world = World::start().await;
    let fields = [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: 2, 3\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 02\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length:\r\n",
        "Content-Length: two\r\n",
        "Content-Length: 18446744073709551618\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
    ];
    let case = |fields: &&str| {
        let body = if fields.contains("chunked") { "2\r\nok\r\n0\r\n\r\n" } else { "ok" };
        ("GET", [ok(fields, body), vec![Close]].concat(), Failure)
    };
    let old = ("GET", vec![say("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), Close], Failure);
    judge(&world, fields.iter().map(case).chain([old]).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_http_allows_passes() {
    let world = World::start().await;
    let fine = Answer(200, "ok");
    judge(
        &world,
        [
            ("GET", ok("Content-Length: 2\r\n", "ok"), fine),
            ("GET", ok("content-length:2\r\nX: \u{e9}\ta\r\nX:\r\n", "ok"), fine),
            ("GET", ok("Transfer-Encoding: Chunked\r\n", "1\r\no\r\n1;a=b\r\nk\r\n0\r\nX: 1\r\n\r\n"), fine),
            ("GET", [ok("", "ok"), vec![Close]].concat(), fine),
            ("GET", [ok("Connection: close\r\n", "ok"), vec![Pause, Close]].concat(), fine),
            ("GET", vec![say("HTTP/1.0 200 OK\r\n\r\nok"), Close], fine),
            ("GET", vec![say("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")], fine),
            ("GET", vec![say("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")], fine),
            ("GET", vec![say("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")], fine),
            ("GET", vec![say("HTTP/1.1 299 Very \u{e9} fine\r\nContent-Length: 2\r\n\r\nok")], Answer(299, "ok")),
            ("GET", vec![say("HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\nok")], Answer(999, "ok")),
            (
                "GET",
                vec![say("HT"), Pause, say("TP/1.1 200 OK\r\nContent-Length: 2\r"), Pause, say("\n\r\no"), Pause, say("k")],
                fine,
            ),
            ("GET", vec![say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")], fine),
            (
                "GET",
                vec![say("HTTP/1.1 102 Processing\r\nX: 1\r\n\r\n"), Pause, say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
                fine,
            ),
            (
                "GET",
                vec![
                    say(&"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(5000)),
                    say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                ],
                fine,
            ),
            ("GET", vec![say("HTTP/1.1 204 No Content\r\n\r\n")], Answer(204, "")),
            ("GET", vec![say("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")], Answer(204, "")),
            ("GET", vec![say("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")], Answer(304, "")),
            ("HEAD", ok("Content-Length: 5\r\n", ""), Answer(200, "")),
            ("HEAD", ok("Transfer-Encoding: chunked\r\n", ""), Answer(200, "")),
            ("HEAD", ok("", ""), Answer(200, "")),
            ("GET", ok("Content-Length: 0\r\n", ""), Answer(200, "")),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_can_not_be_taken_for_a_whole_one() {
    let world = World::start().await;
    let beginnings = [
        ok("Content-Length: 10\r\n", "abc"),
        ok("Content-Length: 10\r\n", ""),
        ok("Content-Length: 18446744073709551613\r\n", "abc"),
        ok("Transfer-Encoding: chunked\r\n", "5\r\nabc"),
        ok("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"),
        ok("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n"),
        ok("Transfer-Encoding: chunked\r\n", ""),
    ];
    let ends = [vec![Close], vec![Reset], vec![Pause, Close], vec![Pause, Reset]];
    let cases = beginnings.iter().flat_map(|said| ends.iter().map(|end| ("GET", [&said[..], end].concat(), Beginning)));
    judge(&world, cases.collect::<Vec<_>>()).await;
    judge(&world, [("GET", [ok("", "abc"), vec![Pause, Reset]].concat(), Beginning)]).await;
    let chunks = [
        "zz\r\nabc",
        "-1\r\nabc",
        "+3\r\nabc\r\n",
        "3\r\nabcdef",
        "3\nabc\r\n",
        "FFFFFFFFFFFFFFFFF\r\nabc",
        "3\r\nabc\r\n0\r\nX\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: a\0\r\n\r\n",
    ];
    let garbled =
        chunks.iter().map(|chunks| ("GET", [ok("Transfer-Encoding: chunked\r\n", chunks), vec![Hang]].concat(), Beginning));
    judge(&world, garbled.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_nobody_s_answer() {
    let world = World::start().await;
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let answers = [
        ("GET", ok("Content-Length: 2\r\n", "ok"), Answer(200, "ok")),
        ("GET", ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"), Answer(200, "ok")),
        ("GET", ok("Content-Length: 0\r\n", ""), Answer(200, "")),
        ("GET", vec![say("HTTP/1.1 204 No Content\r\n\r\n")], Answer(204, "")),
        ("GET", vec![say("HTTP/1.1 304 Not Modified\r\n\r\n")], Answer(304, "")),
        ("HEAD", ok("Content-Length: 2\r\n", ""), Answer(200, "")),
        ("HEAD", ok("Content-Length: 2\r\n", "ok"), Answer(200, "")),
        ("GET", vec![say("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok")], Answer(204, "")),
        ("GET", vec![say("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok")], Answer(304, "")),
    ];
    let surplus = [poison, "x", "\r\n", "0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"];
    let cases = answers.iter().flat_map(|(method, acts, gets)| {
        surplus.iter().map(|surplus| {
            let Some(Say(bytes)) = acts.first() else { panic!("something is said") };
            (*method, vec![Say([bytes, surplus.as_bytes()].concat())], *gets)
        })
    });
    judge(&world, cases.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_and_unasked_is_nobody_s_answer() {
    let world = World::start().await;
    let mut client = Raw::connect(&world, TAPE).await;
    for _ in 0..5 {
        let poison = say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        world.tape.play(&[ok("Content-Length: 2\r\n", "ok")[0].clone(), Pause, poison]);
        client.write(world.head("GET", TAPE, "/public/x", "")).await;
        assert_eq!(client.answer(false).await.text(), "ok");
        tokio::time::sleep(Duration::from_millis(200)).await;
        honest_on(&world, &mut client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_body_was_read_reaches_the_client() {
    let world = World::start().await;
    for end in [vec![], vec![Pause, Close], vec![Hang]] {
        world.tape.forget();
        world.tape.play_early(&[ok("Content-Length: 2\r\n", "no"), end].concat());
        let mut client = Raw::connect(&world, TAPE).await;
        client.write(world.head("POST", TAPE, "/public/early", "Content-Length: 1000000\r\n") + "abc").await;
        assert_eq!(client.answer(false).await.text(), "no");
        // Nobody else gets that connection.
        honest(&world).await;
        drop(client);
        honest(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_never_answers_holds_nobody_else_up_and_is_left_when_the_client_goes() {
    let world = World::start().await;
    for acts in
        [vec![Hang], vec![say("HTTP/1.1 200 OK\r\nContent-Le"), Hang], [ok("Content-Length: 10\r\n", "abc"), vec![Hang]].concat()]
    {
        let mut clients = Vec::new();
        for _ in 0..50 {
            world.tape.play(&acts);
            let mut client = Raw::connect(&world, TAPE).await;
            client.write(world.head("GET", TAPE, "/public/x", "")).await;
            clients.push(client);
            while !world.tape.is_idle() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        honest(&world).await;
        drop(clients);
        honest(&world).await;
    }
}
