//! With which devices a sign-in was used. In: what the gate sees. Out: rows, by which the sign-ins of a device are found. Must never
//! cost a request more than once a device, nor write down the use of a device that is locked out and let the sign-in go on.

use super::locks::tied_to_locked;
use super::revoke::{Cause, Revoked, Selection};
use super::{Error, SignIn, Store};
use crate::clock;
use crate::model::{Fingerprint, SignInId};
use sqlx::{AnyConnection, AssertSqlSafe};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// How many are written with one statement.
const AT_ONCE: usize = 200;
const REVOKED: &str = "INSERT INTO revoked_devices (device, fingerprint, revoked_at) VALUES ($1, $2, (SELECT now FROM clock))";
/// A day: longer than a replica goes on that can't write.
const TRIM: &str = "DELETE FROM revoked_devices WHERE revoked_at < (SELECT now FROM clock) - 86400000";

/// What was seen and is not written down yet.
#[derive(Default)]
pub(super) struct Unwritten {
    seen: Mutex<Vec<Used>>,
    writing: tokio::sync::Mutex<()>,
    wake: Arc<Notify>,
}

#[derive(Clone)]
struct Used {
    sign_in: SignInId,
    fingerprint: Fingerprint,
    device: Option<String>,
    /// When, in milliseconds of [`clock::elapsed`].
    at: u64,
}

impl Unwritten {
    fn seen(&self) -> MutexGuard<'_, Vec<Used>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        // Whoever writes learns that there is no store any more.
        self.wake.notify_one();
    }
}

/// Writes down what is seen, as soon as it is, until the store is gone.
pub(super) fn start(store: &Arc<Store>) {
    store.runtime.spawn(write(Arc::downgrade(store), Arc::clone(&store.unwritten.wake)));
}

async fn write(store: Weak<Store>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.write_devices().await {
            tracing::warn!(%error, "with which devices sign-ins are used can't be written down now; trying again");
        }
    }
}

impl Store {
    /// A request of this sign-in came with this certificate, of the device of this name where the inventory has it.
    pub fn used_with(&self, sign_in: &SignIn, fingerprint: Fingerprint, device: Option<&str>) {
        if sign_in.is_new_with(fingerprint) {
            self.unwritten.seen().push(Used {
                sign_in: sign_in.id,
                fingerprint,
                device: device.map(str::to_owned),
                at: clock::elapsed(),
            });
            self.write_devices_soon();
        }
    }

    /// Has somebody write down what was seen.
    pub(super) fn write_devices_soon(&self) {
        self.unwritten.wake.notify_one();
    }

    /// Writes down what was seen before this began, and ends what was used with a device that was locked meanwhile, or before its sign-ins
    /// were ended.
    pub(super) async fn write_devices(&self) -> Result<(), Error> {
        // Whoever comes while another one writes waits until it is written.
        let _writing = self.unwritten.writing.lock().await;
        let seen = self.unwritten.seen().clone();
        if seen.is_empty() {
            return Ok(());
        }
        let count = seen.len();
        let uses = once(seen);
        let (mut transaction, mut ended) = (self.write().await?, Vec::new());
        for some in uses.chunks(AT_ONCE) {
            ended.extend(self.write_uses(&mut transaction, some).await?);
        }
        transaction.commit().await?;
        drop(self.unwritten.seen().drain(..count));
        ended.iter().for_each(|(revoked, cause)| self.apply_here(revoked, *cause));
        Ok(())
    }

