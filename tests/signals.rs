//! Security events of a transmitter, pushed and fetched: what each does, what none may do, and what silence does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "signals/attacks.rs"]
mod attacks;
#[path = "signals/cuts.rs"]
mod cuts;
#[path = "signals/databases.rs"]
mod databases;
#[path = "signals/events.rs"]
mod events;
#[path = "world/postgres.rs"]
#[allow(dead_code)]
mod postgres;
#[path = "signals/streams.rs"]
mod streams;
#[path = "signals/unrecorded.rs"]
mod unrecorded;
#[path = "world/world.rs"]
mod world;

use serde_json::{Value, json};
use world::ports;
use world::transmitter::{AUTHORIZATION, TOKEN, Transmitter};
use world::{SHOP, Setup, WIKI, Who, World, eventually};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// A gate, and a transmitter of the name `hr` that speaks of people of `staff`.
struct Scene {
    world: World,
    hr: Transmitter,
}

impl Scene {
    /// Where it pushes.
    async fn pushed() -> Self {
        Self::of("deliver: push, authorization: { file: authorization }", Setup::default()).await
    }

    async fn of(more: &str, mut setup: Setup) -> Self {
        let hr = Transmitter::start("/tenants/corp").await;
        setup.signals = hr.configured("hr", more);
        setup.files.extend([("api-token", TOKEN.into()), ("authorization", AUTHORIZATION.into())]);
        let world = World::of(setup).await;
        hr.reaches(&world);
        let scene = Self { world, hr };
        scene.discovered().await;
        scene
    }

    /// The transmitter as the administration API shows it.
    async fn shown(&self) -> Value {
        self.world.admin("/api/v1/signals").await.json()["transmitters"][0].clone()
    }

    async fn discovered(&self) {
        eventually("the transmitter is discovered", async || (self.shown().await["discovered"] == true).then_some(())).await;
    }

    /// Pushes an event, which has to be taken.
    async fn happens(&self, uri: &str, subject: Value, details: Value) {
        let answer = self.hr.push(&self.hr.token(uri, &subject, &details)).await;
        assert_eq!((answer.status, answer.text()), (202, String::new()), "{uri} {subject}");
    }

    /// Whether this session is still good.
    async fn lives(&self, session: &str) -> bool {
        match self.world.get(WIKI, "/x", &format!("Cookie: {session}\r\n")).await.status {
            200 => true,
            401 => false,
            status => panic!("{status}"),
        }
    }

    /// What somebody gets at a path.
    async fn status(&self, host: &str, path: &str, session: &str) -> u16 {
        self.world.get(host, path, &format!("Cookie: {session}\r\n")).await.status
    }

    async fn session(&self, who: Who) -> String {
        self.world.session(WIKI, who).await
    }

    /// The first record of an event that says this.
    async fn record(&self, says: Value) -> Value {
        let fits = |record: &Value| says.as_object().unwrap().iter().all(|(key, value)| record[key] == *value);
        let found = async || self.world.trail().into_iter().find(|record| record["act"] == "signal" && fits(record));
        eventually(&format!("there is a record of {says}"), found).await
    }

    fn of_alice(&self) -> Value {
        json!({ "format": "iss_sub", "iss": format!("http://127.0.0.1:{}", self.world.ports.staff()), "sub": "s-alice" })
    }
}

/// An app whose rules look at risk and devices.
fn watchful() -> String {
    format!(
        "  shop:
    url: https://{SHOP}:HTTPS
    upstream: http://127.0.0.1:APP
    allow: [{{ domains: [corp.example] }}]
    paths:
      - {{ match: /low/**, allow: [{{ domains: [corp.example], when: {{ risk: low }} }}] }}
      - {{ match: /not-high/**, allow: [{{ domains: [corp.example] }}], deny: [{{ when: {{ risk: high }} }}] }}
      - {{ match: /compliant/**, allow: [{{ domains: [corp.example], when: {{ device: {{ compliant: true }} }} }}] }}
"
    )
}
