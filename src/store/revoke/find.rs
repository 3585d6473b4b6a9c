//! Who is signed in, and where. In: a selection. Out: rows, put together by sign-in. Must never show a cookie.

use super::super::sign_ins::time;
use super::super::{Error, Store};
use super::selection::Condition;
use super::{NAMED, Selection};
use crate::model::identity::{Profile, Subject};
use crate::model::{Email, ProviderName, SignInId, Timestamp, TokenHash};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

/// One sign-in.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its row.
    pub id: SignInId,
    /// Whose.
    pub subject: Subject,
    /// The person's verified address.
    pub email: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, as far as that is known here.
    pub last_seen: Timestamp,
    /// When it ends at the latest.
    pub ends: Timestamp,
    /// Where the browser was.
    pub address: Option<String>,
    /// What the browser called itself.
    pub agent: Option<String>,
    /// The sessions made from it.
    pub parts: Vec<Part>,
}

/// A session at one app's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What names it in audit and assertions.
    pub name: String,
    /// The host.
    pub host: String,
    /// When it was made.
    pub created: Timestamp,
}

impl Store {
    /// The sign-ins that are meant and come after this one, the oldest first, this many at most.
    pub async fn find(&self, what: &Selection, after: SignInId, limit: u32) -> Result<Vec<Found>, Error> {
        if matches!(what, Selection::Device { .. }) {
            self.write_devices().await?;
        }
        self.complete().await?;
        let mut connection = self.readers().acquire().await?;
        let mut found = page(&mut connection, what, after, i64::from(limit)).await?;
        for found in &mut found {
            let held = self.registry.held(found.id);
            found.last_seen = held.map_or(found.last_seen, |held| held.last_seen().max(found.last_seen));
        }
        Ok(found)
    }

    /// The hosts at which there are sessions, or will be by a code that is under way.
    pub async fn hosts(&self) -> Result<Vec<String>, Error> {
        let query = sqlx::query_scalar("SELECT host FROM app_sessions UNION SELECT host FROM handoffs");
        Ok(query.fetch_all(&self.readers()).await?)
    }

    /// Works out what older versions did not write into their rows.
    pub(in crate::store) async fn complete(&self) -> Result<(), Error> {
        let known = sqlx::query(
            "SELECT 1 FROM sign_ins WHERE email IS NULL UNION ALL SELECT 1 FROM app_sessions WHERE name IS NULL LIMIT 1",
        );
        if known.fetch_optional(&self.readers()).await?.is_none() {
            return Ok(());
        }
        loop {
            // What one transaction writes is written down at once, and others come in between.
            let mut transaction = self.write().await?;
            let is_complete = complete_some(&mut transaction).await?;
            transaction.commit().await?;
            if is_complete {
                return Ok(());
            }
        }
    }
}

/// What is meant: all of what is named one by one, and of the rest what can be told of it.
pub(super) async fn first(connection: &mut AnyConnection, what: &Selection) -> Result<Vec<Found>, Error> {
    complete(connection).await?;
    let limit = if let Selection::SignIns(ids) = what { ids.len() } else { NAMED };
    page(connection, what, SignInId(-1), i64::try_from(limit).unwrap_or(i64::MAX)).await
}

/// How many sessions the sign-ins have that are meant.
pub(super) async fn sessions(connection: &mut AnyConnection, (condition, values): &Condition) -> Result<usize, Error> {
    let query = format!(
        "SELECT count(*) FROM app_sessions a JOIN sign_ins s ON s.id = a.sign_in JOIN users u ON u.id = s.user_id WHERE {condition}"
    );
    let query = values.iter().fold(sqlx::query_scalar::<_, i64>(AssertSqlSafe(query)), |query, value| query.bind(value.clone()));
    Ok(usize::try_from(query.fetch_one(connection).await?).unwrap_or(0))
}

async fn page(connection: &mut AnyConnection, what: &Selection, after: SignInId, limit: i64) -> Result<Vec<Found>, Error> {
    let (condition, values) = what.condition();
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "SELECT s.id, u.provider, u.subject, s.email, s.created_at, s.last_seen, s.ends_at, s.address, s.agent,
                a.name, a.host, a.created_at AS begun
         FROM sign_ins s JOIN users u ON u.id = s.user_id LEFT JOIN app_sessions a ON a.sign_in = s.id
         WHERE s.id IN (SELECT s.id FROM sign_ins s JOIN users u ON u.id = s.user_id
                        WHERE ({condition}) AND s.id > {} ORDER BY s.id LIMIT {limit})
         ORDER BY s.id, a.created_at, a.name",
        after.0
    )));
    for value in values {
        query = query.bind(value);
    }
    let mut found: Vec<Found> = Vec::new();
    for row in query.fetch_all(connection).await? {
        let id = SignInId(row.try_get("id")?);
        if found.last().is_none_or(|last| last.id != id) {
            found.push(sign_in(id, &row)?);
        }
        if let (Some(last), Some(part)) = (found.last_mut(), part(&row)?) {
            last.parts.push(part);
        }
    }
    Ok(found)
}

fn sign_in(id: SignInId, row: &AnyRow) -> Result<Found, Error> {
    let provider = ProviderName::parse(row.try_get("provider")?).ok_or(Error::Damaged("users"))?;
    Ok(Found {
        id,
        subject: Subject { provider, subject: row.try_get("subject")? },
        email: row.try_get::<Option<String>, _>("email")?.filter(|email| !email.is_empty()),
        created: time(row, "created_at")?,
        last_seen: time(row, "last_seen")?,
        ends: time(row, "ends_at")?,
        address: row.try_get("address")?,
        agent: row.try_get("agent")?,
        parts: Vec::new(),
    })
}

fn part(row: &AnyRow) -> Result<Option<Part>, Error> {
    let (Some(name), Some(host)) = (row.try_get("name")?, row.try_get("host")?) else { return Ok(None) };
    Ok(Some(Part { name, host, created: time(row, "begun")? }))
}

/// What the column says of an address: nothing is an empty text, which no address is.
pub(in crate::store) fn address(profile: &Profile) -> &str {
    profile.email.as_ref().map_or("", Email::as_str)
}

/// The same in a transaction that goes on.
pub(in crate::store) async fn complete(connection: &mut AnyConnection) -> Result<(), Error> {
    while !complete_some(connection).await? {}
    Ok(())
}

/// Works some of it out; whether nothing is left.
async fn complete_some(connection: &mut AnyConnection) -> Result<bool, Error> {
    let rows = sqlx::query("SELECT cookie FROM app_sessions WHERE name IS NULL LIMIT 500").fetch_all(&mut *connection).await?;
    for row in &rows {
        let cookie: Vec<u8> = row.try_get("cookie")?;
        let query = sqlx::query("UPDATE app_sessions SET name = $1 WHERE cookie = $2");
        query.bind(TokenHash::of(&cookie).encode()).bind(cookie).execute(&mut *connection).await?;
    }
    let is_named = rows.is_empty();
    let rows = sqlx::query("SELECT id, profile FROM sign_ins WHERE email IS NULL LIMIT 500").fetch_all(&mut *connection).await?;
    for row in &rows {
        // A row that does not read back gives nobody access, and must not keep others from being ended.
        let profile: Profile = serde_json::from_str(row.try_get("profile")?).unwrap_or_default();
        let query = sqlx::query("UPDATE sign_ins SET email = $1 WHERE id = $2").bind(address(&profile).to_owned());
        query.bind(row.try_get::<i64, _>("id")?).execute(&mut *connection).await?;
    }
    Ok(is_named && rows.is_empty())
}
