//! Following the others that share the database. In: the outbox. Out: what they have ended is ended here, what they have changed is
//! read. Must never say that it has caught up while something that was acknowledged before is not applied.
//!
//! A look reads what was committed before it began, and applies it; only then its beginning counts as the time of the last look. As
//! long as that time is within the lease, nothing that is held here is older. See [`Store::is_behind`].

use super::changes::{self, Change, Found};
use super::freshness::Freshness;
use super::live::SignIn;
use super::revoke::Applied;
use super::sign_ins::sign_ins;
use super::{Error, Store, postgres};
use crate::clock;
use crate::model::risks::Whose;
use crate::model::{SignInId, TokenHash};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often to look when nobody says that there is something.
const LOOK: Duration = Duration::from_millis(200);
/// How often to look everything up while another process is there that may not say so.
const AGAIN: Duration = Duration::from_secs(1);
/// How many moments the database may take for one query of a look.
const PATIENCE: u8 = 20;
const MOMENT: Duration = Duration::from_millis(100);
/// How many rows are asked for at once.
const AT_ONCE: usize = 200;

/// How far one process has followed.
#[derive(Default)]
pub(super) struct Follower {
    /// Told that there is something to look for.
    pub(super) wake: Notify,
    pub(super) freshness: Freshness,
    /// One at a time reads rows of what is held, and applies them: what is read later is newer.
    applying: tokio::sync::Mutex<()>,
    applied: AtomicU64,
    anew: AtomicU64,
    backlog: AtomicU64,
}

/// Where a follower reads on.
#[derive(Default)]
struct Reader {
    connection: Option<AnyConnection>,
    /// Nothing: all that is held is looked up anew.
    position: Option<i64>,
}

/// What a follower has done, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// How many changes were applied.
    pub applied: u64,
    /// How many changes were there and not applied at the last look.
    pub backlog: u64,
    /// How often all that is held was looked up anew.
    pub anew: u64,
    /// How long ago the last look began that succeeded.
    pub behind: Duration,
}

/// Follows until the store is gone.
pub(super) async fn follow(store: Weak<Store>) {
    let mut reader = Reader::default();
    while let Some(following) = store.upgrade() {
        following.look(&mut reader).await;
        let follower = Arc::clone(&following.follower);
        drop(following);
        // That nobody has woken us is no reason not to look.
        let _ = tokio::time::timeout(LOOK, follower.wake.notified()).await;
    }
}

/// Starts to follow the replicas, for as long as the store is there.
pub(super) fn start(store: &Arc<Store>) {
    if let Some(location) = store.database.shared() {
        store.runtime.spawn(follow(Arc::downgrade(store)));
        store.runtime.spawn(postgres::listen(location.clone(), Arc::downgrade(&store.follower)));
    }
}

impl Store {
    /// Follows another process on this machine, for as long as this is awaited: one that takes over, or lets go. Replicas that share
    /// a server are followed anyway.
    pub async fn follow_others(self: Arc<Self>) {
        if self.database.shared().is_none() {
            follow(Arc::downgrade(&self)).await;
        }
    }

    /// Looks up anew all that is held: what a process did last that is gone now was perhaps not seen yet, nor noted by an older
    /// version.
    pub async fn catch_up(&self) -> Result<(), Error> {
        // What was read before this, and is not held yet, is read again.
        self.registry.outdate();
        self.follower.anew.fetch_add(1, Ordering::Relaxed);
        let (sign_ins, app_sessions) = self.registry.held_now();
        self.look_again(&sign_ins).await?;
        for some in app_sessions.chunks(AT_ONCE) {
            self.end_what_is_gone(some).await?;
        }
        self.read_told().await
    }

