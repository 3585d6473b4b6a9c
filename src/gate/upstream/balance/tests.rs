//! The choice, without sockets.

use super::*;
use crate::snapshot::servers::{Balance, Care, Ejection};
use crate::snapshot::upstream::{Address, Transport};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const NOW: u64 = 1_000_000;
const SLOW: Duration = Duration::from_secs(30);

fn servers(weights: &[u32], balance: Balance) -> Servers {
    let ejection = Some(Ejection { failures: 1, time: Duration::from_secs(10) });
    let care = Care { health: None, ejection, slow_start: Some(SLOW) };
    let address = |number: usize| Address::Tcp { host: format!("server-{number}").into(), port: 80 };
    let upstream = |number: usize| Upstream::new(format!("http://server-{number}:80"), address(number), Transport::Http1);
    let listed = weights.iter().enumerate().map(|(number, weight)| (upstream(number), *weight));
    Servers::new(listed.collect(), balance, care).unwrap()
}

fn live(servers: &Servers, index: usize) -> &Arc<crate::snapshot::servers::live::Live> {
    &servers.at(index).unwrap().live
}

fn tried(indices: &[usize]) -> Tried {
    Tried(indices.iter().map(|index| 1 << index).sum())
}

fn eject(servers: &Servers, index: usize) {
    let rule = servers.care.ejection.unwrap();
    assert!(live(servers, index).failed(NOW, NOW, &rule, || true).is_some());
}

fn put_down(servers: &Servers, index: usize) {
    assert!(live(servers, index).set_down(true, NOW));
}

fn picks(servers: &Servers, count: usize) -> Vec<usize> {
    (0..count).map(|_| pick(servers, Tried::default(), NOW, |_| panic!("no key is needed")).unwrap()).collect()
}

fn by_key(servers: &Servers, tried: Tried, now: u64, key: u64) -> usize {
    pick(servers, tried, now, |_| key.to_le_bytes()).unwrap()
}

