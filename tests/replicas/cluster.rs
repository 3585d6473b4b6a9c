//! Replicas as they run: processes of their own on one PostgreSQL, each by a wire that can be cut. In: how many. Out: requests to each
//! of them. Must never leave a process behind.

use crate::postgres::Postgres;
use crate::process::Process;
use crate::wire::Wire;
use crate::world::entrance::Entrance;
use crate::world::ports::Ports;
use crate::world::wire::{Answer, Connection, PATIENCE, shake_hands_over};
use crate::world::{Setup, TOKEN, WIKI, World, eventually};
use doorward::clock::now;
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, ProviderName, Token};
use doorward::store::{Client, Handoff, Location, NewSignIn, Store, Tokens};
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// A whole installation.
pub(crate) struct Cluster {
    pub(crate) replicas: Vec<Replica>,
    /// Where sign-ins come from that need no browser.
    pub(crate) store: Arc<Store>,
    pub(crate) world: World,
    pub(crate) server: Postgres,
    pub(crate) database: String,
}

/// One of them.
pub(crate) struct Replica {
    pub(crate) process: Option<Process>,
    pub(crate) wire: Wire,
    pub(crate) entrance: Entrance,
    configuration: PathBuf,
    ports: Ports,
}

impl Cluster {
    /// So many replicas that go on for so long without their database.
    pub(crate) async fn start(count: usize, grace: &str) -> Option<Self> {
        Self::of(count, grace, Setup::default()).await
    }

    /// The same in a world of another make.
    pub(crate) async fn of(count: usize, grace: &str, setup: Setup) -> Option<Self> {
        let server = tokio::task::spawn_blocking(|| Postgres::start(&[])).await.unwrap()?;
        let mut world = World::of(setup).await;
        world.stop().await;
        fs::write(world.path("keys"), "1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
        let location = server.database();
        let database = location.rsplit('/').next().unwrap().to_owned();
        let keyed = Location::parse(&location).unwrap().with_keys(world.path("keys"));
        let store = Store::open_at(keyed, Handle::current()).await.unwrap();
        let mut cluster = Self { replicas: Vec::new(), store, world, server, database };
        for number in 0..count {
            let mut replica = cluster.configure(number, grace).await;
            replica.begin();
            cluster.replicas.push(replica);
        }
        for replica in &cluster.replicas {
            replica.is_ready().await;
        }
        Some(cluster)
    }

    /// Another one, which does not run yet.
    pub(crate) async fn configure(&self, number: usize, grace: &str) -> Replica {
        let (wire, ports, world) = (Wire::to(self.server.port()).await, Ports::take(), &self.world);
        let store = self.server.location(wire.port(), &self.database);
        let text = fs::read_to_string(world.path("doorward.yaml")).unwrap();
        let text = [(world.ports.https(), ports.https()), (world.ports.http(), ports.http()), (world.ports.admin(), ports.admin())]
            .iter()
            .fold(text, |text, (old, new)| text.replace(&format!("'127.0.0.1:{old}'"), &format!("'127.0.0.1:{new}'")))
            .replace("store: sqlite:doorward.db", &format!("store: {store}\nstore_keys: keys\nstore_grace: {grace}"))
            .replace("audit.jsonl", &format!("audit{number}.jsonl"));
        let configuration = world.path(&format!("replica{number}.yaml"));
        fs::write(&configuration, text).unwrap();
        let entrance = Entrance { port: ports.https(), roots: Arc::clone(&world.roots), hosts: world.hosts.clone() };
        Replica { process: None, wire, entrance, configuration, ports }
    }

    /// The cookie of a new session at the app.
    pub(crate) async fn sign_in(&self) -> String {
        self.sign_in_at(WIKI).await
    }

    /// The same at another host.
    pub(crate) async fn sign_in_at(&self, host: &str) -> String {
        let cookie = Token::random().unwrap();
        self.sign_in_with(&cookie, host).await;
        line(&cookie)
    }

    /// Makes this the cookie of a new session.
    pub(crate) async fn sign_in_with(&self, cookie: &Token, host: &str) {
        let code = Token::random().unwrap().hash();
        let subject = Subject { provider: ProviderName::parse("staff").unwrap(), subject: "ana".into() };
        let profile = Profile { email: Email::parse("ana@corp.example").ok(), ..Profile::default() };
        let identity = Identity { subject, profile, authenticated_at: now() };
        let tokens = Tokens { id_token: String::new(), refresh_token: None, expires: None };
        let ends = now().plus(Duration::from_secs(3600));
        let new = NewSignIn { cookie: code, identity, provider_sid: None, tokens, ends, replaces: None, client: Client::default() };
        let sign_in = self.store.create_sign_in(new).await.unwrap().unwrap().id;
        let handoff = Handoff { code, sign_in, host: host.into(), binding: code, expires: ends };
        assert!(self.store.create_handoff(&handoff).await.unwrap());
        assert!(self.store.take_handoff(&code, host, &code, &cookie.hash()).await.unwrap());
    }

    /// The head of a request with this cookie.
    pub(crate) fn head(&self, cookie: &str) -> String {
        self.world.head("GET", WIKI, "/", cookie)
    }

    /// What a replica answers to a use of a session; nothing where it does not answer.
    pub(crate) async fn ask(&self, replica: usize, cookie: &str) -> Option<u16> {
        status(&self.replicas[replica].entrance, &self.head(cookie)).await
    }

    pub(crate) async fn uses(&self, replica: usize, cookie: &str) -> bool {
        self.ask(replica, cookie).await == Some(200)
    }

    /// Ends a session by a replica; whether that was acknowledged.
    pub(crate) async fn revoke(&self, replica: usize, cookie: &str) -> bool {
        let head = self.world.head("GET", WIKI, "/.doorward/logout", &format!("{cookie}Sec-Fetch-Site: none\r\n"));
        status(&self.replicas[replica].entrance, &head).await == Some(200)
    }

    /// All that a replica answers.
    pub(crate) async fn send(&self, replica: usize, method: &str, (host, path): (&str, &str), lines: &str, body: &str) -> Answer {
        let lines = format!("{lines}Content-Length: {}\r\n", body.len());
        let mut connection = Connection::tls(&self.replicas[replica].entrance, host).await;
        connection.write(self.world.head(method, host, path, &lines) + body).await;
        connection.answer().await
    }

    pub(crate) async fn connect(&self, replica: usize) -> Connection {
        Connection::tls(&self.replicas[replica].entrance, WIKI).await
    }

    /// What psql answers about the database that they share.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.run(&self.database, sql)
    }
}

