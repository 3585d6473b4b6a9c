//! SQLite: one writer, several readers, write-ahead log. In: a path. Out: two pools. Must never lose what was acknowledged.

use super::Error;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::time::Duration;

/// The path of the database.
pub(super) fn database(location: &str) -> Result<&str, Error> {
    location.strip_prefix("sqlite:").filter(|path| !path.is_empty()).ok_or_else(|| Error::Location(location.to_owned()))
}

/// Pools of readers and of the one writer, with the tables up to date.
pub(super) async fn open(path: &str) -> Result<(SqlitePool, SqlitePool), Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5));
    let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(5));
    let writer = pool(1).connect_with(options.clone()).await?;
    restrict(path)?;
    sqlx::migrate!("src/store/migrations").run(&writer).await?;
    let readers = pool(4).connect_with(options.read_only(true)).await?;
    Ok((readers, writer))
}

/// The file is the operator's alone.
fn restrict(path: &str) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| Error::Database(sqlx::Error::Io(error)))
}
