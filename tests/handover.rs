//! Staying up: another process takes over, systemd hands sockets over, the configuration is read anew. Always the real program, in
//! processes of its own, and clients that don't forgive a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "world/process.rs"]
mod process;
#[path = "world/world.rs"]
mod world;

use process::Process;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinSet;
use world::entrance::Entrance;
use world::wire::{Connection, PATIENCE};
use world::{ALICE, BOB, WIKI, World, eventually};

/// A world whose proxy is a process.
async fn world() -> World {
    let mut world = World::start().await;
    world.stop().await;
    world
}

async fn run(world: &World, variables: &[(&str, &str)]) -> Process {
    let process = Process::run(&world.path("doorward.yaml"), variables);
    process.logged("doorward is running", 1).await;
    process
}

/// Clients that ask all the time.
struct Traffic {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Traffic {
    /// So many clients that connect for each request, and so many that keep their connections for as long as they may.
    fn start(world: &World, connecting: usize, keeping: usize) -> Self {
        let mut traffic = Self { over: Arc::default(), answered: Arc::default(), clients: JoinSet::new() };
        let entrance = || Entrance { port: world.port, roots: Arc::clone(&world.roots), hosts: world.hosts.clone() };
        let head = world.head("GET", WIKI, "/public/x", "");
        for keeps in std::iter::repeat_n(false, connecting).chain(std::iter::repeat_n(true, keeping)) {
            let (over, answered) = (Arc::clone(&traffic.over), Arc::clone(&traffic.answered));
            traffic.clients.spawn(ask(entrance(), head.clone(), keeps, over, answered));
        }
        traffic
    }

    /// Waits until many more requests were answered.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("requests are answered", async || (self.answered.load(Ordering::Relaxed) > before + 200).then_some(())).await;
    }

    /// Every request of every client was answered.
    async fn ends_well(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
    }
}

