//! Clients that flood a connection lose it, and nobody else notices.

use crate::world::frames::{CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, RESET, frame, get};
use crate::world::{ROUGH, WIKI, World};

const CANCEL: &[u8] = &[0, 0, 0, 8];

/// The stream identifiers of one round, from the `first` on.
fn streams(first: u32, count: u32) -> impl Iterator<Item = u32> + Clone {
    (0..count).map(move |n| (first + n) * 2 + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_reset_at_once_cost_the_connection() {
    let world = World::start().await;
    let head = get(&world.authority(WIKI), "/public/x");
    let mut attacker = Frames::connect(&world, WIKI).await;
    let flood = |round: u32| {
        let pair = |n| [frame(HEADERS, END_HEADERS | END_STREAM, n, &head), frame(RESET, 0, n, CANCEL)].concat();
        streams(round * 100, 100).flat_map(pair).collect()
    };
    let (cut_off, answer) = tokio::join!(attacker.is_cut_off(flood), world.get(WIKI, "/public/y", ""));
    assert!(cut_off);
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_by_the_hundred_cost_the_connection() {
    let world = World::start().await;
    let head = get(&world.authority(ROUGH), "/silent");
    let mut attacker = Frames::connect(&world, ROUGH).await;
    let flood = |round: u32| {
        let streams = streams(round / 2 * 100, 100);
        match round % 2 {
            0 => streams.flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, n, &head)).collect::<Vec<u8>>(),
            _ => streams.flat_map(|n| frame(RESET, 0, n, CANCEL)).collect(),
        }
    };
    let (cut_off, answer) = tokio::join!(attacker.is_cut_off(flood), world.get(WIKI, "/public/y", ""));
    assert!(cut_off);
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_give_up_what_it_does_not_need_any_more() {
    let world = World::start().await;
    let head = get(&world.authority(ROUGH), "/silent");
    let mut client = Frames::connect(&world, ROUGH).await;
    for n in streams(0, 100) {
        assert!(client.send(&frame(HEADERS, END_HEADERS | END_STREAM, n, &head)).await);
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for n in streams(0, 100) {
        assert!(client.send(&frame(RESET, 0, n, CANCEL)).await);
    }
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(client.is_answered(&frame(HEADERS, END_HEADERS | END_STREAM, 201, &get(&world.authority(WIKI), "/public/z"))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_goes_on_for_ever_costs_the_connection() {
    let world = World::start().await;
    let head = get(&world.authority(WIKI), "/public/x");
    let field = [&[0, 6], &b"x-fill"[..], &[100], &[b'x'; 100]].concat();
    for part in [field.repeat(100), Vec::new()] {
        let mut attacker = Frames::connect(&world, WIKI).await;
        let flood = |round: u32| match round {
            0 => frame(HEADERS, END_STREAM, 1, &head),
            _ => frame(CONTINUATION, 0, 1, &part),
        };
        let (cut_off, answer) = tokio::join!(attacker.is_cut_off(flood), world.get(WIKI, "/public/y", ""));
        assert!(cut_off, "{} bytes a frame", part.len());
        assert_eq!(answer.status, 200);
    }
}
