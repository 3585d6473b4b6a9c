//! Which device a request comes from: by its certificate, by what a trusted proxy says, and by the inventory.

use crate::world::authority::{Authority, DAY, Shown};
use crate::world::wire::{Answer, Connection, PATIENCE};
use crate::world::{ALICE, SHOP, Setup, WIKI, World, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// Doorward that asks for certificates of this authority.
pub(crate) fn asking(authority: &Authority) -> Setup {
    Setup { tls: ", device_ca: devices.pem", files: vec![("devices.pem", authority.pem().into())], ..Setup::default() }
}

/// A client that shows this certificate, and remembers its sessions.
pub(crate) fn client(world: &World, version: &'static SupportedProtocolVersion, shown: Option<&Shown>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(Arc::clone(&world.roots));
    Arc::new(match shown {
        Some(shown) => builder.with_client_auth_cert(shown.chain.clone(), shown.key.clone_key()).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

pub(crate) async fn connect(world: &World, client: &Arc<ClientConfig>) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    connect_from(Ipv4Addr::LOCALHOST, world, client).await
}

async fn connect_from(
    from: Ipv4Addr,
    world: &World,
    client: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, world.port))).await?;
    let shaken = TlsConnector::from(Arc::clone(client)).connect(ServerName::try_from(WIKI).unwrap(), stream);
    tokio::time::timeout(PATIENCE, shaken).await.expect("a handshake in time")
}

/// One request to a public path.
async fn ask(world: &World, stream: TlsStream<tokio::net::TcpStream>, path: &str, lines: &str) -> Answer {
    let mut connection = Connection::over(stream);
    connection.write(world.head("GET", WIKI, path, lines)).await;
    connection.answer().await
}

