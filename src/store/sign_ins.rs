//! Sign-ins: made at a callback, renewed with their claims, ended once. In: checked identities and tokens. Out: live
//! objects. Must never hand out a sign-in whose row is gone.

use super::follow::placeholders;
use super::live::{Life, Renewal, SignIn};
use super::locks::{Barred, barred};
use super::revoke::{Cause, Revoked, Selection, address};
use super::seal::Purpose;
use super::{Error, Store, postgres, sqlite};
use crate::clock;
use crate::model::identity::{Profile, Subject};
use crate::model::{Identity, Lifetimes, ProviderName, SignInId, Timestamp, TokenHash};
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a callback learned.
#[derive(Clone)]
pub struct NewSignIn {
    /// The hash of the new cookie.
    pub cookie: TokenHash,
    /// The checked identity.
    pub identity: Identity,
    /// The provider's own session id (`sid`), for back-channel logout.
    pub provider_sid: Option<String>,
    /// What the token endpoint gave.
    pub tokens: Tokens,
    /// When it ends at the latest.
    pub ends: Timestamp,
    /// The sign-in whose cookie the browser had: it ends in the same transaction.
    pub replaces: Option<SignInId>,
    /// Where from.
    pub client: Client,
}

/// Where somebody signs in from.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The address.
    pub address: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: Option<String>,
}

/// Tokens of a provider; sealed in the store.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    /// The latest ID token, for `id_token_hint`.
    pub id_token: String,
    /// For the renewal of claims, where the provider gives one.
    pub refresh_token: Option<String>,
    /// Until when the claims hold by the provider's word, in seconds since 1970.
    pub expires: Option<u64>,
}

/// What is left of a sign-in that has ended: enough to sign out at the provider.
#[derive(Clone)]
pub struct Ended {
    /// The provider.
    pub provider: ProviderName,
    /// The latest ID token.
    pub id_token: String,
}

/// How many are written, or asked for, with one statement.
const AT_ONCE: usize = 200;
/// How much later than here a use may be written down elsewhere.
const LAG: Duration = Duration::from_secs(120);
/// How long before the end it is asked whether a sign-in is in use elsewhere.
const SOON: Duration = Duration::from_secs(30);
/// How long before the claims are stale they are renewed: a tenth of their life, a minute at most.
const RENEW_AHEAD: Duration = Duration::from_secs(60);

impl Tokens {
    pub(super) fn renewal(&self, now: Timestamp, outdated: Timestamp) -> Option<Renewal> {
        self.refresh_token.as_ref()?;
        if outdated != Timestamp::default() {
            // At once, whatever the clock says of whoever wrote that down.
            let at_once = Timestamp::default();
            return Some(Renewal { at: at_once, stale: at_once, outdated });
        }
        let stale = Timestamp::from_seconds(self.expires?);
        let ahead = (stale.since(now) / 10).min(RENEW_AHEAD);
        Some(Renewal {
            at: Timestamp::from_millis(stale.millis().saturating_sub(u64::try_from(ahead.as_millis()).unwrap_or(0))),
            stale,
            outdated,
        })
    }
}

/// A query for what [`Store::read_sign_in`] reads. Columns are named: another version may add some while this one runs.
macro_rules! sign_ins {
    ($of:literal) => {
        concat!(
            "SELECT s.id, s.profile, s.authenticated_at, s.created_at, s.last_seen, s.ends_at, s.tokens, s.outdated_at,
             u.provider, u.subject
             FROM sign_ins s JOIN users u ON u.id = s.user_id ",
            $of
        )
    };
}
pub(super) use sign_ins;

const BY_COOKIE: &str = sign_ins!("WHERE s.cookie = $1");
pub(super) const BY_ID: &str = sign_ins!("WHERE s.id = $1");
const IS_OVER: &str = "(ends_at <= $1 OR last_seen <= $2 OR created_at <= $3)";

