//! What the administration API was told of devices and risks. In: checked values. Out: rows, and a table in memory of all of them
//! that anybody reads without a lock. Must never show in the table what is not in its row yet.

use super::changes::{Change, note};
use super::follow::{does_not_read, in_time, pairs, placeholders};
use super::sign_ins::to_sql;
use super::{Error, Store, locks, signals};
use crate::model::device::entry::Entry;
use crate::model::inventory::{Inventory, Taken};
use crate::model::locks::Locks;
use crate::model::risks::{Risks, Whose};
use crate::model::{Device, Observed, Risk, RiskLevel, Source, Timestamp};
use arc_swap::{ArcSwap, Guard};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor, Row as _};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::Mutex;

const FINGERPRINT: &str = "SELECT fingerprint FROM devices WHERE id = $1";
const PUT_DEVICE: &str = "INSERT INTO devices (id, fingerprint, entry) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, entry = excluded.entry";
const PUT_RISK: &str = "INSERT INTO risks (kind, name, level, reasons, observed_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (kind, name) DO UPDATE SET level = excluded.level, reasons = excluded.reasons,
    observed_at = excluded.observed_at, expires_at = excluded.expires_at";

const RISKS: &str = "SELECT kind, name, level, reasons, observed_at, expires_at FROM risks";
const DEVICES: &str = "SELECT entry FROM devices";
const HOLDER: &str = "SELECT id FROM devices WHERE fingerprint = $1 AND id <> $2";

/// The tables in memory, and the right to change them: by what is committed, and by nobody who waits for anything but reading it.
#[derive(Default)]
pub(super) struct Told {
    devices: ArcSwap<Inventory>,
    risks: ArcSwap<Risks>,
    pub(super) locks: ArcSwap<Locks>,
    pub(super) writing: Mutex<()>,
}

impl Store {
    /// The devices that the administration API was told of.
    pub fn devices(&self) -> Guard<Arc<Inventory>> {
        self.told.devices.load()
    }

    /// The risks that it was told of.
    pub fn risks(&self) -> Guard<Arc<Risks>> {
        self.told.risks.load()
    }

    /// Keeps a device, in place of what was known of it.
    pub async fn put_device(&self, device: Device) -> Result<Result<(), Taken>, Error> {
        let (id, fingerprint) = (device.id.clone(), device.fingerprint.map(|fingerprint| fingerprint.to_string()));
        let entry = serde_json::to_string(&Entry::from(&device)).map_err(|_| Error::Damaged("devices"))?;
        let mut transaction = self.write().await?;
        let holder = sqlx::query_scalar(HOLDER).bind(&fingerprint).bind(&id).fetch_optional(&mut *transaction).await?;
        if let Some(holder) = holder {
            return Ok(Err(Taken(holder)));
        }
        let before: Option<Option<String>> = sqlx::query_scalar(FINGERPRINT).bind(&id).fetch_optional(&mut *transaction).await?;
        let is_another = before.flatten().is_some_and(|before| fingerprint.as_deref() != Some(&*before));
        let query = sqlx::query(PUT_DEVICE).bind(&id).bind(fingerprint).bind(entry);
        query.execute(&mut *transaction).await?;
        let forgets = is_another && signals::forget_device(&mut transaction, &id).await?;
        note(&mut transaction, &changed(id.clone(), forgets)).await?;
        transaction.commit().await?;
        self.read_devices(HashSet::from([id])).await?;
        if forgets {
            self.read_signals().await?;
        }
        Ok(Ok(()))
    }

    /// Forgets a device; whether there was one.
    pub async fn remove_device(&self, id: &str) -> Result<bool, Error> {
        let mut transaction = self.write().await?;
        let gone = sqlx::query("DELETE FROM devices WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        // Another device may have this name one day.
        let forgets = signals::forget_device(&mut transaction, id).await?;
        note(&mut transaction, &changed(id.to_owned(), forgets)).await?;
        transaction.commit().await?;
        self.read_devices(HashSet::from([id.to_owned()])).await?;
        if forgets {
            self.read_signals().await?;
        }
        Ok(gone.rows_affected() > 0)
    }

    /// Keeps a risk, in place of what was said before.
    pub async fn put_risk(&self, whose: Whose, risk: Observed<Arc<Risk>>) -> Result<(), Error> {
        let reasons = serde_json::to_string(&risk.value.reasons).map_err(|_| Error::Damaged("risks"))?;
        let query = sqlx::query(PUT_RISK);
        let query = query.bind(whose.kind()).bind(whose.to_string());
        let query = query.bind(risk.value.level.code()).bind(reasons).bind(to_sql(risk.observed_at));
        let mut transaction = self.write().await?;
        query.bind(risk.expires_at.map(to_sql)).execute(&mut *transaction).await?;
        note(&mut transaction, &[Change::Risk(whose.clone())]).await?;
        transaction.commit().await?;
        self.read_risks(HashSet::from([whose])).await
    }

    /// Forgets a risk; whether there was one.
    pub async fn remove_risk(&self, whose: &Whose) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM risks WHERE kind = $1 AND name = $2");
        let mut transaction = self.write().await?;
        let gone = query.bind(whose.kind()).bind(whose.to_string()).execute(&mut *transaction).await?;
        // An administrator knows better than transmitters.
        let was_there = (gone.rows_affected() > 0) | signals::forget_risk(&mut transaction, whose).await?;
        note(&mut transaction, &[Change::Risk(whose.clone())]).await?;
        transaction.commit().await?;
        self.read_risks(HashSet::from([whose.clone()])).await?;
        Ok(was_there)
    }

