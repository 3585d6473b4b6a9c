//! Claims that more than one replica has in use are fetched anew by one of them.

use crate::cluster::Cluster;
use crate::stores::NOTE;
use crate::world::{ALICE, WIKI, eventually};
use serde_json::json;

/// Notes each attempt to take a renewal on, be it in vain.
const NOTED: &str = "CREATE TABLE attempts (number BIGINT GENERATED ALWAYS AS IDENTITY);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO attempts DEFAULT VALUES; RETURN NULL; END';
    CREATE TRIGGER noted AFTER UPDATE OF renewing_until ON sign_ins FOR EACH STATEMENT EXECUTE FUNCTION note()";

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_two_replicas_need_at_once_are_fetched_by_one_for_both() {
    let Some(cluster) = Cluster::start(2, "5m").await else { return };
    let (world, staff) = (&cluster.world, &cluster.world.staff);
    eventually("both know the provider", async || {
        let mut up = true;
        for replica in &cluster.replicas {
            up &= replica.administer("GET", "/api/v1/status", "").await.json().pointer("/providers/0/up") == Some(&json!(true));
        }
        up.then_some(())
    })
    .await;
    let mut browser = cluster.replicas[0].entrance.browser();
    assert_eq!(browser.sign_in(&world.url(WIKI, "/"), ALICE).await.status, 200);
    let cookie = format!("Cookie: __Host-doorward={}\r\n", browser.cookies[&world.authority(WIKI)]["__Host-doorward"]);
    let status = async |replica: usize, path: &str| cluster.send(replica, "GET", (WIKI, path), &cookie, "").await.status;
    let mut applied = Vec::new();
    for replica in 0..2 {
        assert_eq!((status(replica, "/read/x").await, status(replica, "/admin/x").await), (200, 403), "at {replica}");
        applied.push(cluster.replicas[replica].metric("doorward_store_changes_applied").await);
    }
    assert_eq!(staff.refreshes(), 0);

    // As an event says it: all of them know at once that the claims don't hold any more.
    staff.idp.change(ALICE.0, |person| person.groups = vec!["admins".into()]);
    staff.holds(true);
    cluster.sql(NOTED);
    let row = "(SELECT id::text FROM sign_ins), (SELECT now FROM clock) FROM t";
    cluster.sql(&format!("UPDATE sign_ins SET outdated_at = 1; {NOTE} 'renewed', {row}"));
    eventually("both know of it", async || {
        let mut known = true;
        for (replica, before) in cluster.replicas.iter().zip(&applied) {
            known &= replica.metric("doorward_store_changes_applied").await > *before;
        }
        known.then_some(())
    })
    .await;
    let asked = futures_util::future::join_all((0..10).map(|number| status(number % 2, "/admin/x")));
    let fetched = async {
        eventually("both want to fetch them", async || (cluster.sql("SELECT count(*) FROM attempts").trim() == "2").then_some(()))
            .await;
        eventually("the provider is asked", async || (staff.refreshes() > 0).then_some(())).await;
        staff.holds(false);
    };
    let (statuses, ()) = tokio::join!(asked, fetched);
    assert_eq!(statuses, [200; 10], "everybody has waited for the new claims");
    for replica in 0..2 {
        assert_eq!((status(replica, "/read/x").await, status(replica, "/admin/x").await), (403, 200), "at {replica}");
    }
    assert_eq!(staff.refreshes(), 1);
}
