//! The walk without sockets, from the target to the rewritten request. In: requests. Out: what the app would get, or nothing where they
//! are refused. Must never reach for a network.

use doorward::assertion::Keys;
use doorward::control::config;
use doorward::gate::visit::{Connection, Gate, Visit, Worker};
use doorward::gate::{self, audit, limit, route, session, target};
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, ProviderName, Token};
use doorward::snapshot::Snapshot;
use doorward::store::{Client, Handoff, NewSignIn, Store, Tokens};
use doorward::telemetry::metrics;
use doorward::{clock, cookies};
use http::{HeaderValue, Request};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The one host there is.
pub const HOST: &str = "app.corp.example";
/// Who is signed in.
pub const EMAIL: &str = "eve@corp.example";

const CONFIGURATION: &str = "
listen: { https: '127.0.0.1:0' }
tls: { certificates: [{ cert: cert.pem, key: key.pem }] }
auth: { url: https://login.corp.example }
identity_providers: { staff: { issuer: https://idp.corp.example, client_id: doorward, claims: { groups: groups } } }
store: sqlite:fuzz.db
apps:
  app:
    url: https://app.corp.example
    upstream: http://127.0.0.1:1
    identity: { X-Remote-User: email, X-Remote-Groups: groups }
    allow: [{ groups: [finance] }]
    paths: [{ match: /public/**, public: true }]
";

/// A running gate, with somebody who is signed in.
pub struct Walk {
    runtime: Runtime,
    worker: Rc<Worker>,
    /// The session cookie, `name=value`.
    pub session: String,
    _folder: TempDir,
}

impl Walk {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let location = format!("sqlite:{}", folder.path().join("fuzz.db").display());
        let (store, keys, session) = runtime.block_on(async {
            let store = Store::open(&location, tokio::runtime::Handle::current()).await.unwrap();
            let keys = Keys::load(&store).await.unwrap();
            let session = sign_in(&store).await;
            (store, keys, session)
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
            snapshot: Arc::new(arc_swap::ArcSwap::from_pointee(snapshot(folder.path()))),
            store,
            keys: Arc::new(keys),
            sessions: session::cache(100),
            audit,
            metrics: metrics::Gate::new(&prometheus::Registry::new()).unwrap(),
            limits: limit::Counts::default(),
            reserved: Box::new(|_| panic!("nobody asks for this")),
        };
        let worker = Rc::new(Worker::new(Arc::new(gate), 1));
        Self { runtime, worker, session: format!("{}={session}", cookies::SESSION), _folder: folder }
    }

    /// What the app gets of a request for one of its paths; `signed_in` adds the session's cookie.
    pub fn through(&self, mut request: Request<()>, signed_in: bool) -> Option<Request<()>> {
        if signed_in {
            request.headers_mut().append("cookie", HeaderValue::from_str(&self.session).unwrap());
        }
        let target = target::read(&request).ok()?;
        let connection = Rc::new(Connection::new([127, 0, 0, 1].into(), Box::new(())));
        let mut visit = Visit::begin(Rc::clone(&self.worker), connection, request.headers(), request.method());
        let snapshot = visit.snapshot.clone();
        let route::Place::Route(place) = route::find(&snapshot, &target).ok()? else { return None };
        let judged = self.runtime.block_on(gate::judge(&mut visit, &target, &place, Box::new(request)));
        judged.ok().map(|(request, _)| *request)
    }
}

fn snapshot(folder: &Path) -> Snapshot {
    write_certificate(folder);
    let file = folder.join("doorward.yaml");
    std::fs::write(&file, CONFIGURATION).unwrap();
    config::load(&file, 1).unwrap_or_else(|problems| panic!("{problems}")).snapshot
}

/// Writes `cert.pem` and `key.pem`.
pub fn write_certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["*.corp.example".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

async fn sign_in(store: &Arc<Store>) -> String {
    let (sso, code, cookie) = (Token::random().unwrap(), Token::random().unwrap(), Token::random().unwrap());
    let tokens = Tokens { id_token: String::new(), refresh_token: None, expires: None };
    let ends = clock::now().plus(Duration::from_secs(360_000));
    let new = NewSignIn {
        cookie: sso.hash(),
        identity: identity(),
        provider_sid: None,
        tokens,
        ends,
        replaces: None,
        client: Client::default(),
    };
    let made = store.create_sign_in(new).await.unwrap().unwrap();
    let handoff = Handoff { code: code.hash(), sign_in: made.id, host: HOST.to_owned(), binding: code.hash(), expires: ends };
    assert!(store.create_handoff(&handoff).await.unwrap());
    assert!(store.take_handoff(&code.hash(), HOST, &code.hash(), &cookie.hash()).await.unwrap());
    cookie.reveal().to_owned()
}

fn identity() -> Identity {
    Identity {
        subject: Subject { provider: ProviderName::parse("staff").unwrap(), subject: "00u1".to_owned() },
        profile: Profile {
            email: Some(Email::parse(EMAIL).unwrap()),
            name: Some("Eve".to_owned()),
            groups: vec!["finance".to_owned()],
            ..Profile::default()
        },
        authenticated_at: clock::now(),
    }
}
