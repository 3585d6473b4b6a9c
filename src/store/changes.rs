//! The outbox: what others that share the database must learn of. In: changes, in the transactions that make them. Out: the same, in
//! the order of the commits. Must never let a reader pass over a change that commits later.
//!
//! A number is taken by updating the one row of `change_count`, and the transaction keeps the lock of that row until it ends. So the
//! next number is given only after the one before has been committed, or given back by a rollback: who sees 7 sees 6. A number that is
//! missing between others was trimmed, and one that is smaller than what was read comes from a database that was put back: in both
//! cases the reader looks up anew all that it holds.

use super::Error;
use crate::model::risks::Whose;
use crate::model::{SignInId, TokenHash};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use std::time::Duration;

/// Something that another process may hold otherwise in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A sign-in has ended.
    Ended(SignInId),
    /// One app's session has ended.
    AppSessionEnded(TokenHash),
    /// The row of a sign-in says something else: its claims were renewed.
    Renewed(SignInId),
    /// Something is known of this device, or nothing any more.
    Device(String),
    /// The same of a risk.
    Risk(Whose),
    /// What transmitters of security events said counts otherwise.
    Signals,
    /// Somebody or something was locked out, or is no more.
    Lock(Whose),
    /// More than could be listed: all that is held is looked up anew. So is what a newer version says that this one does not know.
    Everything,
}

/// What was found behind a position.
pub(super) enum Found {
    /// These changes, where they end, how many are left behind them, and how long ago the first end of access among them was noted.
    Changes { changes: Vec<Change>, end: i64, left: u64, age: Option<Duration> },
    /// Some are missing.
    Gap,
}

/// How many are written with one statement, and read.
const AT_ONCE: usize = 200;
const READ: &str = "SELECT t.taken, c.number, c.kind, c.name, (SELECT now FROM clock) - c.made_at AS age FROM change_count t LEFT JOIN changes c ON c.number > $1
    ORDER BY c.number LIMIT 200";
/// An hour: whoever was away for longer looks everything up.
const TRIM: &str = "DELETE FROM changes WHERE made_at < (SELECT now FROM clock) - 3600000";

impl Change {
    fn to_row(&self) -> (&'static str, String) {
        match self {
            Self::Ended(id) => ("ended", id.0.to_string()),
            Self::AppSessionEnded(cookie) => ("app_session_ended", cookie.encode()),
            Self::Renewed(id) => ("renewed", id.0.to_string()),
            Self::Device(id) => ("device", id.clone()),
            Self::Risk(whose) => ("risk", format!("{} {whose}", whose.kind())),
            Self::Signals => ("signals", String::new()),
            Self::Lock(whose) => ("lock", format!("{} {whose}", whose.kind())),
            Self::Everything => ("everything", String::new()),
        }
    }

    const fn ends_access(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::AppSessionEnded(_) | Self::Lock(_) | Self::Everything)
    }

    fn of_row(kind: &str, name: &str) -> Self {
        let id = || name.parse().ok().map(SignInId);
        let whose = || name.split_once(' ').and_then(|(kind, name)| Whose::parse(kind, name));
        let known = match kind {
            "ended" => id().map(Self::Ended),
            "app_session_ended" => TokenHash::decode(name).map(Self::AppSessionEnded),
            "renewed" => id().map(Self::Renewed),
            "signals" => Some(Self::Signals),
            "device" => Some(Self::Device(name.to_owned())),
            "risk" => whose().map(Self::Risk),
            "lock" => whose().map(Self::Lock),
            _ => None,
        };
        known.unwrap_or(Self::Everything)
    }
}

/// Notes changes in the transaction that makes them.
pub(super) async fn note(connection: &mut AnyConnection, changes: &[Change]) -> Result<(), Error> {
    for some in changes.chunks(AT_ONCE) {
        let count = i64::try_from(some.len()).unwrap_or(0);
        let take = sqlx::query_scalar("UPDATE change_count SET taken = taken + $1 RETURNING taken");
        let last: i64 = take.bind(count).fetch_one(&mut *connection).await?;
        let row = |index| format!("(${}, ${}, ${}, (SELECT now FROM clock))", index * 3 + 1, index * 3 + 2, index * 3 + 3);
        let rows: Vec<String> = (0..some.len()).map(row).collect();
        let text = format!("INSERT INTO changes (number, kind, name, made_at) VALUES {}", rows.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (number, change) in (last - count + 1..).zip(some) {
            let (kind, name) = change.to_row();
            query = query.bind(number).bind(kind).bind(name);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The last number that was given: whatever is noted after this was asked has a greater one.
pub(super) async fn last(connection: &mut AnyConnection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar("SELECT taken FROM change_count").fetch_one(connection).await?)
}

/// Some of what was noted behind a position; all of it when there are none.
pub(super) async fn after(connection: &mut AnyConnection, position: i64) -> Result<Found, Error> {
    let rows = sqlx::query(READ).bind(position).fetch_all(connection).await?;
    let taken: i64 = rows.first().ok_or(Error::Damaged("change_count"))?.try_get("taken")?;
    let mut age = None;
    let changes: Vec<(i64, Change)> = rows.iter().filter_map(|row| read(row).transpose()).collect::<Result<_, Error>>()?;
    for (row, (_, change)) in rows.iter().zip(&changes) {
        if change.ends_access() {
            age = age.max(Some(Duration::from_millis(u64::try_from(row.try_get::<i64, _>("age")?).unwrap_or(0))));
        }
    }
    let is_next = changes.iter().zip(position + 1..).all(|((number, _), expected)| *number == expected);
    let end = changes.last().map_or(position, |(number, _)| *number);
    if !is_next || taken < position || (changes.is_empty() && taken > position) {
        return Ok(Found::Gap);
    }
    let left = u64::try_from(taken - end).unwrap_or(0);
    Ok(Found::Changes { changes: changes.into_iter().map(|(_, change)| change).collect(), end, left, age })
}

fn read(row: &AnyRow) -> Result<Option<(i64, Change)>, Error> {
    let Some(number) = row.try_get("number")? else { return Ok(None) };
    Ok(Some((number, Change::of_row(row.try_get("kind")?, row.try_get("name")?))))
}

/// Lets go of what everybody has read who is not gone.
pub(super) async fn trim(connection: &mut AnyConnection) -> Result<(), Error> {
    sqlx::query(TRIM).execute(connection).await?;
    Ok(())
}
