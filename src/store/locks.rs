//! Locks on people and devices. In: checked values. Out: rows, the end of what they lock out, and a table in memory. Must never let
//! anybody sign in whom a lock keeps out at the moment that the sign-in is committed.

use super::changes::{Change, note};
use super::follow::{does_not_read, in_time, pairs, placeholders};
use super::notices::put;
use super::revoke::{Grounds, Revoked, Selection};
use super::sign_ins::{time, to_sql};
use super::{Error, Store, signals};
use crate::clock;
use crate::model::device::entry::fingerprint;
use crate::model::locks::{Lock, Locks};
use crate::model::notice::Kind;
use crate::model::risks::Whose;
use crate::model::{Fingerprint, Identity, SignInId, Timestamp, directory};
use arc_swap::Guard;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor, Row as _};
use std::collections::HashSet;
use std::sync::Arc;

/// Why somebody can't sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// The sign-in was ended as soon as it was made.
    Ended,
    /// There is a lock on the person.
    Locked,
    /// The directory does not let them.
    Directory(directory::Barred),
}

const PUT_LOCK: &str = "INSERT INTO locks (kind, name, reason, locked_at, expires_at, fingerprint) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (kind, name) DO UPDATE SET reason = excluded.reason, locked_at = excluded.locked_at,
        expires_at = excluded.expires_at, fingerprint = excluded.fingerprint";

const LOCKS: &str = "SELECT kind, name, reason, locked_at, expires_at, fingerprint, (SELECT now FROM clock) AS now FROM locks";
const NOW: &str = "SELECT now FROM clock";
/// In how many milliseconds an answer has to come that says what time it is. Clocks that are less apart are one.
const PROMPT: u64 = 1000;

impl Store {
    /// The locks; some may be over.
    pub fn locks(&self) -> Guard<Arc<Locks>> {
        self.told.locks.load()
    }

    /// Locks somebody or something out, in place of what was said before, and ends the sign-ins that it is about.
    ///
    /// What a lock that holds is said of again, the lock keeps the certificates that it had: the inventory may have forgotten them since.
    pub async fn put_lock(&self, whose: Whose, mut lock: Lock, grounds: Grounds<'_>) -> Result<Revoked, Error> {
        let (what, is_of_device) = (meant(&whose, &lock), matches!(whose, Whose::Device(_)));
        if is_of_device {
            self.write_devices().await?;
        }
        let mut transaction = self.write().await?;
        lock.keep(former(&mut transaction, &whose).await?);
        let query = sqlx::query(PUT_LOCK).bind(whose.kind()).bind(whose.to_string()).bind(&lock.reason);
        let query = query.bind(to_sql(lock.since)).bind(lock.until.map(to_sql));
        query.bind(together(&lock.fingerprints)).execute(&mut *transaction).await?;
        note(&mut transaction, &[Change::Lock(whose.clone())]).await?;
        put(&mut transaction, self.interested(Kind::LockSet), Kind::LockSet, &described(&whose, Some(&lock), grounds)).await?;
        let revoked = self.end(&mut transaction, &what, grounds).await?;
        transaction.commit().await?;
        self.apply_here(&revoked, grounds.cause);
        self.noted.notify_one();
        self.read_locks(HashSet::from([whose])).await?;
        if is_of_device {
            // From here on the device is refused; what was first used with it while the lock was set ends with this.
            self.write_devices().await?;
        }
        Ok(revoked)
    }

    /// Lifts a lock; whether there was one that held.
    pub async fn remove_lock(&self, whose: &Whose, grounds: Grounds<'_>) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM locks WHERE kind = $1 AND name = $2 RETURNING expires_at");
        let mut transaction = self.write().await?;
        let row = query.bind(whose.kind()).bind(whose.to_string()).fetch_optional(&mut *transaction).await?;
        let until: Option<Option<i64>> = row.map(|row| row.try_get("expires_at")).transpose()?;
        note(&mut transaction, &[Change::Lock(whose.clone())]).await?;
        // An administrator knows better than transmitters.
        let held = signals::unlock(&mut transaction, whose).await?
            | until.is_some_and(|until| until.is_none_or(|until| until > to_sql(clock::now())));
        if held {
            put(&mut transaction, self.interested(Kind::LockLifted), Kind::LockLifted, &described(whose, None, grounds)).await?;
        }
        transaction.commit().await?;
        self.noted.notify_one();
        self.read_locks(HashSet::from([whose.clone()])).await?;
        Ok(held)
    }

