//! Many live sessions, each of a person of its own. In: a store, before Doorward opens it. Out: sessions in it, and their cookies on
//! standard output, one a line.

use doorward::clock;
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, ProviderName, Token};
use doorward::store::{Client, Handoff, Location, NewSignIn, Store, Tokens};
use std::sync::Arc;
use std::time::Duration;

/// The store of one process is a file; that of replicas a location, with a file of keys.
pub(super) fn fill(store: &str, keys: Option<&str>, host: &str, count: usize) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let location = match keys {
            Some(keys) => Location::parse(store).unwrap().with_keys(keys.into()),
            None => Location::parse(&format!("sqlite:{store}")).unwrap(),
        };
        let store = Store::open_at(location, tokio::runtime::Handle::current()).await.unwrap();
        for number in 0..count {
            println!("{}", sign_in(&store, number, host).await);
        }
    });
}

/// Signs somebody in at an app's host, by the steps that control takes; gives the cookie.
async fn sign_in(store: &Arc<Store>, number: usize, host: &str) -> String {
    let (sso, code, cookie) = (Token::random().unwrap(), Token::random().unwrap(), Token::random().unwrap());
    let tokens = Tokens { id_token: String::new(), refresh_token: None, expires: None };
    let ends = clock::now().plus(Duration::from_secs(12 * 3600));
    let new = NewSignIn {
        cookie: sso.hash(),
        identity: identity(number),
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

fn identity(number: usize) -> Identity {
    Identity {
        subject: Subject { provider: ProviderName::parse("staff").unwrap(), subject: format!("00u{number}") },
        profile: Profile {
            email: Some(Email::parse(&format!("person{number}@corp.example")).unwrap()),
            name: Some(format!("Person {number}")),
            groups: vec!["group-001".to_owned(), "finance".to_owned()],
            ..Profile::default()
        },
        authenticated_at: clock::now(),
    }
}
