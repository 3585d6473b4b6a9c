//! Who people were when they asked. In: what the store knows of them, and the records of sign-ins, which say what the provider said. Out:
//! persons, ready for decisions. Must never take what was said later for what was known then, where the trail has it.

use super::record::Record;
use crate::model::identity::{Profile, Subject};
use crate::model::{Email, Identity, ProviderName, Strength, Timestamp};
use crate::policy::Principal;
use crate::snapshot::Snapshot;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Somebody, as they were known for a while.
pub(super) struct Person {
    /// No other has it.
    pub(super) number: usize,
    pub(super) identity: Identity,
    pub(super) principal: Principal,
    pub(super) strength: Strength,
    /// By what the store knows now, since the trail does not say what was known then.
    pub(super) of_store: bool,
}

/// Everybody.
pub(super) struct People {
    of_store: HashMap<String, Identity>,
    known: HashMap<Box<str>, Rc<Person>>,
    count: usize,
}

/// What the record of a sign-in says.
#[derive(Deserialize)]
struct Said {
    groups: Vec<String>,
    claims: BTreeMap<String, Vec<String>>,
    amr: Vec<String>,
    acr: Option<String>,
    auth_time: u64,
}

impl People {
    pub(super) fn new(of_store: Vec<Identity>) -> Self {
        let of_store = of_store.into_iter().map(|identity| (identity.subject.to_string(), identity)).collect();
        Self { of_store, known: HashMap::new(), count: 0 }
    }

    /// Takes in what a record says of its person.
    pub(super) fn learn(&mut self, record: &Record<'_>, snapshot: &Snapshot) {
        let Some((user, said)) = record.user().zip(record.profile()) else { return };
        let Some((subject, said)) = subject(user).zip(serde_json::from_str::<Said>(said).ok()) else { return };
        let profile = Profile {
            email: record.email().and_then(|email| Email::parse(email).ok()),
            name: None,
            groups: said.groups,
            claims: said.claims,
            amr: said.amr,
            acr: said.acr,
        };
        let identity = Identity { subject, profile, authenticated_at: Timestamp::from_seconds(said.auth_time) };
        if self.known.get(user).is_none_or(|known| known.identity != identity) {
            self.add(user, identity, false, snapshot);
        }
    }

    pub(super) fn find(&mut self, user: &str, snapshot: &Snapshot) -> Option<Rc<Person>> {
        if let Some(known) = self.known.get(user) {
            return Some(Rc::clone(known));
        }
        let identity = self.of_store.get(user)?.clone();
        self.add(user, identity, true, snapshot)
    }

    fn add(&mut self, user: &str, identity: Identity, of_store: bool, snapshot: &Snapshot) -> Option<Rc<Person>> {
        let provider = snapshot.providers.get(&identity.subject.provider);
        let strength = provider.map_or(Strength::nothing(), |provider| provider.strength.clone());
        self.count += 1;
        let principal = Principal::new(&identity).ok()?;
        let person = Rc::new(Person { number: self.count, identity, principal, strength, of_store });
        self.known.insert(user.into(), Rc::clone(&person));
        Some(person)
    }
}

fn subject(user: &str) -> Option<Subject> {
    let (provider, subject) = user.split_once(':')?;
    Some(Subject { provider: ProviderName::parse(provider)?, subject: subject.to_owned() })
}
