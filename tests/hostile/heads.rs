//! What a head may be: its first line, its fields, its method, its size.

use crate::judge::Fate::{Passes, Refused};
use crate::judge::{bytes, honest_on, judge, smuggled};
use crate::world::raw::Raw;
use crate::world::{TAPE, World, strict};

const PASSES: crate::judge::Fate = Passes("GET", "/public/x", "");

#[tokio::test(flavor = "multi_thread")]
async fn a_request_line_has_three_parts_with_a_space_between() {
    let world = World::start().await;
    let host = world.authority(TAPE);
    let cases = [
        ("GET /public/x HTTP/1.1", PASSES),
        ("\r\nGET /public/x HTTP/1.1", PASSES),
        ("\r\n\r\nGET /public/x HTTP/1.1", PASSES),
        ("\nGET /public/x HTTP/1.1", Refused(400)),
        ("\rGET /public/x HTTP/1.1", Refused(400)),
        ("\0GET /public/x HTTP/1.1", Refused(400)),
        (" GET /public/x HTTP/1.1", Refused(400)),
        ("\u{ef}\u{bb}\u{bf}GET /public/x HTTP/1.1", Refused(400)),
        ("GET  /public/x HTTP/1.1", Refused(400)),
        ("GET /public/x  HTTP/1.1", Refused(400)),
        ("GET\t/public/x HTTP/1.1", Refused(400)),
        ("GET /public/x\tHTTP/1.1", Refused(400)),
        ("GET /public/x HTTP/1.1 ", Refused(400)),
        ("GET /public/x HTTP/1.1\r", Refused(400)),
        ("GET /public/x\rHTTP/1.1", Refused(400)),
        ("GET /public/x\u{b}HTTP/1.1", Refused(400)),
        ("GET /public/x\u{a0}HTTP/1.1", Refused(400)),
        ("GET /public/x /y HTTP/1.1", Refused(400)),
        ("GET /public/x", Refused(400)),
        ("GET /public/x ", Refused(400)),
        ("GET", Refused(400)),
        ("/public/x HTTP/1.1", Refused(400)),
        (" /public/x HTTP/1.1", Refused(400)),
        ("GET HTTP/1.1", Refused(400)),
        ("GET /public/x HTTP/0.9", Refused(400)),
        ("GET /public/x HTTP/1.2", Refused(400)),
        ("GET /public/x HTTP/1.10", Refused(400)),
        ("GET /public/x HTTP/1.01", Refused(400)),
        ("GET /public/x HTTP/01.1", Refused(400)),
        ("GET /public/x HTTP/1,1", Refused(400)),
        ("GET /public/x HTTP/1", Refused(400)),
        ("GET /public/x HTTP/2.0", Refused(400)),
        ("GET /public/x HTTP/2", Refused(400)),
        ("GET /public/x HTTP/3", Refused(400)),
        ("GET /public/x http/1.1", Refused(400)),
        ("GET /public/x HTTPS/1.1", Refused(400)),
        ("GET /public/x HTTP 1.1", Refused(400)),
        ("GET /public/x HTTP/1.1\0", Refused(400)),
        ("HTTP/1.1 200 OK", Refused(400)),
        ("PRI * HTTP/2.0", Refused(400)),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}", Refused(400)),
    ];
    judge(
        &world,
        cases.map(|(line, fate)| {
            let behind = if matches!(fate, Refused(_)) { smuggled(&world) } else { String::new() };
            (format!("{line}\r\nHost: {host}\r\n\r\n{behind}"), fate)
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_a_path_or_the_url_of_this_very_host() {
    let world = World::start().await;
    let (host, url) = (world.authority(TAPE), world.url(TAPE, ""));
    let cases = [
        (format!("{url}/public/x"), PASSES),
        (url.to_uppercase().replace("HTTPS", "https") + "/public/x", PASSES),
        (url.clone() + "/public/x?q=https://evil.example/", Passes("GET", "/public/x?q=https://evil.example/", "")),
        ("/public/x?a\\b[]{}|^`';=@:/?".into(), Passes("GET", "/public/x?a\\b[]{}|^`';=@:/?", "")),
        ("/public/x#/../private".into(), PASSES),
        ("/public/x?%00%0d%0a%ff".into(), Passes("GET", "/public/x?%00%0d%0a%ff", "")),
        ("*".into(), Refused(400)),
        ("?x".into(), Refused(400)),
        ("?".into(), Refused(400)),
        (format!("{url}?x"), Refused(400)),
        (url.clone(), Refused(401)),
        (format!("{url}#x"), Refused(401)),
        ("#x".into(), Refused(400)),
        ("public/x".into(), Refused(400)),
        ("\\public\\x".into(), Refused(400)),
        ("./public/x".into(), Refused(400)),
        (host.clone(), Refused(400)),
        (TAPE.into(), Refused(400)),
        ("https:".into(), Refused(400)),
        ("https:/public/x".into(), Refused(400)),
        ("https:///public/x".into(), Refused(400)),
        ("https://".into(), Refused(400)),
        (format!("//{host}/public/x"), Refused(401)),
        (format!("HTTP://{host}/public/x"), Refused(400)),
        (format!("https://{host}\\@evil.example/public/x"), Refused(400)),
        (format!("https://{host}@evil.example/public/x"), Refused(400)),
        (format!("https://evil.example@{host}/public/x"), Refused(400)),
        (format!("https://{host}%2fevil.example/public/x"), Refused(400)),
        (format!("wss://{host}/public/x"), Refused(400)),
        ("javascript:alert(1)".into(), Refused(400)),
        ("/public/\u{e9}".into(), Refused(400)),
        ("/public/\u{c3}\u{a9}".into(), Refused(400)),
        ("/public/x?\u{e9}".into(), Refused(400)),
        ("/public/x?\u{c3}\u{a9}".into(), Refused(400)),
        ("/public/x?\u{c2}\u{85}".into(), Refused(400)),
        ("/public/x?\u{c2}\u{a0}HTTP/1.0".into(), Refused(400)),
        ("/public/x?a\0b".into(), Refused(400)),
        ("/public/x?a\u{7f}b".into(), Refused(400)),
        ("/public/x?a\u{1}b".into(), Refused(400)),
        ("/public/x<y>".into(), Refused(400)),
    ];
    judge(
        &world,
        cases.map(|(target, fate)| {
            let behind = if matches!(fate, Refused(400)) { smuggled(&world) } else { String::new() };
            (
                format!(
                    "GET {target} HTTP/1.1\r\nHost: {host}\r\n{}\r\n{behind}",
                    if matches!(fate, Refused(401)) { "Connection: close\r\n" } else { "" }
                ),
                fate,
            )
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_is_a_token_a_colon_and_a_text() {
    let world = World::start().await;
    let cases = [
        ("X: 1", PASSES),
        ("X:", PASSES),
        ("X:1", PASSES),
        ("X: a\tb  c", PASSES),
        ("X: \u{e9}\u{ff}\u{80}", PASSES),
        ("x!#$%&'*+-.^_`|~9: 1", PASSES),
        ("X: a, b; c=\"d\\\"e\", (f)", PASSES),
        ("X", Refused(400)),
        (": 1", Refused(400)),
        (" : 1", Refused(400)),
        (" X: 1", Refused(400)),
        ("\tX: 1", Refused(400)),
        ("X : 1", Refused(400)),
        ("X\t: 1", Refused(400)),
        ("X Y: 1", Refused(400)),
        ("X\0: 1", Refused(400)),
        ("X\u{1}: 1", Refused(400)),
        ("X\u{7f}: 1", Refused(400)),
        ("X\u{e9}: 1", Refused(400)),
        ("X(: 1", Refused(400)),
        ("X,Y: 1", Refused(400)),
        ("X/Y: 1", Refused(400)),
        ("X;Y: 1", Refused(400)),
        ("X@Y: 1", Refused(400)),
        ("[X]: 1", Refused(400)),
        ("\"X\": 1", Refused(400)),
        ("{X}: 1", Refused(400)),
        ("X: a\0b", Refused(400)),
        ("X: a\u{1}b", Refused(400)),
        ("X: a\u{8}b", Refused(400)),
        ("X: a\u{b}b", Refused(400)),
        ("X: a\u{c}b", Refused(400)),
        ("X: a\u{1b}b", Refused(400)),
        ("X: a\u{7f}b", Refused(400)),
        ("X: a\rb", Refused(400)),
        ("X: a\r", Refused(400)),
        ("X: a\r\r\nY: 1", Refused(400)),
        ("X: a\nY: 1", Refused(400)),
        ("X: a\n", Refused(400)),
        ("X: a\r\n b", Refused(400)),
        ("X: a\r\n\tb", Refused(400)),
        ("X: a\r\n  ", Refused(400)),
        ("X:\r\n a", Refused(400)),
        ("X: a\n b", Refused(400)),
        ("Host : evil.example", Refused(400)),
        ("Host\u{0}: evil.example", Refused(400)),
        ("X: a\rHost: evil.example", Refused(400)),
        ("X: a\nHost: evil.example", Refused(400)),
    ];
    judge(
        &world,
        cases.map(|(line, fate)| {
            let behind = if matches!(fate, Refused(_)) { smuggled(&world) } else { String::new() };
            (world.head("GET", TAPE, "/public/x", &format!("{line}\r\n")) + &behind, fate)
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_feed_alone_ends_no_line_of_a_head() {
    let world = World::start().await;
    let head = world.head("GET", TAPE, "/public/x", "X: 1\r\nY: 2\r\n");
    let ends: Vec<usize> = head.match_indices("\r\n").map(|(at, _)| at).collect();
    let one_bare = ends.iter().map(|at| format!("{}{}", &head[..*at], &head[at + 1..]));
    let all_bare = head.replace("\r\n", "\n");
    let cases = one_bare.chain([all_bare]).map(|text| (text + &smuggled(&world), Refused(400)));
    judge(&world, cases.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_a_name_and_perhaps_a_port() {
    let world = World::start().await;
    let port = world.port;
    let cases = [
        (format!("{TAPE}:{port}"), PASSES),
        (format!("\t {TAPE}:{port} \t"), PASSES),
        (format!("TAPE.corp.TEST:{port}"), PASSES),
        (format!("{TAPE}:+{port}"), Refused(400)),
        (format!("{TAPE}:{port} "), PASSES),
        (format!("{TAPE}: {port}"), Refused(400)),
        (format!("{TAPE} :{port}"), Refused(400)),
        (format!("{TAPE}:65536"), Refused(400)),
        (format!("{TAPE}:{port}:{port}"), Refused(400)),
        (format!("{TAPE}\t{TAPE}"), Refused(400)),
        (format!("{TAPE};{TAPE}"), Refused(400)),
        (format!("{TAPE}?x"), Refused(400)),
        (format!("{TAPE}#x"), Refused(400)),
        (format!("{TAPE}\\x"), Refused(400)),
        (format!("https://{TAPE}"), Refused(400)),
        (format!("//{TAPE}"), Refused(400)),
        (format!("\"{TAPE}\""), Refused(400)),
        (format!("{TAPE}\u{e9}"), Refused(400)),
        (format!("tape%2ecorp.test:{port}"), Refused(400)),
        ("[::1]".into(), Refused(400)),
        ("*".into(), Refused(400)),
        (",".into(), Refused(400)),
    ];
    let case = |(value, fate): (String, _)| {
        let behind = if matches!(fate, Refused(_)) { smuggled(&world) } else { String::new() };
        (format!("GET /public/x HTTP/1.1\r\nHost: {value}\r\n\r\n{behind}"), fate)
    };
    judge(&world, cases.map(case)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_is_a_token_that_reaches_the_app_as_it_is() {
    let world = World::start().await;
    let host = world.authority(TAPE);
    let long: &'static str = Box::leak("M".repeat(8000).into_boxed_str());
    let cases = [
        ("HEAD", Passes("HEAD", "/public/x", "")),
        ("OPTIONS", Passes("OPTIONS", "/public/x", "")),
        ("DELETE", Passes("DELETE", "/public/x", "")),
        ("PROPFIND", Passes("PROPFIND", "/public/x", "")),
        ("M-SEARCH", Passes("M-SEARCH", "/public/x", "")),
        ("PRI", Passes("PRI", "/public/x", "")),
        ("get", Passes("get", "/public/x", "")),
        ("GeT", Passes("GeT", "/public/x", "")),
        ("!#$%&'*+-.^_`|~0", Passes("!#$%&'*+-.^_`|~0", "/public/x", "")),
        (long, Passes(long, "/public/x", "")),
        ("CONNECT", Refused(400)),
        ("connect", Refused(400)),
        ("TRACE", Refused(400)),
        ("trace", Refused(400)),
        ("Trace", Refused(400)),
        ("TRACK", Refused(400)),
        ("G(T", Refused(400)),
        ("G\0T", Refused(400)),
        ("G\u{e9}T", Refused(400)),
        ("G\"T", Refused(400)),
        ("GET:", Refused(400)),
        ("GET/", Refused(400)),
    ];
    judge(&world, cases.map(|(method, fate)| (format!("{method} /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n"), fate))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomination_takes_nothing_away_that_frames_addresses_or_authorizes() {
    let world = World::start().await;
    let refused = [
        "host",
        ",Host,",
        "close , HOST",
        "x,\tcontent-length",
        "Transfer-Encoding",
        "cookie",
        "Authorization, x",
        "keep-alive\r\nConnection: host",
        "upgrade\r\nX: 1\r\nconnection: content-length",
    ];
    let passing = [
        "",
        ",",
        "keep-alive, keep-alive",
        "x-forwarded-for, X-Forwarded-Host, x-request-id, x-doorward-user, forwarded",
        "\"host\"",
        "host;q=1",
        "ho st",
        "\u{e9}, host\u{e9}",
        "connection",
        "upgrade",
        "te, trailer, upgrade, http2-settings",
    ];
    let get = |value| world.head("GET", TAPE, "/public/x", &format!("X-Forwarded-For: 192.0.2.1\r\nConnection: {value}\r\n"));
    let refused = refused.map(|value| (get(value) + &smuggled(&world), Refused(400)));
    judge(&world, refused.into_iter().chain(passing.map(|value| (get(value), PASSES)))).await;
    for value in passing {
        world.tape.forget();
        let mut client = Raw::connect(&world, TAPE).await;
        client.write(bytes(&get(value))).await;
        assert_eq!(client.answer(false).await.status(), 200);
        let headers = &world.tape.whole()[0].headers;
        assert_eq!(strict::values(headers, "x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"], "{value}");
        assert_eq!(strict::values(headers, "connection").count(), 0, "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_size_and_a_count() {
    let world = World::start().await;
    let get = |lines: String| world.head("GET", TAPE, "/public/x", &lines);
    let host = world.authority(TAPE);
    let many = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let path: &'static str = Box::leak(format!("/public/{}", "y".repeat(20_000)).into_boxed_str());
    judge(
        &world,
        [
            (get(many(99)), PASSES),
            (get(many(100)), Refused(431)),
            (get(many(2000)), Refused(431)),
            (get(format!("X: {}\r\n", "x".repeat(30_000))), PASSES),
            (get(format!("X: {}\r\n", "x".repeat(32_768))), Refused(431)),
            (get(format!("X: {}\r\n", "x".repeat(60_000))), Refused(431)),
            (get(format!("{}: 1\r\n", "x".repeat(30_000))), PASSES),
            (get(format!("{}: 1\r\n", "x".repeat(40_000))), Refused(431)),
            (get(format!("Cookie: {}\r\n", "a=b; ".repeat(5000))), PASSES),
            (get(format!("Connection: {}\r\n", "a,".repeat(10_000))), PASSES),
            (format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"), Passes("GET", path, "")),
            (format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "y".repeat(40_000)), Refused(431)),
            (format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "y".repeat(70_000)), Refused(431)),
            (format!("{} / HTTP/1.1\r\nHost: {host}\r\n\r\n", "M".repeat(40_000)), Refused(431)),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_byte_by_byte_is_the_same_request() {
    let world = World::start().await;
    let mut client = Raw::connect(&world, TAPE).await;
    let chunked =
        world.head("PUT", TAPE, "/public/slow", "Transfer-Encoding: chunked\r\n") + "3;x=\"y\"\r\na\nb\r\n0\r\nX: 1\r\n\r\n";
    for text in [chunked, world.head("GET", TAPE, "/public/next", "X: 1\r\n")] {
        for byte in text.as_bytes() {
            client.write([*byte]).await;
        }
        assert_eq!(client.answer(false).await.status(), 200);
    }
    let arrived = world.tape.whole();
    assert_eq!((&*arrived[0].body, &arrived[0].trailers[..], &*arrived[1].target), (&b"a\nb"[..], &[][..], "/public/next"));
    honest_on(&world, &mut client).await;
}
