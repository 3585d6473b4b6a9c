//! What a refused request gets, by who asks and how; and what counts as a session.

use crate::world::browser::NAVIGATION;
use crate::world::http2::Http2;
use crate::world::wire::Answer;
use crate::world::{ALICE, BOB, LOGIN, PAYROLL, ROUGH, WIKI, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_nobody_signed_in_gets_401_and_the_way_to_the_login() {
    let world = World::start().await;
    for (method, lines) in [
        ("GET", ""),
        ("GET", "Accept: */*\r\n"),
        ("GET", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n"),
        ("GET", "Accept: image/*\r\nSec-Fetch-Mode: no-cors\r\n"),
        ("DELETE", ""),
        ("OPTIONS", "Origin: https://spa.example\r\nAccess-Control-Request-Method: PUT\r\n"),
    ] {
        let answer = world.send(WIKI, world.head(method, WIKI, "/x?secret=1", lines)).await;
        assert_eq!(answer.status, 401, "{method} {lines}");
        let json = answer.json();
        assert_eq!(json["reason"], "not_signed_in");
        assert_eq!(json["request_id"].as_str(), answer.header("x-request-id"));
        assert!(!json["message"].as_str().unwrap().is_empty());
        let login = json["login"].as_str().unwrap();
        assert!(login.starts_with(&world.url(LOGIN, "/.doorward/login?to=")) && !login.contains("secret"), "{login}");
        assert_eq!(answer.header("www-authenticate"), Some("Doorward realm=\"sign-in\""));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_navigation_is_sent_to_the_login_and_a_form_is_not() {
    let world = World::start().await;
    for lines in [NAVIGATION, "Accept: text/html,*/*;q=0.8\r\n"] {
        let answer = world.get(WIKI, "/x?q=1", lines).await;
        assert_eq!(answer.status, 302);
        assert!(answer.location().starts_with(&world.url(LOGIN, "/.doorward/login?to=https%3A%2F%2Fwiki.corp.test%3A")));
        assert!(answer.header("set-cookie").unwrap().starts_with("__Host-doorward-flow-"));
    }
    // What a form sent is lost: the login would not bring it back.
    let answer = world.send(WIKI, world.head("POST", WIKI, "/x", &format!("{NAVIGATION}Content-Length: 0\r\n"))).await;
    assert_eq!((answer.status, answer.header("location")), (401, None));
    assert_eq!(answer.reason(), "not_signed_in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_gets_its_own_kind_of_status() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let cases = [
        (world.url(WIKI, "/x"), "", "16", "not_signed_in"),
        (world.url(WIKI, "/admin/x"), &*alice, "7", "not_allowed"),
        ("https://evil.example/x".to_owned(), "", "12", "unknown_host"),
        (world.url(WIKI, "/a%00"), "", "3", "ambiguous_target"),
        (world.url(ROUGH, "/nowhere/x"), "", "14", "upstream_unreachable"),
    ];
    for (url, cookie, status, message) in cases {
        let mut connection = Http2::connect(&world, WIKI).await;
        let headers = [("content-type", "application/grpc+proto"), ("te", "trailers"), ("cookie", cookie)];
        let answer = connection.ask("POST", &url, &headers).await.unwrap();
        assert_eq!((answer.status, answer.header("grpc-status")), (200, Some(status)), "{url}");
        assert_eq!(answer.header("grpc-message"), Some(message));
        assert!(answer.body.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_of_another_origin_reads_refusals_only_where_the_app_takes_preflights() {
    let world = World::start().await;
    let origin = "Origin: https://spa.example\r\n";
    let taken = world.get(PAYROLL, "/x", origin).await;
    assert_eq!(taken.status, 401);
    assert_eq!(taken.header("access-control-allow-origin"), Some("https://spa.example"));
    assert_eq!(taken.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(taken.header("vary"), Some("origin"));
    let no_origin = world.get(PAYROLL, "/x", "").await;
    let not_taken = world.get(WIKI, "/x", origin).await;
    for answer in [no_origin, not_taken] {
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_passes_only_as_one_and_only_where_the_app_takes_them() {
    let world = World::start().await;
    let (origin, method) = ("Origin: https://spa.example\r\n", "Access-Control-Request-Method: PUT\r\n");
    let both = format!("{origin}{method}");
    for (verb, host, lines, status) in [
        ("OPTIONS", PAYROLL, &*both, 200),
        ("OPTIONS", PAYROLL, origin, 401),
        ("OPTIONS", PAYROLL, method, 401),
        ("options", PAYROLL, &both, 401),
        ("GET", PAYROLL, &both, 401),
        ("OPTIONS", WIKI, &both, 401),
    ] {
        world.app.forget();
        assert_eq!(world.send(host, world.head(verb, host, "/x", lines)).await.status, status, "{verb} {host} {lines}");
        assert_eq!(world.app.all().len(), usize::from(status == 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_session_of_this_very_host_is_a_session() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(PAYROLL, "/"), BOB).await;
    browser.go(&world.url(WIKI, "/x")).await;
    let session = |host, name| browser.cookie(host, name).unwrap();
    let (payroll, wiki) = (session(PAYROLL, "__Host-doorward"), session(WIKI, "__Host-doorward"));
    let sso = session(LOGIN, "__Host-doorward-sso");
    let mut other = world.browser();
    other.until(&world.url(WIKI, "/x"), "/authorize").await;
    let name = other.names(WIKI).into_iter().find(|name| name.starts_with("__Host-doorward-flow-")).unwrap();
    let (flow, random) = (other.cookie(WIKI, &name).unwrap(), "A".repeat(43));
    let cases = [
        (format!("__Host-doorward={wiki}"), "allowed"),
        (format!("x=1; __Host-doorward={wiki}; __Host-doorward={wiki}"), "allowed"),
        (format!("__Host-doorward={payroll}"), "session_invalid"),
        (format!("__Host-doorward={sso}"), "session_invalid"),
        (format!("__Host-doorward={flow}"), "session_invalid"),
        (format!("__Host-doorward={random}"), "session_invalid"),
        ("__Host-doorward=".to_owned(), "session_invalid"),
        ("__Host-doorward=' OR 1=1".to_owned(), "session_invalid"),
        (format!("__Host-doorward={wiki} x"), "session_invalid"),
        (format!("__Host-doorward={wiki}; __Host-doorward={random}"), "not_signed_in"),
        (format!("__Host-doorward-sso={sso}"), "not_signed_in"),
        (format!("{name}={flow}"), "not_signed_in"),
        (format!("__host-doorward={wiki}"), "not_signed_in"),
        (format!("x__Host-doorward={wiki}"), "not_signed_in"),
        (format!("doorward={wiki}"), "not_signed_in"),
    ];
    for (cookie, expected) in cases {
        let answer = world.get(WIKI, "/x", &format!("Cookie: {cookie}\r\n")).await;
        let (status, reason) = if answer.status == 200 { (200, "allowed".to_owned()) } else { (401, answer.reason()) };
        assert_eq!((answer.status, &*reason), (status, expected), "{cookie}");
    }
    // A valid session at the wrong host is worth no more when it is cached.
    assert_eq!(world.get(PAYROLL, "/x", &format!("Cookie: __Host-doorward={wiki}\r\n")).await.reason(), "session_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_in_their_own_way() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let ask = async |method, path, lines: &str| {
        world.send(WIKI, world.head(method, WIKI, path, &format!("Cookie: {alice}\r\n{lines}"))).await
    };
    let json = ask("GET", "/admin/x", "").await;
    assert_eq!((json.status, &*json.reason()), (403, "not_allowed"));
    assert_eq!(json.header("www-authenticate"), None);
    let page = ask("GET", "/admin/x", NAVIGATION).await;
    assert_eq!((page.status, page.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("not_allowed") && page.text().contains(page.header("x-request-id").unwrap()));
    assert_eq!(ask("GET", "/read/x", "").await.status, 200);
    assert_eq!(ask("DELETE", "/read/x", "").await.status, 403);
    assert_eq!(ask("GET", "/ordinary", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_of_its_own() {
    let world = World::start().await;
    let alice = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let mut ids = Vec::new();
    let mut keep = |what: &str, answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{what}");
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{what}: no id")).to_owned();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        ids.push(id);
    };
    for (host, path, lines, status) in [
        (WIKI, "/x", &*alice, 200),
        (WIKI, "/teapot", &alice, 418),
        (WIKI, "/x", NAVIGATION, 302),
        (WIKI, "/a%00", "", 400),
        (WIKI, "/x", "", 401),
        (WIKI, "/admin/x", &alice, 403),
        (LOGIN, "/x", "", 404),
        (ROUGH, "/nowhere/x", "", 502),
        (WIKI, "/.doorward/session", &alice, 200),
        (WIKI, "/.doorward/jwks.json", "", 200),
        (WIKI, "/.doorward/nothing", "", 404),
        (LOGIN, "/.doorward/login", NAVIGATION, 303),
    ] {
        keep(path, world.get(host, path, lines).await, status);
    }
    let total = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), total, "no two are alike");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_not_on_the_public_listener() {
    let world = World::start().await;
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/status", "/debug/pprof"] {
        for host in [LOGIN, WIKI] {
            let answer = world.get(host, path, "").await;
            assert!(matches!(answer.status, 401 | 404), "{host}{path} {}", answer.status);
        }
    }
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/api/v1/status", 200)] {
        assert_eq!(world.admin(path).await.status, status);
    }
}
