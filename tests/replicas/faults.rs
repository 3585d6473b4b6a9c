//! What happens to replicas, and what must hold all the same: who was shut out stays out, and who was let in is not shut out.

use crate::cluster::Cluster;
use crate::world::browser::NAVIGATION;
use crate::world::{WIKI, eventually};
use std::time::{Duration, Instant};

/// How often something is ended and then killed; the documentation tells of a hundred.
fn rounds() -> usize {
    std::env::var("DOORWARD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

async fn until_refused(cluster: &Cluster, replica: usize, cookie: &str) -> Duration {
    let begun = Instant::now();
    while cluster.uses(replica, cookie).await {
        assert!(begun.elapsed() < Duration::from_secs(5), "it is still let in");
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_one_replica_ends_is_refused_by_all_within_a_second() {
    let Some(cluster) = Cluster::start(3, "5m").await else { return };
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let cookie = cluster.sign_in().await;
        for replica in 0..3 {
            assert!(cluster.uses(replica, &cookie).await, "{round} at {replica}");
        }
        assert!(cluster.revoke(round % 3, &cookie).await);
        assert!(!cluster.uses(round % 3, &cookie).await, "where it was ended, at once");
        for replica in 0..3 {
            slowest = slowest.max(until_refused(&cluster, replica, &cookie).await);
        }
    }
    println!("the slowest of 20: {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_stopped_serves_nobody_who_was_shut_out_meanwhile() {
    let Some(cluster) = Cluster::start(3, "5m").await else { return };
    let stops =
        std::env::var("DOORWARD_STOP").ok().and_then(|text| text.parse().ok()).map_or(vec![1200, 2600, 6500], |long| vec![long]);
    for stopped in stops {
        let (cookie, stays) = (cluster.sign_in().await, cluster.sign_in().await);
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let mut connection = cluster.connect(1).await;
            connection.write(cluster.head(&cookie)).await;
            assert_eq!(connection.answer().await.status, 200);
            waiting.push(connection);
        }
        assert!(cluster.uses(1, &stays).await && cluster.uses(2, &cookie).await);
        cluster.replicas[1].signal("-STOP");
        assert!(cluster.revoke(0, &cookie).await);
        until_refused(&cluster, 2, &cookie).await;
        tokio::time::sleep(Duration::from_millis(stopped)).await;
        // These are there at the very instant at which it goes on.
        for connection in &mut waiting {
            connection.write(cluster.head(&cookie)).await;
        }
        cluster.replicas[1].signal("-CONT");
        for connection in &mut waiting {
            assert_ne!(connection.answer().await.status, 200, "after {stopped} ms");
        }
        assert!(!cluster.uses(1, &cookie).await);
        assert!(cluster.uses(1, &stays).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_replica_goes_on_for_a_while_and_shuts_nobody_out() {
    let Some(cluster) = Cluster::start(3, "4s").await else { return };
    for swallows in [false, true] {
        let (cookie, ended, unknown) = (cluster.sign_in().await, cluster.sign_in().await, cluster.sign_in().await);
        for replica in 1..3 {
            assert!(cluster.uses(replica, &cookie).await && cluster.uses(replica, &ended).await);
        }
        let wire = &cluster.replicas[1].wire;
        let begun = Instant::now();
        if swallows {
            wire.swallow()
        } else {
            wire.cut()
        }
        assert!(cluster.revoke(0, &ended).await);
        assert!(cluster.uses(1, &cookie).await, "what is known goes on");
        assert!(!cluster.revoke(1, &cookie).await, "what can't be written is not acknowledged");
        if !swallows {
            assert_eq!(cluster.ask(1, &unknown).await, Some(503), "nobody is taken for signed out");
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert!(cluster.uses(1, &cookie).await);
            let ready = cluster.replicas[1].admin("/readyz").await.unwrap();
            assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"store\":false"), "{ready}");
        }
        tokio::time::sleep(Duration::from_secs(7).saturating_sub(begun.elapsed())).await;
        for lines in ["", NAVIGATION] {
            let answer = cluster.send(1, "GET", (WIKI, "/"), &format!("{cookie}{lines}"), "").await;
            assert_eq!(answer.status, 503, "not for ever");
            assert!(answer.text().contains("store_unavailable"), "{}", answer.text());
            assert_eq!((answer.header("location"), answer.header("set-cookie")), (None, None), "nobody is signed out by it");
        }
        assert!(!cluster.uses(2, &ended).await && cluster.uses(2, &cookie).await, "it is nobody else's trouble");
        assert!(cluster.replicas[1].admin("/readyz").await.unwrap().starts_with("HTTP/1.1 503"));
        wire.mend();
        let mended = Instant::now();
        eventually("it goes on", async || cluster.uses(1, &cookie).await.then_some(())).await;
        println!("it was back after {:?}", mended.elapsed());
        assert!(mended.elapsed() < Duration::from_secs(5), "{:?}", mended.elapsed());
        assert!(!cluster.uses(1, &ended).await, "what was ended meanwhile");
        assert!(cluster.uses(1, &unknown).await);
        assert!(cluster.revoke(1, &cookie).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_stays_ended_whoever_is_killed() {
    let Some(mut cluster) = Cluster::start(3, "5m").await else { return };
    for round in 0..rounds() {
        let mut cookies = Vec::new();
        for _ in 0..4 {
            let cookie = cluster.sign_in().await;
            for replica in 0..3 {
                assert!(cluster.uses(replica, &cookie).await);
            }
            cookies.push(cookie);
        }
        assert!(cluster.revoke(0, &cookies[0]).await);
        // The others are under way when it happens.
        let pause = Duration::from_millis(u64::try_from(round * 7 % 40).unwrap());
        let (one, two, three, ()) = {
            let cluster = &cluster;
            tokio::join!(cluster.revoke(0, &cookies[1]), cluster.revoke(0, &cookies[2]), cluster.revoke(0, &cookies[3]), async {
                tokio::time::sleep(pause).await;
                if round % 2 == 0 { cluster.replicas[0].signal("-KILL") } else { cluster.server.kill() }
            })
        };
        if round % 2 == 0 {
            cluster.replicas[0].run().await
        } else {
            cluster.server.restart()
        }
        let acknowledged = [true, one, two, three];
        for replica in 0..3 {
            eventually("the replica answers", async || cluster.ask(replica, "").await.is_some().then_some(())).await;
            cluster.replicas[replica].is_ready().await;
            for (cookie, acknowledged) in cookies.iter().zip(acknowledged) {
                if acknowledged {
                    // What the other one did last may not have been told before the database died.
                    until_refused(&cluster, replica, cookie).await;
                }
            }
        }
        for (cookie, acknowledged) in cookies.iter().zip(acknowledged) {
            assert!(!acknowledged || !cluster.uses(round % 2, cookie).await, "round {round}: what was acknowledged is undone");
        }
        println!("round {round}: {acknowledged:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_in_a_transaction_holds_nobody_up() {
    let Some(cluster) = Cluster::start(3, "5m").await else { return };
    // A replica that has stopped with the lock in its hands.
    let stuck = cluster.replicas[1].wire.port();
    let location = cluster.server.location(stuck, &cluster.database);
    let holding = tokio::spawn(crate::stores::hold_the_lock(location));
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.replicas[1].wire.swallow();
    let cookie = cluster.sign_in().await;
    assert!(cluster.uses(2, &cookie).await);
    let begun = Instant::now();
    assert!(cluster.revoke(0, &cookie).await);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    until_refused(&cluster, 2, &cookie).await;
    holding.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_half_a_minute_let_nobody_in_and_shut_nobody_out() {
    let Some(cluster) = Cluster::start(3, "5m").await else { return };
    // What a replica would have written whose clock is half a minute early, or late.
    for shift in [-30_000, 30_000] {
        let cookie = cluster.sign_in().await;
        cluster.sql(&format!(
            "UPDATE sign_ins SET created_at = created_at + {shift}, last_seen = last_seen + {shift}, ends_at = ends_at + {shift},
             authenticated_at = authenticated_at + {shift}"
        ));
        for replica in 0..3 {
            assert!(cluster.uses(replica, &cookie).await);
        }
        cluster.sql(&format!("UPDATE changes SET made_at = made_at + {shift}"));
        assert!(cluster.revoke(1, &cookie).await);
        for replica in [0, 2] {
            until_refused(&cluster, replica, &cookie).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_at_one_replica_and_goes_on_at_another() {
    let Some(cluster) = Cluster::start(3, "5m").await else { return };
    let keys = async |replica: usize| {
        let head = cluster.world.head("GET", WIKI, "/.doorward/jwks.json", "");
        let mut connection = cluster.connect(replica).await;
        connection.write(head).await;
        connection.answer().await.text()
    };
    let (first, cookie) = (keys(0).await, cluster.sign_in().await);
    for replica in 0..3 {
        assert_eq!(keys(replica).await, first, "{replica}");
        assert!(cluster.uses(replica, &cookie).await, "{replica}");
    }
}