impl Store {
    /// Makes a sign-in, and ends the one that it replaces; neither where something keeps the person out.
    pub async fn create_sign_in(&self, new: NewSignIn) -> Result<Result<Arc<SignIn>, Barred>, Error> {
        let now = clock::now();
        let mut transaction = self.write().await?;
        if let Some(barred) = barred(&mut transaction, &new.identity).await? {
            return Ok(Err(barred));
        }
        if let Err(barred) = self.laid(&mut transaction, &Arc::new(new.identity.clone())).await? {
            // Who it was that is out is remembered: they may come back by another address.
            transaction.commit().await?;
            return Ok(Err(Barred::Directory(barred)));
        }
        let replaced = match new.replaces {
            Some(old) => self.end(&mut transaction, &Selection::SignIns(vec![old]), Cause::Replaced.into()).await?,
            None => Revoked::default(),
        };
        let user = upsert_user(&mut transaction, &new.identity, now).await?;
        let id = insert(&mut transaction, user, &new, now).await?;
        let sealed = self.seal_tokens(id, &new.tokens)?;
        sqlx::query("UPDATE sign_ins SET tokens = $1 WHERE id = $2").bind(sealed).bind(id.0).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.apply_here(&replaced, Cause::Replaced);
        Ok(self.sign_in(&new.cookie).await?.ok_or(Barred::Ended))
    }

    /// The sign-in of this cookie.
    pub async fn sign_in(&self, cookie: &TokenHash) -> Result<Option<Arc<SignIn>>, Error> {
        loop {
            let generation = self.registry.generation();
            let query = sqlx::query(BY_COOKIE);
            let Some(row) = query.bind(cookie.as_bytes()).fetch_optional(&self.readers()).await? else {
                return Ok(None);
            };
            let Some(fresh) = self.read_sign_in(&row).await? else { return Ok(None) };
            if let Ok(live) = self.registry.sign_in(fresh, generation) {
                return Ok(Some(live));
            }
        }
    }

    /// The sealed tokens of a sign-in.
    pub async fn tokens(&self, id: SignInId) -> Result<Option<Tokens>, Error> {
        let row = sqlx::query("SELECT tokens FROM sign_ins WHERE id = $1").bind(id.0).fetch_optional(&self.readers()).await?;
        row.map(|row| self.open_tokens(id, &row)).transpose()
    }

    /// Ends a sign-in and everything made from it; `None` when it had ended before, or its tokens can't be opened.
    pub async fn end_sign_in(&self, id: SignInId, cause: Cause) -> Result<Option<Ended>, Error> {
        let mut transaction = self.write().await?;
        let row = sqlx::query(BY_ID).bind(id.0).fetch_optional(&mut *transaction).await?;
        let revoked = self.end(&mut transaction, &Selection::SignIns(vec![id]), cause.into()).await?;
        transaction.commit().await?;
        self.apply_here(&revoked, cause);
        // Where the row was gone before, whoever holds it learns so.
        self.registry.end(&[id], &[]);
        Ok(row.and_then(|row| self.ended(id, &row).ok()))
    }

    /// Writes down when sign-ins were last used, that end when they are idle for this long. That ends nothing and depends on nothing, and
    /// so waits for nobody who writes, nor has them wait: it leaves out the rows that others have, until the next time.
    pub(super) async fn write_last_seen(&self, idle: Duration) -> Result<(), Error> {
        let now = clock::now();
        let before = Timestamp::from_millis(self.uses_written.load(Ordering::Relaxed));
        let live = self.registry.live_sign_ins();
        let unwritten: Vec<_> =
            live.iter().filter_map(|sign_in| Some((sign_in, sign_in.unwritten((before, now), idle)?))).collect();
        for some in unwritten.chunks(AT_ONCE) {
            // Numbers may be a part of the text, which is read faster than each of them is bound.
            let uses: Vec<String> = some.iter().map(|(sign_in, seen)| format!("({}, {})", sign_in.id.0, to_sql(*seen))).collect();
            let uses = uses.join(", ");
            if self.is_shared() {
                let rows = sqlx::query(AssertSqlSafe(postgres::note_uses(&uses))).fetch_all(&self.writer()).await?;
                self.were_seen(&rows)?;
            } else {
                sqlx::query(AssertSqlSafe(sqlite::note_uses(&uses))).execute(&self.writer()).await?;
                some.iter().for_each(|(sign_in, seen)| sign_in.written(*seen));
            }
        }
        self.uses_written.store(now.millis(), Ordering::Relaxed);
        Ok(())
    }

    /// Has those that are held learn what their rows say.
    fn were_seen(&self, rows: &[AnyRow]) -> Result<(), Error> {
        for row in rows {
            if let Some(held) = self.registry.held(SignInId(row.try_get("id")?)) {
                held.was_seen(time(row, "last_seen")?);
            }
        }
        Ok(())
    }

