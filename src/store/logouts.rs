//! What a provider ends. In: a checked logout token. Out: whose sign-ins are gone. Must never take a token twice, nor say that it
//! was taken before the rows are gone.

use super::revoke::{Cause, Revoked, Selection};
use super::sign_ins::to_sql;
use super::{Error, Store};
use crate::clock;
use crate::model::{Timestamp, TokenHash};

/// The sign-ins that a provider wants ended.
#[derive(Clone, Debug)]
pub struct Logout {
    /// Those.
    pub what: Selection,
    /// Names the token.
    pub token: TokenHash,
    /// Until when the token would count.
    pub until: Timestamp,
}

impl Store {
    /// Ends them, in the transaction that notes the token; what has ended. `None` when the token was taken before.
    pub async fn log_out(&self, logout: &Logout) -> Result<Option<Revoked>, Error> {
        let mut transaction = self.write().await?;
        let over = sqlx::query("DELETE FROM logout_tokens WHERE expires_at <= $1").bind(to_sql(clock::now()));
        over.execute(&mut *transaction).await?;
        let note = sqlx::query("INSERT INTO logout_tokens (token, expires_at) VALUES ($1, $2) ON CONFLICT (token) DO NOTHING")
            .bind(logout.token.as_bytes());
        if note.bind(to_sql(logout.until)).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(None);
        }
        let revoked = self.end(&mut transaction, &logout.what, Cause::Provider.into()).await?;
        transaction.commit().await?;
        self.apply_here(&revoked, Cause::Provider);
        Ok(Some(revoked))
    }
}
