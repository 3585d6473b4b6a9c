//! Which database it is, and its connections. In: a location. Out: pools, and transactions that write one at a time. Must never let
//! two transactions write at once: what one has read must stay so until it commits.

use super::{Error, Store, postgres, sqlite};
use arc_swap::ArcSwap;
use sqlx::any::AnyConnectOptions;
use sqlx::{Any, AnyConnection, AnyPool, Executor as _, Transaction};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

/// Where the state is kept: the database, and the file with the keys that seal what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    kind: Kind,
    pub(super) keys: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// The path of a file.
    Sqlite(String),
    /// A server.
    Postgres(postgres::Location),
}

/// How long to wait for connections that are let go of.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// How long a transaction may take to begin: longer than the limits of a server that answers.
const BEGUN: Duration = Duration::from_secs(10);

/// Where connections come from.
pub(super) struct Pools {
    pub(super) readers: AnyPool,
    pub(super) writer: AnyPool,
    /// For reading again what is held: apart from the others where there are replicas to follow.
    pub(super) followers: AnyPool,
}

/// The database of one process.
pub(super) struct Database {
    location: Location,
    pools: ArcSwap<Pools>,
}

impl Location {
    /// `sqlite:PATH`, whose keys are in `PATH.keys`, or `postgres://…`, whose keys are wherever [`Self::with_keys`] says.
    pub fn parse(location: &str) -> Result<Self, Error> {
        match location.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => {
                Ok(Self { kind: Kind::Sqlite(path.to_owned()), keys: Some(format!("{path}.keys").into()) })
            }
            Some(("postgres" | "postgresql", _)) => {
                let kind = postgres::Location::parse(location).map(Kind::Postgres).map_err(Error::Location)?;
                Ok(Self { kind, keys: None })
            }
            _ => Err(Error::Location("not a store that this version knows".to_owned())),
        }
    }

    /// With the sealing keys in this file.
    #[must_use]
    pub fn with_keys(self, file: PathBuf) -> Self {
        Self { keys: Some(file), ..self }
    }

    /// With this password for the server.
    #[must_use]
    pub fn with_password(self, password: &str) -> Self {
        match self.kind {
            Kind::Postgres(location) => Self { kind: Kind::Postgres(location.with_password(password)), ..self },
            Kind::Sqlite(_) => self,
        }
    }

    /// With its paths made absolute.
    #[must_use]
    pub fn resolved(self, resolve: impl Fn(&str) -> PathBuf) -> Self {
        match self.kind {
            Kind::Sqlite(path) => {
                let path = resolve(&path).display().to_string();
                Self { keys: Some(format!("{path}.keys").into()), kind: Kind::Sqlite(path) }
            }
            Kind::Postgres(location) => Self { kind: Kind::Postgres(location.resolved(resolve)), ..self },
        }
    }

    /// Whether several replicas may share it.
    pub const fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Postgres(_))
    }

    /// One connection that reads what is there, and makes nothing.
    pub(super) async fn read(&self) -> Result<AnyConnection, Error> {
        sqlx::any::install_default_drivers();
        match &self.kind {
            Kind::Sqlite(path) => sqlite::read(path).await,
            Kind::Postgres(location) => postgres::read(location).await,
        }
    }
}

impl fmt::Display for Location {
    /// Without what is secret in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Sqlite(path) => write!(f, "sqlite:{path}"),
            Kind::Postgres(location) => f.write_str(&location.shown()),
        }
    }
}

impl Database {
    /// Opens it, with the tables up to date.
    pub(super) async fn open(location: Location) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let pools = match &location.kind {
            Kind::Sqlite(path) => sqlite::open(path).await?,
            Kind::Postgres(location) => postgres::open(location).await?,
        };
        Ok(Self { location, pools: ArcSwap::from_pointee(pools) })
    }

    /// A connection of its own, for reading.
    pub(super) async fn connect(&self) -> Result<AnyConnection, Error> {
        self.location.read().await
    }

    /// Lets go of all connections to a server, and makes new ones as they are needed.
    pub(super) fn connect_anew(&self) {
        let Some(Ok(pools)) = self.shared().map(postgres::pool) else { return };
        let old = self.pools.swap(Arc::new(pools));
        tokio::spawn(async move {
            // What hangs ends with its caller's patience, or when the system gives the connection up.
            let _ = tokio::time::timeout(GIVEN_UP, old.writer.close()).await;
        });
    }

    /// What others share with this process, for good.
    pub(super) const fn shared(&self) -> Option<&postgres::Location> {
        match &self.location.kind {
            Kind::Sqlite(_) => None,
            Kind::Postgres(location) => Some(location),
        }
    }
}

impl Store {
    /// Where to read: each statement sees all that was committed before it began.
    pub(super) fn readers(&self) -> AnyPool {
        self.database.pools.load().readers.clone()
    }

    /// Where to read again what is held.
    pub(super) fn followers(&self) -> AnyPool {
        self.database.pools.load().followers.clone()
    }

    /// Where to write with a single statement that depends on nothing else.
    pub(super) fn writer(&self) -> AnyPool {
        self.database.pools.load().writer.clone()
    }

    /// A transaction that writes: the only one at this time, in this process and in all others.
    pub(super) async fn write(&self) -> Result<Transaction<'static, Any>, Error> {
        let is_shared = self.database.shared().is_some();
        let begin = if is_shared { postgres::BEGIN } else { sqlite::BEGIN };
        let pool = self.writer();
        // Whoever gives up while it begins must not leave it behind, begun, to whoever gets the connection next: what they write would
        // be part of it, and never be committed. In a task of its own it is begun, then let go of, which rolls it back.
        let begun = self.runtime.spawn(async move {
            let mut transaction = pool.begin_with(begin).await?;
            if is_shared {
                transaction.execute(postgres::LOCK).await?;
            }
            Ok::<_, sqlx::Error>(transaction)
        });
        let begun = tokio::time::timeout(BEGUN, begun).await.map_err(|_| Error::Late)?;
        Ok(begun.map_err(|_| Error::ShuttingDown)??)
    }
}

/// How to connect.
pub(super) fn options(url: &str) -> Result<AnyConnectOptions, Error> {
    Ok(AnyConnectOptions::from_str(url)?)
}
