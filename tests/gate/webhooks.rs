//! Others are told of locks and revocations: signed, again and again until they take it, also after a restart.

use crate::world::{ALICE, Setup, WIKI, World, eventually};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A post, as it was received.
#[derive(Clone)]
struct Post {
    head: String,
    body: String,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Answers the posts that come with these, the last of them for ever.
async fn receiver(port: u16, answers: &'static [&'static str]) -> Arc<Mutex<Vec<Post>>> {
    let (listener, posts) = (TcpListener::bind(("127.0.0.1", port)).await.unwrap(), Arc::<Mutex<Vec<Post>>>::default());
    let received = Arc::clone(&posts);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let received = Arc::clone(&received);
            tokio::spawn(async move {
                let Some(post) = read(&mut stream).await else { return };
                let number = received.lock().unwrap().len();
                received.lock().unwrap().push(post);
                let answer = answers[number.min(answers.len() - 1)];
                drop(
                    stream
                        .write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
                        .await,
                );
            });
        }
    });
    posts
}

async fn read(stream: &mut tokio::net::TcpStream) -> Option<Post> {
    let mut bytes = Vec::new();
    loop {
        let mut some = [0; 4096];
        let length = stream.read(&mut some).await.ok().filter(|length| *length > 0)?;
        bytes.extend(&some[..length]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
        if body.len() == length {
            return Some(Post { head: head.to_owned(), body: body.to_owned() });
        }
    }
}

/// A world that tells what listens on its free port, of these events.
fn telling(events: &'static str) -> Setup {
    Setup { more: events, files: vec![("hook-secret", SECRET.into())], ..Setup::default() }
}

/// The port of a webhook in the configuration of a world.
async fn told(world: &World, answers: &'static [&'static str]) -> Arc<Mutex<Vec<Post>>> {
    receiver(world.ports.nth(15), answers).await
}

