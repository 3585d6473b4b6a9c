//! A large directory over the real API, as a provider fills and changes it: `cargo bench --bench directory`, or with other numbers
//! of users and of members of a group: `cargo bench --bench directory -- 20000 5000`.
//!
//! The server is a process of its own, with a store in a temporary folder (`TMPDIR`). As many people as the group has members are signed in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use doorward::clock;
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, ProviderName, Token};
use doorward::store::{Client, NewSignIn, Store, Tokens};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const HOST: &str = "login.corp.test";
const TOKEN: &str = "the-token-of-the-directory-2026";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// How often what is quick is done.
const TIMES: usize = 200;

/// The server, stopped when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A client with one connection.
struct Directory {
    port: u16,
    tls: TlsConnector,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Directory {
    async fn connect(&mut self) {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let stream = self.tls.connect(ServerName::try_from(HOST).unwrap(), socket).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        self.sender = Some(sender);
    }

    /// The status, what was answered, and how long it took.
    async fn call(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value, Duration) {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            self.connect().await;
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(format!("/scim/v2{path}"));
        let request = request.header("host", format!("{HOST}:{}", self.port)).header("content-type", "application/scim+json");
        let request = request.header("authorization", format!("Bearer {TOKEN}")).body(Full::from(body)).unwrap();
        let began = Instant::now();
        let answer = self.sender.as_mut().unwrap().send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default(), began.elapsed())
    }

    async fn measure(&mut self, times: &mut Times, method: &str, path: &str, body: &Value) -> Value {
        let (status, said, took) = self.call(method, path, body).await;
        assert!(status < 300, "{method} {path}: {status} {said}");
        times.all.push(took);
        said
    }
}

/// How long something took, each time.
struct Times {
    what: &'static str,
    all: Vec<Duration>,
}

fn times(what: &'static str) -> Times {
    Times { what, all: Vec::new() }
}

