//! HTTP/2 that is not what it should be, frame by frame: nothing of it may become another request, or another's, on its way to an app
//! that speaks HTTP/1.1.

use crate::judge::{bytes, honest, smuggled};
use crate::world::speaker::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, PING, RST_STREAM, SETTINGS, block, frame,
};
use crate::world::strict::{self, Request};
use crate::world::{ALICE, TAPE, World, eventually};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;

type Fields<'f> = Vec<(&'f str, &'f str)>;

/// What becomes of a stream.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is reset or gets this status; the app gets nothing.
    Refused(u16),
    /// It is reset or gets 400; the app gets a beginning at most.
    Cut,
    /// The app gets a request with this method, target and body.
    Passes(&'static str, &'static str, &'static str),
}
use Fate::{Cut, Passes, Refused};

const X: Fate = Passes("GET", "/public/x", "");

async fn judge<'f>(world: &World, cases: impl IntoIterator<Item = (Fields<'f>, &'f [&'f str], Fate)>) {
    let mut wrong = Vec::new();
    for (fields, data, fate) in cases {
        if AssertUnwindSafe(judge_one(world, &fields, data, fate)).catch_unwind().await.is_err() {
            let shown: String = format!("{fields:?} {data:?}").chars().take(300).collect();
            wrong.push(format!("{fate:?}: {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

async fn judge_one(world: &World, fields: &Fields<'_>, data: &[&str], fate: Fate) {
    world.tape.forget();
    let mut client = Frames::connect(world, TAPE).await;
    let end = |last: bool| if last { END_STREAM } else { 0 };
    client.frame(HEADERS, END_HEADERS | end(data.is_empty()), 1, &block(fields)).await;
    for (index, text) in data.iter().enumerate() {
        client.frame(DATA, end(index + 1 == data.len()), 1, &bytes(text)).await;
    }
    let outcome = client.outcome(1).await;
    match (fate, &outcome) {
        (Refused(expected), Outcome::Answer { status, .. }) => assert_eq!(*status, expected),
        (Cut, Outcome::Answer { status, .. }) => assert_eq!(*status, 400),
        (Refused(_) | Cut, _) => {}
        (Passes(..), Outcome::Answer { status: 200, whole: true, .. }) => {}
        _ => panic!("{outcome:?}"),
    }
    if matches!(fate, Refused(_)) {
        assert_eq!(world.tape.states().len(), 0, "it reached the app");
    }
    let passed = world.tape.whole();
    if let Passes(method, target, body) = fate {
        let [request] = &passed[..] else { panic!("{:?}", world.tape.states()) };
        assert_eq!((&*request.method, &*request.target, &*request.body), (method, target, &*bytes(body)));
    } else {
        assert_eq!(passed.len(), 0);
    }
    if outcome != Outcome::Over {
        honest_on(world, &mut client, 3).await;
    }
    honest(world).await;
    let expected = passed.len() + 1 + usize::from(outcome != Outcome::Over);
    assert_eq!(world.tape.whole().len(), expected, "{:?}", world.tape.states());
}

/// The next stream of the same connection is not disturbed.
async fn honest_on(world: &World, client: &mut Frames, stream: u32) {
    let authority = world.authority(TAPE);
    client.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get(&authority, "/public/next", &[]))).await;
    let body = b"GET /public/next".to_vec();
    assert_eq!(client.outcome(stream).await, Outcome::Answer { status: 200, body, whole: true });
}

fn get<'f>(authority: &'f str, path: &'f str, more: &[(&'f str, &'f str)]) -> Fields<'f> {
    asked("GET", authority, path, more)
}

fn asked<'f>(method: &'f str, authority: &'f str, path: &'f str, more: &[(&'f str, &'f str)]) -> Fields<'f> {
    let pseudo = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)];
    [&pseudo[..], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn pseudo_headers_stand_there_once_and_first_and_are_what_they_say() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    let (method, scheme) = ((":method", "GET"), (":scheme", "https"));
    let (host, path) = ((":authority", authority), (":path", "/public/x"));
    let loud = authority.to_uppercase();
    let (with_user, with_path) = (format!("user@{authority}"), format!("{authority}/public"));
    let (with_line, with_comma) = (format!("{authority}\r\nX-Remote-User: root"), format!("{authority},evil.example"));
    let url = world.url(TAPE, "/public/x");
    let cases: Vec<(Fields, Fate)> = vec![
        (vec![method, scheme, host, path], X),
        (vec![path, host, scheme, method], X),
        (vec![method, scheme, (":authority", &*loud), path], X),
        (vec![method, scheme, host, path, ("host", authority)], X),
        (vec![method, scheme, path, ("host", authority)], X),
        (vec![], Refused(400)),
        (vec![scheme, host, path], Refused(400)),
        (vec![method, host, path], Refused(400)),
        (vec![method, scheme, path], Refused(400)),
        (vec![method, scheme, host], Refused(400)),
        (vec![method, method, scheme, host, path], Refused(400)),
        (vec![method, (":method", "POST"), scheme, host, path], Refused(400)),
        (vec![method, scheme, scheme, host, path], Refused(400)),
        (vec![method, scheme, host, host, path], Refused(400)),
        (vec![method, scheme, host, (":authority", "evil.example"), path], Refused(400)),
        (vec![method, scheme, host, path, path], Refused(400)),
        (vec![method, scheme, host, path, (":path", "/private")], Refused(400)),
        (vec![method, scheme, host, ("x", "1"), path], Refused(400)),
        (vec![("x", "1"), method, scheme, host, path], Refused(400)),
        (vec![method, scheme, host, path, (":status", "200")], Refused(400)),
        (vec![method, scheme, host, path, (":x", "1")], Refused(400)),
        (vec![method, scheme, host, path, (":", "1")], Refused(400)),
        (vec![method, scheme, host, path, ("", "1")], Refused(400)),
        (vec![method, scheme, host, path, (":protocol", "websocket")], Refused(400)),
        (vec![method, scheme, host, path, ("host", "evil.example")], Refused(400)),
        (vec![method, scheme, host, path, ("host", authority), ("host", authority)], Refused(400)),
        (vec![method, scheme, path, ("host", authority), ("host", "evil.example")], Refused(400)),
        (vec![method, scheme, (":authority", ""), path], Refused(400)),
        (vec![method, scheme, (":authority", ""), path, ("host", authority)], Refused(400)),
        (vec![method, scheme, (":authority", "evil.example"), path], Refused(421)),
        (vec![method, scheme, (":authority", &*with_user), path], Refused(400)),
        (vec![method, scheme, (":authority", &*with_path), path], Refused(400)),
        (vec![method, scheme, (":authority", &*with_line), path], Refused(400)),
        (vec![method, scheme, (":authority", &*with_comma), path], Refused(400)),
        (vec![method, scheme, (":authority", " "), path], Refused(400)),
        (vec![method, (":scheme", ""), host, path], Refused(400)),
        (vec![method, (":scheme", "ftp"), host, path], Refused(400)),
        (vec![method, (":scheme", "javascript"), host, path], Refused(400)),
        (vec![method, (":scheme", "https://evil.example/"), host, path], Refused(400)),
        (vec![method, (":scheme", "https\r\nX: 1"), host, path], Refused(400)),
        (vec![method, scheme, host, (":path", "")], Refused(400)),
        (vec![method, scheme, host, (":path", "*")], Refused(400)),
        (vec![(":method", "OPTIONS"), scheme, host, (":path", "*")], Refused(400)),
        (vec![method, scheme, host, (":path", "?x")], Refused(400)),
        (vec![method, scheme, host, (":path", "public/x")], Refused(400)),
        (vec![method, scheme, host, (":path", &*url)], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x ")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x HTTP/1.1")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x HTTP/1.1\r\nX-Remote-User: root\r\nX: ")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x\r")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x\n")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x\0")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x\t")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/\u{e9}")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/x?\u{c2}\u{a0}")], Refused(400)),
        (vec![method, scheme, host, (":path", "/public/%2e%2e/private")], Refused(400)),
        (vec![(":method", ""), scheme, host, path], Refused(400)),
        (vec![(":method", "GE T"), scheme, host, path], Refused(400)),
        (vec![(":method", "GET /public/smuggled HTTP/1.1\r\n"), scheme, host, path], Refused(400)),
        (vec![(":method", "GET\r\n"), scheme, host, path], Refused(400)),
        (vec![(":method", "G\0T"), scheme, host, path], Refused(400)),
        (vec![(":method", "G:T"), scheme, host, path], Refused(400)),
        (vec![(":method", "TRACE"), scheme, host, path], Refused(400)),
        (vec![(":method", "trace"), scheme, host, path], Refused(400)),
        (vec![(":method", "CONNECT"), scheme, host, path], Refused(400)),
        (vec![(":method", "CONNECT"), host], Refused(400)),
        (vec![(":method", "connect"), scheme, host, path], Refused(400)),
        (vec![(":method", "get"), scheme, host, path], Passes("get", "/public/x", "")),
        (vec![(":method", "PROPFIND"), scheme, host, path], Passes("PROPFIND", "/public/x", "")),
    ];
    judge(&world, cases.into_iter().map(|(fields, fate)| (fields, &[][..], fate))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_could_be_two_is_refused() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    let line = format!("a\r\n\r\n{}", smuggled(&world));
    let cases = [
        (("x", "1"), X),
        (("x", ""), X),
        (("x", "a\tb \u{e9}\u{ff}"), X),
        (("x_y.z", "1"), X),
        (("te", "trailers"), X),
        (("X", "1"), Refused(400)),
        (("x-Y", "1"), Refused(400)),
        (("Host", authority), Refused(400)),
        (("Content-Length", "5"), Refused(400)),
        (("x y", "1"), Refused(400)),
        (("x:", "1"), Refused(400)),
        (("x: 1\r\ny", "1"), Refused(400)),
        (("x\r", "1"), Refused(400)),
        (("x\n", "1"), Refused(400)),
        (("x\0", "1"), Refused(400)),
        (("x\u{e9}", "1"), Refused(400)),
        (("x\u{7f}", "1"), Refused(400)),
        (("x(", "1"), Refused(400)),
        (("x", "a\rb"), Refused(400)),
        (("x", "a\nb"), Refused(400)),
        (("x", "a\0b"), Refused(400)),
        (("x", "a\u{1}b"), Refused(400)),
        (("x", "a\u{7f}b"), Refused(400)),
        (("x", "a\r\nx-remote-user: root"), Refused(400)),
        (("x", &*line), Refused(400)),
        (("cookie", "a=b\r\nx-remote-user: root"), Refused(400)),
        (("connection", "close"), Refused(400)),
        (("connection", "x"), Refused(400)),
        (("keep-alive", "5"), Refused(400)),
        (("proxy-connection", "close"), Refused(400)),
        (("transfer-encoding", "chunked"), Refused(400)),
        (("transfer-encoding", "identity"), Refused(400)),
        (("upgrade", "websocket"), Refused(400)),
        (("upgrade", "h2c"), Refused(400)),
        (("te", "gzip"), Refused(400)),
        (("te", "trailers, chunked"), Refused(400)),
    ];
    judge(&world, cases.iter().map(|(field, fate)| (get(authority, "/public/x", &[*field]), &[][..], *fate))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn space_around_a_value_is_not_part_of_it() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    for value in [" 1", "1 ", "\t1\t"] {
        let lengths = [("content-length", value)];
        judge(&world, [(asked("POST", authority, "/public/x", &lengths), &["a"][..], Refused(400))]).await;
        judge(&world, [(get(authority, "/public/x", &[("x", value)]), &[][..], X)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_is_what_the_data_has() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    let behind = &*format!("abcde{}", smuggled(&world));
    let passes = Passes("POST", "/public/x", "abcde");
    let cases: Vec<(&[&'static str], Vec<&str>, Fate)> = vec![
        (&[], vec!["abcde"], passes),
        (&["5"], vec!["abcde"], passes),
        (&["5"], vec!["ab", "", "cde", ""], passes),
        (&[], vec![], Passes("POST", "/public/x", "")),
        (&["0"], vec![], Passes("POST", "/public/x", "")),
        (&["0"], vec![""], Passes("POST", "/public/x", "")),
        (&["5"], vec![], Refused(400)),
        (&["5"], vec![""], Cut),
        (&["5"], vec!["abc"], Cut),
        (&["5"], vec!["abcdef"], Cut),
        (&["5"], vec!["abcde", "f"], Cut),
        (&["5"], vec![behind], Cut),
        (&["0"], vec![behind], Cut),
        (&["5", "5"], vec!["abcde"], Refused(400)),
        (&["5", "6"], vec!["abcde"], Refused(400)),
        (&["5", "0"], vec![behind], Refused(400)),
        (&["5, 5"], vec!["abcde"], Refused(400)),
        (&["05"], vec!["abcde"], Refused(400)),
        (&["+5"], vec!["abcde"], Refused(400)),
        (&["-5"], vec!["abcde"], Refused(400)),
        (&["0x5"], vec!["abcde"], Refused(400)),
        (&["five"], vec!["abcde"], Refused(400)),
        (&[""], vec!["abcde"], Refused(400)),
        (&["18446744073709551621"], vec!["abcde"], Refused(400)),
    ];
    let with = |method, lengths: &[&'static str]| {
        let more: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        asked(method, authority, "/public/x", &more)
    };
    judge(&world, cases.iter().map(|(lengths, data, fate)| (with("POST", lengths), &data[..], *fate))).await;
    for method in ["GET", "DELETE", "OPTIONS", "PROPFIND"] {
        judge(
            &world,
            [
                (with(method, &[]), &["abcde"][..], Passes(method, "/public/x", "abcde")),
                (with(method, &["5"]), &["abcde"][..], Passes(method, "/public/x", "abcde")),
                (with(method, &["5"]), &["abc"][..], Cut),
            ],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_http2_pass_for_no_header_of_ours() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    let session = world.session(TAPE, ALICE).await;
    let forged = [
        ("x-remote-user", 200),
        ("x_remote_user", 200),
        ("x-doorward-user", 200),
        ("x.doorward.groups", 200),
        ("x-forwarded-for", 200),
        ("x-request-id", 200),
        ("host", 200),
        ("cookie", 200),
        ("authorization", 200),
        ("content_length", 200),
        ("transfer_encoding", 200),
        ("X-Remote-User", 0),
        (":path", 0),
        (":status", 0),
        ("connection", 0),
        ("transfer-encoding", 0),
        ("x\r\nx-remote-user", 0),
    ];
    for (name, status) in forged {
        for (path, own) in [("/public/x", &[][..]), ("/private", &[("cookie", &*session)])] {
            world.tape.forget();
            let mut client = Frames::connect(&world, TAPE).await;
            client.frame(HEADERS, END_HEADERS, 1, &block(&asked("POST", authority, path, own))).await;
            client.frame(DATA, 0, 1, b"abc").await;
            client.frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(name, "forged")])).await;
            let outcome = client.outcome(1).await;
            let arrived = world.tape.whole();
            match outcome {
                Outcome::Answer { status: 200, .. } => assert_clean(&arrived[0], path, name),
                _ => assert_eq!((status, arrived.len()), (0, 0), "{name} {outcome:?}"),
            }
            honest(&world).await;
        }
    }
}

fn assert_clean(request: &Request, path: &str, name: &str) {
    let forged = [&request.headers, &request.trailers].into_iter().flatten().filter(|(_, value)| value.contains("forged"));
    assert_eq!(forged.count(), 0, "{name}");
    assert_eq!(request.body, b"abc");
    let told: Vec<_> = strict::values(&request.headers, "x-remote-user").collect();
    assert_eq!(told, if path == "/private" { vec![ALICE.0] } else { vec![] });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_http2_has_a_size() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    let (fits, large) = ("x".repeat(16_000), "x".repeat(40_000));
    let many: Vec<(&str, &str)> = vec![("x", "1"); 2000];
    let cases = [
        (get(authority, "/public/x", &[("x", &fits)]), X),
        (get(authority, "/public/x", &[("x", "1"); 127]), X),
        (get(authority, "/public/x", &[("x", &large)]), Refused(431)),
        (get(authority, "/public/x", &[(&large, "1")]), Refused(431)),
        (get(authority, "/public/x", &many), Refused(431)),
    ];
    for (fields, fate) in cases {
        world.tape.forget();
        let mut client = Frames::connect(&world, TAPE).await;
        let block = block(&fields);
        let parts: Vec<&[u8]> = block.chunks(16_000).collect();
        for (index, part) in parts.iter().enumerate() {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            let ends = if index + 1 == parts.len() { END_HEADERS } else { 0 };
            client.frame(kind, ends | if index == 0 { END_STREAM } else { 0 }, 1, part).await;
        }
        let outcome = client.outcome(1).await;
        match (fate, outcome) {
            (Passes(..), Outcome::Answer { status: 200, .. }) => {}
            (Refused(_), Outcome::Answer { status: 431, .. } | Outcome::Reset | Outcome::Over) => {
                assert_eq!(world.tape.states().len(), 0);
            }
            (_, outcome) => panic!("{} fields: {outcome:?}", fields.len()),
        }
        honest(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_break_the_protocol_end_the_connection_and_nothing_else() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    let (head, post) = (block(&get(authority, "/public/x", &[])), block(&asked("POST", authority, "/public/x", &[])));
    let (ends, whole) = (END_HEADERS, END_HEADERS | END_STREAM);
    const PADDED: u8 = 8;
    const PRIORITY: u8 = 0x20;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("data before a head", frame(DATA, END_STREAM, 1, b"abc")),
        ("a head on stream 0", frame(HEADERS, whole, 0, &head)),
        ("a head on an even stream", frame(HEADERS, whole, 2, &head)),
        ("a head on an earlier stream", [frame(HEADERS, whole, 5, &head), frame(HEADERS, whole, 3, &head)].concat()),
        ("a continuation of nothing", frame(CONTINUATION, ends, 1, &head)),
        ("a head that something interrupts", [frame(HEADERS, END_STREAM, 1, &head[..9]), frame(PING, 0, 0, &[0; 8])].concat()),
        (
            "a head that another stream continues",
            [frame(HEADERS, END_STREAM, 1, &head[..9]), frame(CONTINUATION, ends, 3, &head[9..])].concat(),
        ),
        ("a head that is cut", frame(HEADERS, whole, 1, &head[..head.len() - 3])),
        ("a head that is no code", frame(HEADERS, whole, 1, &[0xff; 40])),
        ("a head with an index of nothing", frame(HEADERS, whole, 1, &[0x80])),
        ("a head with a table that is too large", frame(HEADERS, whole, 1, &[&[0x3f, 0xff, 0xff, 0xff, 0x0f], &head[..]].concat())),
        ("a head with a broken Huffman code", frame(HEADERS, whole, 1, &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0])),
        ("a head that is all padding", frame(HEADERS, whole | PADDED, 1, &[200, 1, 2])),
        ("a head that depends on itself", frame(HEADERS, whole | PRIORITY, 1, &[&[0, 0, 0, 1, 0], &head[..]].concat())),
        ("data that is all padding", [frame(HEADERS, ends, 1, &post), frame(DATA, PADDED, 1, &[200, 1])].concat()),
        ("data on stream 0", frame(DATA, 0, 0, b"abc")),
        ("data behind the end", [frame(HEADERS, whole, 1, &post), frame(DATA, END_STREAM, 1, b"abc")].concat()),
        ("a second head behind the end", [frame(HEADERS, whole, 1, &post), frame(HEADERS, whole, 1, &head)].concat()),
        ("a second head instead of trailers", [frame(HEADERS, ends, 1, &post), frame(HEADERS, ends, 1, &head)].concat()),
        ("a reset of nothing", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("a reset of stream 0", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8])),
        ("a reset that is too short", frame(RST_STREAM, 0, 1, &[0, 8])),
        ("settings that are cut", frame(SETTINGS, 0, 0, &[0, 1, 0])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings with a frame that is too large", frame(SETTINGS, 0, 0, &[0, 5, 0xff, 0xff, 0xff, 0xff])),
        ("settings with a window that is too large", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("settings with a push of two", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])),
        ("a ping that is too short", frame(PING, 0, 0, &[0; 7])),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8])),
        ("a promise of a client", frame(5, ends, 1, &[&[0, 0, 0, 2], &head[..]].concat())),
        ("a window of nothing more", frame(8, 0, 0, &[0; 4])),
        (
            "a window that is too large",
            [frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])].concat(),
        ),
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 20_000])),
        ("a request of HTTP/1.1", smuggled(&world).into_bytes()),
        ("nothing that has a meaning", vec![0xff; 200]),
    ];
    for (what, bytes) in cases {
        world.tape.forget();
        let mut client = Frames::connect(&world, TAPE).await;
        client.write(&bytes).await;
        // Behind it a request: whatever is left of the connection answers it, or ends.
        client.frame(HEADERS, whole, 99, &block(&get(authority, "/public/behind", &[]))).await;
        match client.outcome(99).await {
            Outcome::Answer { status, .. } => assert_eq!(status, 200, "{what}"),
            Outcome::Reset | Outcome::Over => {}
        }
        honest(&world).await;
        let strange = world.tape.whole().into_iter().find(|request| !is_known(request));
        assert_eq!(strange, None, "{what}");
    }
}

