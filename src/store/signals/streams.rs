//! The stream of each transmitter: how it is set up, and when it was last heard of. In: what its API and its events say. Out: the same
//! again. Must never take a stream that is silent, paused or disabled for one that works.

use super::{Act, SecurityEvent};
use crate::clock;
use crate::model::{ProviderName, Timestamp, TokenHash};
use crate::store::changes::{self, Change};
use crate::store::sign_ins::{time, to_sql};
use crate::store::{Error, Store};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::time::Duration;

/// What a stream does (SSF 1.0, section 8.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It brings events.
    Enabled,
    /// It keeps them for later.
    Paused,
    /// It brings none.
    Disabled,
}

/// A stream, as far as it is known.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Whose it is.
    pub transmitter: String,
    /// The transmitter's name for it, once it was set up.
    pub id: Option<String>,
    /// Where its events are fetched.
    pub poll_url: Option<String>,
    /// How often it may be asked for a verification.
    pub verify_every: Duration,
    /// The latest first sign-in of those that the transmitter was told of as subjects.
    pub added_until: Timestamp,
    /// What it does.
    pub status: Status,
    /// When it was last heard of; 1970 where it never was.
    pub heard_at: Timestamp,
    /// When it brought its last event.
    pub event_at: Option<Timestamp>,
    /// When it was last verified.
    pub verified_at: Option<Timestamp>,
    /// Until when what it said counts.
    pub alive_until: Timestamp,
}

