//! What clients of three replicas saw, checked: as if there were one session store that everybody asks, except that what one replica has
//! ended may be used at another for no longer than the lease. A register a session, so that each is checked by itself.

use crate::cluster::{Cluster, line};
use crate::world::WIKI;
use doorward::model::Token;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a replica may not know what another has ended.
const LEASE: Duration = Duration::from_millis(1000);
const CLIENTS: usize = 6;
/// What each of them does, one after the other.
const TURNS: usize = 14;

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
    // What was over before the sign-in began had nothing to end; what was under way then may have ended it or not.
    let may_have_ended = |event: &&Event| event.what == What::Revoked && event.ended > signed_in.begun;
    let revocations: Vec<_> = history.iter().filter(may_have_ended).collect();
    for event in history {
        let What::Used(let_in) = event.what else { continue };
        if let_in && event.ended < signed_in.begun {
            return Some(format!("{event:?} was let in before {signed_in:?}"));
        }
        let acknowledged = |revoked: &&&Event| {
            let known = if revoked.replica == event.replica { revoked.ended } else { revoked.ended + LEASE };
            revoked.begun > signed_in.ended && known < event.begun
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
    let (mut checked, mut let_in) = (0, 0);
    for round in 0..12 {
        let cookie = Arc::new(Token::random().unwrap());
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| tokio::spawn(client_of(Arc::clone(&cluster), Arc::clone(&cookie), client, round))).collect();
        let mut history = Vec::new();
        for client in clients {
            history.extend(client.await.unwrap());
        }
        checked += history.len();
        let_in += history.iter().filter(|event| event.what == What::Used(true)).count();
        assert_eq!(wrong(&history), None);
    }
    println!("{checked} events, let in {let_in} times");
    assert!(let_in > 0);
}

/// Uses it all the time at one replica after the other, from before it is there; one of them makes it, and two end it.
async fn client_of(cluster: Arc<Cluster>, cookie: Arc<Token>, client: usize, round: usize) -> Vec<Event> {
    let (mut history, line) = (Vec::new(), line(&cookie));
    for turn in 0..TURNS {
        let replica = (client + turn) % 3;
        let begun = Instant::now();
        let what = if (client, turn) == (1, 1) {
            cluster.sign_in_with(&cookie, WIKI).await;
            What::SignedIn
        } else if (client, turn) == (0, 2 + round % 4) || (client, turn) == (3, 3 + round % 5) {
            assert!(cluster.revoke(replica, &line).await);
            What::Revoked
        } else {
            What::Used(cluster.uses(replica, &line).await)
        };
        history.push(Event { what, replica, begun, ended: Instant::now() });
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
    let signed_in = event(What::SignedIn, 0, 4, 6);
    let revoked = event(What::Revoked, 0, 20, 30);
    let (too_early, at_once) = (event(What::Revoked, 0, 1, 2), event(What::Revoked, 0, 3, 7));
    for (is_wrong, more) in [
        (false, vec![event(What::Used(false), 1, 1, 2), event(What::Used(false), 1, 3, 5), event(What::Used(true), 1, 7, 8)]),
        (false, vec![event(What::Used(true), 1, 3, 5), event(What::Used(true), 1, 7, 8), revoked]),
        (false, vec![too_early, event(What::Used(true), 0, 7, 8)]),
        (false, vec![at_once, event(What::Used(true), 0, 8, 9)]),
        (false, vec![at_once, event(What::Used(false), 1, 8, 9)]),
        (false, vec![revoked, event(What::Revoked, 1, 25, 35), event(What::Used(false), 2, 26, 27)]),
        (false, vec![event(What::Used(true), 0, 25, 40), revoked]),
        (false, vec![event(What::Used(true), 1, 31, 32), revoked, event(What::Used(false), 1, 33, 34)]),
        (true, vec![event(What::Used(true), 1, 1, 2)]),
        (true, vec![too_early, event(What::Used(false), 1, 7, 8)]),
        (true, vec![at_once, event(What::Used(false), 1, 8, 9), event(What::Used(true), 1, 10, 11)]),
        (true, vec![event(What::Used(true), 0, 31, 32), revoked]),
        (true, vec![event(What::Used(true), 1, 1040, 1041), revoked]),
        (true, vec![event(What::Used(false), 1, 7, 8), revoked]),
        (true, vec![revoked, event(What::Used(false), 1, 31, 32), event(What::Used(true), 1, 33, 34)]),
    ] {
        let history: Vec<_> = std::iter::once(signed_in).chain(more).collect();
        assert_eq!(wrong(&history).is_some(), is_wrong, "{history:?}");
    }
}
