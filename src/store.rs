//! What must outlive the process: people, sign-ins, app sessions, handoff codes, signing keys, what is known of
//! devices. In: typed values. Out: live
//! objects that every holder shares. Must never keep a cookie, a code or a token readable, and never say that something
//! has ended before its row is gone.

mod app_sessions;
mod changes;
mod database;
mod devices;
pub mod directory;
pub mod ending;
mod follow;
mod freshness;
mod known;
mod live;
mod locks;
mod logouts;
mod notices;
mod people;
mod postgres;
mod registry;
mod renewals;
mod revoke;
pub mod seal;
mod sealing_keys;
mod sign_ins;
pub mod signals;
mod signing_keys;
mod sqlite;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
mod used_devices;

pub use app_sessions::{Handoff, name};
pub use database::Location;
pub use follow::Followed;
pub use freshness::OutOfReach;
pub use known::{KeptOut, Known, known};
pub use live::{AppSession, Life, SignIn};
pub use locks::Barred;
pub use logouts::Logout;
pub use notices::{Notice, Subscriber};
pub use people::people;
pub use renewals::Lease;
pub use revoke::{Applied, Cause, Found, Grounds, Part, Revoked, Selection};
pub use sign_ins::{Client, Ended, NewSignIn, Tokens};
pub use signing_keys::StoredKey;

use crate::clock;
use crate::model::Lifetimes;
use crate::model::secret::NoRandomness;
use arc_swap::ArcSwap;
use database::Database;
use registry::Registry;
use seal::KeyRing;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};

