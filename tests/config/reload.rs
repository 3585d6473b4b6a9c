//! Changes are taken up whole, or not at all.

use crate::scene::{BASE, Scene, with};
use arc_swap::ArcSwap;
use doorward::control::config::load;
use doorward::control::config::reload::{Outcome, Started, watch};
use doorward::snapshot::Snapshot;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

struct Running {
    current: Arc<ArcSwap<Snapshot>>,
    outcomes: UnboundedReceiver<Outcome>,
}

async fn start(path: &Path) -> Running {
    let loaded = load(path, 1).unwrap_or_else(|problems| panic!("{problems}"));
    let started = Started::from(&loaded);
    let current = Arc::new(ArcSwap::from_pointee(loaded.snapshot));
    let (sender, outcomes) = unbounded_channel();
    let report = move |outcome| sender.send(outcome).unwrap();
    tokio::spawn(watch(path.to_owned(), started, current.clone(), report));
    sleep(Duration::from_millis(300)).await;
    Running { current, outcomes }
}

impl Running {
    async fn next(&mut self) -> Outcome {
        timeout(Duration::from_secs(10), self.outcomes.recv()).await.expect("nothing happened").unwrap()
    }

    async fn applied(&mut self) {
        match self.next().await {
            Outcome::Applied { epoch, .. } => assert_eq!(self.current.load().epoch, epoch),
            outcome => panic!("{outcome:?}"),
        }
    }

    async fn nothing(&mut self) {
        let outcome = timeout(Duration::from_millis(900), self.outcomes.recv()).await;
        assert!(outcome.is_err(), "{outcome:?}");
    }

    fn title(&self) -> String {
        self.current.load().apps[0].title.to_string()
    }
}

fn titled(title: &str) -> String {
    with("    allow:", &format!("    name: {title}\n    allow:"))
}

#[tokio::test]
async fn a_change_is_applied() {
    let scene = Scene::new();
    scene.write("doorward.yaml", BASE);
    let mut running = start(&scene.yaml()).await;
    scene.write("doorward.yaml", &titled("One"));
    running.applied().await;
    assert_eq!((running.current.load().epoch, running.title()), (2, "One".to_owned()));
    scene.write("doorward.yaml", &titled("Two"));
    running.applied().await;
    assert_eq!((running.current.load().epoch, running.title()), (3, "Two".to_owned()));
}

#[tokio::test]
async fn a_broken_file_leaves_the_last_good_one() {
    let scene = Scene::new();
    scene.write("doorward.yaml", &titled("Good"));
    let mut running = start(&scene.yaml()).await;
    scene.write("doorward.yaml", "apps: [");
    match running.next().await {
        Outcome::Refused(problems) => assert_eq!(problems.errors.len(), 1),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!((running.current.load().epoch, running.title()), (1, "Good".to_owned()));
    running.nothing().await;
    std::fs::remove_file(scene.yaml()).unwrap();
    assert!(matches!(running.next().await, Outcome::Refused(_)));
    scene.write("doorward.yaml", &titled("Better"));
    running.applied().await;
    assert_eq!(running.title(), "Better");
}

#[tokio::test]
async fn a_file_that_is_renamed_into_place_is_seen() {
    let scene = Scene::new();
    scene.write("doorward.yaml", BASE);
    let mut running = start(&scene.yaml()).await;
    for title in ["One", "Two"] {
        scene.write(".doorward.yaml.swp", &titled(title));
        std::fs::rename(scene.path(".doorward.yaml.swp"), scene.yaml()).unwrap();
        running.applied().await;
        assert_eq!(running.title(), title);
    }
}

#[tokio::test]
async fn what_changes_nothing_does_nothing() {
    let scene = Scene::new();
    scene.write("doorward.yaml", BASE);
    let mut running = start(&scene.yaml()).await;
    scene.write("doorward.yaml", BASE);
    scene.write("neighbour.txt", "x");
    running.nothing().await;
    assert_eq!(running.current.load().epoch, 1);
}

#[tokio::test]
async fn a_new_certificate_is_taken_up() {
    let scene = Scene::new();
    scene.write("doorward.yaml", BASE);
    let mut running = start(&scene.yaml()).await;
    let before = running.current.load().tls.default.clone();
    scene.certificate("apps", &["*.corp.example", "corp.example"]);
    running.applied().await;
    let after = running.current.load_full();
    assert!(!Arc::ptr_eq(&before, &after.tls.default));
    assert!(after.tls.exact.contains_key("corp.example"));
}

#[tokio::test]
async fn a_certificate_that_was_missing_is_taken_up_when_it_comes() {
    let scene = Scene::new();
    scene.write("doorward.yaml", BASE);
    let mut running = start(&scene.yaml()).await;
    scene.write("doorward.yaml", &BASE.replace("apps.", "new."));
    assert!(matches!(running.next().await, Outcome::Refused(_)));
    scene.certificate("new", &["*.corp.example"]);
    running.applied().await;
}

/// `doorward.yaml` → `..data/doorward.yaml`, `..data` → a directory that is replaced whole.
#[tokio::test]
async fn a_mounted_configuration_map_is_followed() {
    use std::os::unix::fs::symlink;
    let scene = Scene::new();
    for (version, title) in [("..v1", "One"), ("..v2", "Two"), ("..v3", "Three")] {
        scene.write(&format!("{version}/doorward.yaml"), &titled(title));
    }
    symlink("..v1", scene.path("..data")).unwrap();
    symlink("..data/doorward.yaml", scene.yaml()).unwrap();
    let mut running = start(&scene.yaml()).await;
    for (version, title) in [("..v2", "Two"), ("..v3", "Three")] {
        symlink(version, scene.path("..data_tmp")).unwrap();
        std::fs::rename(scene.path("..data_tmp"), scene.path("..data")).unwrap();
        running.applied().await;
        assert_eq!(running.title(), title);
    }
}

#[tokio::test]
async fn what_needs_a_restart_is_said_and_the_rest_applied() {
    let scene = Scene::new();
    scene.write("doorward.yaml", BASE);
    let mut running = start(&scene.yaml()).await;
    scene.write("doorward.yaml", &titled("New").replace("8443", "9443").replace("doorward.db", "other.db"));
    running.applied().await;
    match running.next().await {
        Outcome::RestartNeeded(keys) => assert_eq!(keys, ["listen", "store"]),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(running.title(), "New");
}