    async fn write_uses(&self, connection: &mut AnyConnection, some: &[Used]) -> Result<Vec<(Revoked, Cause)>, Error> {
        let row = |index| format!("(${}, ${}, ${})", index * 3 + 1, index * 3 + 2, index * 3 + 3);
        let rows: Vec<String> = (0..some.len()).map(row).collect();
        // Both databases call the columns of such a list so. An empty name is none.
        let text = format!(
            "INSERT INTO sign_in_devices (sign_in, fingerprint, device)
             SELECT s.id, seen.column2, NULLIF(seen.column3, '') FROM sign_ins s, (VALUES {}) AS seen WHERE s.id = seen.column1
             ON CONFLICT (sign_in, fingerprint) DO UPDATE SET device = excluded.device",
            rows.join(", ")
        );
        let query = some.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, used| {
            query.bind(used.sign_in.0).bind(used.fingerprint.to_string()).bind(used.device.clone().unwrap_or_default())
        });
        query.execute(&mut *connection).await?;
        let sign_ins: Vec<SignInId> = some.iter().map(|used| used.sign_in).collect();
        let locked_out = tied_to_locked(connection, &sign_ins).await?;
        let revoked = used_before_revoked(connection, some).await?;
        let mut ended = Vec::new();
        for (sign_ins, cause) in [(locked_out, Cause::Lock), (revoked, Cause::Administration)] {
            if !sign_ins.is_empty() {
                ended.push((self.end(connection, &Selection::SignIns(sign_ins), cause.into()).await?, cause));
            }
        }
        Ok(ended)
    }
}

/// One statement must not say the same twice. What was used several times was so since the first, with the device that it is at last.
fn once(seen: Vec<Used>) -> Vec<Used> {
    let mut uses = HashMap::<_, Used>::new();
    for mut used in seen {
        let key = (used.sign_in, used.fingerprint);
        used.at = uses.get(&key).map_or(used.at, |before| before.at.min(used.at));
        uses.insert(key, used);
    }
    uses.into_values().collect()
}

/// All sign-ins end that were used with this device until now; also those of which only another replica knows that they were.
pub(super) async fn note_revoked(
    connection: &mut AnyConnection,
    (device, fingerprint): (Option<&str>, Option<Fingerprint>),
) -> Result<(), Error> {
    let query = sqlx::query(REVOKED).bind(device.map(str::to_owned)).bind(fingerprint.map(|fingerprint| fingerprint.to_string()));
    query.execute(connection).await?;
    Ok(())
}

/// The sign-ins of those uses that were before the end of all sign-ins of the device. How long ago they were, this machine knows; the
/// database counts back from its own time.
async fn used_before_revoked(connection: &mut AnyConnection, some: &[Used]) -> Result<Vec<SignInId>, Error> {
    let row = |index| format!("(${}, ${}, ${}, ${})", index * 4 + 1, index * 4 + 2, index * 4 + 3, index * 4 + 4);
    let rows: Vec<String> = (0..some.len()).map(row).collect();
    let text = format!(
        "SELECT DISTINCT seen.column1 FROM (VALUES {}) AS seen
         JOIN revoked_devices r ON r.device = seen.column3 OR r.fingerprint = seen.column2
         WHERE r.revoked_at >= (SELECT now FROM clock) - seen.column4",
        rows.join(", ")
    );
    let now = clock::elapsed();
    let query = some.iter().fold(sqlx::query_scalar::<_, i64>(AssertSqlSafe(text)), |query, used| {
        let age = i64::try_from(now.saturating_sub(used.at)).unwrap_or(i64::MAX);
        query.bind(used.sign_in.0).bind(used.fingerprint.to_string()).bind(used.device.clone().unwrap_or_default()).bind(age)
    });
    Ok(query.fetch_all(connection).await?.into_iter().map(SignInId).collect())
}

/// Lets go of what every replica has written down before.
pub(super) async fn trim(connection: &mut AnyConnection) -> Result<(), Error> {
    sqlx::query(TRIM).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_twice_was_used_since_the_first_time_with_the_device_of_the_last() {
        let (one, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let used = |fingerprint, device: Option<&str>, at| Used {
            sign_in: SignInId(1),
            fingerprint,
            device: device.map(str::to_owned),
            at,
        };
        let uses = once(vec![used(one, None, 5), used(other, None, 6), used(one, Some("mac-1"), 7)]);
        let mut uses: Vec<_> = uses.iter().map(|used| (used.fingerprint == other, used.at, used.device.as_deref())).collect();
        uses.sort_unstable();
        assert_eq!(uses, [(false, 5, Some("mac-1")), (true, 6, None)]);
    }
}
