//! What is allowed on certain days: nobody waits for midnight, a zone is made in which it is soon.

use super::revocation::{FAREWELL, cause, speaks, websocket};
use crate::process::Process;
use crate::world::{ALICE, SHOP, Setup, World};
use doorward::clock;
use std::fs;

const DAY: i64 = 24 * 60 * 60;

/// The file of a zone whose clocks are so many seconds ahead of UTC, for ever (RFC 8536, version 1).
fn zone(ahead: i64) -> Vec<u8> {
    let mut file = b"TZif".to_vec();
    file.extend([0; 16]);
    // One type of local time, whose name takes four bytes.
    file.extend([0_u32, 0, 0, 0, 1, 4].into_iter().flat_map(u32::to_be_bytes));
    file.extend(i32::try_from(ahead).unwrap().to_be_bytes());
    file.extend(b"\0\0DAY\0");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_on_certain_days_is_cut_when_the_last_of_them_is_over() {
    let apps = format!(
        "  shop:\n    url: https://{SHOP}:HTTPS\n    upstream: http://127.0.0.1:APP\n    allow: [{{ domains: [corp.example] }}]\n    \
         paths: [{{ match: /fair/**, allow: [{{ when: {{ dates: '2020-01-01.. UTC' }} }}] }}]\n"
    );
    let mut world = World::of(Setup { apps, ..Setup::default() }).await;
    let alice = world.session(SHOP, ALICE).await;
    world.stop().await;
    let (folder, path) = (world.path("zones"), world.path("doorward.yaml"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("Soon"), zone(0)).unwrap();
    let process = Process::run(&path, &[("TZDIR", folder.to_str().unwrap())]);
    process.logged("doorward is running", 1).await;
    let mut fair = websocket(&world, SHOP, "/fair/ws", &alice).await;
    let mut always = websocket(&world, SHOP, "/ws", &alice).await;
    // Time for the new configuration to be in force.
    let ends = i64::try_from(clock::now().seconds()).unwrap() + 8;
    let ahead = (DAY / 2 - ends).rem_euclid(DAY) - DAY / 2;
    let last = jiff::Timestamp::from_second(ends + ahead - 1).unwrap().to_string();
    fs::write(folder.join("Soon"), zone(ahead)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("2020-01-01.. UTC", &format!("..{} Soon", &last[..10]))).unwrap();
    assert_eq!(fair.rest().await, FAREWELL);
    assert!(i64::try_from(clock::now().seconds()).unwrap() >= ends, "no sooner");
    assert_eq!(cause(&world, "/fair/ws").await, "not_allowed");
    assert!(speaks(&mut always).await);
}
