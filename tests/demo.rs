//! The demo as a newcomer finds it: its configuration is fine, its manifest is true, and its people get what the welcome says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "world/world.rs"]
mod world;

use doorward::app::{self, Running};
use doorward::cli::check::check;
use doorward::demo::{self, Demo, Options};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use world::Who;
use world::entrance::Entrance;
use world::ports::Ports;
use world::wire::Connection;

const WIKI: &str = "wiki.localhost";
const PAYROLL: &str = "payroll.localhost";
const LOGIN: &str = "login.localhost";

/// A demo with the proxy in front of it.
struct Stage {
    manifest: Value,
    demo: Demo,
    entrance: Entrance,
    _ports: Ports,
    _folder: TempDir,
    _running: Running,
}

async fn stage() -> Stage {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let (ports, folder) = (Ports::take(), tempfile::tempdir().unwrap());
    let (port, state) = (ports.https(), folder.path().join("demo"));
    let demo = demo::prepare(&Options { port, state: state.clone() }).await.unwrap();
    let running = app::start(&demo.config).await.unwrap_or_else(|error| panic!("{error}"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(state.join("demo.json")).unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(manifest["ca"].as_str().unwrap()).unwrap()).unwrap();
    let entrance = Entrance { port, roots: Arc::new(roots), hosts: vec![WIKI, PAYROLL, LOGIN] };
    Stage { manifest, demo, entrance, _ports: ports, _folder: folder, _running: running }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_configuration_is_fine_without_a_warning() {
    let stage = stage().await;
    let verdict = check(&stage.demo.config);
    assert_eq!((verdict.code, &*verdict.problems), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_manifest_says_what_is_so() {
    let stage = stage().await;
    let (manifest, entrance) = (&stage.manifest, &stage.entrance);
    let mut keys: Vec<_> = manifest.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["admin", "admin_token", "apps", "auth", "ca", "device", "idp", "scim", "scim_token", "users"]);
    assert_eq!(manifest["apps"]["wiki"], entrance.url(WIKI, ""));
    assert_eq!(manifest["apps"]["payroll"], entrance.url(PAYROLL, ""));
    assert_eq!(manifest["auth"], entrance.url(LOGIN, ""));
    for user in manifest["users"].as_array().unwrap() {
        assert!(user["email"].is_string() && user["password"].is_string() && user["groups"].is_array(), "{user}");
    }
    for file in ["ca", "cert", "key"] {
        assert!(std::path::Path::new(manifest["device"][file].as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(manifest["device"]["url"], entrance.url(WIKI, "/vault"));
    let admin: url::Url = manifest["admin"].as_str().unwrap().parse().unwrap();
    let status = async |token: &str| {
        let mut connection = Connection::plain(admin.port().unwrap()).await;
        connection.write(format!("GET /api/v1/status HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
        connection.answer().await.status
    };
    assert_eq!(status(manifest["admin_token"].as_str().unwrap()).await, 200);
    assert_eq!(status("another").await, 401);
    assert_eq!(manifest["scim"], entrance.url(LOGIN, "/scim/v2"));
    let users = async |token: &str| {
        let mut connection = Connection::tls(entrance, LOGIN).await;
        let host = entrance.authority(LOGIN);
        connection.write(format!("GET /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
        connection.answer().await.status
    };
    assert_eq!(users(manifest["scim_token"].as_str().unwrap()).await, 200);
    assert_eq!(users("another").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_what_the_welcome_says() {
    let stage = stage().await;
    let cases: [(Who, u16, u16); 4] = [
        (("alice@corp.example", "alice-demo"), 200, 403),
        (("eve@corp.example", "eve-demo"), 200, 403),
        (("bob@corp.example", "bob-demo"), 200, 200),
        (("mallory@partner.example", "mallory-demo"), 403, 403),
    ];
    for (who, wiki, payroll) in cases {
        let mut browser = stage.entrance.browser();
        let page = browser.sign_in(&stage.entrance.url(WIKI, "/"), who).await;
        assert_eq!(page.status, wiki, "{}: {}", who.0, page.text());
        let page = browser.go(&stage.entrance.url(PAYROLL, "/headers")).await;
        assert_eq!(page.status, payroll, "{}: {}", who.0, page.text());
        match payroll {
            200 => assert_eq!(page.json()["x-remote-user"], who.0),
            _ => assert!(page.text().contains("not_allowed")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vault_opens_to_its_owner_with_the_laptop_and_to_nobody_else() {
    let stage = stage().await;
    let device = &stage.manifest["device"];
    let file = |name: &str| device[name].as_str().unwrap().to_owned();
    let shown = || (vec![CertificateDer::from_pem_file(file("cert")).unwrap()], PrivateKeyDer::from_pem_file(file("key")).unwrap());
    let (alice, eve) = (("alice@corp.example", "alice-demo"), ("eve@corp.example", "eve-demo"));
    for (who, with_laptop, status) in [(alice, true, 200), (alice, false, 403), (eve, true, 403)] {
        let mut browser = stage.entrance.browser();
        assert_eq!(browser.sign_in(&stage.entrance.url(WIKI, "/"), who).await.status, 200, "the wiki itself needs no device");
        let cookie = browser.cookie(WIKI, "__Host-doorward").unwrap();
        let builder = ClientConfig::builder().with_root_certificates(Arc::clone(&stage.entrance.roots));
        let client = match with_laptop {
            true => builder.with_client_auth_cert(shown().0, shown().1).unwrap(),
            false => builder.with_no_client_auth(),
        };
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", stage.entrance.port)).await.unwrap();
        let name = ServerName::try_from(WIKI).unwrap();
        let mut connection = Connection::over(TlsConnector::from(Arc::new(client)).connect(name, socket).await.unwrap());
        let host = stage.entrance.authority(WIKI);
        let head = format!("GET /vault HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nCookie: __Host-doorward={cookie}\r\n\r\n");
        connection.write(head).await;
        let page = connection.answer().await;
        assert_eq!(page.status, status, "{}: {}", who.0, page.text());
        assert!(status == 200 || page.text().contains("device"), "it says what is missing: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_apps_show_what_they_received() {
    let stage = stage().await;
    let mut browser = stage.entrance.browser();
    browser.sign_in(&stage.entrance.url(PAYROLL, "/"), ("bob@corp.example", "bob-demo")).await;
    for host in [WIKI, PAYROLL] {
        let headers = browser.go(&stage.entrance.url(host, "/headers")).await.json();
        assert_eq!(headers["x-doorward-email"], "bob@corp.example");
        assert_eq!(headers["x-remote-groups"], "employees,finance");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert!(headers["x-doorward-assertion"].as_str().unwrap().split('.').count() == 3 && headers["cookie"].is_null());
        let page = browser.go(&stage.entrance.url(host, "/")).await;
        assert!(page.header("content-type").unwrap().starts_with("text/html") && page.text().contains("bob@corp.example"));
        let upload = browser.step(&stage.entrance.url(host, "/upload"), Some(&[("a", "b")])).await.json();
        assert_eq!(upload["length"], 3);
        assert_eq!(upload["sha256"], "42144f3939c3ffbbf0bf8b1f12affb5c23a4c5bd41e0ff672d54a5754f062058");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_health_check_is_public() {
    let stage = stage().await;
    let page = stage.entrance.browser().go(&stage.entrance.url(WIKI, "/health")).await;
    assert_eq!((page.status, &*page.text()), (200, "fine\n"));
    let mut browser = stage.entrance.browser();
    assert_eq!(browser.step_with(&stage.entrance.url(PAYROLL, "/health"), None, "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_out_at_the_provider_is_signed_out_of_every_app_at_once_and_nobody_else_is() {
    let stage = stage().await;
    let (bob, alice) = (("bob@corp.example", "bob-demo"), ("alice@corp.example", "alice-demo"));
    let (mut browser, mut other) = (stage.entrance.browser(), stage.entrance.browser());
    let urls = [WIKI, PAYROLL].map(|host| stage.entrance.url(host, "/headers"));
    assert_eq!(browser.sign_in(&urls[0], bob).await.status, 200);
    assert_eq!(browser.go(&urls[1]).await.status, 200);
    assert_eq!(other.sign_in(&urls[0], alice).await.status, 200);
    let sign_out = format!("{}/end_session", stage.manifest["idp"].as_str().unwrap());
    let form = browser.go(&sign_out).await.text();
    let token = form.split_once(r#"name="form_token" value=""#).unwrap().1.split('"').next().unwrap().to_owned();
    let page = browser.step(&sign_out, Some(&[("form_token", &token)])).await;
    assert!(page.status == 200 && page.text().contains("signed out"), "{}", page.text());
    for url in &urls {
        assert_eq!(browser.step_with(url, None, "").await.status, 401, "{url}");
    }
    assert_eq!(other.go(&urls[0]).await.status, 200);
}
