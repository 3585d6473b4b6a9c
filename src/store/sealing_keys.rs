//! Whether all replicas seal with the same keys. In: the ring of this one. Out: an error before anything is sealed that the others can't
//! open. Must never write down a key: only what tells one from another.

use super::{Error, Store};
use sqlx::Row as _;

/// Which key somebody has begun to seal with at last.
const NEWEST: &str = "SELECT number, fingerprint FROM sealing_keys ORDER BY since DESC, number DESC LIMIT 1";
const KNOWN: &str = "SELECT fingerprint FROM sealing_keys WHERE number = $1";
const KEEP: &str = "INSERT INTO sealing_keys (number, fingerprint, since) VALUES ($1, $2, (SELECT now FROM clock))
    ON CONFLICT (number) DO NOTHING";

impl Store {
    /// Checks that no other replica has another key under one of these numbers, and that the newest one is here.
    pub(super) async fn agree_on_sealing_keys(&self) -> Result<(), Error> {
        let ours = self.ring.fingerprints()?;
        let mut transaction = self.write().await?;
        for (number, fingerprint) in &ours {
            let known = sqlx::query(KNOWN).bind(i64::from(*number)).fetch_optional(&mut *transaction).await?;
            if let Some(known) = known
                && known.try_get::<&[u8], _>(0)? != fingerprint
            {
                return Err(Error::OtherKeys(i64::from(*number)));
            }
        }
        if let Some(newest) = sqlx::query(NEWEST).fetch_optional(&mut *transaction).await? {
            let number: i64 = newest.try_get(0)?;
            if !ours.iter().any(|(ours, _)| i64::from(*ours) == number) {
                return Err(Error::OtherKeys(number));
            }
        }
        if let Some((number, fingerprint)) = ours.last() {
            let keep = sqlx::query(KEEP).bind(i64::from(*number)).bind(&fingerprint[..]);
            keep.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
