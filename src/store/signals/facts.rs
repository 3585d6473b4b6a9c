//! What transmitters said that still counts. In: rows. Out: the same in the tables in memory that requests are judged by. Must never
//! let what is older take the place of what is newer, nor count what a stream said that has fallen silent.

use super::{Fact, Kind};
use crate::model::identity::Subject;
use crate::model::inventory::Inventory;
use crate::model::risks::{Risks, Whose};
use crate::model::{Observed, Risk, RiskLevel, Source, Timestamp};
use crate::store::follow::{does_not_read, in_time};
use crate::store::sign_ins::{time, to_sql};
use crate::store::{Error, Store};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::sync::Arc;

/// How bad a value is: transmitters tell times in seconds, and of two in one second nobody knows which came last.
macro_rules! badness {
    ($value:literal) => {
        concat!("CASE ", $value, " WHEN 'high' THEN 2 WHEN 'false' THEN 2 WHEN 'locked' THEN 2 WHEN 'medium' THEN 1 ELSE 0 END")
    };
}

const PUT: &str = concat!(
    "INSERT INTO signal_facts (transmitter, kind, name, value, reasons, observed_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (transmitter, kind, name) DO UPDATE
    SET value = excluded.value, reasons = excluded.reasons, observed_at = excluded.observed_at
    WHERE excluded.observed_at > signal_facts.observed_at OR (excluded.observed_at = signal_facts.observed_at AND ",
    badness!("excluded.value"),
    " >= ",
    badness!("signal_facts.value"),
    ")"
);
/// Every fact, for [`take_in_all`].
pub(in crate::store) const ALL: &str = "SELECT f.transmitter, f.kind, f.name, f.value, f.reasons, f.observed_at, s.alive_until
    FROM signal_facts f LEFT JOIN signal_streams s ON s.transmitter = f.transmitter";
/// The value of [`Kind::Compliance`] where a device keeps the rules.
pub const COMPLIANT: &str = "true";
/// A value that says nothing, in place of what was said before.
pub const NOTHING: &str = "nothing";
/// The values of [`Kind::Lock`].
pub const LOCKED: &str = "locked";
/// Whoever was kept out before is not any more.
pub const UNLOCKED: &str = "unlocked";

/// Keeps a fact, in place of an older one of its kind; false where it is the older one.
pub(super) async fn put(connection: &mut AnyConnection, transmitter: &str, name: &str, fact: &Fact) -> Result<bool, Error> {
    let reasons = serde_json::to_string(&fact.reasons).map_err(|_| Error::Damaged("signal_facts"))?;
    let query = sqlx::query(PUT).bind(transmitter.to_owned()).bind(fact.kind.code()).bind(name.to_owned());
    let query = query.bind(fact.value.clone()).bind(reasons).bind(to_sql(fact.at));
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

/// Takes back what this transmitter said of a person's risk.
pub(super) async fn take_back_risk(connection: &mut AnyConnection, transmitter: &str, name: &str) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM signal_facts WHERE transmitter = $1 AND kind IN ($2, $3) AND name = $4");
    let query = query.bind(transmitter.to_owned()).bind(Kind::UserRisk.code()).bind(Kind::Compromise.code());
    query.bind(name.to_owned()).execute(connection).await?;
    Ok(())
}

/// Forgets what anybody said of a device; whether there was anything.
pub(in crate::store) async fn forget_device(connection: &mut AnyConnection, id: &str) -> Result<bool, Error> {
    let query = sqlx::query("DELETE FROM signal_facts WHERE kind IN ($1, $2) AND name = $3");
    let query = query.bind(Kind::Compliance.code()).bind(Kind::DeviceRisk.code()).bind(id.to_owned());
    Ok(query.execute(connection).await?.rows_affected() > 0)
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
    let query = sqlx::query("SELECT 1 FROM signal_facts WHERE kind = $1 AND name = $2 AND value <> $3");
    Ok(query.bind(Kind::Lock.code()).bind(subject.to_string()).bind(UNLOCKED).fetch_optional(connection).await?.is_some())
}

/// Lets a person in again, whoever keeps them out; whether anybody did.
pub(in crate::store) async fn unlock(connection: &mut AnyConnection, whose: &Whose) -> Result<bool, Error> {
    let query = sqlx::query("DELETE FROM signal_facts WHERE kind = $1 AND name = $2 AND value <> $3");
    let query = query.bind(Kind::Lock.code()).bind(whose.to_string()).bind(UNLOCKED);
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

impl Store {
    /// Takes every fact into the tables in memory.
    pub(in crate::store) async fn read_facts(&self, devices: &mut Inventory, risks: &mut Risks) -> Result<(), Error> {
        let rows = in_time(async { Ok(sqlx::query(ALL).fetch_all(&self.followers()).await?) }).await?;
        take_in_all(&rows, devices, risks)
    }
}

/// Takes the facts of these rows into tables.
pub(in crate::store) fn take_in_all(rows: &[AnyRow], devices: &mut Inventory, risks: &mut Risks) -> Result<(), Error> {
    for row in rows {
        match take_in(row, devices, risks) {
            Err(Error::Damaged(table)) => does_not_read(table),
            taken => taken?,
        }
    }
    Ok(())
}

fn take_in(row: &AnyRow, devices: &mut Inventory, risks: &mut Risks) -> Result<(), Error> {
    let damaged = || Error::Damaged("signal_facts");
    let text = |column| row.try_get::<String, _>(column);
    let (kind, name, value) = (text("kind")?, text("name")?, text("value")?);
    let source = Source::transmitter(&text("transmitter")?);
    let alive_until: Option<i64> = row.try_get("alive_until")?;
    let expires_at = Some(Timestamp::from_millis(alive_until.and_then(|time| u64::try_from(time).ok()).unwrap_or(0)));
    let observed_at = time(row, "observed_at")?;
    if kind == Kind::Lock.code() || value == NOTHING {
        return Ok(());
    }
    if kind == Kind::Compliance.code() {
        devices.put_compliance(&name, Observed { value: value == COMPLIANT, source, observed_at, expires_at });
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
