//! What a provider ends. In: a checked logout token. Out: whose sign-ins are gone. Must never take a token twice, nor say that it
//! was taken before the rows are gone.

use super::sign_ins::{delete, to_sql};
use super::{Error, Store};
use crate::clock;
use crate::model::identity::Subject;
use crate::model::{ProviderName, SignInId, Timestamp, TokenHash};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// The sign-ins that a provider wants ended.
#[derive(Clone, Debug)]
pub struct Logout {
    /// The provider.
    pub provider: ProviderName,
    /// Of this person alone.
    pub subject: Option<String>,
    /// Of this session of the provider's alone.
    pub sid: Option<String>,
    /// Names the token.
    pub token: TokenHash,
    /// Until when the token would count.
    pub until: Timestamp,
}

const MEANT: &str = "SELECT s.id, u.subject FROM sign_ins s JOIN users u ON u.id = s.user_id
    WHERE u.provider = $1 AND ($2 IS NULL OR u.subject = $2) AND ($3 IS NULL OR s.provider_sid = $3)";

impl Store {
    /// Ends them, in the transaction that notes the token; whose they were. `None` when the token was taken before.
    pub async fn log_out(&self, logout: &Logout) -> Result<Option<Vec<Subject>>, Error> {
        let mut transaction = self.write().await?;
        let over = sqlx::query("DELETE FROM logout_tokens WHERE expires_at <= $1").bind(to_sql(clock::now()));
        over.execute(&mut *transaction).await?;
        let note = sqlx::query("INSERT INTO logout_tokens (token, expires_at) VALUES ($1, $2) ON CONFLICT (token) DO NOTHING")
            .bind(logout.token.as_bytes());
        if note.bind(to_sql(logout.until)).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(None);
        }
        let meant = sqlx::query(MEANT).bind(logout.provider.as_str()).bind(&logout.subject).bind(&logout.sid);
        let meant = meant.fetch_all(&mut *transaction).await?;
        let ended = meant.iter().map(|row| read(row, &logout.provider)).collect::<Result<Vec<_>, Error>>()?;
        for (id, _) in &ended {
            delete(&mut transaction, *id).await?;
        }
        transaction.commit().await?;
        ended.iter().for_each(|(id, _)| self.registry.end_sign_in(*id));
        Ok(Some(ended.into_iter().map(|(_, subject)| subject).collect()))
    }
}

fn read(row: &AnyRow, provider: &ProviderName) -> Result<(SignInId, Subject), Error> {
    let subject = Subject { provider: provider.clone(), subject: row.try_get("subject")? };
    Ok((SignInId(row.try_get("id")?), subject))
}