    /// Finds out anew by what clock locks end: one of the two may have been set since.
    async fn compare_clocks(&self) -> Result<(), Error> {
        if self.locks().is_empty() {
            return Ok(());
        }
        let _writing = self.told.writing.lock().await;
        let asked = clock::elapsed();
        let theirs: i64 = in_time(async { Ok(sqlx::query_scalar(NOW).fetch_one(&self.followers()).await?) }).await?;
        let (theirs, ours) = (Timestamp::from_millis(u64::try_from(theirs).unwrap_or(0)), clock::now());
        let is_off = self.locks().by_clock(ours).millis().abs_diff(theirs.millis()) > PROMPT;
        if is_off && is_prompt(asked) {
            let mut locks = Locks::clone(&self.locks());
            locks.end_by(theirs, ours);
            self.told.locks.store(Arc::new(locks));
        }
        Ok(())
    }

    /// Forgets the locks that are over.
    pub(super) async fn remove_old_locks(&self) -> Result<(), Error> {
        self.compare_clocks().await?;
        let now = clock::now();
        if self.locks().len() == self.locks().all(now).count() {
            return Ok(());
        }
        // By the clock of the database: another replica's may go otherwise.
        sqlx::query("DELETE FROM locks WHERE expires_at <= (SELECT now FROM clock)").execute(&self.writer()).await?;
        self.read_told().await
    }

    /// Reads again whether these are locked.
    pub(super) async fn read_locks(&self, whose: HashSet<Whose>) -> Result<(), Error> {
        if whose.is_empty() {
            return Ok(());
        }
        let _writing = self.told.writing.lock().await;
        let text = format!("{LOCKS} WHERE (kind, name) IN (VALUES {})", pairs(whose.len()));
        let query =
            whose.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, whose| query.bind(whose.kind()).bind(whose.to_string()));
        let asked = clock::elapsed();
        let rows = in_time(async { Ok(query.fetch_all(&self.followers()).await?) }).await?;
        let mut locks = Locks::clone(&self.locks());
        whose.iter().for_each(|whose| drop(locks.remove(whose)));
        take_in(&mut locks, &rows, asked);
        self.told.locks.store(Arc::new(locks));
        Ok(())
    }

    /// Every lock in the database.
    pub(super) async fn read_all_locks(&self) -> Result<Locks, Error> {
        let none = self.locks().emptied();
        in_time(read(&self.followers(), none)).await
    }
}

/// The same of any store, put to none.
pub(super) async fn read<'e>(from: impl Executor<'e, Database = Any>, mut locks: Locks) -> Result<Locks, Error> {
    let asked = clock::elapsed();
    take_in(&mut locks, &sqlx::query(LOCKS).fetch_all(from).await?, asked);
    Ok(locks)
}

/// Takes in what was read. It ends by the clock of the database, which is one for all replicas.
fn take_in(locks: &mut Locks, rows: &[AnyRow], asked: u64) {
    if let Some(theirs) = rows.first().and_then(|row| time(row, "now").ok()).filter(|_| is_prompt(asked)) {
        locks.end_by(theirs, clock::now());
    }
    rows.iter().filter_map(lock_of).for_each(|(whose, lock)| locks.put(whose, lock));
}

/// Of what took long nobody knows when the database said it.
fn is_prompt(asked: u64) -> bool {
    clock::elapsed().saturating_sub(asked) <= PROMPT
}