async fn ask(entrance: Entrance, head: String, keeps: bool, over: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let mut kept: Option<Connection> = None;
    while !over.load(Ordering::Relaxed) {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::tls(&entrance, WIKI).await,
        };
        connection.write(&head).await;
        let answer = connection.answer().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answered.fetch_add(1, Ordering::Relaxed);
        let closes = answer.header("connection").is_some_and(|value| value == "close");
        kept = (keeps && !closes).then_some(connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_and_no_request_is_lost_when_another_process_takes_over() {
    let world = world().await;
    let process = run(&world, &[]).await;
    let traffic = Traffic::start(&world, 3, 6);
    for _ in 0..3 {
        traffic.goes_on().await;
        process.hand_over().await;
    }
    traffic.goes_on().await;
    traffic.ends_well().await;
    assert_eq!(process.log().matches("the process before this one has gone").count(), 3);
    process.signal("-TERM");
    eventually("it has ended", async || process.ids().is_empty().then_some(())).await;
    assert!(trail(&world).ends_with("one chain"), "all four wrote it: {}", trail(&world));
}

/// What is to say of the audit trail.
fn trail(world: &World) -> String {
    let mut verify = Command::new(env!("CARGO_BIN_EXE_doorward"));
    let output = verify.args(["audit", "verify", "-c"]).arg(world.path("doorward.yaml")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if output.status.success() && text.contains("vouched for up to") { text + "one chain" } else { text }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_while_it_writes_leaves_a_trail_that_the_next_one_goes_on_with() {
    let world = world().await;
    for round in 1..=3 {
        let process = run(&world, &[]).await;
        // They share the log.
        process.logged("doorward is running", round).await;
        for _ in 0..50 {
            assert_eq!(world.get(WIKI, "/public/x", "").await.status, 200);
        }
        process.signal("-KILL");
        eventually("it has ended", async || process.ids().is_empty().then_some(())).await;
        let text = trail(&world);
        assert!(text.contains("ends here without saying so") && text.contains(": 1 faults"), "{round}: {text}");
    }
    let process = run(&world, &[]).await;
    process.logged("doorward is running", 4).await;
    process.signal("-TERM");
    eventually("it has ended", async || process.ids().is_empty().then_some(())).await;
    assert!(trail(&world).ends_with("one chain"), "{}", trail(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_can_not_serve_takes_nothing_over() {
    let world = world().await;
    let process = run(&world, &[]).await;
    let (before, path) = (process.ids(), world.path("doorward.yaml"));
    let fine = fs::read_to_string(&path).unwrap();
    let traffic = Traffic::start(&world, 2, 2);
    for (round, broken) in
        ["listen: nowhere\n".to_owned(), fine.replace("sqlite:doorward.db", "sqlite:missing/doorward.db")].iter().enumerate()
    {
        fs::write(&path, broken).unwrap();
        process.signal("-USR2");
        process.logged("no process takes over, this one goes on", round + 1).await;
        traffic.goes_on().await;
        assert_eq!(process.ids(), before);
    }
    fs::write(&path, fine).unwrap();
    process.hand_over().await;
    traffic.goes_on().await;
    traffic.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_does_not_start_beside_the_first() {
    let world = world().await;
    let path = world.path("doorward.yaml");
    // Without the admin listener, whose port is nobody else's anyway.
    let lines = fs::read_to_string(&path).unwrap().replace(&format!(", admin: '127.0.0.1:{}'", world.ports.admin()), "");
    fs::write(&path, lines).unwrap();
    let process = run(&world, &[]).await;
    let before = process.ids();
    let second = Command::new("timeout").args(["60", env!("CARGO_BIN_EXE_doorward"), "run", "-c"]).arg(&path).output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&format!("can't listen on 127.0.0.1:{}", world.ports.https())) && said.contains("in use"), "{said}");
    assert_eq!(process.ids(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_of_a_container_hands_nothing_over() {
    let namespace = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(namespace).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("this system makes no namespaces");
        return;
    }
    let world = world().await;
    let process = Process::first_of(&namespace, &world.path("doorward.yaml"));
    process.logged("doorward is running", 1).await;
    let before = process.ids();
    // The one that makes the namespace is not the one that runs in it.
    let first = before.iter().max().unwrap().to_string();
    assert!(Command::new("kill").args(["-USR2", &first]).status().unwrap().success());
    process.logged("no process takes over, this one goes on", 1).await;
    assert!(process.log().contains("the first process of a container"));
    assert_eq!(world.get(WIKI, "/public/x", "").await.status, 200);
    assert_eq!(process.ids(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_ends_where_it_began_and_what_was_signed_out_meanwhile_stays_out() {
    let mut world = World::start().await;
    let cookie = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let other = format!("Cookie: {}\r\n", world.session(WIKI, BOB).await);
    world.stop().await;
    let process = run(&world, &[]).await;
    let (mut old, mut cut) = (Connection::tls(&world, WIKI).await, Connection::tls(&world, WIKI).await);
    cut.write(world.head("GET", WIKI, "/endless", &cookie)).await;
    assert_eq!(cut.head().await.status, 200);
    old.write(world.head("GET", WIKI, "/drip", &other)).await;
    assert_eq!(old.head().await.status, 200);
    assert_eq!(old.some().await, b"6\r\nfirst \r\n");
    process.signal("-USR2");
    process.logged("requests in progress may end", 1).await;
    assert_eq!(process.ids().len(), 2, "the old one has something to finish");
    assert_eq!(world.get(WIKI, "/page", &cookie).await.status, 200, "the new one knows the session");
    assert_eq!(world.get(WIKI, "/.doorward/logout", &cookie).await.status, 200);
    assert_eq!(world.get(WIKI, "/page", &cookie).await.status, 401);
    // It would go on for ever.
    while !cut.some().await.is_empty() {}
    world.app.go_on.notify_one();
    let mut rest = Vec::new();
    while !rest.ends_with(b"0\r\n\r\n") {
        let more = old.some().await;
        assert!(!more.is_empty(), "it was cut off");
        rest.extend(more);
    }
    assert_eq!(rest, b"6\r\nsecond\r\n0\r\n\r\n");
    old.write(world.head("GET", WIKI, "/page", &cookie)).await;
    let answer = old.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    eventually("the old process has gone", async || (process.ids().len() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_systemd_are_used_with_the_connections_that_wait_in_them() {
    let world = world().await;
    // Without SO_REUSEPORT: nobody can bind these addresses once more.
    let [https, http] = [world.ports.https(), world.ports.http()].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
    let early = tokio::net::TcpStream::connect(("127.0.0.1", world.ports.https())).await.unwrap();
    let process = Process::activate(&world.path("doorward.yaml"), https.into(), http.into());
    let stream = world::wire::shake_hands_over(early, &world, WIKI, &[b"http/1.1"]).await.unwrap();
    let mut connection = Connection::over(stream);
    connection.write(world.head("GET", WIKI, "/public/early", "")).await;
    assert_eq!(connection.answer().await.status, 200);
    let mut plain = Connection::plain(world.ports.http()).await;
    plain.write(format!("GET / HTTP/1.1\r\nHost: {WIKI}\r\n\r\n")).await;
    assert_eq!(plain.answer().await.status, 308);
    let traffic = Traffic::start(&world, 2, 2);
    process.hand_over().await;
    traffic.goes_on().await;
    traffic.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_how_it_goes() {
    let world = world().await;
    let path = world.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = |text: &str| {
        for _ in 0..200 {
            let mut message = [0; 4096];
            let length = socket.recv(&mut message).expect("a message in time");
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            if message.lines().any(|line| line.starts_with(text)) {
                return message;
            }
        }
        panic!("never heard of {text}");
    };
    let process = run(&world, &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")]).await;
    assert!(hear("READY=1").contains("STATUS=serving "));
    hear("WATCHDOG=1");
    process.signal("-HUP");
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    process.signal("-USR2");
    let told = hear("MAINPID=");
    process.logged("the process before this one has gone", 1).await;
    assert!(told.contains(&format!("MAINPID={}\n", process.ids()[0])), "{told}");
    hear("READY=1");
    hear("WATCHDOG=1");
    process.signal("-TERM");
    hear("STOPPING=1");
    eventually("it has ended", async || process.ids().is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_when_the_configuration_is_read_anew() {
    let world = world().await;
    let process = run(&world, &[]).await;
    let traffic = Traffic::start(&world, 2, 20);
    for round in 1..=10 {
        process.signal("-HUP");
        process.logged("the configuration was reloaded", round).await;
        traffic.goes_on().await;
    }
    println!("{} requests were answered while the configuration was read anew ten times", traffic.answered.load(Ordering::Relaxed));
    traffic.ends_well().await;
}
