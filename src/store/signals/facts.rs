//! What transmitters said that still counts. In: rows. Out: the same in the tables in memory that requests are judged by. Must never
//! let what is older take the place of what is newer, nor count what a stream said that has fallen silent.

use super::{Fact, Kind};
use crate::model::identity::Subject;
use crate::model::inventory::Inventory;
use crate::model::risks::{Risks, Whose};
use crate::model::{Observed, Risk, RiskLevel, Source, Timestamp};
use crate::store::sign_ins::{time, to_sql};
use crate::store::{Error, Store};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::sync::Arc;

const PUT: &str = "INSERT INTO signal_facts (transmitter, kind, name, value, reasons, observed_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (transmitter, kind, name) DO UPDATE
    SET value = excluded.value, reasons = excluded.reasons, observed_at = excluded.observed_at
    WHERE excluded.observed_at >= signal_facts.observed_at";
const ALL: &str = "SELECT f.transmitter, f.kind, f.name, f.value, f.reasons, f.observed_at, s.alive_until
    FROM signal_facts f LEFT JOIN signal_streams s ON s.transmitter = f.transmitter";
/// The value of [`Kind::Compliance`] where a device keeps the rules.
pub const COMPLIANT: &str = "true";

/// Keeps a fact, in place of an older one of its kind.
pub(super) async fn put(connection: &mut AnyConnection, transmitter: &str, name: &str, fact: &Fact) -> Result<(), Error> {
    let reasons = serde_json::to_string(&fact.reasons).map_err(|_| Error::Damaged("signal_facts"))?;
    let query = sqlx::query(PUT).bind(transmitter.to_owned()).bind(fact.kind.code()).bind(name.to_owned());
    query.bind(fact.value.clone()).bind(reasons).bind(to_sql(fact.at)).execute(connection).await?;
    Ok(())
}

/// Takes one of this transmitter's back.
pub(super) async fn take_back(connection: &mut AnyConnection, transmitter: &str, kind: Kind, name: &str) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM signal_facts WHERE transmitter = $1 AND kind = $2 AND name = $3");
    query.bind(transmitter.to_owned()).bind(kind.code()).bind(name.to_owned()).execute(connection).await?;
    Ok(())
}

/// Forgets the risks that anybody said of one; whether there were any.
pub(in crate::store) async fn forget_risk(connection: &mut AnyConnection, whose: &Whose) -> Result<bool, Error> {
    let (kind, other) = match whose {
        Whose::Device(_) => (Kind::DeviceRisk, Kind::DeviceRisk),
        Whose::Email(_) | Whose::Subject(_) => (Kind::UserRisk, Kind::Compromise),
    };
    let query = sqlx::query("DELETE FROM signal_facts WHERE kind IN ($1, $2) AND name = $3");
    let query = query.bind(kind.code()).bind(other.code()).bind(whose.to_string());
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

/// Whether any transmitter keeps this person out; by what is committed.
pub(in crate::store) async fn is_locked(connection: &mut AnyConnection, subject: &Subject) -> Result<bool, Error> {
    let query = sqlx::query("SELECT 1 FROM signal_facts WHERE kind = $1 AND name = $2");
    Ok(query.bind(Kind::Lock.code()).bind(subject.to_string()).fetch_optional(connection).await?.is_some())
}

/// Lets a person in again, whoever keeps them out; whether anybody did.
pub(in crate::store) async fn unlock(connection: &mut AnyConnection, whose: &Whose) -> Result<bool, Error> {
    let query = sqlx::query("DELETE FROM signal_facts WHERE kind = $1 AND name = $2");
    let query = query.bind(Kind::Lock.code()).bind(whose.to_string());
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

impl Store {
    /// Takes every fact into the tables in memory.
    pub(in crate::store) async fn read_facts(&self, devices: &mut Inventory, risks: &mut Risks) -> Result<(), Error> {
        for row in sqlx::query(ALL).fetch_all(&self.readers()).await? {
            take_in(&row, devices, risks)?;
        }
        Ok(())
    }
}

fn take_in(row: &AnyRow, devices: &mut Inventory, risks: &mut Risks) -> Result<(), Error> {
    let damaged = || Error::Damaged("signal_facts");
    let text = |column| row.try_get::<String, _>(column);
    let (kind, name, value) = (text("kind")?, text("name")?, text("value")?);
    let source = Source::transmitter(&text("transmitter")?);
    let alive_until: Option<i64> = row.try_get("alive_until")?;
    let expires_at = Some(Timestamp::from_millis(alive_until.and_then(|time| u64::try_from(time).ok()).unwrap_or(0)));
    let observed_at = time(row, "observed_at")?;
    if kind == Kind::Compliance.code() {
        devices.put_compliance(&name, Observed { value: value == COMPLIANT, source, observed_at, expires_at });
        return Ok(());
    }
    if kind == Kind::Lock.code() {
        return Ok(());
    }
    let level = RiskLevel::parse(&value).ok_or_else(damaged)?;
    let reasons = serde_json::from_str(&text("reasons")?).map_err(|_| damaged())?;
    let risk = Observed { value: Arc::new(Risk { level, reasons }), source, observed_at, expires_at };
    let of_device = kind == Kind::DeviceRisk.code();
    match Whose::parse(if of_device { "device" } else { "user" }, &name).ok_or_else(damaged)? {
        Whose::Subject(subject) if kind == Kind::Compromise.code() => risks.put_compromise(subject, risk),
        whose => risks.put(whose, risk),
    }
    Ok(())
}