    /// Makes the tables of the rows: at the start, and when another process may have changed those.
    pub(super) async fn read_told(&self) -> Result<(), Error> {
        let _writing = self.told.writing.lock().await;
        let mut devices = in_time(read(&self.followers())).await?;
        let mut risks = Risks::default();
        let rows = in_time(async { Ok(sqlx::query(RISKS).fetch_all(&self.followers()).await?) }).await?;
        rows.iter().filter_map(risk_of).for_each(|(whose, risk)| risks.put(whose, risk));
        self.read_facts(&mut devices, &mut risks).await?;
        self.told.devices.store(Arc::new(devices));
        self.told.risks.store(Arc::new(risks));
        self.told.locks.store(Arc::new(self.read_all_locks().await?));
        Ok(())
    }
}

/// What others must learn of a device; also where what transmitters said of it is gone.
fn changed(id: String, forgets: bool) -> Vec<Change> {
    [Change::Device(id)].into_iter().chain(forgets.then_some(Change::Signals)).collect()
}

/// The tables of a store that is not open here.
pub(super) async fn read_all(connection: &mut AnyConnection) -> Result<(Inventory, Risks, Locks), Error> {
    let (mut devices, mut risks) = (read(&mut *connection).await?, Risks::default());
    let rows = sqlx::query(RISKS).fetch_all(&mut *connection).await?;
    rows.iter().filter_map(risk_of).for_each(|(whose, risk)| risks.put(whose, risk));
    signals::take_in_all(&sqlx::query(signals::ALL).fetch_all(&mut *connection).await?, &mut devices, &mut risks)?;
    Ok((devices, risks, locks::read(connection, Locks::default()).await?))
}

async fn read<'e>(from: impl Executor<'e, Database = Any>) -> Result<Inventory, Error> {
    let mut devices = Inventory::default();
    for device in sqlx::query(DEVICES).fetch_all(from).await?.iter().filter_map(device) {
        devices.put(device).map_err(|_| Error::Damaged("devices"))?;
    }
    Ok(devices)
}

impl Store {
    /// Reads again what transmitters of security events said.
    pub(super) async fn read_signals(&self) -> Result<(), Error> {
        let _writing = self.told.writing.lock().await;
        let (mut devices, mut risks) = (Inventory::clone(&self.devices()), Risks::clone(&self.risks()));
        devices.forget_transmitters();
        risks.forget_transmitters();
        self.read_facts(&mut devices, &mut risks).await?;
        self.told.devices.store(Arc::new(devices));
        self.told.risks.store(Arc::new(risks));
        Ok(())
    }

    /// Reads again what is known of these devices.
    pub(super) async fn read_devices(&self, ids: HashSet<String>) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let writing = self.told.writing.lock().await;
        let text = format!("{DEVICES} WHERE id IN ({})", placeholders(ids.len()));
        let query = ids.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, id| query.bind(id.clone()));
        let rows = in_time(async { Ok(query.fetch_all(&self.followers()).await?) }).await?;
        let mut devices = Inventory::clone(&self.devices());
        ids.iter().for_each(|id| drop(devices.remove(id)));
        if rows.iter().filter_map(device).any(|device| devices.put(device).is_err()) {
            // A certificate has come from a device that is not among these.
            drop(writing);
            return self.read_told().await;
        }
        self.told.devices.store(Arc::new(devices));
        Ok(())
    }

    /// Reads again what is said of these risks.
    pub(super) async fn read_risks(&self, whose: HashSet<Whose>) -> Result<(), Error> {
        if whose.is_empty() {
            return Ok(());
        }
        let _writing = self.told.writing.lock().await;
        let text = format!("{RISKS} WHERE (kind, name) IN (VALUES {})", pairs(whose.len()));
        let query =
            whose.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, whose| query.bind(whose.kind()).bind(whose.to_string()));
        let rows = in_time(async { Ok(query.fetch_all(&self.followers()).await?) }).await?;
        let mut said: HashMap<_, _> = rows.iter().filter_map(risk_of).collect();
        let mut risks = Risks::clone(&self.risks());
        for whose in whose {
            match said.remove(&whose) {
                Some(risk) => risks.put(whose, risk),
                None => drop(risks.remove(&whose)),
            }
        }
        self.told.risks.store(Arc::new(risks));
        Ok(())
    }
}

/// A device; nothing where its row does not read.
fn device(row: &AnyRow) -> Option<Device> {
    read_device(row).inspect_err(|_| does_not_read("devices")).ok()
}

/// A risk, and whose it is; nothing where its row does not read.
fn risk_of(row: &AnyRow) -> Option<(Whose, Observed<Arc<Risk>>)> {
    let read = || -> Result<_, Error> {
        let whose = Whose::parse(row.try_get("kind")?, row.try_get("name")?).ok_or(Error::Damaged("risks"))?;
        Ok((whose, risk(row)?))
    };
    read().inspect_err(|_| does_not_read("risks")).ok()
}

fn read_device(row: &AnyRow) -> Result<Device, Error> {
    let entry: Entry = serde_json::from_str(row.try_get("entry")?).map_err(|_| Error::Damaged("devices"))?;
    entry.check(Timestamp::default()).map_err(|_| Error::Damaged("devices"))
}

fn risk(row: &AnyRow) -> Result<Observed<Arc<Risk>>, Error> {
    let time = |millis: i64| Timestamp::from_millis(u64::try_from(millis).unwrap_or(0));
    let level = RiskLevel::parse(row.try_get("level")?).ok_or(Error::Damaged("risks"))?;
    let reasons = serde_json::from_str(row.try_get("reasons")?).map_err(|_| Error::Damaged("risks"))?;
    Ok(Observed {
        value: Arc::new(Risk { level, reasons }),
        source: Source::Administration,
        observed_at: time(row.try_get("observed_at")?),
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(time),
    })
}
