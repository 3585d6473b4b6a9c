//! Many who come at the same moment, and few connections to the database.

use crate::cluster::Cluster;
use crate::world::eventually;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

/// How many sessions are being looked up, and have to wait.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
/// More than a replica has connections of any kind.
const CROWD: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_there_are_connections_to_the_database_are_all_answered() {
    let Some(cluster) = Cluster::start(1, "5m").await else { return };
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push((cluster.sign_in().await, cluster.connect(0).await));
    }
    let location = cluster.server.location(cluster.server.port(), &cluster.database);
    let (mut keeper, mut watcher) =
        (PgConnection::connect(&location).await.unwrap(), PgConnection::connect(&location).await.unwrap());
    keeper.execute("BEGIN; LOCK TABLE app_sessions").await.unwrap();
    // No session is known here yet.
    for (cookie, connection) in &mut crowd {
        connection.write(cluster.head(cookie)).await;
    }
    eventually("every connection for reading is taken", async || {
        let waiting: i64 = watcher.fetch_one(WAITING).await.unwrap().get(0);
        assert!(waiting <= 5, "{waiting}");
        (waiting == 5).then_some(())
    })
    .await;
    keeper.execute("COMMIT").await.unwrap();
    for (_, connection) in &mut crowd {
        assert_eq!(connection.answer().await.status, 200);
    }
}
