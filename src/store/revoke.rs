//! The one way in which access is taken away. In: what is to end, and on whose word. Out: whose it was, once the rows are gone and
//! nobody's copy is good any more. Must never say that something has ended before it is committed, nor end more than was said.

mod find;
mod selection;

pub use find::{Found, Part};
pub(super) use find::{address, complete};
use selection::Condition;
pub use selection::Selection;

use super::changes::{Change, note};
use super::used_devices::note_revoked;
use super::{Error, Store};
use crate::model::{SignInId, TokenHash};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use std::time::{Duration, Instant};

/// How many ends others are told of one by one: for more, looking up all that they hold is faster.
const LISTED: usize = 2000;
/// How many rows go with one statement: the database must answer each in time, however many there are.
const AT_ONCE: usize = 2000;
/// How many sign-ins are looked at one by one, of many: one more than is ever named of them.
const NAMED: usize = 101;

/// Why access ends. The code ([`Cause::code`]) never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An administrator said so.
    Administration,
    /// The directory does not have the person any more, or not as active.
    Directory,
    /// Its time was over.
    Expired,
    /// A lock on the person or the device.
    Lock,
    /// The provider says that the person has signed out there.
    Provider,
    /// The provider does not renew the claims.
    RenewalRefused,
    /// A newer one took its place in the browser.
    Replaced,
    /// A shared signal.
    Signal,
    /// The person signed out.
    SignedOut,
}

/// Why access ends, and on whose word.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// Why.
    pub cause: Cause,
    /// Who says so, as they call themselves.
    pub by: Option<&'a str>,
    /// What they say.
    pub why: Option<&'a str>,
}

/// What has ended.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    /// The sign-ins that it was about; each with what of it has ended. Of very many only the first, and a hundred at least.
    pub found: Vec<Found>,
    count: usize,
    sign_ins: Vec<SignInId>,
    sessions: Vec<TokenHash>,
}

/// Something ended: for whoever counts.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// Why; nothing where it was counted by the process that did it.
    pub cause: Option<Cause>,
    /// How many sign-ins, or sessions where the sign-ins go on.
    pub count: u64,
    /// How long after the commit nobody's copy is good here; nothing where that is found out by following.
    pub lag: Option<Duration>,
}

impl Cause {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Administration => "administration",
            Self::Directory => "directory",
            Self::Expired => "expired",
            Self::Lock => "lock",
            Self::Provider => "provider",
            Self::RenewalRefused => "renewal_refused",
            Self::Replaced => "replaced",
            Self::Signal => "signal",
            Self::SignedOut => "signed_out",
        }
    }
}

impl From<Cause> for Grounds<'_> {
    fn from(cause: Cause) -> Self {
        Self { cause, by: None, why: None }
    }
}

impl Revoked {
    /// How many sign-ins have ended whole.
    pub const fn sign_ins(&self) -> usize {
        self.sign_ins.len()
    }

    /// How many sessions have ended, those of the sign-ins among them.
    pub const fn sessions(&self) -> usize {
        self.count
    }

    /// What other processes must learn.
    fn changes(&self) -> Vec<Change> {
        if self.sign_ins.len().saturating_add(self.sessions.len()) > LISTED {
            return vec![Change::Everything];
        }
        let sign_ins = self.sign_ins.iter().copied().map(Change::Ended);
        sign_ins.chain(self.sessions.iter().copied().map(Change::AppSessionEnded)).collect()
    }

    /// Whether there was nothing to end.
    pub const fn is_empty(&self) -> bool {
        self.sign_ins.is_empty() && self.sessions.is_empty()
    }
}

impl Store {
    /// Ends what is meant, for everybody: rows in one transaction, and then what is held of them.
    pub async fn revoke(&self, what: &Selection, grounds: Grounds<'_>) -> Result<Revoked, Error> {
        if matches!(what, Selection::Device { .. }) {
            self.write_devices().await?;
        }
        let mut transaction = self.write().await?;
        let revoked = self.end(&mut transaction, what, grounds).await?;
        if let Selection::Device { id, fingerprint } = what {
            note_revoked(&mut transaction, (id.as_deref(), *fingerprint)).await?;
        }
        transaction.commit().await?;
        self.apply_here(&revoked, grounds.cause);
        Ok(revoked)
    }

