//! A whole installation in one process, for the integration tests: the real proxy, the real demo provider behind a gateway
//! that can be cut, an app that records what reaches it, certificates made on the spot. In: a [`Setup`]. Out: a [`World`].
//! Must never listen beyond loopback.
#![allow(dead_code)]

pub(crate) mod authority;
pub(crate) mod browser;
pub(crate) mod entrance;
pub(crate) mod farm;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod mmdb;
pub(crate) mod ports;
pub(crate) mod provider;
pub(crate) mod raw;
pub(crate) mod recorder;
pub(crate) mod rough;
pub(crate) mod scripted;
pub(crate) mod secure;
pub(crate) mod speaker;
pub(crate) mod strict;
pub(crate) mod tape;
pub(crate) mod transmitter;
pub(crate) mod wire;

use doorward::app::{self, Running};
use entrance::Entrance;
use ports::Ports;
use provider::Provider;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use recorder::Recorder;
use rustls::RootCertStore;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tape::Tape;
use tempfile::TempDir;
use wire::{Answer, Connection};

pub(crate) const WIKI: &str = "wiki.corp.test";
pub(crate) const PAYROLL: &str = "payroll.other.example";
pub(crate) const ROUGH: &str = "rough.corp.test";
/// For the apps that a test brings along.
pub(crate) const SHOP: &str = "shop.corp.test";
pub(crate) const TAPE: &str = "tape.corp.test";
pub(crate) const LOGIN: &str = "login.corp.test";
pub(crate) const TOKEN: &str = "the-admin-token";

/// The email address and the password of a person of the provider.
pub(crate) type Who = (&'static str, &'static str);
pub(crate) const ALICE: Who = ("alice@corp.example", "alice-demo");
pub(crate) const BOB: Who = ("bob@corp.example", "bob-demo");
pub(crate) const MALLORY: Who = ("mallory@partner.example", "mallory-demo");

/// What a test can choose.
pub(crate) struct Setup {
    /// `auth.session` of the configuration.
    pub(crate) session: &'static str,
    /// How long the provider's tokens hold.
    pub(crate) token_life: Duration,
    /// Whether the provider can be reached at the start.
    pub(crate) provider_up: bool,
    /// Whether there is a second provider, `partners`.
    pub(crate) partners: bool,
    /// More under the provider `staff`.
    pub(crate) provider: &'static str,
    /// More under the provider `partners`.
    pub(crate) partner: &'static str,
    /// More under `listen`.
    pub(crate) listen: &'static str,
    /// More under `tls`.
    pub(crate) tls: &'static str,
    /// More lines at the end of the configuration.
    pub(crate) more: &'static str,
    /// The transmitters of security events, under `signals:`.
    pub(crate) signals: String,
    /// More entries under `apps:`, with `HTTPS` (or `PORT`), `APP` and `ROUGH` for the ports of the proxy and of the two apps.
    pub(crate) apps: String,
    /// More files beside the configuration.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            session: "{ idle: 1h, lifetime: 12h }",
            token_life: Duration::from_secs(300),
            provider_up: true,
            partners: false,
            provider: "",
            partner: "",
            listen: "",
            tls: "",
            more: "",
            signals: String::new(),
            apps: String::new(),
            files: Vec::new(),
        }
    }
}

/// A running installation. Dropping it ends everything in it.
pub(crate) struct World {
    pub(crate) ports: Ports,
    pub(crate) staff: Provider,
    pub(crate) partners: Option<Provider>,
    pub(crate) app: Recorder,
    pub(crate) tape: Tape,
    entrance: Entrance,
    pub(crate) folder: TempDir,
    running: Option<Running>,
}

impl std::ops::Deref for World {
    type Target = Entrance;
    fn deref(&self) -> &Entrance {
        &self.entrance
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::of(Setup::default()).await
    }

