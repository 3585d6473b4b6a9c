//! What is known of devices, risks, locks and people, for whoever asks what would be decided of somebody. In: a store, or where one
//! is, and an address. Out: all of it at once. Must never change a store, nor make one.

use super::database::Location;
use super::sign_ins::time;
use super::{Error, Store, devices, signals};
use crate::model::identity::{Profile, Subject};
use crate::model::locks::{Lock, Locks};
use crate::model::risks::{Risks, Whose};
use crate::model::{Email, Inventory, ProviderName, Source};
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
    /// Who has the address that was asked for.
    pub namesakes: Vec<Subject>,
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
const PEOPLE: &str = "SELECT provider, subject, profile FROM users WHERE profile LIKE $1";

/// What a store knows, and who has this address.
pub async fn known(location: &Location, email: Option<&Email>) -> Result<Known, Error> {
    let mut connection = location.read().await?;
    let (devices, risks, locks) = devices::read_all(&mut connection).await?;
    let (kept_out, namesakes) = (kept_out(&mut connection).await?, namesakes(&mut connection, email).await?);
    Ok(Known { devices: Arc::new(devices), risks: Arc::new(risks), locks: Arc::new(locks), kept_out, namesakes })
}

impl Store {
    /// The same of one that is open.
    pub async fn known(&self, email: Option<&Email>) -> Result<Known, Error> {
        let mut connection = self.readers().acquire().await?;
        Ok(Known {
            devices: Arc::clone(&self.devices()),
            risks: Arc::clone(&self.risks()),
            locks: Arc::clone(&self.locks()),
            kept_out: kept_out(&mut connection).await?,
            namesakes: namesakes(&mut connection, email).await?,
        })
    }

    /// Whom transmitters keep out.
    pub async fn kept_out(&self) -> Result<Vec<KeptOut>, Error> {
        kept_out(&mut *self.readers().acquire().await?).await
    }
}

async fn kept_out(connection: &mut AnyConnection) -> Result<Vec<KeptOut>, Error> {
    let query = sqlx::query(KEPT_OUT).bind(signals::Kind::Lock.code()).bind(signals::UNLOCKED);
    query.fetch_all(connection).await?.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<KeptOut, Error> {
    let damaged = || Error::Damaged("signal_facts");
    let (name, transmitter): (String, String) = (row.try_get("name")?, row.try_get("transmitter")?);
    let Some(Whose::Subject(subject)) = Whose::parse("user", &name) else { return Err(damaged()) };
    let reasons: Vec<String> = serde_json::from_str(row.try_get("reasons")?).map_err(|_| damaged())?;
    let lock = Lock { reason: reasons.join("; "), since: time(row, "observed_at")?, until: None, fingerprints: Vec::new() };
    Ok(KeptOut { subject, source: Source::transmitter(&transmitter), lock })
}

/// The database finds those who may be meant; whether they are, is looked at here.
async fn namesakes(connection: &mut AnyConnection, email: Option<&Email>) -> Result<Vec<Subject>, Error> {
    let Some(email) = email else { return Ok(Vec::new()) };
    let rows = sqlx::query(PEOPLE).bind(format!("%\"{}\"%", email.as_str())).fetch_all(connection).await?;
    rows.iter().filter_map(|row| person(row, email).transpose()).collect()
}

fn person(row: &AnyRow, email: &Email) -> Result<Option<Subject>, Error> {
    let damaged = || Error::Damaged("users");
    let profile: Profile = serde_json::from_str(row.try_get("profile")?).map_err(|_| damaged())?;
    let provider = ProviderName::parse(row.try_get("provider")?).ok_or_else(damaged)?;
    let subject = Subject { provider, subject: row.try_get("subject")? };
    Ok((profile.email.as_ref() == Some(email)).then_some(subject))
}
