//! Everybody who ever signed in. In: where the store is. Out: each with what was last said of them. Must never change the store, nor
//! make one: it is read beside the process that it belongs to.

use super::Error;
use super::database::Location;
use crate::model::identity::{Profile, Subject};
use crate::model::{Identity, ProviderName, Timestamp};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// Reads them all.
pub async fn people(location: &Location) -> Result<Vec<Identity>, Error> {
    let mut connection = location.read().await?;
    let rows =
        sqlx::query("SELECT provider, subject, profile, last_sign_in FROM users ORDER BY id").fetch_all(&mut connection).await?;
    rows.iter().map(person).collect()
}

/// One of them, by their row.
pub(super) fn person(row: &AnyRow) -> Result<Identity, Error> {
    let damaged = || Error::Damaged("users");
    let profile: Profile = serde_json::from_str(row.try_get("profile")?).map_err(|_| damaged())?;
    let provider = ProviderName::parse(row.try_get("provider")?).ok_or_else(damaged)?;
    let last: i64 = row.try_get("last_sign_in")?;
    Ok(Identity {
        subject: Subject { provider, subject: row.try_get("subject")? },
        profile,
        authenticated_at: Timestamp::from_millis(u64::try_from(last).map_err(|_| damaged())?),
    })
}
