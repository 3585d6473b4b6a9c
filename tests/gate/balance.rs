//! Several servers for one app: who gets a request, who does not, and what happens when none is left.

use crate::world::farm::Farm;
use crate::world::http2::Http2;
use crate::world::scripted::more_than_a_second;
use crate::world::wire::{Answer, Connection};
use crate::world::{ALICE, BOB, Setup, WIKI, World, eventually};
use std::sync::atomic::Ordering::SeqCst;

/// A world with an app at `/farm` that has these servers, and what else is said of it.
async fn world(farm: &Farm, servers: &str, more: &str) -> World {
    let servers = servers.replace("S0", &farm.url(0)).replace("S1", &farm.url(1)).replace("S2", &farm.url(2));
    let apps = format!(
        "  farm:
    url: https://{WIKI}:PORT/farm
    upstream: {servers}
    allow: [{{ domains: [corp.example] }}]
    paths: [{{ match: /farm/public/**, public: true }}]
{more}"
    );
    World::of(Setup { apps, ..Setup::default() }).await
}

/// A client with a connection of its own.
struct Client<'a> {
    world: &'a World,
    connection: Connection,
    lines: String,
}

impl<'a> Client<'a> {
    async fn of(world: &'a World) -> Self {
        Self { world, connection: Connection::tls(world, WIKI).await, lines: String::new() }
    }

    async fn with(world: &'a World, session: &str) -> Self {
        Self { lines: format!("Cookie: {session}\r\n"), ..Self::of(world).await }
    }

    async fn post(&mut self, path: &str) -> Answer {
        let head = self.world.head("POST", WIKI, path, &format!("{}Content-Length: 3\r\n", self.lines));
        self.connection.write(head + "abc").await;
        self.connection.answer().await
    }

    async fn begin(&mut self, path: &str) {
        self.connection.write(self.world.head("GET", WIKI, path, &self.lines)).await;
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.begin(path).await;
        self.connection.answer().await
    }

    /// Who answers these requests; `-` where nobody does.
    async fn who(&mut self, count: usize) -> String {
        let mut answered = String::new();
        for _ in 0..count {
            answered.push_str(self.get("/farm/public/x").await.header("x-server").unwrap_or("-"));
        }
        answered
    }
}

/// At which server a request for `/hold` waits.
fn held(farm: &Farm) -> Option<usize> {
    (0..2).find(|index| farm.mood(*index).held.load(SeqCst) == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_shared_by_weight_over_all_connections() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, { url: S1, weight: 3 }]", "").await;
    let (mut one, mut two) = (Client::of(&world).await, Client::of(&world).await);
    for _ in 0..4 {
        one.get("/farm/public/x").await;
        two.get("/farm/public/x").await;
    }
    assert_eq!(farm.requests(), [2, 6, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_costs_nobody_an_answer_and_one_that_comes_back_is_used_again() {
    let mut farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1, S2]", "    ejection: { failures: 2, for: 1s }\n").await;
    let mut client = Client::of(&world).await;
    assert_eq!(client.who(6).await, "012012");
    farm.kill(1).await;
    assert_eq!(client.post("/farm/public/x").await.header("x-server"), Some("0"));
    assert_eq!(client.post("/farm/public/x").await.status, 200, "nothing of it had left");
    let answered = client.who(30).await;
    assert!(!answered.contains(['1', '-']), "{answered}");
    let ejected = format!("doorward_upstream_ejections_total{{app=\"farm\",server=\"{}\"}}", farm.url(1));
    assert_eq!(world.metric(&ejected).await, 1.0);
    farm.run(1).await;
    eventually("it is used again", async || client.who(3).await.contains('1').then_some(())).await;
    let record = world.trail().into_iter().rev().find(|record| record["app"] == "farm").unwrap();
    assert!(record["upstream"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_drops_another_answers_where_that_does_no_harm() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", "    ejection: { failures: 3, for: 1h }\n").await;
    let mut client = Client::of(&world).await;
    farm.mood(0).status.store(0, SeqCst);
    assert_eq!(client.who(2).await, "11");
    assert_eq!(farm.requests(), [2, 2, 0]);
    let dropped = client.post("/farm/public/x").await;
    assert_eq!((dropped.status, &*dropped.reason()), (502, "upstream_failed"));
    assert_eq!(farm.requests(), [3, 2, 0], "the other one has not seen it");
    for _ in 0..5 {
        assert_eq!(client.post("/farm/public/x").await.status, 200, "it is left out by now");
    }
    assert_eq!(farm.requests()[0], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_server_is_left_the_answer_says_so_at_once() {
    let mut farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", "").await;
    farm.kill(0).await;
    farm.kill(1).await;
    for _ in 0..20 {
        let answer = world.get(WIKI, "/farm/public/x", "").await;
        assert_eq!((answer.status, &*answer.reason()), (502, "upstream_unreachable"));
    }
    farm.run(1).await;
    assert_eq!(Client::of(&world).await.who(10).await, "1111111111", "none of them is out for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_says_that_it_can_t_is_left_out_for_longer_and_longer() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", "    ejection: { failures: 3, for: 1s }\n").await;
    let mut client = Client::of(&world).await;
    farm.mood(0).status.store(503, SeqCst);
    assert_eq!(client.who(12).await, "010101111111");
    let ejections = format!("doorward_upstream_ejections_total{{app=\"farm\",server=\"{}\"}}", farm.url(0));
    eventually("one failure is enough for the next time", async || {
        client.who(2).await;
        (world.metric(&ejections).await >= 2.0).then_some(())
    })
    .await;
    assert_eq!(farm.mood(0).requests.load(SeqCst), 4);
    farm.mood(0).status.store(200, SeqCst);
    eventually("it comes back", async || client.who(2).await.contains('0').then_some(())).await;
    assert_eq!(client.who(6).await.matches('0').count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_everywhere_answers_for_itself() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", "    ejection: { failures: 1, for: 1h }\n").await;
    let mut client = Client::of(&world).await;
    (0..2).for_each(|index| farm.mood(index).status.store(503, SeqCst));
    for _ in 0..10 {
        assert!(client.get("/farm/public/x").await.header("x-server").is_some(), "the app's own answer, not ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_errors_are_the_app_s_own_and_take_nobody_out() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", "    ejection: { failures: 1, for: 1h }\n").await;
    let mut client = Client::of(&world).await;
    for status in [500, 404, 429, 301] {
        farm.mood(0).status.store(status, SeqCst);
        assert_eq!(client.who(6).await.matches('0').count(), 3, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_breaks_off_is_not_held_against_a_server() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", "    ejection: { failures: 1, for: 1h }\n").await;
    for _ in 0..4 {
        let mut impatient = Client::of(&world).await;
        impatient.begin("/farm/public/hold").await;
        let at = eventually("it waits", async || held(&farm)).await;
        drop(impatient);
        eventually("it has gone", async || (farm.mood(at).held.load(SeqCst) == 0).then_some(())).await;
        let mut unfinished = Connection::tls(&world, WIKI).await;
        unfinished.write(world.head("POST", WIKI, "/farm/public/x", "Content-Length: 10\r\n") + "abc").await;
    }
    let mut client = Client::of(&world).await;
    // The last of the unfinished may still be on its way to take a turn.
    let answered = client.who(12).await;
    assert!(answered.matches('0').count() >= 5, "{answered}");
}

const CHECKED: &str = "    health: { path: /healthz, interval: 1s, timeout: 1s, healthy: 1, unhealthy: 1 }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_check_fails_gets_no_requests_though_it_would_answer_them() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", CHECKED).await;
    let mut client = Client::of(&world).await;
    assert_eq!(client.who(4).await, "0101");
    let healthy = format!("doorward_upstream_healthy{{app=\"farm\",server=\"{}\"}}", farm.url(0));
    eventually("the metric is there", async || (world.metric(&healthy).await == 1.0).then_some(())).await;
    farm.mood(0).health.store(500, SeqCst);
    eventually("it is down", async || (world.metric(&healthy).await == 0.0).then_some(())).await;
    assert_eq!(client.who(4).await, "1111");
    // A reload knows what was known.
    let yaml = std::fs::read_to_string(world.path("doorward.yaml")).unwrap();
    std::fs::write(world.path("doorward.yaml"), yaml.replace("{ url: 'https://login", "{ url:  'https://login")).unwrap();
    eventually("the reload", async || (world.metric("doorward_config_epoch").await == 2.0).then_some(())).await;
    assert_eq!(client.who(4).await, "1111");
    farm.mood(0).health.store(302, SeqCst);
    eventually("it is up again", async || client.who(2).await.contains('0').then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_down_after_as_many_bad_checks_in_a_row_as_it_may_have_and_up_after_as_many_good_ones() {
    let farm = Farm::start(3).await;
    let checked = "    health: { path: /healthz, interval: 1s, timeout: 1s, healthy: 3, unhealthy: 3 }\n";
    let world = world(&farm, "[S0, S1]", checked).await;
    let mood = farm.mood(0);
    let some_checks = async || {
        let before = mood.checked.load(SeqCst);
        eventually("more checks", async || (mood.checked.load(SeqCst) >= before + 4).then_some(())).await;
    };
    let mut client = Client::of(&world).await;
    // What is found first counts at once.
    eventually("the first check", async || (mood.checked.load(SeqCst) > 0).then_some(())).await;
    // Every third is good, so that never three are bad in a row.
    mood.third.store(200, SeqCst);
    mood.health.store(500, SeqCst);
    some_checks().await;
    assert!(client.who(4).await.contains('0'));
    mood.third.store(500, SeqCst);
    eventually("it is down", async || (client.who(2).await == "11").then_some(())).await;
    // Every third is bad.
    mood.health.store(200, SeqCst);
    some_checks().await;
    assert_eq!(client.who(4).await, "1111");
    mood.third.store(200, SeqCst);
    eventually("it is up again", async || client.who(2).await.contains('0').then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_given_up_leaves_no_server_down() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", CHECKED).await;
    (0..2).for_each(|index| farm.mood(index).health.store(0, SeqCst));
    let with = std::fs::read_to_string(world.path("doorward.yaml")).unwrap();
    let without = with.replace(CHECKED, "");
    let mut epoch = 1.0;
    let mut reload = async |yaml: &str| {
        std::fs::write(world.path("doorward.yaml"), yaml).unwrap();
        epoch += 1.0;
        eventually("the reload", async || (world.metric("doorward_config_epoch").await == epoch).then_some(())).await;
    };
    // A check may end between the reload and the news of it: not every time.
    for _ in 0..3 {
        eventually("both are down", async || (world.get(WIKI, "/farm/public/x", "").await.status == 503).then_some(())).await;
        // The next checks are under way by then.
        more_than_a_second().await;
        reload(&without).await;
        more_than_a_second().await;
        more_than_a_second().await;
        assert_eq!(Client::of(&world).await.who(4).await.matches('0').count(), 2);
        reload(&with).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_server_is_down_there_is_one_clear_answer_for_each_kind_of_client() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", CHECKED).await;
    (0..2).for_each(|index| farm.mood(index).health.store(0, SeqCst));
    let page = eventually("all are down", async || {
        let page = world.get(WIKI, "/farm/public/x", "Accept: text/html\r\n").await;
        (page.status == 503).then_some(page)
    })
    .await;
    assert!(page.text().contains("The app does not answer") && page.text().contains("no_healthy_upstream"));
    assert!(page.header("retry-after").is_some());
    let before = farm.requests();
    let answer = world.get(WIKI, "/farm/public/none", "").await;
    assert_eq!((answer.status, &*answer.reason()), (503, "no_healthy_upstream"));
    let grpc = world.get(WIKI, "/farm/public/x", "Content-Type: application/grpc\r\n").await;
    assert_eq!((grpc.header("grpc-status"), grpc.header("grpc-message")), (Some("14"), Some("no_healthy_upstream")));
    assert_eq!(farm.requests(), before);
    let record = world.record("/farm/public/none").await;
    assert_eq!((&record["reason"], &record["upstream"]), (&"no_healthy_upstream".into(), &serde_json::Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_who_asks_and_nothing_of_anybody_and_never_piles_up() {
    let farm = Farm::start(3).await;
    for servers in ["S0", "h2c://S0"] {
        let world = world(&farm, &servers.replace("h2c://S0", &farm.url(0).replace("http:", "h2c:")), CHECKED).await;
        let session = world.session(WIKI, ALICE).await;
        assert_eq!(Client::with(&world, &session).await.get("/farm/x").await.status, 200);
        farm.mood(0).checked_by.lock().unwrap().clear();
        let headers = eventually("a check", async || {
            let headers = farm.mood(0).checked_by.lock().unwrap().clone();
            (!headers.is_empty()).then_some(headers)
        })
        .await;
        let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "user-agent"]);
        assert_eq!(headers["user-agent"], "doorward-health");
        assert_eq!(headers["host"], *world.authority(WIKI));
    }
    let world = world(&farm, "S1", CHECKED).await;
    farm.mood(1).health.store(0, SeqCst);
    eventually("it is down", async || (world.get(WIKI, "/farm/public/x", "").await.status == 503).then_some(())).await;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(farm.mood(1).most_checks(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_came_back_is_spared_at_first() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", &format!("{CHECKED}    slow_start: 1h\n")).await;
    let mut client = Client::of(&world).await;
    assert_eq!(client.who(20).await.matches('0').count(), 10, "at the start all are warm");
    farm.mood(0).health.store(500, SeqCst);
    eventually("it is down", async || (client.who(4).await == "1111").then_some(())).await;
    farm.mood(0).health.store(200, SeqCst);
    eventually("it is up again", async || client.who(20).await.contains('0').then_some(())).await;
    let turns = client.who(200).await.matches('0').count();
    assert!((10..30).contains(&turns), "{turns}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stays_with_its_server_and_finds_it_again() {
    let mut farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1, S2]", "    balance: by_session\n    ejection: { failures: 1, for: 1s }\n").await;
    for who in [ALICE, BOB] {
        let session = world.session(WIKI, who).await;
        let mut servers = Vec::new();
        for _ in 0..5 {
            servers.push(Client::with(&world, &session).await.get("/farm/x").await.header("x-server").unwrap().to_owned());
        }
        let home = servers[0].clone();
        assert!(servers.iter().all(|server| *server == home), "{servers:?}");
        farm.kill(home.parse().unwrap()).await;
        let mut client = Client::with(&world, &session).await;
        let stand_in = client.get("/farm/x").await.header("x-server").unwrap().to_owned();
        assert_ne!(stand_in, home);
        assert_eq!(client.get("/farm/x").await.header("x-server"), Some(&*stand_in));
        farm.run(home.parse().unwrap()).await;
        eventually("it is back home", async || (client.get("/farm/x").await.header("x-server") == Some(&home)).then_some(())).await;
    }
    let (mut one, mut two) = (Client::of(&world).await, Client::of(&world).await);
    let nobody = one.who(5).await + &two.who(5).await;
    assert!(nobody.chars().all(|server| nobody.starts_with(server)), "by address: {nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_busy_server_is_chosen_and_websockets_keep_it_busy() {
    let farm = Farm::start(3).await;
    let world = world(&farm, "[S0, S1]", "    balance: least_in_flight\n").await;
    let mut client = Client::of(&world).await;
    assert_eq!(client.who(4).await, "0101");
    let mut holding = Client::of(&world).await;
    holding.begin("/farm/public/hold").await;
    eventually("it waits", async || (farm.mood(0).held.load(SeqCst) == 1).then_some(())).await;
    assert_eq!(client.who(4).await, "1111");
    farm.mood(0).go_on.notify_one();
    assert_eq!(holding.connection.answer().await.status, 200);
    assert!(client.who(2).await.contains('0'));
    // Whoever goes away is not waited for.
    let mut leaving = Client::of(&world).await;
    leaving.begin("/farm/public/hold").await;
    let at = eventually("it waits", async || held(&farm)).await;
    assert_eq!(client.who(4).await, (1 - at).to_string().repeat(4));
    drop(leaving);
    eventually("it does not count any more", async || client.who(2).await.contains(&at.to_string()).then_some(())).await;
    // A tunnel counts until it ends.
    let mut tunnel = Client::of(&world).await;
    tunnel.lines = "Connection: upgrade\r\nUpgrade: websocket\r\n".to_owned();
    tunnel.begin("/farm/public/ws").await;
    let switched = tunnel.connection.head().await;
    let at = switched.header("x-server").unwrap().to_owned();
    tunnel.connection.write("abc").await;
    assert_eq!((switched.status, tunnel.connection.some().await), (101, b"abc".to_vec()));
    assert!(!client.who(6).await.contains(&at));
    drop(tunnel);
    eventually("it does not count any more", async || client.who(2).await.contains(&at).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_have_to_wait_at_one_server_goes_to_another() {
    let farm = Farm::start(3).await;
    let more = "    balance: by_address\n    pool: { max_connections: 1 }\n    ejection: { failures: 1, for: 1h }\n";
    let world = world(&farm, "[S0, S1]", more).await;
    // All streams of one client are served by one worker.
    let mut client = Http2::connect(&world, WIKI).await;
    let (hold, quick) = (world.url(WIKI, "/farm/public/hold"), world.url(WIKI, "/farm/public/x"));
    let begin = |client: &Http2, url: &String| {
        let (mut client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { client.ask("GET", &url, &[]).await.unwrap().status })
    };
    let first = begin(&client, &hold);
    let home = eventually("it waits", async || held(&farm)).await;
    for _ in 0..3 {
        let answer = client.ask("GET", &quick, &[]).await.unwrap();
        assert_eq!((answer.status, answer.header("x-server")), (200, Some(&*(1 - home).to_string())));
    }
    // Where there is room nowhere, it waits.
    let second = begin(&client, &hold);
    eventually("it waits", async || (farm.mood(1 - home).held.load(SeqCst) == 1).then_some(())).await;
    let waiting = begin(&client, &quick);
    (0..2).for_each(|index| farm.mood(index).go_on.notify_one());
    for asked in [first, second, waiting] {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert_eq!(client.ask("GET", &quick, &[]).await.unwrap().header("x-server"), Some(&*home.to_string()), "nothing has failed");
}
