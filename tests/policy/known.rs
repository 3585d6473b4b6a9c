//! What the command says of people whom the store knows: nobody whom the gate would keep out is said to get in.

use super::scene::{Scene, doorward};
use doorward::clock::now;
use doorward::model::identity::{Profile, Subject};
use doorward::model::locks::Lock;
use doorward::model::risks::Whose;
use doorward::model::{Email, Identity, Observed, ProviderName, Risk, RiskLevel, Source, Token};
use doorward::store::{Cause, Client, NewSignIn, Store, Tokens};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

const HOUR: Duration = Duration::from_secs(3600);
/// The first provider is not the one that most of them sign in at.
const APPS: &str = "  customers: { issuer: 'https://customers.corp.example', client_id: doorward, claims: { groups: groups } }\napps:\n  wiki:\n    \
    url: https://wiki.corp.example\n    upstream: http://10.0.0.20:8080\n    providers: [customers, staff]\n    \
    allow: [{ groups: [employees] }]\n    deny: [{ when: { risk: high } }]\n";
const PEOPLE: [(&str, &str, &str); 5] = [
    ("staff", "s-alice", "alice@corp.example"),
    ("staff", "s-bob", "team@corp.example"),
    ("staff", "s-ben", "team@corp.example"),
    ("customers", "c-carol", "carol@corp.example"),
    ("staff", "s-carol", "carol@corp.example"),
];

/// Everybody has signed in once.
async fn store(scene: &Scene) -> Arc<Store> {
    let store = Store::open(&format!("sqlite:{}", scene.path().join("x.db").display()), Handle::current()).await.unwrap();
    for (provider, subject, email) in PEOPLE {
        let subject = Subject { provider: ProviderName::parse(provider).unwrap(), subject: subject.to_owned() };
        let profile = Profile { email: Email::parse(email).ok(), ..Profile::default() };
        let new = NewSignIn {
            cookie: Token::random().unwrap().hash(),
            identity: Identity { subject, profile, authenticated_at: now() },
            provider_sid: None,
            tokens: Tokens { id_token: String::new(), refresh_token: None, expires: None },
            ends: now().plus(HOUR),
            replaces: None,
            client: Client::default(),
        };
        store.create_sign_in(new).await.unwrap().unwrap();
    }
    store
}

fn explain(scene: &Scene, user: &str, provider: Option<&str>) -> Value {
    let mut arguments = vec!["explain", "-c", "doorward.yaml", "--app", "wiki", "--group", "employees", "--json", "--user", user];
    arguments.extend(provider.into_iter().flat_map(|provider| ["--provider", provider]));
    let output = doorward(scene.path(), &arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_is_locked_out_is_said_to_get_in_whatever_they_are_called() {
    let scene = Scene::of(APPS);
    let store = store(&scene).await;
    for (locked, asked, provider, is_out) in [
        ("alice@corp.example", "staff:s-alice", None, true),
        ("staff:s-alice", "alice@corp.example", None, true),
        ("staff:s-alice", "alice@corp.example", Some("staff"), true),
        ("staff:s-alice", "alice@corp.example", Some("customers"), false),
        ("staff:s-ben", "team@corp.example", None, true),
        ("staff:s-ben", "team@corp.example", Some("staff"), true),
        ("staff:s-ben", "staff:s-bob", None, false),
        ("team@corp.example", "staff:s-bob", None, true),
        ("staff:s-carol", "carol@corp.example", None, true),
        ("staff:s-carol", "customers:c-carol", None, false),
        ("customers:s-alice", "staff:s-alice", None, false),
    ] {
        let whose = Whose::parse("user", locked).unwrap();
        let lock = Lock { reason: "left".to_owned(), since: now(), until: None, fingerprints: Vec::new() };
        store.put_lock(whose.clone(), lock, Cause::Lock.into()).await.unwrap();
        let said = explain(&scene, asked, provider);
        let expected = if is_out { (json!("deny"), json!(locked)) } else { (json!("allow"), json!(null)) };
        assert_eq!((&said["decision"], &said["lock"]["name"]), (&expected.0, &expected.1), "{locked} {asked} {provider:?}");
        assert!(store.remove_lock(&whose, Cause::Administration.into()).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_risk_counts_for_whoever_may_be_meant() {
    let scene = Scene::of(APPS);
    let store = store(&scene).await;
    for (feared, asked, decision) in [
        ("alice@corp.example", "staff:s-alice", "deny"),
        ("staff:s-alice", "alice@corp.example", "deny"),
        ("staff:s-ben", "team@corp.example", "deny"),
        ("staff:s-ben", "staff:s-bob", "allow"),
    ] {
        let whose = Whose::parse("user", feared).unwrap();
        let value = Arc::new(Risk { level: RiskLevel::High, reasons: Vec::new() });
        let risk = Observed { value, source: Source::Administration, observed_at: now(), expires_at: None };
        store.put_risk(whose.clone(), risk).await.unwrap();
        assert_eq!(explain(&scene, asked, None)["decision"], decision, "{feared} {asked}");
        assert!(store.remove_risk(&whose).await.unwrap());
    }
}
