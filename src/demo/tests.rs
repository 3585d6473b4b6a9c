//! Tests of the demo as a whole: what it leaves in its directory, what it serves, how it fails.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::*;

/// Starts a demo on the first ports that are free. The range is this test's own.
async fn demo(state: PathBuf) -> (Options, Demo) {
    for port in (23_000..24_000).step_by(6) {
        let options = Options { port, state: state.clone() };
        match prepare(&options).await {
            Ok(demo) => return (options, demo),
            Err(Error::PortInUse(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no free ports");
}

#[tokio::test]
async fn a_script_finds_everything_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let (Options { port, state }, demo) = demo(directory.path().join("demo")).await;
    let manifest: Value = serde_json::from_slice(&std::fs::read(state.join("demo.json")).unwrap()).unwrap();
    assert_eq!(manifest["apps"]["wiki"], format!("https://wiki.localhost:{port}"));
    assert_eq!(manifest["apps"]["payroll"], format!("https://payroll.localhost:{port}"));
    assert_eq!(manifest["auth"], format!("https://login.localhost:{port}"));
    assert_eq!(manifest["admin"], format!("http://127.0.0.1:{}", port + 2));
    assert_eq!(manifest["admin_token"], std::fs::read_to_string(state.join("admin-token")).unwrap());
    assert!(std::path::Path::new(manifest["ca"].as_str().unwrap()).is_absolute());
    let people = manifest["users"].as_array().unwrap();
    assert_eq!(people.len(), 4);
    for person in people {
        assert!(demo.welcome.contains(person["email"].as_str().unwrap()) && person["password"].is_string(), "{person}");
    }
    assert!(demo.config.is_file() && demo.welcome.contains(manifest["ca"].as_str().unwrap()));
    let issuer = manifest["idp"].as_str().unwrap();
    let document = reqwest::get(format!("{issuer}/.well-known/openid-configuration")).await.unwrap();
    let document: Value = serde_json::from_slice(&document.bytes().await.unwrap()).unwrap();
    assert_eq!(document["issuer"], issuer);
    for app in [port + 4, port + 5] {
        assert!(reqwest::get(format!("http://127.0.0.1:{app}/health")).await.unwrap().status().is_success());
    }
}

#[tokio::test]
async fn nothing_it_leaves_is_readable_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let (Options { state, .. }, _demo) = demo(directory.path().join("demo")).await;
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&state).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_second_start_keeps_what_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let kept = || {
        ["ca.pem", "server.key", "alice-laptop.pem", "devices.csv", "idp-key.der", "idp-secret", "admin-token"]
            .map(|file| std::fs::read(directory.path().join(file)).unwrap())
    };
    drop(demo(directory.path().into()).await);
    let first = kept();
    drop(demo(directory.path().into()).await);
    assert_eq!(kept(), first);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_cure_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (Options { port, .. }, _demo) = demo(directory.path().join("first")).await;
    let second = directory.path().join("second");
    let error = prepare(&Options { port, state: second.clone() }).await.err().unwrap().to_string();
    assert!(error.contains(&format!("port {} is in use", port + 3)) && error.contains("--port"), "{error}");
    assert!(!second.exists());
}

#[tokio::test]
async fn ports_that_do_not_exist_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for port in [0, 65_531, 65_535] {
        let result = prepare(&Options { port, state: directory.path().into() }).await;
        assert!(matches!(result, Err(Error::PortRange(named)) if named == port), "{port}");
    }
}
