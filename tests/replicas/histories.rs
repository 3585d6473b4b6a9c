//! What clients of three replicas saw, checked: as if there were one session store that everybody asks, except that what one replica has
//! ended may be used at another for no longer than the lease. A register a session, so that each is checked by itself.

use crate::cluster::Cluster;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a replica may not know what another has ended.
const LEASE: Duration = Duration::from_millis(1000);
const CLIENTS: usize = 6;

/// What a client did, when it began and when it had the answer.
#[derive(Clone, Copy, Debug)]
struct Event {
    what: What,
    replica: usize,
    begun: Instant,
    ended: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    SignedIn,
    Used(bool),
    Revoked,
}

/// What is wrong with the history of one session.
fn wrong(history: &[Event]) -> Option<String> {
    let signed_in = history.iter().find(|event| event.what == What::SignedIn)?;
    let revocations: Vec<_> = history.iter().filter(|event| event.what == What::Revoked).collect();
    for event in history {
        let What::Used(let_in) = event.what else { continue };
        let acknowledged = |revoked: &&&Event| {
            let known = if revoked.replica == event.replica { revoked.ended } else { revoked.ended + LEASE };
            known < event.begun
        };
        if let_in && let Some(revoked) = revocations.iter().find(acknowledged) {
            return Some(format!("{event:?} was let in after {revoked:?}"));
        }
        let before_all = revocations.iter().all(|revoked| event.ended < revoked.begun);
        if !let_in && signed_in.ended < event.begun && before_all {
            return Some(format!("{event:?} was refused, and nobody had revoked it"));
        }
    }
    // Once it was refused because it had ended, it never comes back at that replica.
    let refused = |at: &&Event| at.what == What::Used(false) && at.begun > signed_in.ended;
    let back = |from: &Event| {
        history.iter().find(|event| event.what == What::Used(true) && event.replica == from.replica && event.begun > from.ended)
    };
    history.iter().filter(refused).find_map(|from| back(from).map(|event| format!("{event:?} came back after {from:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_three_replicas_are_those_of_one_store() {
    let Some(cluster) = Cluster::start(3, "5m").await else { return };
    let cluster = Arc::new(cluster);
    let mut checked = 0;
    for round in 0..12 {
        let begun = Instant::now();
        let cookie: Arc<str> = cluster.sign_in().await.into();
        let mut history = vec![Event { what: What::SignedIn, replica: 0, begun, ended: Instant::now() }];
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| tokio::spawn(client_of(Arc::clone(&cluster), Arc::clone(&cookie), client, round))).collect();
        for client in clients {
            history.extend(client.await.unwrap());
        }
        checked += history.len();
        assert_eq!(wrong(&history), None);
    }
    println!("{checked} events");
}

/// Uses it all the time at one replica after the other; one of them ends it.
async fn client_of(cluster: Arc<Cluster>, cookie: Arc<str>, client: usize, round: usize) -> Vec<Event> {
    let mut history = Vec::new();
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < Duration::from_millis(700) {
        let replica = (client + turn) % 3;
        let begun = Instant::now();
        let what = if client == 0 && turn == 3 + round % 4 {
            assert!(cluster.revoke(replica, &cookie).await);
            What::Revoked
        } else {
            What::Used(cluster.uses(replica, &cookie).await)
        };
        history.push(Event { what, replica, begun, ended: Instant::now() });
        turn += 1;
    }
    history
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let start = Instant::now();
    let event = |what, replica, begun: u64, ended: u64| Event {
        what,
        replica,
        begun: start + Duration::from_millis(begun),
        ended: start + Duration::from_millis(ended),
    };
    let signed_in = event(What::SignedIn, 0, 0, 1);
    let revoked = event(What::Revoked, 0, 20, 30);
    for (is_wrong, more) in [
        (false, vec![event(What::Used(true), 1, 2, 3), revoked]),
        (false, vec![event(What::Used(true), 0, 25, 40), revoked]),
        (false, vec![event(What::Used(true), 1, 31, 32), revoked, event(What::Used(false), 1, 33, 34)]),
        (true, vec![event(What::Used(true), 0, 31, 32), revoked]),
        (true, vec![event(What::Used(true), 1, 1040, 1041), revoked]),
        (true, vec![event(What::Used(false), 1, 2, 3), revoked]),
        (true, vec![revoked, event(What::Used(false), 1, 31, 32), event(What::Used(true), 1, 33, 34)]),
    ] {
        let history: Vec<_> = std::iter::once(signed_in).chain(more).collect();
        assert_eq!(wrong(&history).is_some(), is_wrong, "{history:?}");
    }
}