    /// Looks up anew all that is held now and then while another process is there, whose version may not note what it does, and after
    /// that until it has succeeded once.
    pub async fn catch_up_until(self: Arc<Self>, gone: impl Future<Output = ()>) {
        let (mut gone, mut pause) = (pin!(gone), AGAIN);
        while tokio::time::timeout(pause, &mut gone).await.is_err() {
            let begun = Instant::now();
            // An error is there at the next time, or has passed.
            let _ = self.catch_up().await;
            pause = AGAIN.max(begun.elapsed() * 10);
        }
        while let Err(error) = self.catch_up().await {
            tracing::error!(%error, "what another process did last can't be found out yet");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// How following goes.
    pub fn followed(&self) -> Followed {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let behind = if self.is_shared() { self.follower.freshness.age() } else { Duration::ZERO };
        let backlog = count(&self.follower.backlog);
        Followed { backlog, applied: count(&self.follower.applied), anew: count(&self.follower.anew), behind }
    }

    async fn look(&self, reader: &mut Reader) {
        let (began, was_connected) = (clock::elapsed(), reader.connection.is_some());
        let looked = match self.try_to_look(reader).await {
            // A connection can end for many reasons; that the database is out of reach only another one can tell.
            Err(_) if was_connected => self.try_to_look(reader).await,
            looked => looked,
        };
        match looked {
            Ok(began) => self.follower.freshness.looked(began),
            Err(error) => self.follower.freshness.failed(began, &error),
        }
    }

    /// When the look began.
    async fn try_to_look(&self, reader: &mut Reader) -> Result<u64, Error> {
        let began = clock::elapsed();
        let looked = self.read_on(reader).await;
        if let Err(error) = &looked {
            reader.connection = None;
            if matches!(error, Error::Late | Error::Database(_)) {
                // What hangs there would keep its place among the connections for as long as the system does not give it up.
                self.database.connect_anew();
            }
        }
        looked.map(|()| began)
    }

    /// Reads and applies what had been noted when this began; what is noted meanwhile is for the next look.
    async fn read_on(&self, reader: &mut Reader) -> Result<(), Error> {
        let mut goal = None;
        loop {
            let connection = match &mut reader.connection {
                Some(connection) => connection,
                none => none.insert(in_time(self.database.connect()).await?),
            };
            let Some(position) = reader.position else {
                let last = in_time(changes::last(connection)).await?;
                self.catch_up().await?;
                reader.position = Some(last);
                return Ok(());
            };
            match in_time(changes::after(connection, position)).await? {
                Found::Changes { changes, end, left, age } => {
                    let found = Instant::now();
                    let count = changes.len();
                    self.follower.backlog.store(left.saturating_add(u64::try_from(count).unwrap_or(0)), Ordering::Relaxed);
                    let goal = *goal.get_or_insert(end.saturating_add_unsigned(left));
                    if count > 0 {
                        self.apply(changes).await?;
                        if let Some(age) = age {
                            // Nobody may be there to count.
                            let _ = self.applied.send(Applied { cause: None, count: 0, lag: Some(age + found.elapsed()) });
                        }
                        reader.position = Some(end);
                    }
                    if end >= goal {
                        return Ok(());
                    }
                }
                Found::Gap => reader.position = None,
            }
        }
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), Error> {
        let count = u64::try_from(changes.len()).unwrap_or(0);
        let (mut ended, mut sessions, mut renewed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut devices, mut risks, mut locks) = (HashSet::new(), HashSet::new(), HashSet::new());
        let (mut signals, mut everything) = (false, false);
        for change in changes {
            match change {
                Change::Ended(id) => ended.push(id),
                Change::AppSessionEnded(cookie) => sessions.push(cookie),
                Change::Renewed(id) => renewed.push(id),
                Change::Device(id) => drop(devices.insert(id)),
                Change::Risk(whose) => drop(risks.insert(whose)),
                Change::Signals => signals = true,
                Change::Lock(whose) => drop(locks.insert(whose)),
                Change::Everything => everything = true,
            }
        }
        self.registry.end(&ended, &sessions);
        if everything {
            return self.catch_up().await;
        }
        self.look_again(&renewed).await?;
        self.read_devices(devices).await?;
        self.read_risks(risks).await?;
        if signals {
            self.read_signals().await?;
        }
        let is_device_locked = locks.iter().any(|whose| matches!(whose, Whose::Device(_)));
        self.read_locks(locks).await?;
        if is_device_locked {
            // What was used with it here and is not written down yet ends, too. Waiting for that would be to wait for other writers.
            self.write_devices_soon();
        }
        self.follower.applied.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Reads the rows of these sign-ins again, and tells whoever holds them what they say now, or that they are gone. The only way
    /// in which a sign-in that is held gets another identity.
    pub(super) async fn look_again(&self, ids: &[SignInId]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        // A row that somebody has read before this, and not taken in yet, is read again.
        self.registry.outdate();
        let held: Vec<_> = ids.iter().filter_map(|id| self.registry.held(*id)).collect();
        for some in held.chunks(AT_ONCE) {
            let _order = self.follower.applying.lock().await;
            let text = format!(concat!(sign_ins!("WHERE s.id IN"), " ({})"), placeholders(some.len()));
            let query = some.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, held| query.bind(held.id.0));
            let rows = in_time(async { Ok(query.fetch_all(&self.followers()).await?) }).await?;
            let fresh = match in_time(self.read_sign_ins(&rows)).await {
                Err(Error::Damaged(_)) => self.read_each(&rows).await?,
                read => read?,
            };
            let mut fresh: HashMap<_, _> = fresh.into_iter().map(|fresh| (fresh.id, fresh)).collect();
            for held in some {
                match fresh.remove(&held.id) {
                    Some(fresh) => held.become_like(&fresh),
                    None => self.registry.end(&[held.id], &[]),
                }
            }
        }
        Ok(())
    }

    /// One that does not read must not hide the others.
    async fn read_each(&self, rows: &[AnyRow]) -> Result<Vec<SignIn>, Error> {
        let mut fresh = Vec::new();
        for row in rows {
            match in_time(self.read_sign_in(row)).await {
                Err(Error::Damaged(table)) => does_not_read(table),
                read => fresh.extend(read?),
            }
        }
        Ok(fresh)
    }

    async fn end_what_is_gone(&self, cookies: &[TokenHash]) -> Result<(), Error> {
        let text = format!("SELECT cookie FROM app_sessions WHERE cookie IN ({})", placeholders(cookies.len()));
        let query = cookies.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, cookie| query.bind(cookie.as_bytes()));
        let rows = in_time(async { Ok(query.fetch_all(&self.followers()).await?) }).await?;
        let there = rows.iter().map(|row| row.try_get("cookie")).collect::<Result<HashSet<&[u8]>, _>>()?;
        let gone: Vec<_> = cookies.iter().filter(|cookie| !there.contains(cookie.as_bytes())).copied().collect();
        self.registry.end(&[], &gone);
        Ok(())
    }
}

/// `$1, $2, …`, so many.
pub(super) fn placeholders(count: usize) -> String {
    (1..=count).map(|index| format!("${index}")).collect::<Vec<_>>().join(", ")
}

/// `($1, $2), ($3, $4), …`, so many.
pub(super) fn pairs(count: usize) -> String {
    (0..count).map(|index| format!("(${}, ${})", index * 2 + 1, index * 2 + 2)).collect::<Vec<_>>().join(", ")
}

/// A row that does not read, perhaps as a newer version has written it, is as good as none: it must not keep this replica from the
/// others.
pub(super) fn does_not_read(table: &str) {
    tracing::error!(table, "a row does not read: it counts as if it were not there");
}

/// Counts only time in which this process ran: after it was stopped, an answer that has come meanwhile must not count as late.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut work = pin!(work);
    for _ in 0..PATIENCE {
        if let Ok(done) = tokio::time::timeout(MOMENT, &mut work).await {
            return done;
        }
    }
    Err(Error::Late)
}