/// Whether this person can't sign in, or go on with these claims; by what is committed.
pub(super) async fn barred(connection: &mut AnyConnection, identity: &Identity) -> Result<Option<Barred>, Error> {
    let query = "SELECT 1 FROM locks WHERE kind = 'user' AND name IN ($1, $2)
        AND (expires_at IS NULL OR expires_at > (SELECT now FROM clock))";
    let email = identity.profile.email.as_ref().map_or("", |email| email.as_str());
    let query = sqlx::query(query).bind(identity.subject.to_string()).bind(email.to_owned());
    let is_locked =
        query.fetch_optional(&mut *connection).await?.is_some() || signals::is_locked(connection, &identity.subject).await?;
    Ok(is_locked.then_some(Barred::Locked))
}

/// Those of these sign-ins that were used with a device that is locked.
pub(super) async fn tied_to_locked(connection: &mut AnyConnection, sign_ins: &[SignInId]) -> Result<Vec<SignInId>, Error> {
    let query = format!(
        "SELECT DISTINCT d.sign_in FROM sign_in_devices d JOIN locks l
             ON l.kind = 'device' AND (l.name = d.device OR l.fingerprint LIKE '%' || d.fingerprint || '%')
         WHERE d.sign_in IN ({}) AND (l.expires_at IS NULL OR l.expires_at > (SELECT now FROM clock))",
        placeholders(sign_ins.len())
    );
    let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(query));
    let query = sign_ins.iter().fold(query, |query, id| query.bind(id.0));
    Ok(query.fetch_all(connection).await?.into_iter().map(SignInId).collect())
}

/// What others are told of a lock.
fn described(whose: &Whose, lock: Option<&Lock>, grounds: Grounds<'_>) -> Value {
    json!({
        "kind": whose.kind(),
        "name": whose.to_string(),
        "reason": lock.map(|lock| &lock.reason),
        "expires_at": lock.and_then(|lock| lock.until).map(|until| until.to_string()),
        "by": grounds.by,
        "why": grounds.why,
    })
}

/// The certificates of the lock that holds already.
async fn former(connection: &mut AnyConnection, whose: &Whose) -> Result<Vec<Fingerprint>, Error> {
    let query = "SELECT fingerprint FROM locks WHERE kind = $1 AND name = $2
        AND (expires_at IS NULL OR expires_at > (SELECT now FROM clock))";
    let query = sqlx::query_scalar::<_, Option<String>>(query).bind(whose.kind()).bind(whose.to_string());
    Ok(fingerprints(query.fetch_optional(connection).await?.flatten()))
}

/// Certificates as a row has them: with spaces between.
fn together(fingerprints: &[Fingerprint]) -> Option<String> {
    let all: Vec<String> = fingerprints.iter().map(Fingerprint::to_string).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn fingerprints(text: Option<String>) -> Vec<Fingerprint> {
    let read = |text| fingerprint(text).inspect_err(|_| does_not_read("locks")).ok();
    text.as_deref().unwrap_or("").split_whitespace().filter_map(read).collect()
}

fn meant(whose: &Whose, lock: &Lock) -> Selection {
    match whose {
        Whose::Email(email) => Selection::Email(email.clone()),
        Whose::Subject(subject) => Selection::Subject(subject.clone()),
        Whose::Device(id) => Selection::Device { id: Some(id.clone()), fingerprint: lock.fingerprints.first().copied() },
    }
}

/// A lock, and on what; nothing where its row does not read.
fn lock_of(row: &AnyRow) -> Option<(Whose, Lock)> {
    let whose = || Whose::parse(row.try_get("kind").ok()?, row.try_get("name").ok()?);
    let read = whose().and_then(|whose| Some((whose, lock(row).ok()?)));
    if read.is_none() {
        does_not_read("locks");
    }
    read
}

fn lock(row: &AnyRow) -> Result<Lock, Error> {
    let time = |millis: i64| Timestamp::from_millis(u64::try_from(millis).unwrap_or(0));
    Ok(Lock {
        reason: row.try_get("reason")?,
        since: time(row.try_get("locked_at")?),
        until: row.try_get::<Option<i64>, _>("expires_at")?.map(time),
        // By its name the device stays locked, whatever does not read.
        fingerprints: fingerprints(row.try_get("fingerprint")?),
    })
}