/// Keys that are spread as digests are.
fn keys(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

proptest! {
    #[test]
    fn turns_follow_the_weights_of_those_that_are_left(weights in prop::collection::vec(1_u32..20, 1..9), down in any::<u8>(), rounds in 1..4_usize) {
        let servers = servers(&weights, Balance::RoundRobin);
        let is_down = |index: usize| down >> index & 1 == 1;
        (0..weights.len()).filter(|index| is_down(*index)).for_each(|index| put_down(&servers, index));
        let left: Vec<usize> = (0..weights.len()).filter(|index| !is_down(*index)).collect();
        if left.is_empty() {
            prop_assert_eq!(pick(&servers, Tried::default(), NOW, |_| Key::default()), None);
            return Ok(());
        }
        let sum: usize = left.iter().map(|index| weights[*index] as usize).sum();
        let picks = picks(&servers, sum * rounds);
        for index in left {
            prop_assert_eq!(picks.iter().filter(|pick| **pick == index).count(), weights[index] as usize * rounds);
        }
    }

    #[test]
    fn whatever_is_known_of_them_the_best_is_chosen_and_never_one_that_is_down(
        states in prop::collection::vec(0_u8..4, 1..12),
        balance in prop::sample::select(vec![Balance::RoundRobin, Balance::LeastInFlight, Balance::BySession, Balance::ByAddress]),
        loads in prop::collection::vec(0_usize..3, 12),
        key in any::<u64>(),
    ) {
        let servers = servers(&vec![1; states.len()], balance);
        let of_state = |state: u8| -> Vec<usize> { (0..states.len()).filter(|index| states[*index] == state).collect() };
        of_state(1).into_iter().for_each(|index| eject(&servers, index));
        of_state(3).into_iter().for_each(|index| put_down(&servers, index));
        let _held: Vec<_> = (0..states.len()).flat_map(|index| (0..loads[index]).map(move |_| index)).map(|index| live(&servers, index).enter()).collect();
        let picked = pick(&servers, tried(&of_state(2)), NOW, |_| key.to_le_bytes());
        let best = states.iter().copied().min().filter(|state| *state < 2);
        prop_assert_eq!(picked.map(|index| states[index]), best);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_chosen(weights in prop::collection::vec(1_u32..9, 2..6), loads in prop::collection::vec(0_usize..12, 6)) {
        let servers = servers(&weights, Balance::LeastInFlight);
        let _held: Vec<_> = (0..weights.len()).flat_map(|index| (0..loads[index]).map(move |_| index)).map(|index| live(&servers, index).enter()).collect();
        let picked = picks(&servers, 1)[0];
        for other in 0..weights.len() {
            prop_assert!(loads[picked] * weights[other] as usize <= loads[other] * weights[picked] as usize);
        }
    }

    #[test]
    fn a_key_stays_where_it_is_while_its_server_is_good(key in any::<u64>(), others in any::<u8>()) {
        let servers = servers(&[1, 2, 1, 3, 1], Balance::BySession);
        let home = by_key(&servers, Tried::default(), NOW, key);
        for index in (0..5).filter(|index| *index != home && others >> index & 1 == 1) {
            put_down(&servers, index);
            prop_assert_eq!(by_key(&servers, Tried::default(), NOW, key), home);
        }
    }
}

#[test]
fn servers_with_nothing_to_do_take_turns_by_weight_and_equals_share() {
    let even = servers(&[1, 1, 1], Balance::LeastInFlight);
    assert_eq!(picks(&even, 6), [0, 1, 2, 0, 1, 2]);
    let _busy = live(&even, 0).enter();
    let picks_ = picks(&even, 30);
    assert!(!picks_.contains(&0) && picks_.contains(&1) && picks_.contains(&2));
    let uneven = servers(&[3, 1], Balance::LeastInFlight);
    assert_eq!(picks(&uneven, 8).iter().filter(|pick| **pick == 0).count(), 6);
}

#[test]
fn a_request_that_failed_goes_elsewhere_while_there_is_an_elsewhere() {
    for balance in [Balance::RoundRobin, Balance::LeastInFlight, Balance::ByAddress] {
        let servers = servers(&[1, 1, 1], balance);
        let (mut seen, mut been) = (Vec::new(), Tried::default());
        while let Some(index) = pick(&servers, been, NOW, |_| [7; 8]) {
            seen.push(index);
            been = tried(&seen);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2], "each once");
    }
}

#[test]
fn an_ejected_server_is_left_out_until_nothing_better_is_left() {
    let servers = servers(&[1, 1], Balance::RoundRobin);
    eject(&servers, 0);
    assert_eq!(picks(&servers, 4), [1, 1, 1, 1]);
    assert_eq!(pick(&servers, tried(&[1]), NOW, |_| Key::default()), Some(0));
    put_down(&servers, 1);
    assert_eq!(picks(&servers, 4), [0, 0, 0, 0]);
    put_down(&servers, 0);
    assert_eq!(pick(&servers, Tried::default(), NOW, |_| Key::default()), None);
}

#[test]
fn at_most_half_of_the_servers_that_are_up_are_ejected() {
    for (count, down, most) in [(1, 0, 0), (2, 0, 1), (3, 0, 1), (4, 0, 2), (4, 2, 1), (5, 4, 0), (8, 0, 4)] {
        let servers = servers(&vec![1; count], Balance::RoundRobin);
        (0..down).for_each(|index| put_down(&servers, index));
        let rule = servers.care.ejection.unwrap();
        let ejected = (down..count)
            .filter(|index| live(&servers, *index).failed(NOW, NOW, &rule, || servers.can_spare_one(NOW)).is_some())
            .count();
        assert_eq!(ejected, most, "{count} {down}");
    }
}

#[test]
fn a_server_that_came_back_gets_more_and_more_of_its_turns() {
    for balance in [Balance::RoundRobin, Balance::LeastInFlight] {
        let servers = servers(&[1, 1], balance);
        put_down(&servers, 0);
        live(&servers, 0).set_down(false, NOW);
        let share = |now: u64| {
            let picks = (0..2000).filter(|_| pick(&servers, Tried::default(), now, |_| Key::default()) == Some(0)).count();
            picks / 10
        };
        let shares = [NOW, NOW + 15_000, NOW + 22_500, NOW + 30_000].map(share);
        // Of two hundred, as if its weight were a tenth, a half, three quarters and all of the other's.
        for (share, fair) in shares.into_iter().zip([18, 67, 86, 100]) {
            assert!(share.abs_diff(fair) <= 3, "{balance:?} {shares:?}");
        }
    }
}

#[test]
fn servers_that_all_came_back_at_once_share_as_ever() {
    let servers = servers(&[1, 1], Balance::RoundRobin);
    (0..2).for_each(|index| live(&servers, index).join(NOW));
    let picks = picks(&servers, 1000);
    assert!(picks.iter().filter(|pick| **pick == 0).count().abs_diff(500) < 50);
}

#[test]
fn the_keys_of_a_server_that_came_back_return_bit_by_bit_and_stay() {
    let servers = servers(&[1, 1, 1], Balance::BySession);
    let home: Vec<u64> = keys(3000).filter(|key| by_key(&servers, Tried::default(), NOW, *key) == 0).collect();
    put_down(&servers, 0);
    live(&servers, 0).set_down(false, NOW);
    let back = |now: u64| home.iter().filter(|key| by_key(&servers, Tried::default(), now, **key) == 0).collect::<Vec<_>>();
    let (start, half, whole) = (back(NOW), back(NOW + 15_000), back(NOW + 30_000));
    assert!(start.len() < home.len() / 5 && half.len().abs_diff(home.len() / 2) < home.len() / 10);
    assert_eq!(whole.len(), home.len());
    assert!(start.iter().all(|key| half.contains(key)), "who has come back is not sent away again");
}

#[test]
fn addresses_lead_to_servers_by_host_or_by_network() {
    let key = |text: &str| of_address(text.parse().unwrap());
    assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
    assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
    assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
}

#[test]
fn a_request_stops_counting_when_it_is_let_go() {
    let servers = servers(&[1, 1], Balance::LeastInFlight);
    let held = live(&servers, 0).enter();
    assert_eq!(picks(&servers, 2), [1, 1]);
    drop(held);
    assert!(picks(&servers, 2).contains(&0));
}
