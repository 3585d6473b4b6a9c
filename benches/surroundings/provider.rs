//! The provider that people sign in at, to Doorward and to Apache alike: the demo's, with people of the benchmark. In: a port and
//! where codes may be sent. Out: a provider, until the process is stopped.

use doorward::demo::idp::{self, Person, Settings, SigningKey};
use std::time::Duration;

/// The client that both products are. Nothing real is behind this secret.
pub(super) const CLIENT: (&str, &str) = ("benchmark", "benchmark-secret");

pub(super) fn run(port: u16, redirect_uris: &[&str]) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let _provider = idp::start(listener, settings(port, redirect_uris)).unwrap();
        std::future::pending::<()>().await;
    });
}

fn settings(port: u16, redirect_uris: &[&str]) -> Settings {
    Settings {
        issuer: format!("http://127.0.0.1:{port}"),
        client_id: CLIENT.0.into(),
        client_secret: CLIENT.1.into(),
        redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
        post_logout_uris: Vec::new(),
        back_channel: None,
        return_origins: Vec::new(),
        people: vec![person("few", 2), person("many", 200)],
        access_token_life: Duration::from_secs(12 * 3600),
        key: SigningKey::generate().unwrap(),
    }
}

/// Somebody in this many groups, the last of which is `finance`.
fn person(account: &str, groups: usize) -> Person {
    let others = (1..groups).map(|number| format!("group-{number:03}"));
    Person {
        subject: format!("00u1-{account}"),
        email: format!("{account}@corp.example"),
        email_verified: true,
        name: format!("{account} Groups"),
        groups: others.chain(["finance".to_owned()]).collect(),
        department: Some("finance".to_owned()),
        password: "benchmark".to_owned(),
    }
}