    pub(crate) async fn of(setup: Setup) -> Self {
        // Only the first test of a process can.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let (ports, folder) = (Ports::take(), tempfile::tempdir().unwrap());
        let roots = Arc::new(certificates(&folder));
        let entrance = Entrance { port: ports.https(), roots, hosts: vec![WIKI, PAYROLL, ROUGH, TAPE, SHOP, LOGIN] };
        let auth = ports.url(LOGIN);
        let staff = Provider::start(ports.staff(), ports.staff_behind(), &auth, setup.token_life).await;
        let partners = match setup.partners {
            true => Some(Provider::start(ports.partners(), ports.partners_behind(), &auth, setup.token_life).await),
            false => None,
        };
        staff.is_up(setup.provider_up);
        let app = Recorder::start(ports.app()).await;
        rough::start(ports.rough()).await;
        let tape = Tape::start(ports.tape()).await;
        for (name, text) in [("idp-secret", provider::SECRET), ("admin-token", TOKEN)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        for (name, bytes) in &setup.files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        fs::write(folder.path().join("doorward.yaml"), configuration(&ports, &setup)).unwrap();
        let mut world = Self { ports, staff, partners, app, tape, entrance, folder, running: None };
        world.run().await;
        if setup.provider_up {
            world.discovered().await;
        }
        world
    }

    /// A world with these entries under `apps:`.
    pub(crate) async fn with_apps(apps: &'static str) -> Self {
        Self::of(Setup { apps: apps.to_owned(), ..Setup::default() }).await
    }

    /// Starts the proxy.
    pub(crate) async fn run(&mut self) {
        let path = self.path("doorward.yaml");
        self.running = Some(app::start(&path).await.unwrap_or_else(|error| panic!("{error}")));
    }

    /// Stops the proxy: what it has begun ends, what it noted is written.
    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The session cookie that a person has at an app after signing in there.
    pub(crate) async fn session(&self, host: &str, who: Who) -> String {
        let mut browser = self.browser();
        let page = browser.sign_in(&self.url(host, "/"), who).await;
        assert_eq!(page.status, 200, "{}", page.text());
        format!("__Host-doorward={}", browser.cookie(host, "__Host-doorward").unwrap())
    }

    /// Sends these bytes as HTTP/1.1 to a host, and reads one answer.
    pub(crate) async fn send(&self, host: &str, bytes: impl AsRef<[u8]>) -> Answer {
        let mut connection = Connection::tls(self, host).await;
        connection.write(bytes).await;
        connection.answer().await
    }

    /// `GET`, with header lines that each end in CRLF.
    pub(crate) async fn get(&self, host: &str, path: &str, lines: &str) -> Answer {
        self.send(host, self.head("GET", host, path, lines)).await
    }

    /// The head of a request.
    pub(crate) fn head(&self, method: &str, host: &str, path: &str, lines: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", self.authority(host))
    }

    /// An answer of the admin listener.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.administer("GET", path, "", "").await
    }

    /// An answer of the admin listener to whoever has the token.
    pub(crate) async fn administer(&self, method: &str, path: &str, lines: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {TOKEN}\r\n{lines}Content-Length: {length}\r\n\r\n"
        );
        let mut connection = Connection::plain(self.ports.admin()).await;
        connection.write(head + body).await;
        connection.answer().await
    }

    /// The value of a metric, by its name and labels as they are written.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    async fn discovered(&self) {
        eventually("the providers are discovered", async || {
            let status = self.admin("/api/v1/status").await.json();
            status["providers"].as_array().unwrap().iter().all(|provider| provider["up"] == true).then_some(())
        })
        .await;
    }

    /// Everything in the audit trail, but what that says of itself.
    pub(crate) fn trail(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let records = whole.lines().map(|line| serde_json::from_str(line).unwrap());
        records.filter(|record: &Value| record["act"] != "trail").collect()
    }

    /// The records of one path.
    pub(crate) fn records(&self, path: &str) -> Vec<Value> {
        self.trail().into_iter().filter(|record| record["path"] == path).collect()
    }

    /// The only record of a path, once it is written.
    pub(crate) async fn record(&self, path: &str) -> Value {
        eventually("there is a record", async || (!self.records(path).is_empty()).then_some(())).await;
        // A second one would come right behind.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let mut records = self.records(path);
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }
}

/// What `check` finds, tried again for half a minute: long enough for a machine that does much else.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1500 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it should have come to this: {what}");
}

