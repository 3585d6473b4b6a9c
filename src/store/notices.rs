//! What others are told of locks and revocations: an outbox. In: what happens, in the transaction in which it happens. Out: what is due,
//! to one process at a time. Must never keep anything from happening because nobody can be told.

use super::revoke::{Cause, Grounds, Revoked};
use super::sign_ins::to_sql;
use super::{Error, Store};
use crate::clock;
use crate::model::notice::Kind;
use crate::model::{Timestamp, Token};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};
use std::time::Duration;

/// How many sign-ins one notice names.
const NAMED: usize = 100;

/// Somebody who wants to be told.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// A name that does not give the address away.
    pub webhook: String,
    /// Of what.
    pub kinds: Vec<Kind>,
}

/// Something to tell.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The same however often it is tried.
    pub id: String,
    /// JSON.
    pub body: String,
    /// When it happened.
    pub created: Timestamp,
    /// How often it was tried before.
    pub attempts: u32,
}

impl Store {
    /// From now on these are told.
    pub fn subscribe(&self, subscribers: Vec<Subscriber>) {
        self.subscribers.store(subscribers.into());
    }

    /// Waits until there may be something new to tell.
    pub async fn noted(&self) {
        self.noted.notified().await;
    }

    /// Who wants to know of this.
    pub(super) fn interested(&self, kind: Kind) -> Vec<String> {
        let subscribers = self.subscribers.load();
        let interested = subscribers.iter().filter(|subscriber| subscriber.kinds.contains(&kind));
        interested.map(|subscriber| subscriber.webhook.clone()).collect()
    }

    /// Tells that access was taken away; signing out and running out is nobody's business.
    pub(super) async fn note_revoked(
        &self,
        connection: &mut AnyConnection,
        revoked: &Revoked,
        grounds: Grounds<'_>,
    ) -> Result<(), Error> {
        let is_told = !matches!(grounds.cause, Cause::Expired | Cause::Replaced | Cause::SignedOut);
        if !is_told || revoked.is_empty() {
            return Ok(());
        }
        let webhooks = self.interested(Kind::SessionsRevoked);
        if webhooks.is_empty() {
            return Ok(());
        }
        put(connection, webhooks, Kind::SessionsRevoked, &described(revoked, grounds)).await
    }

    /// Up to `most` notices for a webhook that are due, which nobody else gets for this long.
    pub async fn due(&self, webhook: &str, most: usize, lease: Duration) -> Result<Vec<Notice>, Error> {
        let now = clock::now();
        let query = "UPDATE notices SET due_at = $1, attempts = attempts + 1
            WHERE id IN (SELECT id FROM notices WHERE webhook = $2 AND due_at <= $3 ORDER BY due_at LIMIT $4) AND due_at <= $3
            RETURNING id, body, created_at, attempts";
        let known = sqlx::query("SELECT 1 FROM notices WHERE webhook = $1 AND due_at <= $2 LIMIT 1");
        if known.bind(webhook.to_owned()).bind(to_sql(now)).fetch_optional(&self.readers()).await?.is_none() {
            return Ok(Vec::new());
        }
        let query = sqlx::query(query).bind(to_sql(now.plus(lease))).bind(webhook.to_owned()).bind(to_sql(now));
        let rows = query.bind(i64::try_from(most).unwrap_or(i64::MAX)).fetch_all(&self.writer()).await?;
        let notice = |row: &sqlx::any::AnyRow| {
            let created: i64 = row.try_get("created_at")?;
            let attempts: i64 = row.try_get("attempts")?;
            Ok(Notice {
                id: row.try_get("id")?,
                body: row.try_get("body")?,
                created: Timestamp::from_millis(u64::try_from(created).unwrap_or(0)),
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            })
        };
        rows.iter().map(notice).collect()
    }

    /// It was told, or will never be.
    pub async fn forget_notice(&self, id: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM notices WHERE id = $1").bind(id.to_owned()).execute(&self.writer()).await?;
        Ok(())
    }

    /// It is to be tried again then.
    pub async fn postpone_notice(&self, id: &str, due: Timestamp) -> Result<(), Error> {
        let query = sqlx::query("UPDATE notices SET due_at = $1 WHERE id = $2").bind(to_sql(due));
        query.bind(id.to_owned()).execute(&self.writer()).await?;
        Ok(())
    }

    /// Forgets what happened before this and was never told, to whomever; how much that was.
    pub async fn forget_old_notices(&self, before: Timestamp) -> Result<u64, Error> {
        let known = sqlx::query("SELECT 1 FROM notices WHERE created_at <= $1 LIMIT 1").bind(to_sql(before));
        if known.fetch_optional(&self.readers()).await?.is_none() {
            return Ok(0);
        }
        let query = sqlx::query("DELETE FROM notices WHERE created_at <= $1").bind(to_sql(before));
        Ok(query.execute(&self.writer()).await?.rows_affected())
    }
}

/// Puts something to tell into the outbox.
pub(super) async fn put(connection: &mut AnyConnection, webhooks: Vec<String>, kind: Kind, data: &Value) -> Result<(), Error> {
    let now = clock::now();
    let body = json!({ "type": kind.code(), "timestamp": now.to_string(), "data": data }).to_string();
    for webhook in webhooks {
        let id = format!("msg_{}", Token::random()?.reveal());
        let query =
            sqlx::query("INSERT INTO notices (id, webhook, body, created_at, due_at, attempts) VALUES ($1, $2, $3, $4, $4, 0)");
        let query = query.bind(id).bind(webhook).bind(body.clone()).bind(to_sql(now));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn described(revoked: &Revoked, grounds: Grounds<'_>) -> Value {
    let ended: Vec<_> = revoked.found.iter().take(NAMED).collect();
    let ended = ended.iter().map(|found| {
        let sessions: Vec<_> = found.parts.iter().map(|part| json!({ "session": part.name, "host": part.host })).collect();
        json!({ "sign_in": found.id.0, "user": found.subject.to_string(), "email": found.email, "sessions": sessions })
    });
    json!({
        "cause": grounds.cause.code(),
        "by": grounds.by,
        "why": grounds.why,
        "sign_ins": revoked.sign_ins(),
        "sessions": revoked.sessions(),
        "ended": ended.collect::<Vec<_>>(),
        "more": revoked.found.len() > NAMED,
    })
}
