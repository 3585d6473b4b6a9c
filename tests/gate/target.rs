//! One request, one reading: hosts, paths and framing that two parsers could read differently are refused, and the connection is
//! closed; everything else passes byte for byte.

use crate::world::http2::Http2;
use crate::world::wire::Connection;
use crate::world::{ALICE, LOGIN, WIKI, World};

/// Sends bytes and expects a refusal after which the connection ends and the app has seen nothing.
async fn refused(world: &World, bytes: &str, status: u16) {
    let mut connection = Connection::tls(world, WIKI).await;
    connection.write(bytes).await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, status, "{bytes:?} {}", answer.text());
    assert!(connection.is_closed().await, "{bytes:?} left the connection open");
    assert!(world.app.all().is_empty(), "{bytes:?} reached the app as {}", world.app.all()[0].path);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leaves_or_hides_is_refused() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    world.app.forget();
    for path in [
        "/..",
        "/public/../admin/x",
        "/a/./b",
        "/a/.",
        "/%2e%2e/",
        "/%2E./",
        "/.%2e/a",
        "/public/%2e%2e%2fadmin",
        "/public%2f..%2fadmin",
        "/..%5cb",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/%252e%252e/b",
        "/a%252f..%252fb",
        "/a%00",
        "/a%0d%0aX-Admin:1",
        "/%",
        "/%1",
        "/%zz",
        "/a/.%3b/b",
        "/..%23",
        "/..%3f",
        "/public/..%c0%af",
    ] {
        refused(&world, &world.head("GET", WIKI, path, &format!("Cookie: {session}\r\n")), 400).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_reads_as_another_rule_s_is_refused() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    world.app.forget();
    for path in [
        "//admin/x",
        "/admin%2fx",
        "/admin;a=1/x",
        "/%61dmin;/x",
        "/ADMIN/x",
        "/Admin",
        "/public%2f%61",
        "/public;/x",
        "/Public/x",
        "/x%2fpublic%3f/../",
        "//public/x",
        "/public%5cx",
    ] {
        refused(&world, &world.head("GET", WIKI, path, &format!("Cookie: {session}\r\n")), 400).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_means_one_thing_passes_byte_for_byte() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let paths = [
        "/",
        "/a/b",
        "/a//b",
        "/a%20b",
        "/%C3%A9",
        "/group%2Fproject",
        "/a;v=1/b",
        "/...",
        "/a/..b",
        "/100%25",
        "/%ff/caf%E9",
        "/a/b/?q=../%2e%2e&to=https://x/%00",
        "/?",
        "/~x:y@z!$&'()*+,=",
        "/x/.doorward/session",
        "/.doorwards",
        "/.doorward",
        "/%70ublic/x",
    ];
    let mut h2 = Http2::connect(&world, WIKI).await;
    for path in paths {
        world.app.forget();
        assert_eq!(world.get(WIKI, path, &format!("Cookie: {session}\r\n")).await.status, 200, "{path}");
        let answer = h2.ask("GET", &world.url(WIKI, path), &[("cookie", &session)]).await.unwrap();
        assert_eq!(answer.status, 200, "{path} over HTTP/2");
        let seen: Vec<_> = world.app.all().iter().map(|seen| seen.path.clone()).collect();
        assert_eq!(seen, [path, path]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_exactly_one_host() {
    let world = World::start().await;
    let authority = world.authority(WIKI);
    let get = |lines: &str| format!("GET /public/x HTTP/1.1\r\n{lines}\r\n");
    for lines in [
        String::new(),
        "Host:\r\n".to_owned(),
        format!("Host: {authority}\r\nHost: {authority}\r\n"),
        format!("Host: {authority}\r\nhost: evil.example\r\n"),
        format!("Host: user@{authority}\r\n"),
        format!("Host: {WIKI}:\r\n"),
        format!("Host: {WIKI}:x\r\n"),
        format!("Host: {WIKI}:443:1\r\n"),
        format!("Host: {WIKI}/evil\r\n"),
        format!("Host: {authority}, evil.example\r\n"),
        format!("Host: {WIKI}%00.evil.example\r\n"),
        "Host: [::1]\r\n".to_owned(),
        "Host: wiki_corp.test\r\n".to_owned(),
    ] {
        refused(&world, &get(&lines), 400).await;
    }
    let absolute = |uri: &str, host: &str| format!("GET {uri} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (uri, host) in [
        ("https://evil.example/public/x".to_owned(), &*authority),
        (world.url(WIKI, "/public/x"), "evil.example"),
        (format!("https://user@{authority}/public/x"), &authority),
        (format!("http://{authority}/public/x"), &authority),
        (format!("ftp://{authority}/public/x"), &authority),
    ] {
        refused(&world, &absolute(&uri, host), 400).await;
    }
    assert_eq!(world.send(WIKI, absolute(&world.url(WIKI, "/public/x"), &authority.to_uppercase())).await.status, 200);
    assert_eq!(world.app.only().path, "/public/x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_configured_is_misdirected() {
    let world = World::start().await;
    for host in [
        "evil.example",
        "corp.test",
        "x.wiki.corp.test",
        "wiki.corp.test.evil.example",
        "wiki.corp.test.",
        "127.0.0.1",
        "localhost",
    ] {
        let answer = world.send(WIKI, format!("GET /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!((answer.status, &*answer.reason()), (421, "unknown_host"), "{host}");
    }
    let answer = Http2::connect(&world, WIKI).await.ask("GET", "https://evil.example/public/x", &[]).await.unwrap();
    assert_eq!(answer.status, 421);
    assert_eq!(world.get(LOGIN, "/anything", "").await.reason(), "unknown_path");
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_chunk_ends_the_request_and_the_connection() {
    let world = World::start().await;
    for chunks in ["zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcX\r\n0\r\n\r\n", "-1\r\n\r\n", "11111111111111111\r\nabc"] {
        world.app.forget();
        let mut connection = Connection::tls(&world, WIKI).await;
        connection.write(world.head("POST", WIKI, "/public/x", "Transfer-Encoding: chunked\r\n") + chunks).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, &*answer.reason()), (400, "bad_request"), "{chunks:?}");
        assert!(connection.is_closed().await, "{chunks:?}");
        assert!(world.app.all().iter().all(|seen| !seen.has_ended() || seen.body() != b"abc"), "{chunks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserved_path_has_one_spelling_and_reaches_no_app() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    world.app.forget();
    for path in [
        "/.Doorward/session",
        "/.DOORWARD/",
        "/%2edoorward/session",
        "/.doorward%2fsession",
        "/.%64oorward/session",
        "//.doorward/session",
        "/.doorward;x/session",
        "/.doorward%5csession",
        "/%252edoorward/session",
    ] {
        refused(&world, &world.head("GET", WIKI, path, &format!("Cookie: {session}\r\n")), 400).await;
    }
    for path in ["/.doorward/", "/.doorward/nothing", "/.doorward/session/", "/.doorward/session/x", "/.doorward//session"] {
        let answer = world.get(WIKI, path, &format!("Cookie: {session}\r\n")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_http2_can_not_contradict_itself() {
    let world = World::start().await;
    let mut connection = Http2::connect(&world, WIKI).await;
    let url = world.url(WIKI, "/public/x");
    for host in ["evil.example", &world.authority("payroll.other.example")] {
        let answer = connection.ask("GET", &url, &[("host", host)]).await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{host}");
    }
    for path in ["/public/../admin", "/public/%2e%2e/admin", "/ADMIN/x", "//admin", "/.doorward%2fsession"] {
        let answer = connection.ask("GET", &world.url(WIKI, path), &[]).await.unwrap();
        assert_eq!(answer.status, 400, "{path}");
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_text_is_only_sent_to_tls() {
    let world = World::start().await;
    let ask = async |host: &str, path: &str| {
        let mut connection = Connection::plain(world.ports.http()).await;
        connection.write(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        connection.answer().await
    };
    let answer = ask(WIKI, "/public/x?q=%20").await;
    assert_eq!((answer.status, answer.location()), (308, &*world.url(WIKI, "/public/x?q=%20")));
    for (host, path) in [("evil.example", "/"), (WIKI, "/../x"), ("user@wiki.corp.test", "/")] {
        let answer = ask(host, path).await;
        assert_eq!((answer.status, answer.header("location")), (404, None), "{host}{path}");
    }
    assert!(world.app.all().is_empty());
}