/// Makes `server.pem` and `server.key`, and returns what vouches for them.
fn certificates(folder: &TempDir) -> RootCertStore {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca_params = CertificateParams::default();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca_params.self_signed(&ca_key).unwrap();
    let params = CertificateParams::new([WIKI, PAYROLL, ROUGH, TAPE, SHOP, LOGIN].map(String::from)).unwrap();
    let certificate = params.signed_by(&key, &Issuer::from_params(&ca_params, &ca_key)).unwrap();
    fs::write(folder.path().join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("server.key"), key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    roots
}

fn more_apps(ports: &Ports, yaml: &str) -> String {
    let ports = [("HTTPS", ports.https()), ("PORT", ports.https()), ("APP", ports.app()), ("ROUGH", ports.rough())];
    ports.into_iter().fold(yaml.to_owned(), |yaml, (name, port)| yaml.replace(name, &port.to_string()))
}

fn configuration(ports: &Ports, setup: &Setup) -> String {
    let provider = |name: &str, port: u16| {
        format!(
            "  {name}:
    issuer: http://127.0.0.1:{port}
    client_id: doorward
    client_secret: {{ file: idp-secret }}
    scopes: [openid, email, profile, groups, offline_access]
    claims: {{ groups: groups, department: department }}
    strength: {{ mfa: {{ acr: [urn:doorward:demo:mfa] }} }}
"
        )
    };
    let mut providers = provider("staff", ports.staff()) + setup.provider;
    if setup.partners {
        providers.push_str(&provider("partners", ports.partners()));
        providers.push_str(setup.partner);
    }
    format!(
        "listen: {{ https: '127.0.0.1:{https}', http: '127.0.0.1:{http}', admin: '127.0.0.1:{admin}'{listen} }}
admin: {{ token: {{ file: admin-token }} }}
tls: {{ certificates: [{{ cert: server.pem, key: server.key }}]{tls} }}
auth: {{ url: 'https://{LOGIN}:{https}', session: {session} }}
identity_providers:
{providers}store: sqlite:doorward.db
apps:
  wiki:
    url: https://{WIKI}:{https}
    upstream: http://127.0.0.1:{app}
    identity: {{ X-Remote-User: email, X-Remote-Groups: groups, X-Department: department }}
    allow: [{{ domains: [corp.example, partner.example] }}]
    paths:
      - {{ match: /public/**, public: true }}
      - {{ match: /admin/**, allow: [{{ groups: [admins] }}] }}
      - {{ match: /read/**, methods: [GET], allow: [{{ groups: [engineering] }}] }}
  payroll:
    url: https://{PAYROLL}:{https}
    upstream: http://127.0.0.1:{app}
    identity: {{ X-Remote-User: email }}
    providers: [staff]
    cors_preflight: true
    allow: [{{ groups: [finance] }}]
    deny: [{{ groups: [suspended] }}]
  rough:
    url: https://{ROUGH}:{https}
    upstream: http://127.0.0.1:{rough}
    paths: [{{ match: /**, public: true }}]
  tape:
    url: https://{TAPE}:{https}
    upstream: http://127.0.0.1:{tape}
    identity: {{ X-Remote-User: email }}
    allow: [{{ domains: [corp.example] }}]
    paths: [{{ match: /public/**, public: true }}]
  nowhere:
    url: https://{ROUGH}:{https}/nowhere
    upstream: http://127.0.0.1:{nowhere}
    paths: [{{ match: /nowhere/**, public: true }}]
{apps}audit: {{ file: audit.jsonl }}
{more}
{signals}",
        signals = if setup.signals.is_empty() { String::new() } else { format!("signals:\n{}", setup.signals) },
        https = ports.https(),
        http = ports.http(),
        admin = ports.admin(),
        listen = setup.listen,
        tls = setup.tls,
        more = setup.more,
        session = setup.session,
        apps = more_apps(ports, &setup.apps),
        app = ports.app(),
        rough = ports.rough(),
        tape = ports.tape(),
        nowhere = ports.nowhere(),
    )
}
