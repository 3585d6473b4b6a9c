//! PostgreSQL, which replicas share. In: a location. Out: one pool, whose connections give up rather than hang. Must never show the
//! password of a location, nor speak to another machine without knowing whom it speaks to.

use super::Error;
use super::database::{Pools, options};
use super::follow::Follower;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgListener;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use url::Url;

/// How a transaction begins that writes.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Makes a transaction the only one that writes, of all replicas: whatever it reads stays so until it commits, and nothing needs to be
/// tried again. A statement of its own: where it fails, the transaction is known to have begun, and is rolled back.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(4919131752989213764)::text AS locked";
/// How many connections a replica may use, besides the two by which it follows: whoever waits for the lock keeps nobody from reading,
/// and neither keeps it from following.
const READERS: u32 = 5;
const WRITERS: u32 = 3;
const FOLLOWERS: u32 = 2;
/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where the server says that there are changes.
const CHANNEL: &str = "doorward_changes";
const SILENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);
/// A server that loses its power must not lose what was acknowledged, nor a standby that was waited for when it takes over. Said also where
/// it is so already: what a session has set itself, no change of the server's configuration takes away. What is stricter stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
    WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)";
/// What goes for a replica that brings the tables up to date: one that has stopped is ended by the server, and those that wait give up.
/// Whatever the database itself says stays.
const LIMITS_OF_MIGRATION: [(&str, &str); 3] =
    [("lock_timeout", "60s"), ("idle_session_timeout", "5s"), ("idle_in_transaction_session_timeout", "5s")];
/// How long to wait for others without a word.
const SILENTLY: Duration = Duration::from_secs(2);
/// What the server calls it when a lock was waited for in vain.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// What the server ends by itself, so that a replica that has stopped in the middle of a transaction holds nobody up, be it while the
/// server waits for it or while it sends.
const LIMITS: [(&str, &str); 4] = [
    ("statement_timeout", "5000"),
    ("lock_timeout", "4000"),
    ("idle_in_transaction_session_timeout", "2000"),
    ("tcp_user_timeout", "5000"),
];
/// What may be said in a location beside the server and the database.
const PARAMETERS: [&str; 7] = ["application_name", "host", "options", "sslcert", "sslkey", "sslmode", "sslrootcert"];
const MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// A location that was checked.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Location(Url);

impl Location {
    /// Reads a location; what is wrong with it, without what is secret in it.
    pub(super) fn parse(location: &str) -> Result<Self, String> {
        let mut url = Url::parse(location).map_err(|error| format!("not a URL: {error}"))?;
        if url.host().is_none() && !url.query_pairs().any(|(name, _)| name == "host") {
            return Err("no server is named".to_owned());
        }
        if url.password().is_some() {
            return Err("a password does not belong into it: `store_password` says where that is".to_owned());
        }
        // It could be the rest of a password that was not escaped.
        if url.fragment().is_some() || url.path().contains('@') || url.query().is_some_and(|query| query.contains('@')) {
            return Err("there is a `#`, or a `@` behind the server: within a name they are written as `%23` and `%40`".to_owned());
        }
        if let Some((name, _)) = url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&&**name)) {
            return Err(format!("`{name}` is not a parameter that this version knows: {}", PARAMETERS.join(", ")));
        }
        if !url.query_pairs().any(|(name, _)| name == "sslmode") && !is_here(&url) {
            url.query_pairs_mut().append_pair("sslmode", "verify-full");
        }
        Ok(Self(url))
    }

    pub(super) fn with_password(mut self, password: &str) -> Self {
        // It has no place in a URL without a host, as where that is a parameter.
        if self.0.set_password(Some(password)).is_err() {
            self.0.query_pairs_mut().append_pair("password", password);
        }
        self
    }

    /// With the paths of certificates made absolute.
    pub(super) fn resolved(mut self, resolve: impl Fn(&str) -> PathBuf) -> Self {
        let is_path = |name: &str| ["sslcert", "sslkey", "sslrootcert"].contains(&name);
        let resolved =
            |name: &str, value: &str| if is_path(name) { resolve(value).display().to_string() } else { value.to_owned() };
        let pairs: Vec<_> = self.0.query_pairs().map(|(name, value)| (name.to_string(), resolved(&name, &value))).collect();
        self.0.set_query(None);
        if !pairs.is_empty() {
            self.0.query_pairs_mut().extend_pairs(pairs);
        }
        self
    }

    /// The location without what is secret in it.
    pub(super) fn shown(&self) -> String {
        let port = self.0.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("postgres://{}{port}{}", self.0.host_str().unwrap_or(""), self.0.path())
    }

    /// With limits on what the server does for us.
    fn limited(&self) -> String {
        let mut url = self.0.clone();
        for (name, value) in LIMITS {
            url.query_pairs_mut().append_pair(&format!("options[{name}]"), value);
        }
        url.into()
    }

    /// Without: for what may take long, or waits.
    pub(super) fn unlimited(&self) -> &str {
        self.0.as_str()
    }
}