    /// A sign-in that is idle here may be in use at another replica: reads when those were used last that would end soon.
    pub(super) async fn read_last_seen(&self, lifetimes: Lifetimes) -> Result<(), Error> {
        let soon = clock::now().plus(SOON);
        let live = self.registry.live_sign_ins();
        let idle: Vec<_> = live.iter().filter(|sign_in| sign_in.life(soon, lifetimes) == Life::Expired).collect();
        for some in idle.chunks(AT_ONCE) {
            let text = format!("SELECT id, last_seen FROM sign_ins WHERE id IN ({})", placeholders(some.len()));
            let query = some.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, sign_in| query.bind(sign_in.id.0));
            self.were_seen(&query.fetch_all(&self.readers()).await?)?;
        }
        Ok(())
    }

    pub(super) async fn remove_expired(&self, lifetimes: Lifetimes) -> Result<(), Error> {
        let now = to_sql(clock::now());
        if !self.over(&self.readers(), over(), lifetimes).await?.is_empty() {
            self.remove(lifetimes).await?;
        }
        sqlx::query("DELETE FROM handoffs WHERE expires_at <= $1").bind(now).execute(&self.writer()).await?;
        Ok(())
    }

    /// What is over, by its rows and by what is held.
    async fn over(&self, executor: impl sqlx::AnyExecutor<'_>, text: String, lifetimes: Lifetimes) -> Result<Vec<SignInId>, Error> {
        let time = clock::now();
        let before = |duration: Duration| to_sql(time).saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        // Another replica writes down what is used after a while, and its clock may go otherwise.
        let idle = if self.is_shared() { lifetimes.idle.saturating_add(LAG) } else { lifetimes.idle };
        let over = sqlx::query_scalar(AssertSqlSafe(text)).bind(to_sql(time)).bind(before(idle)).bind(before(lifetimes.lifetime));
        let over: Vec<i64> = over.fetch_all(executor).await?;
        // A row may lag behind the object that is in use.
        let lives = |id: SignInId| self.registry.held(id).is_some_and(|held| held.life(time, lifetimes) == Life::Live);
        Ok(over.into_iter().map(SignInId).filter(|id| !lives(*id)).collect())
    }

    async fn remove(&self, lifetimes: Lifetimes) -> Result<(), Error> {
        let mut transaction = self.write().await?;
        // Others may have written meanwhile, and cannot any more; but for uses, which are written without the lock: they can't once the
        // rows are taken.
        let over = self.over(&mut *transaction, over(), lifetimes).await?;
        let mut all = Vec::new();
        for some in over.chunks(AT_ONCE) {
            let still = self.over(&mut *transaction, take_over(some), lifetimes).await?;
            all.push(self.end(&mut transaction, &Selection::SignIns(still), Cause::Expired.into()).await?);
        }
        transaction.commit().await?;
        all.iter().for_each(|revoked| self.apply_here(revoked, Cause::Expired));
        Ok(())
    }

    /// A sign-in; `None` where its tokens were sealed with a key that is gone: then it is over, and the person signs in again; or
    /// where the directory does not let the person have it.
    pub(super) async fn read_sign_in(&self, row: &AnyRow) -> Result<Option<SignIn>, Error> {
        Ok(self.read_sign_ins(std::slice::from_ref(row)).await?.pop())
    }

    /// Those of several that somebody may have.
    pub(super) async fn read_sign_ins(&self, rows: &[AnyRow]) -> Result<Vec<SignIn>, Error> {
        let claims = rows.iter().map(|row| read_claims(row).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let laid = self.laid_now(&claims).await?;
        let mut sign_ins = Vec::new();
        for ((row, claims), laid) in rows.iter().zip(claims).zip(laid) {
            if let Ok(identity) = laid {
                sign_ins.extend(self.whole(row, (claims, identity))?);
            }
        }
        Ok(sign_ins)
    }

    fn whole(&self, row: &AnyRow, identities: (Arc<Identity>, Arc<Identity>)) -> Result<Option<SignIn>, Error> {
        let id = SignInId(row.try_get("id")?);
        let tokens = match self.open_tokens(id, row) {
            Err(Error::Seal(error)) => {
                tracing::warn!(sign_in = id.0, %error, "a sign-in is over: its tokens can't be opened");
                return Ok(None);
            }
            opened => opened?,
        };
        let renewal = tokens.renewal(clock::now(), time(row, "outdated_at")?);
        let (created, seen, ends) = (time(row, "created_at")?, time(row, "last_seen")?, time(row, "ends_at")?);
        Ok(Some(SignIn::new(id, identities, created, seen, ends, renewal)))
    }

    fn ended(&self, id: SignInId, row: &AnyRow) -> Result<Ended, Error> {
        Ok(Ended { provider: read_claims(row)?.subject.provider, id_token: self.open_tokens(id, row)?.id_token })
    }

    /// Sealed tokens, where they can still be opened.
    pub(super) fn unsealed(&self, id: SignInId, sealed: &[u8]) -> Option<Tokens> {
        let plain = self.ring.open(Purpose::Tokens, &format!("sign_ins {}", id.0), sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    pub(super) fn seal_tokens(&self, id: SignInId, tokens: &Tokens) -> Result<Vec<u8>, Error> {
        Ok(self.ring.seal(Purpose::Tokens, &format!("sign_ins {}", id.0), to_json(tokens)?.as_bytes())?)
    }

    fn open_tokens(&self, id: SignInId, row: &AnyRow) -> Result<Tokens, Error> {
        let sealed: Vec<u8> = row.try_get("tokens")?;
        let plain = self.ring.open(Purpose::Tokens, &format!("sign_ins {}", id.0), &sealed)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Damaged("sign_ins"))
    }
}

fn over() -> String {
    format!("SELECT id FROM sign_ins WHERE {IS_OVER}")
}

/// Takes the rows of those that are over.
fn take_over(some: &[SignInId]) -> String {
    let ids: Vec<String> = some.iter().map(|id| id.0.to_string()).collect();
    format!("UPDATE sign_ins SET last_seen = last_seen WHERE id IN ({}) AND {IS_OVER} RETURNING id", ids.join(", "))
}

async fn upsert_user(connection: &mut AnyConnection, identity: &Identity, now: Timestamp) -> Result<i64, Error> {
    let query = sqlx::query(
        "INSERT INTO users (provider, subject, profile, first_seen, last_sign_in) VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (provider, subject) DO UPDATE SET profile = excluded.profile, last_sign_in = excluded.last_sign_in
         RETURNING id",
    );
    let subject = &identity.subject;
    let query = query.bind(subject.provider.as_str()).bind(&subject.subject).bind(to_json(&identity.profile)?).bind(to_sql(now));
    Ok(query.fetch_one(connection).await?.try_get(0)?)
}

async fn insert(connection: &mut AnyConnection, user: i64, new: &NewSignIn, now: Timestamp) -> Result<SignInId, Error> {
    let query = sqlx::query(
        "INSERT INTO sign_ins
           (cookie, user_id, profile, authenticated_at, created_at, last_seen, ends_at, provider_sid, email, address, agent)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10) RETURNING id",
    );
    let query = query.bind(new.cookie.as_bytes()).bind(user).bind(to_json(&new.identity.profile)?);
    let query = query.bind(to_sql(new.identity.authenticated_at)).bind(to_sql(now)).bind(to_sql(new.ends)).bind(&new.provider_sid);
    let query = query.bind(address(&new.identity.profile)).bind(new.client.address.map(|address| address.to_string()));
    Ok(SignInId(query.bind(&new.client.agent).fetch_one(connection).await?.try_get(0)?))
}

/// Who the provider said it is.
pub(super) fn read_claims(row: &AnyRow) -> Result<Identity, Error> {
    let profile: &str = row.try_get("profile")?;
    let profile: Profile = serde_json::from_str(profile).map_err(|_| Error::Damaged("sign_ins"))?;
    let provider = ProviderName::parse(row.try_get("provider")?).ok_or(Error::Damaged("users"))?;
    let subject = Subject { provider, subject: row.try_get("subject")? };
    Ok(Identity { subject, profile, authenticated_at: time(row, "authenticated_at")? })
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Damaged("memory"))
}

pub(super) fn to_sql(time: Timestamp) -> i64 {
    i64::try_from(time.millis()).unwrap_or(i64::MAX)
}

pub(super) fn time(row: &AnyRow, column: &str) -> Result<Timestamp, Error> {
    let milliseconds: i64 = row.try_get(column)?;
    Ok(Timestamp::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
}
