//! The private keys that sign assertions, sealed. In: PKCS#8. Out: the same. Must never keep one readable.

use super::seal::Purpose;
use super::sign_ins::to_sql;
use super::{Error, Store};
use crate::model::Timestamp;
use sqlx::Row as _;

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
        let rows = sqlx::query("SELECT * FROM signing_keys ORDER BY created_at, id").fetch_all(&self.readers).await?;
        rows.iter().map(|row| self.read_key(row)).collect()
    }

    fn read_key(&self, row: &sqlx::sqlite::SqliteRow) -> Result<StoredKey, Error> {
        let id: String = row.try_get("id")?;
        let pkcs8 = self.ring.open(Purpose::SigningKey, &id, row.try_get("sealed")?)?.into();
        let created = Timestamp::from_millis(u64::try_from(row.try_get::<i64, _>("created_at")?).unwrap_or(0));
        Ok(StoredKey { id, created, pkcs8 })
    }

    /// Keeps one more, and lets go of those made before `forget_before`.
    pub async fn keep_signing_key(&self, key: &StoredKey, forget_before: Timestamp) -> Result<(), Error> {
        let sealed = self.ring.seal(Purpose::SigningKey, &key.id, &key.pkcs8)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let query = sqlx::query("INSERT INTO signing_keys (id, created_at, sealed) VALUES (?, ?, ?)");
        query.bind(&key.id).bind(to_sql(key.created)).bind(sealed).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM signing_keys WHERE created_at < ?").bind(to_sql(forget_before)).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }
}
