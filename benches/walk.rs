//! The rooms of the walk, and the walk without sockets: `cargo bench --bench walk`.
//!
//! The configuration has as many apps as a group says, each with 20 rules; the session is a real one, made through the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use doorward::assertion::Keys;
use doorward::control::config;
use doorward::gate::identity::Identity;
use doorward::gate::upstream::balance;
use doorward::gate::visit::{Connection, Gate, Visit, Worker};
use doorward::gate::{self, audit, decide, limit, route, session, signals, target};
use doorward::model::identity::{Profile, Subject};
use doorward::model::{self, Email, ProviderName, Timestamp, Token};
use doorward::policy::{Facts, Principal};
use doorward::snapshot::{Access, Snapshot};
use doorward::store::{Client, Handoff, NewSignIn, Store, Tokens};
use doorward::telemetry::metrics;
use doorward::{clock, cookies};
use futures_util::FutureExt as _;
use http::Request;
use rustls::pki_types::CertificateDer;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

#[path = "../tests/world/authority.rs"]
#[allow(dead_code)]
mod authority;
#[path = "../tests/world/mmdb.rs"]
#[allow(dead_code)]
mod mmdb;

use authority::Authority;

const RULES: usize = 20;

/// A configuration with this many apps, each with this `upstream`, which can hold more keys.
fn snapshot(folder: &Path, apps: usize, rules: usize, upstream: &str) -> Snapshot {
    let made = rcgen::generate_simple_self_signed(vec!["*.corp.example".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut yaml = String::from(
        "listen: { https: \"127.0.0.1:0\" }\ntls: { certificates: [{ cert: cert.pem, key: key.pem }] }\nauth: { url: https://login.corp.example }\n\
         identity_providers: { staff: { issuer: https://idp.corp.example, client_id: doorward, claims: { groups: groups } } }\nstore: sqlite:bench.db\napps:\n",
    );
    for app in 0..apps {
        writeln!(yaml, "  app{app}:\n    url: https://app{app}.corp.example\n    upstream: {upstream}\n    identity: {{ X-Remote-User: email }}\n    allow:").unwrap();
        for rule in 1..rules {
            writeln!(yaml, "      - groups: [none{rule}]").unwrap();
        }
        yaml.push_str("      - groups: [finance]\n    paths:\n      - { match: /health, public: true }\n      - { match: /admin/**, allow: [{ groups: [admins] }] }\n");
    }
    if apps == 1 {
        yaml.push_str("      - match: /when/**\n        allow:\n");
        for hours in 1..rules {
            writeln!(
                yaml,
                "          - {{ groups: [finance], when: {{ mfa: true, device: managed, country: [DE, FR], auth_age: {hours}m }} }}"
            )
            .unwrap();
        }
        yaml.push_str("          - { groups: [finance], when: { auth_age: 10h, hours: '00:00-24:00 Europe/Berlin' } }\n");
    }
    let file = folder.join("doorward.yaml");
    std::fs::write(&file, yaml).unwrap();
    config::load(&file, 1).unwrap_or_else(|problems| panic!("{problems}")).snapshot
}

fn identity(groups: usize) -> model::Identity {
    let mut names: Vec<String> = (1..groups).map(|n| format!("group-{n:03}")).collect();
    names.push("finance".to_owned());
    model::Identity {
        subject: Subject { provider: ProviderName::parse("staff").unwrap(), subject: "00u1".to_owned() },
        profile: Profile {
            email: Some(Email::parse("eve@corp.example").unwrap()),
            name: Some("Eve".to_owned()),
            groups: names,
            amr: vec!["mfa".to_owned()],
            ..Profile::default()
        },
        authenticated_at: clock::now(),
    }
}

/// A signed-in session at an app's host; gives its cookie.
async fn sign_in(store: &Arc<Store>, groups: usize, host: &str) -> String {
    let (sso, code, cookie) = (Token::random().unwrap(), Token::random().unwrap(), Token::random().unwrap());
    let tokens = Tokens { id_token: String::new(), refresh_token: None, expires: None };
    let ends = clock::now().plus(Duration::from_secs(36_000));
    let new = NewSignIn {
        cookie: sso.hash(),
        identity: identity(groups),
        provider_sid: None,
        tokens,
        ends,
        replaces: None,
        client: Client::default(),
    };
    let made = store.create_sign_in(new).await.unwrap().unwrap();
    let handoff = Handoff { code: code.hash(), sign_in: made.id, host: host.to_owned(), binding: code.hash(), expires: ends };
    assert!(store.create_handoff(&handoff).await.unwrap());
    assert!(store.take_handoff(&code.hash(), host, &code.hash(), &cookie.hash()).await.unwrap());
    cookie.reveal().to_owned()
}

struct Bench {
    runtime: Runtime,
    worker: Rc<Worker>,
    store: Arc<Store>,
    _folder: tempfile::TempDir,
}

fn bench(apps: usize, rules: usize) -> Bench {
    bench_with(apps, rules, "http://127.0.0.1:1")
}

fn bench_with(apps: usize, rules: usize, upstream: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = snapshot(folder.path(), apps, rules, upstream);
    bench_of(folder, snapshot)
}

/// One app with 20 rules that look at device, country, hours and strength of the sign-in; the last lets in. With the certificate of
/// a managed device.
fn by_circumstances() -> (Bench, Vec<CertificateDer<'static>>) {
    let folder = tempfile::tempdir().unwrap();
    let devices = Authority::new("devices");
    let laptop = devices.issue("mac-1", 1);
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["*.corp.example".to_owned()]).unwrap();
    write("cert.pem", made.cert.pem().as_bytes());
    write("key.pem", made.signing_key.serialize_pem().as_bytes());
    write("devices.pem", devices.pem().as_bytes());
    write("devices.csv", format!("id,owner,fingerprint,managed\nmac-1,shared,{},true\n", laptop.fingerprint()).as_bytes());
    write("country.mmdb", &mmdb::database(&[(&[127], mmdb::country("DE"))], 1));
    let when = "{ mfa: true, device: managed, country: [DE, FR], hours: '00:00-24:00 Europe/Berlin', auth_age: 10h }";
    let rules: String = (1..RULES).map(|n| format!("      - {{ groups: [none{n}], when: {when} }}\n")).collect();
    let yaml = format!(
        "listen: {{ https: \"127.0.0.1:0\" }}\ntls: {{ certificates: [{{ cert: cert.pem, key: key.pem }}], device_ca: devices.pem }}\n\
         auth: {{ url: https://login.corp.example }}\nidentity_providers: {{ staff: {{ issuer: https://idp.corp.example, client_id: doorward }} }}\n\
         devices: {{ file: devices.csv }}\ngeo: {{ country: country.mmdb }}\nstore: sqlite:bench.db\napps:\n  app0:\n    \
         url: https://app0.corp.example\n    upstream: http://127.0.0.1:1\n    identity: {{ X-Remote-User: email }}\n    allow:\n{rules}\
         \x20     - {{ groups: [finance], when: {when} }}\n"
    );
    write("doorward.yaml", yaml.as_bytes());
    let loaded = config::load(&folder.path().join("doorward.yaml"), 1).unwrap_or_else(|problems| panic!("{problems}"));
    (bench_of(folder, loaded.snapshot), laptop.chain)
}

fn bench_of(folder: tempfile::TempDir, snapshot: Snapshot) -> Bench {
    let runtime = Runtime::new().unwrap();
    let location = format!("sqlite:{}", folder.path().join("bench.db").display());
    let (store, keys) = runtime.block_on(async {
        let store = Store::open(&location, tokio::runtime::Handle::current()).await.unwrap();
        let keys = Keys::load(&store).await.unwrap();
        (store, keys)
    });
    let (audit, receiver) = audit::channel();
    let destination = audit::writer::Destination {
        file: Some("/dev/null".into()),
        rotation: None,
        keys: store.trail_keys().unwrap(),
        last: prometheus::IntGauge::new("last", "last").unwrap(),
    };
    audit::writer::start(receiver, destination).unwrap();
    let gate = Gate {
        snapshot: Arc::new(arc_swap::ArcSwap::from_pointee(snapshot)),
        store: Arc::clone(&store),
        keys: Arc::new(keys),
        sessions: session::cache(200_000),
        audit,
        metrics: metrics::Gate::new(&prometheus::Registry::new()).unwrap(),
        limits: limit::Counts::default(),
        reserved: Box::new(|_| panic!("not under test")),
    };
    Bench { runtime, worker: Rc::new(Worker::new(Arc::new(gate), 1)), store, _folder: folder }
}

/// What a browser sends.
fn request(host: &str, path: &str, cookie: &str) -> Request<()> {
    Request::get(path)
        .header("host", host)
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36")
        .header("accept", "application/json")
        .header("accept-language", "en")
        .header("accept-encoding", "gzip, deflate, br")
        .header("sec-fetch-mode", "cors")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", format!("theme=dark; {}={cookie}", cookies::SESSION))
        .body(())
        .unwrap()
}

fn connection() -> Rc<Connection> {
    Rc::new(Connection::new([127, 0, 0, 1].into(), Box::new(())))
}

fn rooms(criterion: &mut Criterion) {
    for apps in [10, 10_000] {
        let bench = bench(apps, 2);
        let snapshot = bench.worker.gate.snapshot.load_full();
        let request = request(&format!("app{}.corp.example", apps / 2), "/reports/2026?q=1", "");
        criterion.bench_function("target", |b| b.iter(|| target::read(black_box(&request)).unwrap()));
        let target = target::read(&request).unwrap();
        criterion.bench_function(&format!("route/{apps} apps"), |b| b.iter(|| route::find(&snapshot, black_box(&target)).is_ok()));
    }
}

fn sessions(criterion: &mut Criterion) {
    for count in [1, 1000] {
        let bench = bench(1, RULES);
        let host = "app0.corp.example";
        let cookies: Vec<String> = bench.runtime.block_on(async {
            let mut cookies = Vec::new();
            for _ in 0..count {
                cookies.push(sign_in(&bench.store, 2, host).await);
            }
            cookies
        });
        let requests: Vec<_> = cookies.iter().map(|cookie| request(host, "/", cookie)).collect();
        let targets: Vec<_> = requests.iter().map(|request| target::read(request).unwrap()).collect();
        let mut visit = Visit::begin(Rc::clone(&bench.worker), connection(), requests[0].headers(), requests[0].method());
        for (request, target) in requests.iter().zip(&targets) {
            bench.runtime.block_on(session::look_up(&mut visit, target, request.headers())).unwrap();
        }
        let mut next = 0;
        criterion.bench_function(&format!("session hit/{count} sessions"), |b| {
            b.iter(|| {
                next = (next + 7919) % count;
                let found = at_once(session::look_up(&mut visit, &targets[next], requests[next].headers()));
                assert!(matches!(found, Ok(session::Session::Valid(_))));
            });
        });
    }
}

fn decisions(criterion: &mut Criterion) {
    for rules in [RULES, 100] {
        let bench = bench(1, rules);
        let snapshot = bench.worker.gate.snapshot.load_full();
        let Access::Rules(ruleset) = &snapshot.route(snapshot.apps[0].paths.find("/").unwrap()).unwrap().access else {
            panic!("the app has rules")
        };
        let principal = Principal::new(&identity(2)).unwrap();
        let facts = Facts::bare(clock::now(), http::Method::GET);
        criterion
            .bench_function(&format!("decide anew/{rules} rules"), |b| b.iter(|| ruleset.evaluate(&principal, black_box(&facts))));
    }
}

/// A decision that was made before, for the same session and route, with what is gathered to find it.
fn remembered(criterion: &mut Criterion) {
    let bench = bench(1, RULES);
    let host = "app0.corp.example";
    let cookie = bench.runtime.block_on(sign_in(&bench.store, 2, host));
    for (name, path) in [("20 rules", "/"), ("20 rules with circumstances", "/when/x")] {
        let request = request(host, path, &cookie);
        let target = target::read(&request).unwrap();
        let mut visit = Visit::begin(Rc::clone(&bench.worker), connection(), request.headers(), request.method());
        let snapshot = visit.snapshot.clone();
        let route::Place::Route(place) = route::find(&snapshot, &target).unwrap() else { panic!("not reserved") };
        let found = bench.runtime.block_on(session::look_up(&mut visit, &target, request.headers()));
        let Ok(session::Session::Valid(session)) = found else { panic!("signed in") };
        criterion.bench_function(&format!("decide again/{name}"), |b| {
            b.iter(|| {
                let identity = Identity::Known(Rc::clone(&session));
                let signals = signals::gather(&visit, &target, &place, &identity, black_box(&request)).unwrap();
                assert!(decide::evaluate(&mut visit, &place, identity, &signals).is_ok());
            });
        });
    }
}

/// How long a configuration of ten thousand rules takes to load.
fn loading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    criterion
        .bench_function("load/1000 apps with 10 rules", |b| b.iter(|| snapshot(folder.path(), 1000, 10, "http://127.0.0.1:1")));
}

