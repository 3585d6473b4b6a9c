//! What a replica shows of how it follows the others.

use crate::cluster::Cluster;
use crate::stores::NOTE;
use crate::world::eventually;
use sqlx::{Connection as _, Executor as _, PgConnection};

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_shows_whether_it_has_its_database_and_how_far_it_has_followed() {
    let Some(cluster) = Cluster::start(2, "5m").await else { return };
    let replica = &cluster.replicas[1];
    let metric = async |name: &str| replica.metric(&format!("doorward_store_{name}")).await;
    assert_eq!((metric("up").await, metric("changes_backlog").await), (1.0, 0.0));
    let (applied, anew) = (metric("changes_applied").await, metric("looked_up_anew").await);
    assert!(anew >= 1.0, "that is how it begins");
    let cookie = cluster.sign_in().await;
    assert!(cluster.uses(0, &cookie).await && cluster.revoke(0, &cookie).await);
    eventually("what the other one has ended is applied", async || (metric("changes_applied").await > applied).then_some(())).await;

    // What it can't read meanwhile it can't apply.
    let location = cluster.server.location(cluster.server.port(), &cluster.database);
    let mut other = PgConnection::connect(&location).await.unwrap();
    other.execute("BEGIN; LOCK TABLE risks").await.unwrap();
    cluster.sql(&format!("{NOTE} 'risk', 'user ana@corp.example', (SELECT now FROM clock) FROM t"));
    eventually("a change waits", async || (metric("changes_backlog").await == 1.0).then_some(())).await;
    other.execute("COMMIT").await.unwrap();
    eventually("it is applied", async || (metric("changes_backlog").await == 0.0).then_some(())).await;

    // A number without a change.
    let anew = metric("looked_up_anew").await;
    cluster.sql("UPDATE change_count SET taken = taken + 1");
    eventually("all is looked up anew", async || (metric("looked_up_anew").await > anew).then_some(())).await;

    replica.wire.cut();
    eventually("it is known to be cut off", async || (metric("up").await == 0.0).then_some(())).await;
    eventually("it falls behind", async || (metric("behind_seconds").await > 2.0).then_some(())).await;
    replica.wire.mend();
    eventually("it has caught up", async || (metric("up").await == 1.0 && metric("behind_seconds").await < 2.0).then_some(()))
        .await;
}
