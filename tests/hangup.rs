//! SIGHUP reads the configuration anew, changed or not. Alone in its process, because the signal reaches all of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "config/scene.rs"]
#[allow(dead_code)]
mod scene;

use arc_swap::ArcSwap;
use doorward::control::config::reload::{Outcome, Started, watch};
use scene::{BASE, Scene};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_hangup_reads_everything_anew() {
    let scene = Scene::new();
    let loaded = scene.fine(BASE);
    let started = Started::from(&loaded);
    let current = Arc::new(ArcSwap::from_pointee(loaded.snapshot));
    let (sender, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(watch(scene.yaml(), started, current.clone(), move |outcome| sender.send(outcome).unwrap()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let process = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &process]).status().unwrap().success());
    let outcome = tokio::time::timeout(Duration::from_secs(10), outcomes.recv()).await.unwrap();
    assert!(matches!(outcome, Some(Outcome::Applied { epoch: 2, .. })), "{outcome:?}");
    assert_eq!(current.load().epoch, 2);
}
