//! With which devices a sign-in was used. In: what the gate sees. Out: rows, by which the sign-ins of a device are found. Must never
//! cost a request more than once a device.

use super::{Error, SignIn, Store};
use crate::model::{Fingerprint, SignInId};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was seen and is not written down yet.
#[derive(Default)]
pub(super) struct Unwritten {
    seen: Mutex<Vec<Used>>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Used {
    sign_in: SignInId,
    fingerprint: Fingerprint,
    device: Option<String>,
}

impl Unwritten {
    fn seen(&self) -> MutexGuard<'_, Vec<Used>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// A request of this sign-in came with this certificate, of the device of this name where the inventory has it.
    pub fn used_with(&self, sign_in: &SignIn, fingerprint: Fingerprint, device: Option<&str>) {
        if sign_in.is_new_with(fingerprint) {
            self.unwritten.seen().push(Used { sign_in: sign_in.id, fingerprint, device: device.map(str::to_owned) });
        }
    }

    /// Writes down what was seen before this began.
    pub(super) async fn write_devices(&self) -> Result<(), Error> {
        // Whoever comes while another one writes waits until it is written.
        let _writing = self.unwritten.writing.lock().await;
        let seen = self.unwritten.seen().clone();
        if seen.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        for used in &seen {
            let query = sqlx::query(
                "INSERT INTO sign_in_devices (sign_in, fingerprint, device) SELECT id, $1, $2 FROM sign_ins WHERE id = $3
                 ON CONFLICT (sign_in, fingerprint) DO UPDATE SET device = excluded.device",
            );
            let query = query.bind(used.fingerprint.to_string()).bind(&used.device).bind(used.sign_in.0);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        drop(self.unwritten.seen().drain(..seen.len()));
        Ok(())
    }
}
