//! The private keys that sign assertions, sealed. In: PKCS#8. Out: the same. Must never keep one readable.

use super::seal::Purpose;
use super::sign_ins::to_sql;
use super::{Error, Store};
use crate::model::Timestamp;
use sqlx::Row as _;

const KEEP: &str = "INSERT INTO signing_keys (id, created_at, sealed) SELECT $1, $2, $3
    WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE created_at > $4)";

/// A key as it is kept.
pub struct StoredKey {
    /// Its key id (`kid`).
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// The private key, PKCS#8 (RFC 5208), DER.
    pub pkcs8: zeroize::Zeroizing<Vec<u8>>,
}

impl Store {
    /// Every key, the oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<StoredKey>, Error> {
        let rows = sqlx::query("SELECT id, created_at, sealed FROM signing_keys ORDER BY created_at, id")
            .fetch_all(&self.readers())
            .await?;
        rows.iter().map(|row| self.read_key(row)).collect()
    }

    fn read_key(&self, row: &sqlx::any::AnyRow) -> Result<StoredKey, Error> {
        let id: String = row.try_get("id")?;
        let pkcs8 = self.ring.open(Purpose::SigningKey, &id, row.try_get("sealed")?)?.into();
        let created = Timestamp::from_millis(u64::try_from(row.try_get::<i64, _>("created_at")?).unwrap_or(0));
        Ok(StoredKey { id, created, pkcs8 })
    }

    /// Keeps one more, unless another process has made one after `newest`, the newest that is known here.
    pub async fn keep_signing_key(&self, key: &StoredKey, newest: Option<Timestamp>) -> Result<(), Error> {
        let sealed = self.ring.seal(Purpose::SigningKey, &key.id, &key.pkcs8)?;
        let query = sqlx::query(KEEP).bind(&key.id).bind(to_sql(key.created)).bind(sealed).bind(newest.map_or(-1, to_sql));
        let mut transaction = self.write().await?;
        query.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Lets go of those made before this.
    pub async fn forget_signing_keys(&self, before: Timestamp) -> Result<(), Error> {
        sqlx::query("DELETE FROM signing_keys WHERE created_at < $1").bind(to_sql(before)).execute(&self.writer()).await?;
        Ok(())
    }

    /// Seals with the newest sealing key what an older one has sealed, so that the older one can go.
    pub(super) async fn reseal_signing_keys(&self) -> Result<(), Error> {
        let rows = sqlx::query("SELECT id, created_at, sealed FROM signing_keys").fetch_all(&self.readers()).await?;
        for row in rows {
            if self.ring.is_newest(row.try_get("sealed")?) {
                continue;
            }
            let key = self.read_key(&row)?;
            let sealed = self.ring.seal(Purpose::SigningKey, &key.id, &key.pkcs8)?;
            let query = sqlx::query("UPDATE signing_keys SET sealed = $1 WHERE id = $2");
            query.bind(sealed).bind(&key.id).execute(&self.writer()).await?;
        }
        Ok(())
    }
}