/// The store of one process.
pub struct Store {
    database: Database,
    ring: KeyRing,
    registry: Registry,
    told: devices::Told,
    laying: directory::Laying,
    unwritten: used_devices::Unwritten,
    /// When last uses were written down the last time, in milliseconds.
    uses_written: AtomicU64,
    follower: Arc<follow::Follower>,
    runtime: Handle,
    renewals: UnboundedSender<Arc<SignIn>>,
    renewals_asked: Mutex<Option<UnboundedReceiver<Arc<SignIn>>>>,
    applied: UnboundedSender<Applied>,
    applied_here: Mutex<Option<UnboundedReceiver<Applied>>>,
    subscribers: ArcSwap<Vec<Subscriber>>,
    noted: Notify,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `store:` is not a location that this version knows.
    #[error("the location of the store: {0}")]
    Location(String),
    /// The server only follows another one.
    #[error("the database server is a standby: connect to its primary")]
    Standby,
    /// The server does not prove to be the one that is meant.
    #[error(
        "the database server does not prove who it is ({0}): its certificate has to bear the name in the location, and to be of an authority in the file that `sslrootcert` names, or of one of the Web's"
    )]
    Untrusted(String),
    /// Replicas must be told where the keys are that they share.
    #[error("it is not said where the sealing keys are")]
    NoKeys,
    /// The key file can't be read or written.
    #[error("the key file {path}: {cause}")]
    Keys {
        /// Where it is.
        path: String,
        /// What is wrong.
        cause: String,
    },
    /// Another replica seals with another key.
    #[error("the key file is not that of the other replicas: key {0} is missing or another one")]
    OtherKeys(i64),
    /// The database does not answer, or is not ours.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables can't be brought up to date.
    #[error("the database can't be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another replica does that, and does not come to an end.
    #[error(
        "the tables can't be brought up to date: somebody holds them, perhaps another replica that has begun with that and was stopped"
    )]
    HeldUp,
    /// The database took too long to answer.
    #[error("the database does not answer in time")]
    Late,
    /// A row does not read back.
    #[error("a row of {0} is damaged")]
    Damaged(&'static str),
    /// A sealed value can't be opened or made.
    #[error(transparent)]
    Seal(#[from] seal::SealError),
    /// The lease on a renewal was over, and another process has taken it on.
    #[error("another process has renewed the claims meanwhile, or is about to")]
    Overtaken,
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The control runtime is going down.
    #[error("shutting down")]
    ShuttingDown,
}

/// The keys that vouch for the audit trails of a store. Changes nothing, and makes none.
pub fn trail_keys(location: &Location) -> Result<seal::TrailKeys, Error> {
    let keys = location.keys.as_deref().ok_or(Error::NoKeys)?;
    Ok(KeyRing::load(keys, false)?.trail_keys()?)
}

impl Store {
    /// Opens (and makes, where there is none) the database and its key file. `runtime` is where every query runs.
    pub async fn open(location: &str, runtime: Handle) -> Result<Arc<Self>, Error> {
        Self::open_at(Location::parse(location)?, runtime).await
    }

    /// The same, of a location that was read.
    pub async fn open_at(location: Location, runtime: Handle) -> Result<Arc<Self>, Error> {
        let keys = location.keys.clone().ok_or(Error::NoKeys)?;
        let shared = location.is_shared();
        let database = Database::open(location).await?;
        let ring = KeyRing::load(&keys, !shared)?;
        let (renewals, asked) = unbounded_channel();
        let renewals_asked = Mutex::new(Some(asked));
        let (registry, told, follower) = (Registry::default(), devices::Told::default(), Arc::default());
        let laying = directory::Laying::default();
        let (unwritten, (applied, here)) = (used_devices::Unwritten::default(), unbounded_channel());
        let (applied_here, subscribers, noted) = (Mutex::new(Some(here)), ArcSwap::default(), Notify::new());
        let uses_written = AtomicU64::new(clock::now().millis());
        let store = Self {
            database,
            ring,
            registry,
            told,
            laying,
            unwritten,
            uses_written,
            follower,
            runtime,
            renewals,
            renewals_asked,
            applied,
            applied_here,
            subscribers,
            noted,
        };
        if shared {
            store.agree_on_sealing_keys().await?;
        }
        store.reseal_signing_keys().await?;
        store.complete().await?;
        store.read_told().await?;
        let store = Arc::new(store);
        follow::start(&store);
        used_devices::start(&store);
        Ok(store)
    }

    /// The keys that vouch for the audit trail.
    pub fn trail_keys(&self) -> Result<seal::TrailKeys, Error> {
        Ok(self.ring.trail_keys()?)
    }

    /// The keys that seal what leaves our hands.
    pub const fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Asks for a renewal of this sign-in's claims, once however many ask.
    pub fn ask_renewal(&self, sign_in: &Arc<SignIn>) {
        if sign_in.renewal_begins() && self.renewals.send(Arc::clone(sign_in)).is_err() {
            sign_in.renewal_ends();
        }
    }

    /// The sign-ins whose renewal is asked for; given out once, to the one who renews.
    pub fn renewals(&self) -> Option<UnboundedReceiver<Arc<SignIn>>> {
        self.renewals_asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Changes whenever something that is held here has ended: what flows by it is to be looked at.
    pub fn endings(&self) -> watch::Receiver<()> {
        self.registry.endings()
    }

    /// What ends in this process; given out once, to the one who counts.
    pub fn applied(&self) -> Option<UnboundedReceiver<Applied>> {
        self.applied_here.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the database answers.
    pub async fn is_up(&self) -> bool {
        if self.is_shared() {
            return !self.is_behind();
        }
        sqlx::query("SELECT 1").execute(&self.readers()).await.is_ok()
    }

    /// Writes down all that is not yet; called before the end.
    pub async fn write_down(&self) -> Result<(), Error> {
        self.write_last_seen(Duration::ZERO).await?;
        self.write_devices().await
    }

    /// Writes down what changed little by little, removes what is over; called every few seconds.
    pub async fn tidy(&self, lifetimes: Lifetimes) -> Result<(), Error> {
        self.write_last_seen(lifetimes.idle).await?;
        self.write_devices().await?;
        self.remove_old_locks().await?;
        if self.is_shared() {
            self.read_last_seen(lifetimes).await?;
        }
        if self.has_settled() {
            self.remove_expired(lifetimes).await?;
        }
        let mut connection = self.writer().acquire().await?;
        used_devices::trim(&mut connection).await?;
        changes::trim(&mut connection).await
    }
}