/// Waits for longer than half a minute: who was stopped while it was about to tell something keeps others from it for that long.
async fn post(posts: &Mutex<Vec<Post>>, number: usize) -> Post {
    for _ in 0..3000 {
        if let Some(post) = posts.lock().unwrap().get(number) {
            return post.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing is told");
}

/// Whether the example of the documentation, run as it stands there, takes a post for genuine.
fn documented(post: &Post, secret: &str) -> bool {
    let page = std::fs::read_to_string("docs/deprovisioning.md").unwrap();
    let example = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let headers: Value =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].into_iter().map(|name| (name, post.header(name))).collect();
    let ask = format!("{example}\nprint(is_genuine({secret:?}, {headers}, {:?}.encode()))", post.body);
    let output = Command::new("python3").args(["-c", &ask]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout == b"True\n"
}

const ALL: &str = "webhooks: [{ url: 'http://127.0.0.1:HOOK/x?key=s3cret', secret: { file: hook-secret } }]";

/// The configuration names a port that is known only once the world is there.
async fn world_of(setup: Setup) -> World {
    let mut world = World::of(Setup { more: "", ..setup }).await;
    world.stop().await;
    let path = world.path("doorward.yaml");
    let more = setup.more.replace("HOOK", &world.ports.nth(15).to_string());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{more}\n")).unwrap();
    world.run().await;
    eventually("the provider is discovered", async || {
        (world.admin("/api/v1/status").await.json()["providers"][0]["up"] == true).then_some(())
    })
    .await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_told_again_with_the_same_name_and_a_good_signature() {
    let world = world_of(telling(ALL)).await;
    let posts = told(&world, &["500 No", "302 Found\r\nLocation: http://127.0.0.1:1/", "200 OK"]).await;
    let cookie = world.session(WIKI, ALICE).await;
    let lines = "X-Administrator: carol\r\nX-Why: case 7\r\n";
    let body = json!({ "user": ALICE.0 }).to_string();
    assert_eq!(world.administer("POST", "/api/v1/sessions/revoke", lines, &body).await.status, 200);
    let [first, second, third] = [post(&posts, 0).await, post(&posts, 1).await, post(&posts, 2).await];
    for post in [&first, &second, &third] {
        assert!(documented(post, SECRET), "{}\n{}", post.head, post.body);
        assert_eq!((post.header("webhook-id"), &post.body), (first.header("webhook-id"), &first.body));
        assert!(post.head.starts_with("POST /x?key=s3cret HTTP/1.1\r\n"));
    }
    let changed = Post { body: first.body.replace("carol", "mallory"), ..first.clone() };
    assert!(!documented(&changed, SECRET) && !documented(&first, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    let said = first.json();
    assert_eq!(
        (&said["type"], &said["data"]["cause"], &said["data"]["by"]),
        (&json!("sessions.revoked"), &json!("administration"), &json!("carol"))
    );
    assert_eq!(
        (&said["data"]["ended"][0]["email"], &said["data"]["ended"][0]["sessions"][0]["host"]),
        (&json!(ALICE.0), &json!(WIKI))
    );
    assert!(!first.body.contains(cookie.split_once('=').unwrap().1));
    eventually("it is over", async || (world.metric("doorward_webhooks_total{outcome=\"delivered\"}").await == 1.0).then_some(()))
        .await;
    assert_eq!(world.metric("doorward_webhooks_total{outcome=\"failed\"}").await, 2.0);
    assert_eq!(posts.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_could_take_is_told_after_a_restart_and_holds_nothing_up() {
    let mut world = world_of(telling(ALL)).await;
    let lock = json!({ "reason": "lost", "expires_at": "2126-01-01T00:00:00Z" }).to_string();
    assert_eq!(world.administer("PUT", "/api/v1/locks/user/alice@corp.example", "", &lock).await.status, 200);
    assert_eq!(world.administer("DELETE", "/api/v1/locks/user/alice@corp.example", "", "").await.status, 204);
    world.stop().await;
    let posts = told(&world, &["204 Fine"]).await;
    world.run().await;
    let [one, other] = [post(&posts, 0).await, post(&posts, 1).await];
    assert!(documented(&one, SECRET) && documented(&other, SECRET));
    let kinds = HashSet::from([one.json()["type"].clone(), other.json()["type"].clone()]);
    assert_eq!(kinds, HashSet::from(["lock.set".into(), "lock.lifted".into()]));
    let set = [&one, &other].into_iter().find(|post| post.json()["type"] == "lock.set").unwrap().json();
    assert_eq!((&set["data"]["name"], &set["data"]["reason"]), (&json!(ALICE.0), &json!("lost")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_was_stopped_tells_nothing_more() {
    let mut world = world_of(telling(ALL)).await;
    let lock = json!({ "reason": "lost" }).to_string();
    assert_eq!(world.administer("PUT", "/api/v1/locks/user/alice@corp.example", "", &lock).await.status, 200);
    world.stop().await;
    let posts = told(&world, &["204 Fine"]).await;
    // Longer than the first pauses between two tries.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(posts.lock().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_know_of_locks_alone_is_told_of_nothing_else() {
    let only = "webhooks: [{ url: 'http://127.0.0.1:HOOK/', secret: { file: hook-secret }, events: [lock.set] }]";
    let world = world_of(telling(only)).await;
    let posts = told(&world, &["200 OK"]).await;
    let cookie = world.session(WIKI, ALICE).await;
    world.get(WIKI, "/.doorward/logout", &format!("Cookie: {cookie}\r\nSec-Fetch-Site: none\r\n")).await;
    let lock = json!({ "reason": "lost" }).to_string();
    assert_eq!(world.administer("PUT", "/api/v1/locks/user/alice@corp.example", "", &lock).await.json()["sign_ins"], 1);
    assert_eq!(post(&posts, 0).await.json()["type"], "lock.set");
    assert_eq!(world.administer("DELETE", "/api/v1/locks/user/alice@corp.example", "", "").await.status, 204);
    assert_eq!(world.administer("PUT", "/api/v1/locks/user/alice@corp.example", "", &lock).await.status, 200);
    assert_eq!(post(&posts, 1).await.json()["type"], "lock.set", "and not of what was between");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_was_not_told_that_is_gone_is_given_up() {
    use sqlx::{Connection as _, Executor as _};
    let mut world = World::start().await;
    world.stop().await;
    let store = format!("sqlite:{}", world.path("doorward.db").display());
    let mut store = sqlx::SqliteConnection::connect(&store).await.unwrap();
    let old = "INSERT INTO notices (id, webhook, body, created_at, due_at, attempts) VALUES ('a', 'gone', '{}', 1, 1, 9)";
    store.execute(old).await.unwrap();
    store.close().await.unwrap();
    world.run().await;
    eventually("it is given up", async || {
        (world.metric("doorward_webhooks_total{outcome=\"given_up\"}").await == 1.0).then_some(())
    })
    .await;
}
