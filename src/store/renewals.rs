//! The renewal of claims, by one process at a time. In: new claims, and the lease under which they were fetched. Out: rows, and what is
//! held of them. Must never let an answer that is older take the place of a newer one.

use super::changes::{Change, note};
use super::live::SignIn;
use super::locks::barred;
use super::revoke::{Cause, Selection, address};
use super::sign_ins::{Tokens, to_json, to_sql};
use super::{Error, Store};
use crate::clock;
use crate::model::{Identity, SignInId, Timestamp};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::sync::Arc;
use std::time::Duration;

/// By the clock of the database, which is the same for all.
const TAKE_ON: &str = "UPDATE sign_ins SET renewing_until = (SELECT now FROM clock) + $2
    WHERE id = $1 AND renewing_until <= (SELECT now FROM clock) RETURNING renewing_until, outdated_at";
/// What became known to be outdated since the provider was asked stays so.
const RENEW: &str = "UPDATE sign_ins SET profile = $1, tokens = $2, authenticated_at = $3, email = $4, renewing_until = 0,
    outdated_at = CASE WHEN outdated_at = $5 THEN 0 ELSE outdated_at END WHERE id = $6 AND renewing_until = $7";
const KEEP: &str = "UPDATE sign_ins SET tokens = $1 WHERE id = $2 AND renewing_until = $3";
const GIVE_BACK: &str = "UPDATE sign_ins SET renewing_until = 0 WHERE id = $1 AND renewing_until = $2";

/// The right to renew the claims of one sign-in, for a while.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// What its row says for as long as nobody else has it.
    until: i64,
    /// When it is over, by [`clock::elapsed`].
    over: u64,
    /// By what the row said that the claims are outdated when it was taken; 0 where they were not.
    outdated: i64,
}

impl Lease {
    /// Whether another process may have taken it on.
    pub fn is_over(&self) -> bool {
        clock::elapsed() >= self.over
    }
}

impl Store {
    /// Takes on the renewal of a sign-in's claims, for a while; nothing when another process has it.
    pub async fn take_on_renewal(&self, id: SignInId, patience: Duration) -> Result<Option<Lease>, Error> {
        let length = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let over = clock::elapsed().saturating_add(u64::try_from(length).unwrap_or(0));
        let taken = sqlx::query(TAKE_ON).bind(id.0).bind(length).fetch_optional(&self.writer()).await?;
        // Whoever had it before may have written down what it got, and that may not be known here yet.
        self.look_again(&[id]).await?;
        let lease = |row: AnyRow| Ok(Lease { until: row.try_get("renewing_until")?, over, outdated: row.try_get("outdated_at")? });
        taken.map(lease).transpose()
    }

    /// New claims and tokens for a sign-in that is still there, which gives the lease back; false when it is not, or when they tell
    /// somebody who is kept out: then it ends.
    pub async fn renew_sign_in(&self, sign_in: &SignIn, claims: Identity, tokens: Tokens, lease: Lease) -> Result<bool, Error> {
        let profile = to_json(&claims.profile)?;
        let sealed = self.seal_tokens(sign_in.id, &tokens)?;
        let query = sqlx::query(RENEW).bind(profile).bind(sealed).bind(to_sql(claims.authenticated_at));
        let query = query.bind(address(&claims.profile)).bind(lease.outdated).bind(sign_in.id.0).bind(lease.until);
        let mut transaction = self.write().await?;
        let found = query.execute(&mut *transaction).await?.rows_affected() > 0;
        let there = sqlx::query("SELECT 1 FROM sign_ins WHERE id = $1").bind(sign_in.id.0);
        if !found && there.fetch_optional(&mut *transaction).await?.is_some() {
            return Err(Error::Overtaken);
        }
        let claims = Arc::new(claims);
        let cause = match found {
            true if barred(&mut transaction, &claims).await?.is_some() => Some(Cause::Lock),
            true if self.laid(&mut transaction, &claims).await?.is_err() => Some(Cause::Directory),
            _ => None,
        };
        if let Some(cause) = cause {
            let ended = self.end(&mut transaction, &Selection::SignIns(vec![sign_in.id]), cause.into()).await?;
            transaction.commit().await?;
            self.apply_here(&ended, cause);
            return Ok(false);
        }
        note(&mut transaction, &[Change::Renewed(sign_in.id)]).await?;
        transaction.commit().await?;
        self.look_again(&[sign_in.id]).await?;
        sign_in.renewed_until(tokens.renewal(clock::now(), Timestamp::default()));
        Ok(found)
    }

    /// New tokens for a sign-in whose claims stay as they are.
    pub async fn keep_tokens(&self, id: SignInId, tokens: &Tokens, lease: Lease) -> Result<(), Error> {
        let query = sqlx::query(KEEP).bind(self.seal_tokens(id, tokens)?).bind(id.0).bind(lease.until);
        let kept = query.execute(&self.writer()).await?.rows_affected() > 0;
        // Where its row is gone, whoever still holds it learns so.
        self.look_again(&[id]).await?;
        if kept { Ok(()) } else { Err(Error::Overtaken) }
    }

    /// Gives it back, done or not.
    pub async fn give_back_renewal(&self, id: SignInId, lease: Lease) -> Result<(), Error> {
        sqlx::query(GIVE_BACK).bind(id.0).bind(lease.until).execute(&self.writer()).await?;
        Ok(())
    }
}