/// Which server a request goes to; the choice, and the guard that counts it where that matters.
fn choices(criterion: &mut Criterion) {
    let ten: Vec<String> = (0..10).map(|n| format!("http://127.0.0.{n}:1")).collect();
    let one = "http://127.0.0.1:1".to_owned();
    let several = |balance: &str| format!("[{}]\n    balance: {balance}\n    slow_start: 30s", ten.join(", "));
    let cases = [
        ("1 server", one),
        ("10 servers in turn", several("round_robin")),
        ("10 servers, least in flight", several("least_in_flight")),
        ("10 servers by session", several("by_session")),
    ];
    for (name, upstream) in cases {
        let bench = bench_with(1, 2, &upstream);
        let host = "app0.corp.example";
        let cookie = bench.runtime.block_on(sign_in(&bench.store, 2, host));
        let (mut visit, _) = bench.runtime.block_on(admitted(&bench.worker, request(host, "/", &cookie)));
        let snapshot = visit.snapshot.clone();
        let app = &snapshot.apps[0];
        criterion.bench_function(&format!("choose/{name}"), |b| {
            b.iter(|| balance::Way::begin(&mut visit, black_box(app)).is_ok());
        });
    }
}

async fn admitted(worker: &Rc<Worker>, request: Request<()>) -> (Box<Visit>, decide::Permit) {
    let mut visit = Visit::begin(Rc::clone(worker), connection(), request.headers(), request.method());
    let target = target::read(&request).unwrap();
    let snapshot = visit.snapshot.clone();
    let route::Place::Route(place) = route::find(&snapshot, &target).unwrap() else { panic!("not reserved") };
    let (_, permit) = gate::judge(&mut visit, &target, &place, Box::new(request)).await.unwrap();
    (visit, permit)
}