    /// Removes the rows of what is meant; [`Self::apply_here`] follows once that is committed.
    pub(super) async fn end(
        &self,
        connection: &mut AnyConnection,
        what: &Selection,
        grounds: Grounds<'_>,
    ) -> Result<Revoked, Error> {
        let mut found = find::first(connection, what).await?;
        let (count, sign_ins, sessions) = match what.of_sessions() {
            Some(condition) => {
                found.iter_mut().for_each(|found| found.parts.retain(|part| what.means(part)));
                let sessions = remove_sessions(connection, what, &condition).await?;
                (sessions.len(), Vec::new(), sessions)
            }
            None => {
                let condition = what.condition();
                (find::sessions(connection, &condition).await?, remove_sign_ins(connection, &condition).await?, Vec::new())
            }
        };
        let revoked = Revoked { found, count, sign_ins, sessions };
        note(connection, &revoked.changes()).await?;
        self.note_revoked(connection, &revoked, grounds).await?;
        Ok(revoked)
    }

    /// Nobody's copy is good any more; to be called when the rows are gone for good.
    pub(super) fn apply_here(&self, revoked: &Revoked, cause: Cause) {
        let committed = Instant::now();
        self.registry.end(&revoked.sign_ins, &revoked.sessions);
        let count = u64::try_from(revoked.sign_ins.len().saturating_add(revoked.sessions.len())).unwrap_or(u64::MAX);
        if count > 0 {
            let lag = (!self.is_shared()).then(|| committed.elapsed());
            // Nobody may be there to count.
            let _ = self.applied.send(Applied { cause: Some(cause), count, lag });
            self.noted.notify_one();
        }
    }
}

async fn remove_sign_ins(connection: &mut AnyConnection, (condition, values): &Condition) -> Result<Vec<SignInId>, Error> {
    let (mut removed, mut last) = (Vec::new(), SignInId(-1));
    loop {
        let meant = format!(
            "SELECT s.id FROM sign_ins s JOIN users u ON u.id = s.user_id WHERE ({condition}) AND s.id > {} ORDER BY s.id LIMIT {AT_ONCE}",
            last.0
        );
        let rows = remove(connection, format!("DELETE FROM sign_ins WHERE id IN ({meant}) RETURNING id"), values).await?;
        for row in &rows {
            let id = SignInId(row.try_get("id")?);
            removed.push(id);
            last = last.max(id);
        }
        if rows.len() < AT_ONCE {
            return Ok(removed);
        }
    }
}

async fn remove_sessions(
    connection: &mut AnyConnection,
    what: &Selection,
    (condition, values): &Condition,
) -> Result<Vec<TokenHash>, Error> {
    // Codes first: one that is being redeemed is waited for, and what it became is found then.
    if matches!(what, Selection::Hosts(_)) {
        remove(connection, format!("DELETE FROM handoffs WHERE {condition} RETURNING code"), values).await?;
    }
    let mut removed = Vec::new();
    loop {
        let meant = format!("SELECT cookie FROM app_sessions WHERE {condition} LIMIT {AT_ONCE}");
        let rows =
            remove(connection, format!("DELETE FROM app_sessions WHERE cookie IN ({meant}) RETURNING cookie"), values).await?;
        for row in &rows {
            removed.extend(TokenHash::from_bytes(row.try_get("cookie")?));
        }
        if rows.len() < AT_ONCE {
            return Ok(removed);
        }
    }
}

async fn remove(connection: &mut AnyConnection, query: String, values: &[String]) -> Result<Vec<AnyRow>, Error> {
    let mut query = sqlx::query(AssertSqlSafe(query));
    for value in values {
        query = query.bind(value.clone());
    }
    Ok(query.fetch_all(connection).await?)
}
