//! SQLite: one writer, several readers, write-ahead log. In: a path. Out: two pools. Must never lose what was acknowledged.

use super::Error;
use super::database::{Pools, options};
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, ConnectOptions as _, Executor as _};
use std::time::Duration;

/// How a transaction begins that is the only one that writes.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
/// The log is synced before a commit is acknowledged.
const DURABLE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000";
const MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// Pools of readers and of the one writer, with the tables up to date.
pub(super) async fn open(path: &str) -> Result<Pools, Error> {
    let pool = |connections| AnyPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(5));
    let durable = pool(1).after_connect(|connection, _| Box::pin(async { connection.execute(DURABLE).await.map(drop) }));
    let writer = durable.connect_with(options(&url(path, "rwc"))?).await?;
    restrict(path)?;
    MIGRATIONS.run(&writer).await?;
    let readers = pool(4).connect_with(options(&url(path, "ro"))?).await?;
    Ok(Pools { followers: readers.clone(), readers, writer })
}

/// One connection that can only read, to a database that is there.
pub(super) async fn read(path: &str) -> Result<AnyConnection, Error> {
    Ok(options(&url(path, "ro"))?.connect().await?)
}

/// Whatever the path is made of, in a form that no parser of URLs takes for anything else.
fn url(path: &str, mode: &str) -> String {
    let encode = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("sqlite:{}?mode={mode}", path.bytes().map(encode).collect::<String>())
}

/// The file is the operator's alone.
fn restrict(path: &str) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| Error::Database(sqlx::Error::Io(error)))
}

/// Writes down when these were last used, each a pair of its number and the time in milliseconds.
pub(super) fn note_uses(uses: &str) -> String {
    format!(
        "UPDATE sign_ins SET last_seen = seen.column2 FROM (VALUES {uses}) AS seen
         WHERE sign_ins.id = seen.column1 AND sign_ins.last_seen < seen.column2"
    )
}
