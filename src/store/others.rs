//! Other processes that share the database for a while: one that takes over, one that lets go. In: what is held here. Out: the end
//! of what another process has ended. Must never end what is still there.

use super::{Error, Store};
use crate::model::SignInId;
use sqlx::{AnyConnection, Row as _};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How often to look: what another process has ended goes on here for no longer than about this.
const LOOK: Duration = Duration::from_millis(200);
/// How often to look in vain after a change: a row that was read just before it may not have been taken in yet.
const LOOK_AGAIN: u8 = 2;

impl Store {
    /// Ends what others end, for as long as this is awaited.
    pub async fn follow_others(self: Arc<Self>) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::error!(%error, "what another process has ended can't be found out");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends what others have ended, once they are gone: what they did last was perhaps not seen yet.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let mut connection = self.readers().acquire().await?;
        self.end_what_is_gone(&mut connection).await?;
        drop(connection);
        self.read_told().await
    }

    async fn follow(&self) -> Result<(), Error> {
        // The number tells of changes by every connection but the one that is asked.
        let mut connection = self.readers().acquire().await?;
        let (mut known, mut left) = (-1, 0);
        loop {
            let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *connection).await?;
            left = if std::mem::replace(&mut known, version) == version { left } else { LOOK_AGAIN };
            if left > 0 {
                left -= 1;
                self.end_what_is_gone(&mut connection).await?;
                self.read_told().await?;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn end_what_is_gone(&self, connection: &mut AnyConnection) -> Result<(), Error> {
        // What is held now had a row before: what has none afterwards was ended.
        let (sign_ins, app_sessions) = self.registry.held_now();
        let rows = sqlx::query("SELECT id FROM sign_ins").fetch_all(&mut *connection).await?;
        let there = rows.iter().map(|row| row.try_get("id").map(SignInId)).collect::<Result<HashSet<_>, _>>()?;
        sign_ins.into_iter().filter(|id| !there.contains(id)).for_each(|id| self.registry.end_sign_in(id));
        let rows = sqlx::query("SELECT cookie FROM app_sessions").fetch_all(connection).await?;
        let there = rows.iter().map(|row| row.try_get("cookie")).collect::<Result<HashSet<&[u8]>, _>>()?;
        let gone = app_sessions.iter().filter(|cookie| !there.contains(cookie.as_bytes()));
        gone.for_each(|cookie| self.registry.end_app_session(cookie));
        Ok(())
    }
}
