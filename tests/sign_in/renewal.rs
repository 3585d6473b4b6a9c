//! Claims follow the provider: renewed once however many ask, ended when the provider says so, kept while it can't be reached.

use crate::world::{ALICE, Setup, WIKI, World, eventually};
use std::time::Duration;

/// The provider's tokens hold for this long.
const LIFE: Duration = Duration::from_secs(2);

async fn world() -> World {
    World::of(Setup { token_life: LIFE, ..Setup::default() }).await
}

async fn status(world: &World, session: &str, path: &str) -> u16 {
    world.get(WIKI, path, &format!("Cookie: {session}\r\n")).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_claims_are_renewed_once_however_many_requests_arrive() {
    let world = world().await;
    let session = world.session(WIKI, ALICE).await;
    assert_eq!(world.staff.refreshes(), 0);
    tokio::time::sleep(LIFE + Duration::from_millis(100)).await;
    let line = format!("Cookie: {session}\r\n");
    let requests = (0..30).map(|_| world.get(WIKI, "/asset", &line));
    for answer in futures_util::future::join_all(requests).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(world.staff.refreshes(), 1);
    assert_eq!(status(&world, &session, "/x").await, 200);
    assert_eq!(world.staff.refreshes(), 1, "what is fresh is not renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_groups_takes_effect_with_the_renewal() {
    let world = world().await;
    let session = world.session(WIKI, ALICE).await;
    assert_eq!((status(&world, &session, "/read/x").await, status(&world, &session, "/admin/x").await), (200, 403));
    world.staff.idp.change(ALICE.0, |person| person.groups = vec!["admins".into()]);
    tokio::time::sleep(LIFE + Duration::from_millis(100)).await;
    // The first request after that is judged by the new groups already.
    assert_eq!(status(&world, &session, "/read/x").await, 403);
    assert_eq!(status(&world, &session, "/admin/x").await, 200);
    assert_eq!(world.app.all().last().unwrap().folded("X-Remote-Groups"), ["admins"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_whom_the_provider_has_removed_is_out_with_the_renewal() {
    let world = world().await;
    let session = world.session(WIKI, ALICE).await;
    world.staff.idp.remove(ALICE.0);
    tokio::time::sleep(LIFE + Duration::from_millis(100)).await;
    let answer = world.get(WIKI, "/x", &format!("Cookie: {session}\r\n")).await;
    assert_eq!((answer.status, &*answer.reason()), (401, "session_invalid"));
    assert_eq!(status(&world, &session, "/x").await, 401, "for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_renewed_ahead_of_time_without_a_request_waiting() {
    let world = World::of(Setup { token_life: Duration::from_secs(10), ..Setup::default() }).await;
    let session = world.session(WIKI, ALICE).await;
    tokio::time::sleep(Duration::from_millis(9_200)).await;
    assert_eq!(status(&world, &session, "/x").await, 200);
    eventually("the claims are renewed", async || (world.staff.refreshes() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_can_not_be_reached_ends_nothing() {
    let world = world().await;
    let session = world.session(WIKI, ALICE).await;
    world.staff.is_up(false);
    tokio::time::sleep(LIFE + Duration::from_millis(100)).await;
    for _ in 0..5 {
        assert_eq!(status(&world, &session, "/x").await, 200);
    }
    assert_eq!(status(&world, &session, "/admin/x").await, 403);
}