impl Replica {
    pub(crate) async fn run(&mut self) {
        self.begin();
        self.is_ready().await;
    }

    /// Waits until it has its database.
    pub(crate) async fn is_ready(&self) {
        eventually("the replica is ready", async || self.admin("/readyz").await?.contains("\"store\":true").then_some(())).await;
    }

    /// Starts it, and does not wait until it is ready.
    pub(crate) fn begin(&mut self) {
        // What is let go of ends all that runs this configuration.
        self.process = None;
        self.process = Some(Process::run(&self.configuration, &[]));
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name);
    }

    /// All that the admin listener answers.
    pub(crate) async fn admin(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.admin())).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// The same to whoever has the token.
    pub(crate) async fn administer(&self, method: &str, path: &str, body: &str) -> Answer {
        let lines = format!("Host: admin\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n", body.len());
        let mut connection = Connection::plain(self.ports.admin()).await;
        connection.write(format!("{method} {path} HTTP/1.1\r\n{lines}\r\n{body}")).await;
        connection.answer().await
    }

    /// The value of a metric that it has.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.administer("GET", "/metrics", "").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("there is no {name}")).parse().unwrap()
    }
}

/// The line of a request that shows a cookie.
pub(crate) fn line(cookie: &Token) -> String {
    format!("Cookie: __Host-doorward={}\r\n", cookie.reveal())
}

/// The status that a request gets over a connection of its own.
async fn status(entrance: &Entrance, head: &str) -> Option<u16> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, entrance.port)).await.ok()?;
    let mut stream = shake_hands_over(stream, entrance, WIKI, &[b"http/1.1"]).await.ok()?;
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut begin = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut begin)).await.ok()?.ok()?;
    str::from_utf8(&begin).ok()?.rsplit_once(' ')?.1.parse().ok()
}
