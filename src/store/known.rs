//! What is known of devices, risks, locks and people, for whoever asks what would be decided of somebody. In: a store, or where one
//! is, and a person. Out: all of it at once. Must never change a store, nor make one, nor hide a lock behind a row that does not
//! read.

use super::database::Location;
use super::follow::does_not_read;
use super::people::person;
use super::sign_ins::time;
use super::{Error, Store, devices, signals};
use crate::model::Identity;
use crate::model::identity::Subject;
use crate::model::locks::{Lock, Locks};
use crate::model::risks::{Risks, Whose};
use crate::model::{Inventory, Source};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::sync::Arc;

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The devices that the administration API was told of, with what transmitters said of them.
    pub devices: Arc<Inventory>,
    /// What there is to fear.
    pub risks: Arc<Risks>,
    /// What administrators have locked.
    pub locks: Arc<Locks>,
    /// Whom transmitters keep out.
    pub kept_out: Vec<KeptOut>,
    /// Whoever was asked for, where they have signed in before: by an address, all who have it.
    pub people: Vec<Identity>,
}

/// Somebody whom a transmitter keeps out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOut {
    /// Whom.
    pub subject: Subject,
    /// Who says so.
    pub source: Source,
    /// Why, and since when.
    pub lock: Lock,
}

const KEPT_OUT: &str = "SELECT transmitter, name, reasons, observed_at FROM signal_facts WHERE kind = $1 AND value <> $2";
const BY_ADDRESS: &str = "SELECT provider, subject, profile, last_sign_in FROM users WHERE profile LIKE $1 ORDER BY id";
const BY_SUBJECT: &str = "SELECT provider, subject, profile, last_sign_in FROM users WHERE provider = $1 AND subject = $2";

/// What a store knows, and who is asked for.
pub async fn known(location: &Location, asked: Option<&Whose>) -> Result<Known, Error> {
    let mut connection = location.read().await?;
    let (devices, risks, locks) = devices::read_all(&mut connection).await?;
    let (kept_out, people) = (kept_out(&mut connection).await?, people(&mut connection, asked).await?);
    Ok(Known { devices: Arc::new(devices), risks: Arc::new(risks), locks: Arc::new(locks), kept_out, people })
}

impl Store {
    /// The same of one that is open.
    pub async fn known(&self, asked: Option<&Whose>) -> Result<Known, Error> {
        let mut connection = self.readers().acquire().await?;
        Ok(Known {
            devices: Arc::clone(&self.devices()),
            risks: Arc::clone(&self.risks()),
            locks: Arc::clone(&self.locks()),
            kept_out: kept_out(&mut connection).await?,
            people: people(&mut connection, asked).await?,
        })
    }

    /// Whom transmitters keep out.
    pub async fn kept_out(&self) -> Result<Vec<KeptOut>, Error> {
        kept_out(&mut *self.readers().acquire().await?).await
    }
}

async fn kept_out(connection: &mut AnyConnection) -> Result<Vec<KeptOut>, Error> {
    let query = sqlx::query(KEPT_OUT).bind(signals::Kind::Lock.code()).bind(signals::UNLOCKED);
    Ok(query.fetch_all(connection).await?.iter().filter_map(read).collect())
}

/// Nothing where the row does not say who is kept out.
fn read(row: &AnyRow) -> Option<KeptOut> {
    let subject = || match Whose::parse("user", row.try_get("name").ok()?)? {
        Whose::Subject(subject) => Some((subject, row.try_get::<String, _>("transmitter").ok()?)),
        Whose::Email(_) | Whose::Device(_) => None,
    };
    let Some((subject, transmitter)) = subject() else {
        does_not_read("signal_facts");
        return None;
    };
    // Who is named is kept out, whatever else does not read.
    let reasons = row.try_get::<&str, _>("reasons").ok().and_then(|reasons| serde_json::from_str::<Vec<String>>(reasons).ok());
    let (reason, since) = (reasons.unwrap_or_default().join("; "), time(row, "observed_at").unwrap_or_default());
    let lock = Lock { reason, since, until: None, fingerprints: Vec::new() };
    Some(KeptOut { subject, source: Source::transmitter(&transmitter), lock })
}

/// The database finds those who may be meant; whether they are, is looked at here.
async fn people(connection: &mut AnyConnection, asked: Option<&Whose>) -> Result<Vec<Identity>, Error> {
    let (query, email) = match asked {
        Some(Whose::Email(email)) => (sqlx::query(BY_ADDRESS).bind(format!("%\"{}\"%", email.as_str())), Some(email)),
        Some(Whose::Subject(Subject { provider, subject })) => {
            (sqlx::query(BY_SUBJECT).bind(provider.as_str()).bind(subject), None)
        }
        Some(Whose::Device(_)) | None => return Ok(Vec::new()),
    };
    let rows = query.fetch_all(connection).await?;
    let people = rows.iter().filter_map(|row| person(row).inspect_err(|_| does_not_read("users")).ok());
    Ok(people.filter(|one| email.is_none_or(|email| one.profile.email.as_ref() == Some(email))).collect())
}