fn walks(criterion: &mut Criterion) {
    for (name, path, groups) in [("signed in", "/reports", 2), ("signed in, 200 groups", "/reports", 200), ("public", "/health", 2)]
    {
        let bench = bench(10, RULES);
        let host = "app3.corp.example";
        let cookie = bench.runtime.block_on(sign_in(&bench.store, groups, host));
        // The requests of a browser come by one connection.
        let connection = connection();
        bench.runtime.block_on(walk(&bench.worker, &connection, request(host, path, &cookie)));
        criterion.bench_function(&format!("walk/{name}"), |b| {
            b.iter_batched(
                || request(host, path, &cookie),
                |request| at_once(walk(&bench.worker, &connection, request)),
                criterion::BatchSize::SmallInput,
            );
        });
    }
}

/// The same by rules that look at everything.
fn walks_by_circumstances(criterion: &mut Criterion) {
    let (bench, chain) = by_circumstances();
    let host = "app0.corp.example";
    let cookie = bench.runtime.block_on(sign_in(&bench.store, 2, host));
    let connection = Connection::new([127, 0, 0, 1].into(), Box::new(())).showing(Some(chain.into()));
    let connection = Rc::new(connection);
    bench.runtime.block_on(walk(&bench.worker, &connection, request(host, "/reports", &cookie)));
    criterion.bench_function("walk/signed in, by device, country, hours and mfa", |b| {
        b.iter_batched(
            || request(host, "/reports", &cookie),
            |request| at_once(walk(&bench.worker, &connection, request)),
            criterion::BatchSize::SmallInput,
        );
    });
}

/// What needs to wait for nothing, without the runtime's own work around it.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

async fn walk(worker: &Rc<Worker>, connection: &Rc<Connection>, request: Request<()>) -> Request<()> {
    let mut visit = Visit::begin(Rc::clone(worker), Rc::clone(connection), request.headers(), request.method());
    let target = target::read(&request).unwrap();
    let snapshot = visit.snapshot.clone();
    let route::Place::Route(place) = route::find(&snapshot, &target).unwrap() else { panic!("not reserved") };
    let (request, _permit) = gate::judge(&mut visit, &target, &place, Box::new(request)).await.unwrap();
    *request
}

/// Keeps the type of times in the benchmark's vocabulary honest: the coarse clock is part of every visit.
fn time(criterion: &mut Criterion) {
    criterion.bench_function("clock", |b| b.iter(|| -> Timestamp { clock::now() }));
}

criterion_group!(benches, rooms, sessions, decisions, remembered, loading, choices, walks, walks_by_circumstances, time);
criterion_main!(benches);
