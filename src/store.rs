//! What must outlive the process: people, sign-ins, app sessions, handoff codes, signing keys, what is known of
//! devices. In: typed values. Out: live
//! objects that every holder shares. Must never keep a cookie, a code or a token readable, and never say that something
//! has ended before its row is gone.

mod app_sessions;
mod devices;
mod live;
mod logouts;
mod others;
mod people;
mod registry;
pub mod seal;
mod sign_ins;
mod signing_keys;
mod sqlite;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use app_sessions::Handoff;
pub use devices::devices;
pub use live::{AppSession, Life, SignIn};
pub use logouts::Logout;
pub use people::people;
pub use sign_ins::{Ended, NewSignIn, Tokens};
pub use signing_keys::StoredKey;

use crate::model::Lifetimes;
use crate::model::secret::NoRandomness;
use registry::Registry;
use seal::KeyRing;
use sqlx::SqlitePool;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The store of one process.
pub struct Store {
    readers: SqlitePool,
    writer: SqlitePool,
    ring: KeyRing,
    registry: Registry,
    told: devices::Told,
    runtime: Handle,
    renewals: UnboundedSender<Arc<SignIn>>,
    renewals_asked: Mutex<Option<UnboundedReceiver<Arc<SignIn>>>>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `store:` is not a location that this version knows.
    #[error("the store `{0}` is not of the form sqlite:PATH")]
    Location(String),
    /// The key file can't be read or written.
    #[error("the key file {path}: {cause}")]
    Keys {
        /// Where it is.
        path: String,
        /// What is wrong.
        cause: String,
    },
    /// The database does not answer, or is not ours.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables can't be brought up to date.
    #[error("the database can't be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row does not read back.
    #[error("a row of {0} is damaged")]
    Damaged(&'static str),
    /// A sealed value can't be opened or made.
    #[error(transparent)]
    Seal(#[from] seal::SealError),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The control runtime is going down.
    #[error("shutting down")]
    ShuttingDown,
}

/// The keys that vouch for the audit trails of a store. Changes nothing, and makes none.
pub fn trail_keys(location: &str) -> Result<seal::TrailKeys, Error> {
    Ok(KeyRing::read(&keys_beside(sqlite::database(location)?))?.trail_keys()?)
}

fn keys_beside(path: &str) -> String {
    format!("{path}.keys")
}

impl Store {
    /// Opens (and makes, where there is none) the database and its key file. `runtime` is where every query runs.
    pub async fn open(location: &str, runtime: Handle) -> Result<Arc<Self>, Error> {
        let path = sqlite::database(location)?;
        let (readers, writer) = sqlite::open(path).await?;
        let ring = KeyRing::load(&keys_beside(path))?;
        let (renewals, asked) = unbounded_channel();
        let renewals_asked = Mutex::new(Some(asked));
        let (registry, told) = (Registry::default(), devices::Told::default());
        let store = Self { readers, writer, ring, registry, told, runtime, renewals, renewals_asked };
        store.reseal_signing_keys().await?;
        store.read_told().await?;
        Ok(Arc::new(store))
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

    /// Whether the database answers.
    pub async fn is_up(&self) -> bool {
        sqlx::query("SELECT 1").execute(&self.readers).await.is_ok()
    }

    /// Writes down what changed little by little, removes what is over; called every few seconds and before the end.
    pub async fn tidy(&self, lifetimes: Lifetimes) -> Result<(), Error> {
        self.write_last_seen().await?;
        self.remove_expired(lifetimes).await
    }
}
