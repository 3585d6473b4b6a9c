//! App sessions, and the handoff codes that they are made from. In: hashes of cookies and codes. Out: live objects. Must never
//! take a code twice, at another host, or from another browser.

use super::live::AppSession;
use super::revoke::{Cause, Selection};
use super::sign_ins::{sign_ins, to_sql};
use super::{Error, Store};
use crate::clock;
use crate::model::{SignInId, Timestamp, TokenHash};
use sqlx::Row as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const OF_APP_SESSION: &str = sign_ins!("JOIN app_sessions a ON a.sign_in = s.id WHERE a.cookie = $1 AND a.host = $2");

/// How long a request waits for the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// A code that carries a sign-in from the auth host to one app host, once.
#[derive(Clone, Debug)]
pub struct Handoff {
    /// The hash of the code.
    pub code: TokenHash,
    /// What it carries.
    pub sign_in: SignInId,
    /// The only host that may take it.
    pub host: String,
    /// The hash of the flow cookie of the browser that asked.
    pub binding: TokenHash,
    /// Until when.
    pub expires: Timestamp,
}

impl Store {
    /// Keeps a handoff; false when its sign-in has ended.
    pub async fn create_handoff(&self, handoff: &Handoff) -> Result<bool, Error> {
        let query = sqlx::query(
            "INSERT INTO handoffs (code, sign_in, host, binding, expires_at)
             SELECT $1, id, $2, $3, $4 FROM sign_ins WHERE id = $5",
        );
        let query = query.bind(handoff.code.as_bytes()).bind(&handoff.host).bind(handoff.binding.as_bytes());
        let query = query.bind(to_sql(handoff.expires)).bind(handoff.sign_in.0);
        match query.execute(&self.writer()).await {
            Ok(done) => Ok(done.rows_affected() > 0),
            // It ended at this very moment.
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a handoff and makes the app session whose cookie hashes to `cookie`; false when there is none to take.
    /// A code that is tried is gone, whoever tried it.
    pub async fn take_handoff(&self, code: &TokenHash, host: &str, binding: &TokenHash, cookie: &TokenHash) -> Result<bool, Error> {
        // Anybody can make a code up: only one that is there is worth the one writer.
        let known = sqlx::query("SELECT 1 FROM handoffs WHERE code = $1").bind(code.as_bytes());
        if known.fetch_optional(&self.readers()).await?.is_none() {
            return Ok(false);
        }
        let now = to_sql(clock::now());
        let mut transaction = self.write().await?;
        let query = sqlx::query("DELETE FROM handoffs WHERE code = $1 RETURNING sign_in, host, binding, expires_at");
        let row = query.bind(code.as_bytes()).fetch_optional(&mut *transaction).await?;
        let Some(row) = row else { return Ok(false) };
        let theirs: Vec<u8> = row.try_get("binding")?;
        let fits =
            row.try_get::<&str, _>("host")? == host && theirs == binding.as_bytes() && row.try_get::<i64, _>("expires_at")? > now;
        if fits {
            let query = "INSERT INTO app_sessions (cookie, name, sign_in, host, created_at) VALUES ($1, $2, $3, $4, $5)";
            let query = sqlx::query(query).bind(cookie.as_bytes()).bind(name(cookie));
            let query = query.bind(row.try_get::<i64, _>("sign_in")?).bind(host).bind(now);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(fits)
    }

    /// The app session of this cookie at this host. May be awaited on any runtime: the query runs on control's.
    pub async fn app_session(self: &Arc<Self>, cookie: TokenHash, host: &str) -> Result<Option<Arc<AppSession>>, Error> {
        let (store, host) = (Arc::clone(self), Box::from(host));
        let task = self.runtime.spawn(async move { timeout(PATIENCE, store.load_app_session(cookie, host)).await });
        task.await.map_err(|_| Error::ShuttingDown)?.unwrap_or(Err(Error::Late))
    }

    async fn load_app_session(&self, cookie: TokenHash, host: Box<str>) -> Result<Option<Arc<AppSession>>, Error> {
        loop {
            let generation = self.registry.generation();
            let query = sqlx::query(OF_APP_SESSION);
            let query = query.bind(cookie.as_bytes()).bind(&*host);
            let Some(row) = query.fetch_optional(&self.readers()).await? else {
                return Ok(None);
            };
            let Some(fresh) = self.read_sign_in(&row).await? else { return Ok(None) };
            let sign_in = self.registry.sign_in(fresh, generation);
            let session =
                sign_in.and_then(|sign_in| self.registry.app_session(AppSession::new(cookie, host.clone(), sign_in), generation));
            if let Ok(live) = session {
                return Ok(Some(live));
            }
        }
    }

    /// Ends one app's session.
    pub async fn end_app_session(&self, cookie: &TokenHash, cause: Cause) -> Result<(), Error> {
        let is_held = self.registry.holds(cookie);
        // Anybody can make a cookie up.
        let known = sqlx::query("SELECT 1 FROM app_sessions WHERE cookie = $1").bind(cookie.as_bytes());
        let is_known = known.fetch_optional(&self.readers()).await?.is_some();
        if is_known {
            self.revoke(&Selection::Session(name(cookie)), cause.into()).await?;
        }
        if is_known || is_held {
            // The row is gone, perhaps by another replica, of which this one has not heard yet.
            self.registry.end(&[], &[*cookie]);
        }
        Ok(())
    }
}

/// What names a session in audit and assertions without giving it away.
pub fn name(cookie: &TokenHash) -> String {
    TokenHash::of(cookie.as_bytes()).encode()
}
