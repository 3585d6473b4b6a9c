//! Whom an event is about. In: names that a transmitter uses. Out: people of its provider, and their sign-ins. Must never find
//! anybody of another provider, nor take one who merely looks alike.

use crate::model::identity::{Profile, Subject};
use crate::model::{Email, ProviderName, SignInId, Timestamp};
use crate::store::{Error, sign_ins::time};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::collections::BTreeMap;

/// Whom or what an event is about: a person or several, in one session where it says so; a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Whoever has one of these names.
    pub people: Vec<Person>,
    /// The provider's own session.
    pub session: Option<String>,
    /// A device of the inventory.
    pub device: Option<String>,
}

/// A name that a provider has for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// The subject of its tokens.
    Subject(String),
    /// The same, or else its name for one session of theirs.
    SubjectOrSession(String),
    /// A verified address.
    Email(Email),
    /// A mapped claim, by our word, and its value.
    Claim(String, String),
}

/// Who was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) people: BTreeMap<i64, Subject>,
    pub(super) sign_ins: Vec<Held>,
}

/// A sign-in as its row has it.
pub(super) struct Held {
    pub(super) id: SignInId,
    pub(super) authenticated_at: Timestamp,
    pub(super) tokens: Vec<u8>,
}

const BY_SUBJECT: &str = "SELECT id, subject FROM users WHERE provider = $1 AND subject = $2";
const BY_SESSION: &str = "SELECT u.id, u.subject FROM users u JOIN sign_ins s ON s.user_id = u.id
    WHERE u.provider = $1 AND s.provider_sid = $2";
const BY_PROFILE: &str =
    "SELECT u.id, u.subject, u.profile, s.profile AS latest FROM users u LEFT JOIN sign_ins s ON s.user_id = u.id
    WHERE u.provider = $1 AND (u.profile LIKE $2 OR s.profile LIKE $2)";

/// Finds them; with all their sign-ins where that is wanted, whatever session is named.
pub(super) async fn find(
    connection: &mut AnyConnection,
    provider: &ProviderName,
    about: &About,
    whole: bool,
) -> Result<Found, Error> {
    let (mut found, mut session, mut perhaps) = (Found::default(), about.session.as_ref(), None);
    for person in &about.people {
        let rows = rows(connection, provider, person).await?;
        if let (Person::SubjectOrSession(name), true) = (person, rows.is_empty()) {
            perhaps = Some(name);
        }
        found.take(&rows, provider)?;
    }
    if found.people.is_empty() && only_sessions(&about.people) {
        session = session.or(perhaps);
        let rows = match session {
            Some(sid) => by(connection, BY_SESSION, provider, sid).await?,
            None => Vec::new(),
        };
        found.take(&rows, provider)?;
    }
    for id in found.people.keys() {
        let query = sqlx::query("SELECT id, authenticated_at, provider_sid, tokens FROM sign_ins WHERE user_id = $1").bind(*id);
        for row in query.fetch_all(&mut *connection).await? {
            let sid: Option<String> = row.try_get("provider_sid")?;
            if whole || session.is_none() || session == sid.as_ref() {
                found.sign_ins.push(Held::read(&row)?);
            }
        }
    }
    Ok(found)
}

/// A person who is named and not found is not whoever has the session.
fn only_sessions(people: &[Person]) -> bool {
    people.iter().all(|person| matches!(person, Person::SubjectOrSession(_)))
}

async fn rows(connection: &mut AnyConnection, provider: &ProviderName, person: &Person) -> Result<Vec<AnyRow>, Error> {
    let text = match person {
        Person::Subject(subject) | Person::SubjectOrSession(subject) => return by(connection, BY_SUBJECT, provider, subject).await,
        Person::Email(email) => email.as_str(),
        Person::Claim(_, value) => value,
    };
    // The database finds those who may be meant; whether they are, is looked at here.
    let mut meant = Vec::new();
    for row in by(connection, BY_PROFILE, provider, &format!("%\"{text}\"%")).await? {
        if has(&row, person)? {
            meant.push(row);
        }
    }
    Ok(meant)
}

async fn by(
    connection: &mut AnyConnection,
    query: &'static str,
    provider: &ProviderName,
    value: &str,
) -> Result<Vec<AnyRow>, Error> {
    let query = sqlx::query(query).bind(provider.as_str().to_owned()).bind(value.to_owned());
    Ok(query.fetch_all(connection).await?)
}

/// Whether the provider has this name for the person, by what it said last of them or of one of their sign-ins.
fn has(row: &AnyRow, person: &Person) -> Result<bool, Error> {
    let (first, latest): (String, Option<String>) = (row.try_get("profile")?, row.try_get("latest")?);
    let mut has = false;
    for profile in [Some(first), latest].into_iter().flatten() {
        let profile: Profile = serde_json::from_str(&profile).map_err(|_| Error::Damaged("users"))?;
        has |= match person {
            Person::Email(email) => profile.email.as_ref() == Some(email),
            Person::Claim(word, value) => profile.claims.get(word).is_some_and(|values| values.contains(value)),
            Person::Subject(_) | Person::SubjectOrSession(_) => false,
        };
    }
    Ok(has)
}

impl Found {
    fn take(&mut self, rows: &[AnyRow], provider: &ProviderName) -> Result<(), Error> {
        for row in rows {
            let subject = Subject { provider: provider.clone(), subject: row.try_get("subject")? };
            self.people.insert(row.try_get("id")?, subject);
        }
        Ok(())
    }
}

impl Held {
    fn read(row: &AnyRow) -> Result<Self, Error> {
        let tokens: Option<Vec<u8>> = row.try_get("tokens")?;
        let id = SignInId(row.try_get("id")?);
        Ok(Self { id, authenticated_at: time(row, "authenticated_at")?, tokens: tokens.unwrap_or_default() })
    }
}