/// What the record says of the certificate of a client.
async fn judged(world: &World, client: &Arc<ClientConfig>, path: &str) -> Value {
    let answer = ask(world, connect(world, client).await.unwrap(), path, "").await;
    assert_eq!(answer.status, 200, "{path}");
    world.record(path).await["certificate"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_judged_and_never_ends_the_handshake() {
    let (ours, foreign) = (Authority::new("devices"), Authority::new("strangers"));
    let world = World::of(asking(&ours)).await;
    let now = SystemTime::now();
    let below = ours.below("laptops", 50);
    let self_signed_as_ours = Authority::new("devices");
    let cases = [
        ("none", None, Value::Null),
        ("good", Some(ours.issue("mac-1", 1)), "good".into()),
        ("chain", Some(below.issue("mac-2", 2).with(&below)), "good".into()),
        ("no-chain", Some(below.issue("mac-2", 3)), "unknown_issuer".into()),
        ("expired", Some(ours.issue_as("mac-1", 4, |params| params.not_after = (now - DAY / 2).into())), "expired".into()),
        ("early", Some(ours.issue_as("mac-1", 5, |params| params.not_before = (now + DAY / 2).into())), "not_yet_valid".into()),
        ("foreign", Some(foreign.issue("mac-1", 6)), "unknown_issuer".into()),
        ("same-name", Some(self_signed_as_ours.issue("mac-1", 7)), "unknown_issuer".into()),
        (
            "for-servers",
            Some(ours.issue_as("mac-1", 8, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
            "wrong_usage".into(),
        ),
        (
            "not-for-signing",
            Some(ours.issue_as("mac-1", 9, |params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment])),
            "wrong_usage".into(),
        ),
        (
            "authority",
            Some(ours.issue_as("mac-1", 10, |params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained))),
            "wrong_usage".into(),
        ),
        (
            "odd-name",
            Some(ours.issue_as("x", 11, |params| params.distinguished_name.push(DnType::CommonName, "\"\r\n{evil}\u{202e}"))),
            "good".into(),
        ),
    ];
    for (name, shown, expected) in &cases {
        for (version, number) in BOTH.into_iter().zip(0..) {
            let path = format!("/public/{name}-{number}");
            assert_eq!(judged(&world, &client(&world, version, shown.as_ref()), &path).await, *expected, "{name}");
        }
    }
}

/// In TLS 1.3 a client learns of it when it reads.
async fn assert_shut_out(world: &World, client: &Arc<ClientConfig>, path: &str) {
    if let Ok(mut stream) = connect(world, client).await {
        drop(stream.write_all(world.head("GET", WIKI, path, "").as_bytes()).await);
        assert!(stream.read_to_end(&mut Vec::new()).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_a_few_certificates_and_no_large_ones() {
    let ours = Authority::new("devices");
    let world = World::of(asking(&ours)).await;
    let below = ours.below("laptops", 50);
    let behind = |count: usize| (0..count).fold(below.issue("mac-1", 1), |shown, _| shown.with(&below));
    let large = ours.issue_as("x", 2, |params| params.distinguished_name.push(DnType::CommonName, "x".repeat(17_000)));
    for (version, number) in BOTH.into_iter().zip(0..) {
        let few = client(&world, version, Some(&behind(4)));
        assert_eq!(judged(&world, &few, &format!("/public/few-{number}")).await, "good");
        for shown in [&behind(5), &large] {
            assert_shut_out(&world, &client(&world, version, Some(shown)), "/public/many").await;
        }
    }
    assert!(world.records("/public/many").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_is_nobody_s() {
    let ours = Authority::new("devices");
    let world = World::of(asking(&ours)).await;
    let (victim, thief) = (ours.issue("mac-1", 1), ours.issue("mac-2", 2));
    for version in BOTH {
        let key = default_provider().key_provider.load_private_key(thief.key.clone_key()).unwrap();
        let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(CertifiedKey::new(victim.chain.clone(), key)));
        let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(Arc::clone(&world.roots));
        let client = Arc::new(builder.with_client_cert_resolver(resolver));
        assert_shut_out(&world, &client, "/public/stolen").await;
    }
    eventually("both are counted", async || (world.metric("doorward_tls_handshake_failures_total").await > 1.5).then_some(()))
        .await;
    assert!(world.records("/public/stolen").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_has_the_certificate_that_it_began_with() {
    let ours = Authority::new("devices");
    let world = World::of(asking(&ours)).await;
    let shown = ours.issue("mac-1", 1);
    for (version, number) in BOTH.into_iter().zip(0..) {
        for (name, shown, expected) in [("with", Some(&shown), Value::from("good")), ("without", None, Value::Null)] {
            let client = client(&world, version, shown);
            assert_eq!(judged(&world, &client, &format!("/public/{name}-{number}-first")).await, expected);
            let stream = connect(&world, &client).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
            let path = format!("/public/{name}-{number}-again");
            assert_eq!(ask(&world, stream, &path, "").await.status, 200);
            assert_eq!(world.record(&path).await["certificate"], expected, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_before_certificates_were_asked_for_does_not_go_on() {
    let ours = Authority::new("devices");
    let world = World::of(Setup { files: vec![("devices.pem", ours.pem().into())], ..Setup::default() }).await;
    let shown = ours.issue("mac-1", 1);
    let clients: Vec<_> = BOTH.iter().map(|version| client(&world, version, Some(&shown))).collect();
    for (client, number) in clients.iter().zip(0..) {
        assert_eq!(judged(&world, client, &format!("/public/before-{number}")).await, Value::Null, "nothing is asked");
    }
    let yaml = fs::read_to_string(world.path("doorward.yaml")).unwrap();
    fs::write(world.path("doorward.yaml"), yaml.replace("server.key }]", "server.key }], device_ca: devices.pem")).unwrap();
    eventually("it is reloaded", async || (world.metric("doorward_config_epoch").await > 1.5).then_some(())).await;
    for (client, number) in clients.iter().zip(0..) {
        assert_eq!(judged(&world, client, &format!("/public/after-{number}")).await, "good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_list_of_revoked_certificates_counts_on_connections_that_are_there() {
    let ours = Authority::new("devices");
    let (kept, lost) = (ours.issue("mac-1", 1), ours.issue("mac-2", 2));
    let mut setup = asking(&ours);
    setup.tls = ", device_ca: devices.pem, device_crl: revoked.pem";
    setup.files.push(("revoked.pem", ours.revoke(&[], false).into()));
    let world = World::of(setup).await;
    let mut connection = Connection::over(connect(&world, &client(&world, BOTH[1], Some(&lost))).await.unwrap());
    let mut ask = async |path: &str| {
        connection.write(world.head("GET", WIKI, path, "")).await;
        assert_eq!(connection.answer().await.status, 200);
        world.record(path).await["certificate"].clone()
    };
    assert_eq!(ask("/public/before").await, "good");
    let epoch = async |epoch: f64| {
        eventually("it is reloaded", async || (world.metric("doorward_config_epoch").await > epoch - 0.5).then_some(())).await
    };
    fs::write(world.path("revoked.pem"), ours.revoke(&[&lost], false)).unwrap();
    epoch(2.0).await;
    assert_eq!(ask("/public/revoked").await, "revoked");
    assert_eq!(judged(&world, &client(&world, BOTH[1], Some(&kept)), "/public/kept").await, "good");
    fs::write(world.path("revoked.pem"), "no list").unwrap();
    eventually("it is refused", async || (world.metric("doorward_config_broken").await > 0.5).then_some(())).await;
    assert_eq!(ask("/public/still-revoked").await, "revoked", "the last good list stays");
    fs::write(world.path("revoked.pem"), ours.revoke(&[&lost], true)).unwrap();
    epoch(3.0).await;
    assert_eq!(judged(&world, &client(&world, BOTH[1], Some(&kept)), "/public/old-list").await, "revocation_list_expired");
    fs::write(world.path("revoked.pem"), Authority::new("others").revoke(&[], false)).unwrap();
    epoch(4.0).await;
    assert_eq!(judged(&world, &client(&world, BOTH[1], Some(&kept)), "/public/no-list").await, "revocation_unknown");
    fs::write(world.path("revoked.pem"), [ours.revoke(&[], true), ours.revoke(&[&lost], false)].concat()).unwrap();
    epoch(5.0).await;
    assert_eq!(ask("/public/newest-revoked").await, "revoked", "the newest list counts, wherever it stands");
    assert_eq!(judged(&world, &client(&world, BOTH[1], Some(&kept)), "/public/newest").await, "good");
    fs::write(world.path("revoked.pem"), Authority::new("devices").revoke(&[], false)).unwrap();
    epoch(6.0).await;
    assert_eq!(ask("/public/same-name").await, "revocation_unknown", "a list of somebody else of that name");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_in_between_can_be_revoked() {
    let ours = Authority::new("devices");
    let (good, lost) = (ours.below("laptops", 50), ours.below("phones", 51));
    let mut setup = asking(&ours);
    setup.tls = ", device_ca: devices.pem, device_crl: revoked.pem";
    let stands_for_it = ours.issue("phones", 51);
    let lists = [ours.revoke(&[&stands_for_it], false), good.revoke(&[], false), lost.revoke(&[], false)].concat();
    setup.files.push(("revoked.pem", lists.into()));
    let world = World::of(setup).await;
    for (name, authority, expected) in [("laptop", &good, "good"), ("phone", &lost, "revoked")] {
        let shown = authority.issue(name, 1).with(authority);
        assert_eq!(judged(&world, &client(&world, BOTH[1], Some(&shown)), &format!("/public/{name}")).await, expected);
    }
}

/// A request of somebody at this address with these header lines; what the record says of the certificate.
async fn told(world: &World, from: Ipv4Addr, shown: Option<&Shown>, path: &str, lines: &str) -> Value {
    let stream = connect_from(from, world, &client(world, BOTH[1], shown)).await.unwrap();
    assert_eq!(ask(world, stream, path, lines).await.status, 200, "{path}");
    world.record(path).await["certificate"].clone()
}

fn item(certificate: &CertificateDer<'_>) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_alone_says_which_certificate_its_client_has_shown() {
    let ours = Authority::new("devices");
    let below = ours.below("laptops", 50);
    let (shown, chained, own) = (ours.issue("mac-1", 1), below.issue("mac-2", 2), ours.issue("proxy", 3));
    let mut setup = asking(&ours);
    setup.tls = ", device_ca: devices.pem, client_cert_header: true";
    setup.more = "trusted_proxies: [127.0.0.9]";
    let world = World::of(setup).await;
    let one = format!("Client-Cert: {}\r\n", item(&shown.chain[0]));
    let two = format!("Client-Cert: {}\r\nClient-Cert-Chain: {}\r\n", item(&chained.chain[0]), item(&below.der()));
    let above = format!("Client-Cert-Chain: {}\r\n", item(&below.der()));
    let cases = [
        ("proxy", PROXY, None, one.clone(), Value::from("good")),
        ("again", PROXY, None, one.clone(), "good".into()),
        ("chain", PROXY, None, two.clone(), "good".into()),
        ("no-chain", PROXY, None, format!("Client-Cert: {}\r\n", item(&chained.chain[0])), "unknown_issuer".into()),
        ("long-chain", PROXY, None, two.clone() + &above.repeat(3), "good".into()),
        ("longer-chain", PROXY, None, two.clone() + &above.repeat(4), "malformed".into()),
        ("twice", PROXY, None, one.clone() + &one, "malformed".into()),
        (
            "two-in-a-line",
            PROXY,
            None,
            format!("Client-Cert: {}, {}\r\n", item(&chained.chain[0]), item(&below.der())),
            "malformed".into(),
        ),
        ("nonsense", PROXY, None, "Client-Cert: :AQID:\r\n".to_owned(), "malformed".into()),
        ("own", PROXY, Some(&own), String::new(), Value::Null),
        ("own-and-client", PROXY, Some(&own), one.clone(), "good".into()),
        ("stranger", Ipv4Addr::LOCALHOST, None, one.clone(), Value::Null),
        ("device", Ipv4Addr::LOCALHOST, Some(&chained), one.clone(), "unknown_issuer".into()),
    ];
    for (name, from, own, lines, expected) in &cases {
        let path = format!("/public/told-{name}");
        let alias = lines.replace("Client-Cert", "Client_Cert");
        assert_eq!(told(&world, *from, *own, &path, &(lines.clone() + &alias)).await, *expected, "{name}");
        let seen = Arc::clone(world.app.all().last().unwrap());
        assert!(seen.folded("client-cert").is_empty() && seen.folded("client-cert-chain").is_empty(), "{:?}", seen.headers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_believed_about_certificates_where_the_file_does_not_say_so() {
    let ours = Authority::new("devices");
    let shown = ours.issue("mac-1", 1);
    let world = World::of(Setup { more: "trusted_proxies: [127.0.0.9]", ..asking(&ours) }).await;
    let lines = format!("Client-Cert: {}\r\n", item(&shown.chain[0]));
    assert_eq!(told(&world, PROXY, None, "/public/told", &lines).await, Value::Null);
    assert!(world.app.all().last().unwrap().folded("client-cert").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_leads_to_its_device_in_the_file_and_in_what_the_api_was_told() {
    let ours = Authority::new("devices");
    let (one, two) = (ours.issue("mac-1", 1), ours.issue("mac-2", 2));
    let mut setup = asking(&ours);
    let csv = format!("id,owner,fingerprint,managed\nmac-1,alice@corp.example,{},true\n", one.fingerprint());
    setup.files.push(("devices.csv", csv.clone().into()));
    setup.more = "devices: { file: devices.csv }";
    let world = World::of(setup).await;
    let device = async |shown: &Shown, path: &str| {
        let certificate = judged(&world, &client(&world, BOTH[1], Some(shown)), path).await;
        assert_eq!(certificate, "good");
        world.record(path).await["device"].clone()
    };
    assert_eq!(device(&one, "/public/one").await, "mac-1");
    assert_eq!(device(&two, "/public/two").await, Value::Null);
    fs::write(world.path("devices.csv"), format!("{csv}mac-2,shared,{},false\n", two.fingerprint())).unwrap();
    eventually("it is reloaded", async || (world.metric("doorward_config_epoch").await > 1.5).then_some(())).await;
    assert_eq!(device(&two, "/public/two-listed").await, "mac-2");
    fs::write(world.path("devices.csv"), "id,owner\nmac-1,nobody\n").unwrap();
    eventually("it is refused", async || (world.metric("doorward_config_broken").await > 0.5).then_some(())).await;
    assert_eq!(device(&two, "/public/two-kept").await, "mac-2", "the last good file stays");
    let other = ours.issue("mac-1", 3);
    let body = format!("{{\"owner\":\"alice@corp.example\",\"fingerprint\":\"{}\"}}", other.fingerprint());
    assert_eq!(world.administer("PUT", "/api/v1/devices/mac-1", "", &body).await.status, 200);
    assert_eq!(device(&other, "/public/other").await, "mac-1");
    assert_eq!(device(&one, "/public/one-replaced").await, Value::Null, "the old certificate leads nowhere");
    assert_eq!(world.administer("DELETE", "/api/v1/devices/mac-1", "", "").await.status, 204);
    assert_eq!(device(&one, "/public/one-again").await, "mac-1");
}

/// What a client was asked for.
#[derive(Debug)]
struct Asked(std::sync::atomic::AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_a_certificate_where_nobody_vouches_for_devices() {
    let ours = Authority::new("devices");
    for (setup, expected) in [(Setup::default(), false), (asking(&ours), true)] {
        let world = World::of(setup).await;
        for version in BOTH {
            let asked = Arc::new(Asked(false.into()));
            let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(Arc::clone(&world.roots));
            let client = Arc::new(builder.with_client_cert_resolver(Arc::clone(&asked) as Arc<dyn ResolvesClientCert>));
            drop(connect(&world, &client).await.unwrap());
            assert_eq!(asked.0.load(std::sync::atomic::Ordering::Relaxed), expected);
        }
    }
}

pub(crate) const APPS: &str = "
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    allow: [{ domains: [corp.example] }]
    paths:
      - { match: /managed/**, allow: [{ domains: [corp.example], when: { device: managed } }] }
      - { match: /certified/**, allow: [{ domains: [corp.example], when: { device: certified } }] }
      - { match: /low/**, allow: [{ domains: [corp.example], when: { risk: low } }] }
";

/// What somebody gets who has this session and shows this certificate.
pub(crate) async fn served(world: &World, session: &str, shown: Option<&Shown>, path: &str) -> (u16, Option<String>, String) {
    let stream = connect(world, &client(world, BOTH[1], shown)).await.unwrap();
    let mut connection = Connection::over(stream);
    let lines = format!("Cookie: {session}\r\nAccept: application/json\r\n");
    connection.write(world.head("GET", SHOP, path, &lines)).await;
    let answer = connection.answer().await;
    let reason = (answer.status != 200).then(|| answer.reason());
    (answer.status, reason, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_can_ask_for_a_device_and_says_so_when_its_certificate_is_not_good() {
    let ours = Authority::new("devices");
    let devices = ["own", "shared", "bob-s", "known", "stale", "unlisted", "last"].map(|name| (name, ours.issue(name, 1)));
    let shown = |name: &str| &devices.iter().find(|(other, _)| *other == name).unwrap().1;
    let line = |name: &str, owner: &str, managed: bool, expires: &str| {
        format!("{name},{owner},{},{managed},{expires}\n", shown(name).fingerprint())
    };
    let csv = [
        "id,owner,fingerprint,managed,expires_at\n".to_owned(),
        line("own", "alice@corp.example", true, "2126-01-01T00:00:00Z"),
        line("shared", "shared", true, ""),
        line("bob-s", "bob@corp.example", true, ""),
        line("known", "alice@corp.example", false, ""),
        line("stale", "alice@corp.example", true, "2020-01-01T00:00:00Z"),
    ];
    let mut setup = asking(&ours);
    setup.files.push(("devices.csv", csv.concat().into()));
    setup.more = "devices: { file: devices.csv }";
    setup.apps = APPS.to_owned();
    let world = World::of(setup).await;
    let session = world.session(SHOP, ALICE).await;
    let cases = [
        ("own", "/managed/x", 200),
        ("shared", "/managed/x", 200),
        ("bob-s", "/managed/x", 403),
        ("known", "/managed/x", 403),
        ("stale", "/managed/x", 403),
        ("unlisted", "/managed/x", 403),
        ("own", "/certified/x", 200),
        ("unlisted", "/certified/x", 200),
        ("bob-s", "/certified/x", 403),
    ];
    for (name, path, status) in cases {
        let (found, reason, text) = served(&world, &session, Some(shown(name)), path).await;
        assert_eq!(found, status, "{name} {path}: {text}");
        assert!(reason.is_none_or(|reason| reason == "not_allowed"), "{name} {path}: {text}");
    }
    let without = served(&world, &session, None, "/managed/x").await;
    assert_eq!((without.0, without.1.as_deref()), (403, Some("not_allowed")));
    let expired = ours.issue_as("own", 9, |params| params.not_after = (SystemTime::now() - DAY / 2).into());
    let (status, reason, text) = served(&world, &session, Some(&expired), "/managed/x").await;
    assert_eq!((status, reason.as_deref()), (403, Some("device_certificate_invalid")), "{text}");
    assert!(text.contains("it has to be renewed"), "{text}");
    assert_eq!(served(&world, &session, Some(&expired), "/open").await.0, 200, "where no rule asks for a device");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_is_told_of_a_device_counts_from_the_next_request_on() {
    let ours = Authority::new("devices");
    let mut setup = asking(&ours);
    setup.apps = APPS.to_owned();
    let world = World::of(setup).await;
    let (session, shown) = (world.session(SHOP, ALICE).await, ours.issue("mac-1", 1));
    let mut connection = Connection::over(connect(&world, &client(&world, BOTH[1], Some(&shown))).await.unwrap());
    let tell = async |owner: &str, managed: bool| {
        let body = serde_json::json!({ "owner": owner, "managed": managed, "fingerprint": shown.fingerprint() });
        assert_eq!(world.administer("PUT", "/api/v1/devices/mac-1", "", &body.to_string()).await.status, 200);
    };
    let mut status = async || {
        connection.write(world.head("GET", SHOP, "/managed/x", &format!("Cookie: {session}\r\n"))).await;
        connection.answer().await.status
    };
    assert_eq!(status().await, 403);
    tell("alice@corp.example", true).await;
    assert_eq!((status().await, status().await), (200, 200));
    tell("alice@corp.example", false).await;
    assert_eq!(status().await, 403);
    tell("shared", true).await;
    assert_eq!(status().await, 200);
    assert_eq!(world.administer("DELETE", "/api/v1/devices/mac-1", "", "").await.status, 204);
    assert_eq!(status().await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_risk_counts_from_the_next_request_on_and_unknown_is_not_low() {
    let ours = Authority::new("devices");
    let mut setup = asking(&ours);
    setup.apps = APPS.to_owned();
    let world = World::of(setup).await;
    let (session, shown) = (world.session(SHOP, ALICE).await, ours.issue("mac-1", 1));
    let device = serde_json::json!({ "owner": "shared", "fingerprint": shown.fingerprint() }).to_string();
    assert_eq!(world.administer("PUT", "/api/v1/devices/mac-1", "", &device).await.status, 200);
    let status = async || served(&world, &session, Some(&shown), "/low/x").await.0;
    assert_eq!(status().await, 403, "unknown");
    for (whose, level, expires_at, expected) in [
        ("user/alice@corp.example", "low", "2126-01-01T00:00:00Z", 200),
        ("device/mac-1", "high", "2126-01-01T00:00:00Z", 403),
        ("device/mac-1", "low", "2126-01-01T00:00:00Z", 200),
        ("user/alice@corp.example", "medium", "2126-01-01T00:00:00Z", 403),
        ("user/alice@corp.example", "medium", "2020-01-01T00:00:00Z", 403),
        ("user/alice@corp.example", "low", "2126-01-01T00:00:00Z", 200),
    ] {
        let body = serde_json::json!({ "level": level, "expires_at": expires_at }).to_string();
        assert_eq!(world.administer("PUT", &format!("/api/v1/risks/{whose}"), "", &body).await.status, 200);
        assert_eq!(status().await, expected, "{whose} {level} {expires_at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_rid_of_a_device_s_risk_by_not_showing_its_certificate() {
    let ours = Authority::new("devices");
    let mut setup = asking(&ours);
    setup.apps = APPS.to_owned();
    let world = World::of(setup).await;
    let (session, shown) = (world.session(SHOP, ALICE).await, ours.issue("mac-1", 1));
    let put = async |path: &str, body: Value| {
        assert_eq!(world.administer("PUT", &format!("/api/v1/{path}"), "", &body.to_string()).await.status, 200);
    };
    let both = async || {
        let status = async |shown| served(&world, &session, shown, "/low/x").await.0;
        (status(Some(&shown)).await, status(None).await)
    };
    put("devices/mac-1", serde_json::json!({ "owner": "alice@corp.example", "fingerprint": shown.fingerprint() })).await;
    put("risks/device/mac-1", serde_json::json!({ "level": "low" })).await;
    assert_eq!(both().await, (200, 403), "a device that is not shown lets nobody in");
    put("risks/user/alice@corp.example", serde_json::json!({ "level": "low" })).await;
    assert_eq!(both().await, (200, 200));
    put("risks/device/mac-1", serde_json::json!({ "level": "high" })).await;
    assert_eq!(both().await, (403, 403));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_how_old_is_what_is_known_of_devices() {
    let authority = Authority::new("devices");
    let list = authority.revoke(&[], false);
    let devices = "id,owner,reported_at\na,shared,2026-11-20T00:00:00Z\nb,shared,2026-11-21T00:00:00Z\n";
    let files = vec![("devices.pem", authority.pem().into()), ("revoked.pem", list.into()), ("devices.csv", devices.into())];
    let (tls, more) = (", device_ca: devices.pem, device_crl: revoked.pem", "devices: { file: devices.csv }");
    let world = World::of(Setup { tls, more, files, ..Setup::default() }).await;
    let told = r#"{ "owner": "shared", "reported_at": "2026-11-22T00:00:00Z" }"#;
    assert_eq!(world.administer("PUT", "/api/v1/devices/c", "", told).await.status, 200);
    let count = |source: &str| format!("doorward_devices{{source=\"{source}\"}}");
    let reported = |source: &str| format!("doorward_devices_reported_timestamp_seconds{{source=\"{source}\"}}");
    for (name, expected) in
        [(count("file"), 2.0), (count("api"), 1.0), (reported("file"), 1_795_219_200.0), (reported("api"), 1_795_305_600.0)]
    {
        assert!((world.metric(&name).await - expected).abs() < 0.5, "{name}: {}", world.metric(&name).await);
    }
    let list =
        async |time: &str| world.metric(&format!("doorward_device_revocation_list_timestamp_seconds{{time=\"{time}\"}}")).await;
    let (written, next) = (list("written").await, list("next_update").await);
    assert!((next - written - 2.0 * 86_400.0).abs() < 2.0, "{written} {next}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(written < now && now < next, "{written} {now} {next}");
}