fn is_known(request: &Request) -> bool {
    ["/public/x", "/public/behind"].contains(&&*request.target) || request.target.starts_with("/public/honest/")
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_nobody_knows_are_passed_over() {
    let world = World::start().await;
    let mut client = Frames::connect(&world, TAPE).await;
    client.frame(0x42, 0xff, 0, b"whatever").await;
    client.frame(SETTINGS, 0, 0, &[0x42, 0x42, 0, 0, 0, 1]).await;
    honest_on(&world, &mut client, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_farewell_is_still_answered() {
    let world = World::start().await;
    let mut client = Frames::connect(&world, TAPE).await;
    let authority = &*world.authority(TAPE);
    // Together, since a server may end a connection on which nothing is asked as soon as it is said farewell to.
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&get(authority, "/public/x", &[])));
    client.write(&[request, frame(GOAWAY, 0, 0, &[0; 8])].concat()).await;
    assert!(matches!(client.outcome(1).await, Outcome::Answer { status: 200, whole: true, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_begin_like_http2_ends() {
    let world = World::start().await;
    for bytes in [
        &smuggled(&world).into_bytes()[..],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\n\nSM\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /public/smuggled HTTP/1.1\r\n\r\n",
        &[0; 100],
    ] {
        world.tape.forget();
        let mut client = Frames::bare(&world, TAPE).await;
        client.write(bytes).await;
        assert_eq!(client.outcome(1).await, Outcome::Over);
        honest(&world).await;
        assert_eq!(world.tape.whole().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_takes_its_request_along_and_no_other() {
    let world = World::start().await;
    let authority = &*world.authority(TAPE);
    let mut client = Frames::connect(&world, TAPE).await;
    let head = asked("POST", authority, "/public/x", &[("content-length", "10")]);
    client.frame(HEADERS, END_HEADERS, 1, &block(&head)).await;
    client.frame(DATA, 0, 1, b"abc").await;
    eventually("the app has the beginning", async || (!world.tape.states().is_empty()).then_some(())).await;
    client.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]).await;
    honest_on(&world, &mut client, 3).await;
    honest(&world).await;
    assert_eq!(world.tape.whole().len(), 2);
}