/// Whether the server is on this machine: then nobody is in between.
fn is_here(url: &Url) -> bool {
    let host = url.query_pairs().find(|(name, _)| name == "host").map(|(_, host)| host.into_owned());
    let host = host.or_else(|| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| address.is_loopback()) || host == "localhost" || host.starts_with('/')
}

/// A pool, with the tables up to date.
pub(super) async fn open(location: &Location) -> Result<Pools, Error> {
    let mut connection = connect(location).await?;
    check(&mut connection).await?;
    migrate(&mut connection).await?;
    connection.close().await?;
    pool(location)
}

/// A pool that connects when it is first used.
pub(super) fn pool(location: &Location) -> Result<Pools, Error> {
    let options = options(&location.limited())?;
    let pool = |connections| {
        let pool = AnyPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
        let pool = pool.max_lifetime(Duration::from_secs(1800)).after_connect(|connection, _| Box::pin(prepare(connection)));
        pool.connect_lazy_with(options.clone())
    };
    Ok(Pools { readers: pool(READERS), writer: pool(WRITERS), followers: pool(FOLLOWERS) })
}

/// A server that was the primary may be a standby by now.
async fn prepare(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    if is_standby(connection).await? {
        return Err(sqlx::Error::Protocol(Error::Standby.to_string()));
    }
    connection.execute(DURABLE).await.map(drop)
}

/// One connection, to a database that is there.
pub(super) async fn read(location: &Location) -> Result<AnyConnection, Error> {
    let mut connection = connect(location).await?;
    if is_standby(&mut connection).await? { Err(Error::Standby) } else { Ok(connection) }
}

async fn connect(location: &Location) -> Result<AnyConnection, Error> {
    options(location.unlimited())?.connect().await.map_err(|error| untrusted(&error).unwrap_or(error.into()))
}

/// Where the certificate of the server is what is wrong.
fn untrusted(error: &sqlx::Error) -> Option<Error> {
    let sqlx::Error::Io(error) = error else { return None };
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(error, rustls::Error::InvalidCertificate(_)).then(|| Error::Untrusted(error.to_string()))
}

/// Brings the tables up to date. One replica does, and the others wait for it, though not for ever.
async fn migrate(connection: &mut AnyConnection) -> Result<(), Error> {
    for (name, value) in LIMITS_OF_MIGRATION {
        // A server that is older than a limit goes without it.
        let limit = sqlx::query("SELECT set_config($1, $2, false) WHERE current_setting($1, true) = '0'");
        limit.bind(name).bind(value).execute(&mut *connection).await?;
    }
    let mut migrated = pin!(MIGRATIONS.run(connection));
    let done = match timeout(SILENTLY, &mut migrated).await {
        Ok(done) => done,
        Err(_) => {
            tracing::warn!("bringing the tables up to date takes a while, or another replica does it and is waited for");
            migrated.await
        }
    };
    done.map_err(|error| if is_held_up(&error) { Error::HeldUp } else { error.into() })
}

