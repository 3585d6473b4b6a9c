//! What the administration API was told of devices and risks. In: checked values. Out: rows, and a table in memory of all of them
//! that anybody reads without a lock. Must never show in the table what is not in its row yet.

use super::changes::{Change, note};
use super::database::Location;
use super::sign_ins::to_sql;
use super::{Error, Store, signals};
use crate::model::device::entry::Entry;
use crate::model::inventory::{Inventory, Taken};
use crate::model::locks::Locks;
use crate::model::risks::{Risks, Whose};
use crate::model::{Device, Observed, Risk, RiskLevel, Source, Timestamp};
use arc_swap::{ArcSwap, Guard};
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row as _};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Mutex;

const PUT_DEVICE: &str = "INSERT INTO devices (id, fingerprint, entry) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, entry = excluded.entry";
const PUT_RISK: &str = "INSERT INTO risks (kind, name, level, reasons, observed_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (kind, name) DO UPDATE SET level = excluded.level, reasons = excluded.reasons,
    observed_at = excluded.observed_at, expires_at = excluded.expires_at";

const RISKS: &str = "SELECT kind, name, level, reasons, observed_at, expires_at FROM risks";
const RISK: &str = "SELECT level, reasons, observed_at, expires_at FROM risks WHERE kind = $1 AND name = $2";

/// The tables in memory, and the right to change them.
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
        let _writing = self.told.writing.lock().await;
        let mut devices = Inventory::clone(&self.devices());
        let (id, fingerprint) = (device.id.clone(), device.fingerprint.map(|fingerprint| fingerprint.to_string()));
        let entry = serde_json::to_string(&Entry::from(&device)).map_err(|_| Error::Damaged("devices"))?;
        if let Err(taken) = devices.put(device) {
            return Ok(Err(taken));
        }
        // A certificate that another process gave away meanwhile is an error, and no reason to forget that device.
        let mut transaction = self.write().await?;
        let query = sqlx::query(PUT_DEVICE).bind(&id).bind(fingerprint).bind(entry);
        query.execute(&mut *transaction).await?;
        note(&mut transaction, &[Change::Device(id)]).await?;
        transaction.commit().await?;
        self.told.devices.store(Arc::new(devices));
        Ok(Ok(()))
    }

    /// Forgets a device; whether there was one.
    pub async fn remove_device(&self, id: &str) -> Result<bool, Error> {
        let _writing = self.told.writing.lock().await;
        let mut devices = Inventory::clone(&self.devices());
        let was_there = devices.remove(id).is_some();
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM devices WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        note(&mut transaction, &[Change::Device(id.to_owned())]).await?;
        transaction.commit().await?;
        self.told.devices.store(Arc::new(devices));
        Ok(was_there)
    }

    /// Keeps a risk, in place of what was said before.
    pub async fn put_risk(&self, whose: Whose, risk: Observed<Arc<Risk>>) -> Result<(), Error> {
        let _writing = self.told.writing.lock().await;
        let mut risks = Risks::clone(&self.risks());
        let reasons = serde_json::to_string(&risk.value.reasons).map_err(|_| Error::Damaged("risks"))?;
        let query = sqlx::query(PUT_RISK);
        let query = query.bind(whose.kind()).bind(whose.to_string());
        let query = query.bind(risk.value.level.code()).bind(reasons).bind(to_sql(risk.observed_at));
        let mut transaction = self.write().await?;
        query.bind(risk.expires_at.map(to_sql)).execute(&mut *transaction).await?;
        note(&mut transaction, &[Change::Risk(whose.clone())]).await?;
        transaction.commit().await?;
        risks.put(whose, risk);
        self.told.risks.store(Arc::new(risks));
        Ok(())
    }

    /// Forgets a risk; whether there was one.
    pub async fn remove_risk(&self, whose: &Whose) -> Result<bool, Error> {
        let _writing = self.told.writing.lock().await;
        let mut risks = Risks::clone(&self.risks());
        let was_said = risks.remove(whose).is_some();
        let query = sqlx::query("DELETE FROM risks WHERE kind = $1 AND name = $2");
        let mut transaction = self.write().await?;
        query.bind(whose.kind()).bind(whose.to_string()).execute(&mut *transaction).await?;
        // An administrator knows better than transmitters.
        let was_there = was_said | signals::forget_risk(&mut transaction, whose).await?;
        note(&mut transaction, &[Change::Risk(whose.clone())]).await?;
        transaction.commit().await?;
        self.told.risks.store(Arc::new(risks));
        Ok(was_there)
    }

    /// Makes the tables of the rows: at the start, and when another process may have changed those.
    pub(super) async fn read_told(&self) -> Result<(), Error> {
        let _writing = self.told.writing.lock().await;
        let mut devices = read(&self.readers()).await?;
        let mut risks = Risks::default();
        for row in sqlx::query(RISKS).fetch_all(&self.readers()).await? {
            let whose = Whose::parse(row.try_get("kind")?, row.try_get("name")?).ok_or(Error::Damaged("risks"))?;
            risks.put(whose, risk(&row)?);
        }
        self.read_facts(&mut devices, &mut risks).await?;
        self.told.devices.store(Arc::new(devices));
        self.told.risks.store(Arc::new(risks));
        self.told.locks.store(Arc::new(self.read_all_locks().await?));
        Ok(())
    }
}

/// The devices that a store was told of. Changes nothing, and makes no store.
pub async fn devices(location: &Location) -> Result<Inventory, Error> {
    read(&mut location.read().await?).await
}

async fn read<'e>(from: impl Executor<'e, Database = Any>) -> Result<Inventory, Error> {
    let mut devices = Inventory::default();
    for row in sqlx::query("SELECT entry FROM devices").fetch_all(from).await? {
        devices.put(device(&row)?).map_err(|_| Error::Damaged("devices"))?;
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
        let _writing = self.told.writing.lock().await;
        let (mut devices, mut known) = (Inventory::clone(&self.devices()), Vec::new());
        for id in &ids {
            let query = sqlx::query("SELECT entry FROM devices WHERE id = $1").bind(id);
            known.extend(query.fetch_optional(&self.readers()).await?.as_ref().map(device).transpose()?);
            devices.remove(id);
        }
        // A certificate may have gone from one to the other.
        known.into_iter().try_for_each(|device| devices.put(device)).map_err(|_| Error::Damaged("devices"))?;
        self.told.devices.store(Arc::new(devices));
        Ok(())
    }

    /// Reads again what is said of these risks.
    pub(super) async fn read_risks(&self, whose: HashSet<Whose>) -> Result<(), Error> {
        if whose.is_empty() {
            return Ok(());
        }
        let _writing = self.told.writing.lock().await;
        let mut risks = Risks::clone(&self.risks());
        for whose in whose {
            let query = sqlx::query(RISK).bind(whose.kind()).bind(whose.to_string());
            match query.fetch_optional(&self.readers()).await? {
                Some(row) => risks.put(whose, risk(&row)?),
                None => drop(risks.remove(&whose)),
            }
        }
        self.told.risks.store(Arc::new(risks));
        Ok(())
    }
}

fn device(row: &AnyRow) -> Result<Device, Error> {
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