impl Status {
    const ALL: [Self; 3] = [Self::Enabled, Self::Paused, Self::Disabled];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// The status of this code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

/// How much of its patience a stream may use up before it is written down that it was heard of: each time makes tables anew.
const GRAIN: u32 = 8;

const ADD: &str = "INSERT INTO signal_streams (transmitter, status, heard_at, alive_until) VALUES ($1, 'enabled', 0, 0)
    ON CONFLICT (transmitter) DO NOTHING";
const SET_UP: &str =
    "UPDATE signal_streams SET stream = $2, poll_url = $3, verify_every = $4, status = 'enabled' WHERE transmitter = $1";
const HEAR: &str = "UPDATE signal_streams SET heard_at = $2, event_at = CASE WHEN $3 = 1 THEN $2 ELSE event_at END,
    verified_at = CASE WHEN $4 = 1 THEN $2 ELSE verified_at END, status = $5, alive_until = $6 WHERE transmitter = $1";

/// Notes that the transmitter was heard of; whether what it said counts for longer or shorter now, and is to be read again.
pub(super) async fn hear(connection: &mut AnyConnection, event: &SecurityEvent) -> Result<bool, Error> {
    let Some(silent_after) = event.silent_after else { return Ok(false) };
    let (name, now) = (event.transmitter.to_string(), clock::now());
    sqlx::query(ADD).bind(name.clone()).execute(&mut *connection).await?;
    let row =
        sqlx::query("SELECT * FROM signal_streams WHERE transmitter = $1").bind(name.clone()).fetch_one(&mut *connection).await?;
    let before = Stream::read(&row)?;
    let status = if let Act::Stream(status) = event.act { status } else { before.status };
    let alive_until = match status {
        Status::Enabled if before.alive_until.plus(silent_after / GRAIN) < now.plus(silent_after) => now.plus(silent_after),
        Status::Enabled => before.alive_until,
        // What it would have said, nobody knows.
        Status::Paused | Status::Disabled => before.alive_until.min(now),
    };
    let is_verification = matches!(event.act, Act::Verified(_));
    let is_event = !is_verification && !matches!(event.act, Act::Stream(_));
    let query = sqlx::query(HEAR).bind(name).bind(to_sql(now)).bind(i64::from(is_event)).bind(i64::from(is_verification));
    query.bind(status.code()).bind(to_sql(alive_until)).execute(connection).await?;
    Ok(alive_until != before.alive_until)
}

/// Whether this verification was asked for; one without a state is nobody's answer, and fine.
pub(super) async fn verified(
    connection: &mut AnyConnection,
    event: &SecurityEvent,
    state: Option<TokenHash>,
) -> Result<bool, Error> {
    let Some(state) = state else { return Ok(true) };
    let query = sqlx::query("UPDATE signal_checks SET seen_at = $1 WHERE state = $2 AND transmitter = $3");
    let query = query.bind(to_sql(clock::now())).bind(state.as_bytes().to_vec()).bind(event.transmitter.to_string());
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

impl Store {
    /// Every stream that anything is known of.
    pub async fn streams(&self) -> Result<Vec<Stream>, Error> {
        let rows = sqlx::query("SELECT * FROM signal_streams ORDER BY transmitter").fetch_all(&self.readers()).await?;
        rows.iter().map(Stream::read).collect()
    }

    /// The stream of this transmitter.
    pub async fn stream(&self, transmitter: &str) -> Result<Option<Stream>, Error> {
        Ok(self.streams().await?.into_iter().find(|stream| stream.transmitter == transmitter))
    }

    /// A stream was set up.
    pub async fn keep_stream(
        &self,
        transmitter: &str,
        id: &str,
        poll_url: Option<String>,
        verify_every: Duration,
    ) -> Result<(), Error> {
        sqlx::query(ADD).bind(transmitter.to_owned()).execute(&self.writer()).await?;
        let every = i64::try_from(verify_every.as_millis()).unwrap_or(i64::MAX);
        let query = sqlx::query(SET_UP).bind(transmitter.to_owned()).bind(id.to_owned()).bind(poll_url).bind(every);
        query.execute(&self.writer()).await?;
        Ok(())
    }

    /// Forgets a transmitter's stream, and all that it said; whether there was anything.
    pub async fn forget_transmitter(&self, transmitter: &str) -> Result<bool, Error> {
        let mut transaction = self.write().await?;
        let mut removed = 0;
        for table in ["DELETE FROM signal_facts WHERE transmitter = $1", "DELETE FROM signal_streams WHERE transmitter = $1"] {
            removed += sqlx::query(table).bind(transmitter.to_owned()).execute(&mut *transaction).await?.rows_affected();
        }
        changes::note(&mut transaction, &[Change::Signals]).await?;
        transaction.commit().await?;
        self.read_signals().await?;
        Ok(removed > 0)
    }

    /// A verification is asked for, by this state; older ones are forgotten.
    pub async fn await_verification(&self, transmitter: &str, state: TokenHash) -> Result<(), Error> {
        let now = clock::now();
        let day = to_sql(now).saturating_sub(86_400_000);
        sqlx::query("DELETE FROM signal_checks WHERE asked_at < $1").bind(day).execute(&self.writer()).await?;
        let query = sqlx::query("INSERT INTO signal_checks (state, transmitter, asked_at) VALUES ($1, $2, $3)");
        let query = query.bind(state.as_bytes().to_vec()).bind(transmitter.to_owned()).bind(to_sql(now));
        query.execute(&self.writer()).await?;
        Ok(())
    }

    /// Whether the verification of this state has come.
    pub async fn is_verified(&self, state: TokenHash) -> Result<bool, Error> {
        let query = sqlx::query("SELECT 1 FROM signal_checks WHERE state = $1 AND seen_at IS NOT NULL");
        Ok(query.bind(state.as_bytes().to_vec()).fetch_optional(&self.readers()).await?.is_some())
    }

    /// Some of a provider's people who first signed in after this, in that order, each with when.
    pub async fn people_since(&self, provider: &ProviderName, since: Timestamp) -> Result<Vec<(String, Timestamp)>, Error> {
        let query = "SELECT subject, first_seen FROM users WHERE provider = $1 AND first_seen > $2 ORDER BY first_seen LIMIT 100";
        let rows = sqlx::query(query).bind(provider.as_str().to_owned()).bind(to_sql(since)).fetch_all(&self.readers()).await?;
        rows.iter().map(|row| Ok((row.try_get("subject")?, time(row, "first_seen")?))).collect()
    }

    /// The transmitter has been told of everybody up to this first sign-in.
    pub async fn added_people(&self, transmitter: &str, until: Timestamp) -> Result<(), Error> {
        let query = sqlx::query("UPDATE signal_streams SET added_until = $2 WHERE transmitter = $1");
        query.bind(transmitter.to_owned()).bind(to_sql(until)).execute(&self.writer()).await?;
        Ok(())
    }
}

impl Stream {
    /// Whether it works, as far as it was heard of.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.alive_until
    }

    fn read(row: &AnyRow) -> Result<Self, Error> {
        let damaged = || Error::Damaged("signal_streams");
        let optional = |column: &str| -> Result<Option<Timestamp>, Error> {
            let millis: Option<i64> = row.try_get(column)?;
            Ok(millis.and_then(|millis| u64::try_from(millis).ok()).map(Timestamp::from_millis))
        };
        let every: i64 = row.try_get("verify_every")?;
        Ok(Self {
            transmitter: row.try_get("transmitter")?,
            id: row.try_get("stream")?,
            poll_url: row.try_get("poll_url")?,
            verify_every: Duration::from_millis(u64::try_from(every).unwrap_or(0)),
            added_until: time(row, "added_until")?,
            status: Status::parse(&row.try_get::<String, _>("status")?).ok_or_else(damaged)?,
            heard_at: time(row, "heard_at")?,
            event_at: optional("event_at")?,
            verified_at: optional("verified_at")?,
            alive_until: time(row, "alive_until")?,
        })
    }
}