fn is_held_up(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    error.as_database_error().is_some_and(|error| error.code().is_some_and(|code| code == LOCK_NOT_AVAILABLE))
}

/// A standby is behind.
async fn is_standby(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    connection.fetch_one("SELECT pg_is_in_recovery() AS standby").await?.try_get("standby")
}

/// Wakes the follower whenever a change is committed, for as long as there is one. It looks anyway: this only makes it faster.
pub(super) async fn listen(location: Location, follower: Weak<Follower>) {
    while follower.strong_count() > 0 {
        if let Ok(Ok(mut listener)) = timeout(PATIENCE, listener(&location)).await {
            // A connection that is silent may be dead: another costs little.
            while let Ok(Ok(Some(_))) = timeout(SILENCE, listener.try_recv()).await {
                let Some(follower) = follower.upgrade() else { return };
                follower.wake.notify_one();
            }
        }
        sleep(PAUSE).await;
    }
}

async fn listener(location: &Location) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect(location.unlimited()).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// A server that does not sync forgets.
async fn check(connection: &mut AnyConnection) -> Result<(), Error> {
    if is_standby(connection).await? {
        return Err(Error::Standby);
    }
    let row = connection.fetch_one("SELECT current_setting('fsync') AS fsync").await?;
    if row.try_get::<&str, _>("fsync")? != "on" {
        tracing::warn!("the database runs with fsync off: what it has acknowledged can be lost with its machine");
    }
    Ok(())
}

/// Writes down when these were last used, each a pair of its number and the time in milliseconds; says what the rows say then. Leaves
/// out those that others have.
pub(super) fn note_uses(uses: &str) -> String {
    format!(
        "WITH seen AS (SELECT column1 AS id, column2 AS at FROM (VALUES {uses}) AS uses),
              free AS (SELECT id FROM sign_ins WHERE id IN (SELECT id FROM seen) FOR NO KEY UPDATE SKIP LOCKED)
         UPDATE sign_ins SET last_seen = GREATEST(last_seen, seen.at) FROM seen, free
         WHERE sign_ins.id = seen.id AND free.id = seen.id RETURNING sign_ins.id, last_seen"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_server_elsewhere_has_to_say_who_it_is() {
        for (location, verifies) in [
            ("postgres://u@db.corp.example/d", true),
            ("postgres://u@10.0.0.1/d", true),
            ("postgres://u@[2001:db8::1]/d", true),
            ("postgres://u@localhost.corp.example/d", true),
            ("postgres://u@db/d?host=10.0.0.1", true),
            ("postgres:///d?host=10.0.0.1", true),
            ("postgres://u@localhost/d?host=10.0.0.1", true),
            ("postgres://u@127.0.0.1/d", false),
            ("postgres://u@[::1]/d", false),
            ("postgres://u@localhost/d", false),
            ("postgres:///d?host=/run/postgresql", false),
            ("postgres://u@db/d?sslmode=disable", false),
        ] {
            let location = Location::parse(location).unwrap();
            assert_eq!(location.unlimited().contains("sslmode=verify-full"), verifies, "{}", location.unlimited());
        }
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let location = Location::parse("postgres://u@db/d?sslmode=disable").unwrap().with_password("hunter2");
        assert!(location.unlimited().contains("hunter2"));
        assert_eq!(location.shown(), "postgres://db/d");
    }

    #[test]
    fn the_password_reaches_a_server_that_only_a_parameter_names() {
        let location = Location::parse("postgres:///d?host=/run/postgresql").unwrap().with_password("hunter2&x");
        assert!(location.unlimited().contains("password=hunter2%26x"), "{}", location.unlimited());
        assert!(!location.shown().contains("hunter2"));
    }
}