impl Times {
    fn print(mut self) {
        self.all.sort_unstable();
        let at = |percent: usize| self.all[(self.all.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        println!("{:<58} {:>6} {:>10.2} {:>10.2} {:>10.2}", self.what, self.all.len(), at(50), at(99), at(100));
    }
}

fn user(number: usize) -> Value {
    let mail = format!("person{number}@corp.example");
    json!({
        "schemas": [USER, ENTERPRISE], "userName": mail, "externalId": format!("00u{number}"), "active": true, "title": "Engineer",
        "name": { "givenName": "Person", "familyName": format!("Number {number}") },
        "emails": [{ "value": mail, "type": "work", "primary": true }],
        ENTERPRISE: { "department": format!("department {}", number % 100), "employeeNumber": number.to_string() },
    })
}

fn patch(operation: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

async fn sign_in(store: &Store, number: usize) {
    let subject = Subject { provider: ProviderName::parse("staff").unwrap(), subject: format!("00u{number}") };
    let email = Some(Email::parse(&format!("person{number}@corp.example")).unwrap());
    let profile = Profile { email, groups: vec!["employees".to_owned()], ..Profile::default() };
    let new = NewSignIn {
        cookie: Token::random().unwrap().hash(),
        identity: Identity { subject, profile, authenticated_at: clock::now() },
        provider_sid: None,
        tokens: Tokens { id_token: String::new(), refresh_token: None, expires: None },
        ends: clock::now().plus(Duration::from_secs(12 * 3600)),
        replaces: None,
        client: Client::default(),
    };
    store.create_sign_in(new).await.unwrap().unwrap();
}

/// A configuration, its certificate, and the sign-ins.
async fn prepare(folder: &Path, port: u16, signed_in: usize) -> TlsConnector {
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("token"), TOKEN).unwrap();
    let yaml = format!(
        "listen: {{ https: \"127.0.0.1:{port}\" }}\ntls: {{ certificates: [{{ cert: cert.pem, key: key.pem }}] }}\n\
         auth: {{ url: \"https://{HOST}:{port}\" }}\nstore: sqlite:bench.db\naudit: {{ file: audit.jsonl }}\n\
         identity_providers: {{ staff: {{ issuer: \"http://127.0.0.1:1\", client_id: doorward, scim: {{ tokens: [{{ file: token }}] }} }} }}\n\
         apps: {{ wiki: {{ url: \"https://wiki.corp.test:{port}\", upstream: \"http://127.0.0.1:1\", allow: [{{ groups: [everybody] }}] }} }}\n"
    );
    fs::write(folder.join("doorward.yaml"), yaml).unwrap();
    let location = format!("sqlite:{}", folder.join("bench.db").display());
    let store = Store::open(&location, tokio::runtime::Handle::current()).await.unwrap();
    for number in 0..signed_in {
        sign_in(&store, number).await;
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(tls))
}

async fn start(folder: &Path, port: u16) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    let command = command.args(["run", "-c"]).arg(folder.join("doorward.yaml"));
    let server = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server
}

/// Makes the users, a thousand with each request; their ids.
async fn load(directory: &mut Directory, users: usize) -> Vec<String> {
    let (mut ids, mut each) = (Vec::new(), times("bulk of 1,000 new users"));
    while ids.len() < users {
        let some = ids.len()..users.min(ids.len() + 1000);
        let operation = |number| json!({ "method": "POST", "path": "/Users", "bulkId": format!("{number}"), "data": user(number) });
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": some.map(operation).collect::<Vec<_>>() });
        let said = directory.measure(&mut each, "POST", "/Bulk", &body).await;
        for made in said["Operations"].as_array().unwrap() {
            assert_eq!(made["status"], "201", "{made}");
            ids.push(made["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
        }
    }
    each.print();
    ids
}

async fn of_users(directory: &mut Directory, ids: &[String], signed_in: usize) {
    let users = ids.len();
    let some = |time: usize| time * 7919 % users;
    let mut each = times("create a user");
    for time in 0..TIMES {
        directory.measure(&mut each, "POST", "/Users", &user(users + time)).await;
    }
    each.print();
    for (what, path) in [
        ("filter by userName", "/Users?filter=userName+eq+%22person#@corp.example%22"),
        ("filter by externalId", "/Users?filter=externalId+eq+%2200u#%22"),
    ] {
        let mut each = times(what);
        for time in 0..TIMES {
            let said = directory.measure(&mut each, "GET", &path.replace('#', &some(time).to_string()), &Value::Null).await;
            assert_eq!(said["totalResults"], 1);
        }
        each.print();
    }
    let cases = [
        ("the last page of 100 users", format!("/Users?startIndex={}&count=100", users - 99)),
        ("a filter that goes through all users, and finds none", "/Users?filter=title+eq+%22nobody%22".to_owned()),
        ("the first page of 100, sorted by userName", "/Users?sortBy=userName&count=100".to_owned()),
    ];
    for (what, path) in cases {
        let mut each = times(what);
        for _ in 0..5 {
            directory.measure(&mut each, "GET", &path, &Value::Null).await;
        }
        each.print();
    }
    let active = |active: bool| patch(&json!({ "op": "replace", "path": "active", "value": active }));
    for (what, first, state) in [
        ("active=false of a user who is not signed in", signed_in, false),
        ("active=true", signed_in, true),
        ("active=false of a user who is signed in", 0, false),
    ] {
        let mut each = times(what);
        for id in ids.iter().skip(first).take(TIMES) {
            directory.measure(&mut each, "PATCH", &format!("/Users/{id}"), &active(state)).await;
        }
        each.print();
    }
}

async fn of_a_group(directory: &mut Directory, ids: &[String], members: usize) {
    let listed: Vec<_> = ids.iter().take(members).map(|id| json!({ "value": id })).collect();
    let mut each = times("create the group with all its members");
    let body = json!({ "schemas": [GROUP], "displayName": "everybody", "members": listed });
    let made = directory.measure(&mut each, "POST", "/Groups", &body).await;
    each.print();
    let group = format!("/Groups/{}", made["id"].as_str().unwrap());
    let (mut add, mut remove) = (times("add a member"), times("remove a member"));
    for id in ids.iter().rev().take(TIMES) {
        let joins = patch(&json!({ "op": "add", "path": "members", "value": [{ "value": id }] }));
        directory.measure(&mut add, "PATCH", &group, &joins).await;
        let leaves = patch(&json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") }));
        directory.measure(&mut remove, "PATCH", &group, &leaves).await;
    }
    add.print();
    remove.print();
    for (what, query) in [("read the group with its members", ""), ("read the group without them", "?excludedAttributes=members")] {
        let mut each = times(what);
        for _ in 0..20 {
            directory.measure(&mut each, "GET", &format!("{group}{query}"), &Value::Null).await;
        }
        each.print();
    }
    let mut each = times("rename the group, most of whose members are signed in");
    for name in ["all", "everybody", "all of us"] {
        directory
            .measure(&mut each, "PATCH", &group, &patch(&json!({ "op": "replace", "path": "displayName", "value": name })))
            .await;
    }
    each.print();
    let mut each = times("delete the group");
    directory.measure(&mut each, "DELETE", &group, &Value::Null).await;
    each.print();
}

/// What the system says of the server's memory, in MiB: now, and at most.
fn memory(server: &Server) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.0.id())).ok()?;
    let number = |name: &str| status.lines().find(|line| line.starts_with(name))?.split_whitespace().nth(1)?.parse::<u64>().ok();
    Some((number("VmRSS")? / 1024, number("VmHWM")? / 1024))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (users, members) = (numbers.first().copied().unwrap_or(100_000), numbers.get(1).copied().unwrap_or(10_000));
    assert!(users > 2 * TIMES + members, "more users than members");
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls = prepare(folder.path(), port, members).await;
    let server = start(folder.path(), port).await;
    let mut directory = Directory { port, tls, sender: None };
    println!("{users} users, a group of {members} members\n");
    println!("{:<58} {:>6} {:>10} {:>10} {:>10}", "", "times", "median ms", "p99 ms", "most ms");
    let ids = load(&mut directory, users).await;
    of_users(&mut directory, &ids, members).await;
    of_a_group(&mut directory, &ids, members).await;
    if let Some((now, most)) = memory(&server) {
        println!("\nmemory of the server: {now} MiB, {most} MiB at most");
    }
}
