//! The fuzz targets compile, work, and hold for their seeds, without the tools that fuzzing needs: a target that does not build
//! finds nothing, and nobody would notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, unreachable_pub)]

#[path = "../fuzz/src/configuration.rs"]
mod configuration;
#[path = "../fuzz/src/cookies.rs"]
mod cookies;
#[path = "../fuzz/src/framing.rs"]
mod framing;
#[path = "../fuzz/src/gate.rs"]
mod gate;
#[path = "../fuzz/src/headers.rs"]
mod headers;
#[path = "../fuzz/src/paths.rs"]
mod paths;
#[path = "../fuzz/src/proxy.rs"]
mod proxy;
#[path = "../fuzz/src/request.rs"]
mod request;
#[path = "world/strict.rs"]
mod strict;
#[path = "../fuzz/src/target.rs"]
mod target;

use gate::{EMAIL, HOST, Walk};
use std::path::Path;

#[test]
fn a_fuzzed_request_goes_through_the_walk_as_whoever_it_is_signed_in_as() {
    let walk = Walk::start();
    let through = |path: &str, signed_in| {
        let bytes = format!("GET {path}\nhost:{HOST}\nx-remote-user:root\naccept:*/*");
        walk.through(request::read(bytes.as_bytes()).unwrap(), signed_in)
    };
    let sent = through("/private", true).unwrap();
    assert_eq!((&sent.headers()["x-remote-user"], sent.uri().path()), (&EMAIL.parse().unwrap(), "/private"));
    assert!(!through("/public/x", false).unwrap().headers().contains_key("x-remote-user"));
    assert!(through("/private", false).is_none());
}

#[test]
fn every_target_is_built_has_seeds_and_is_listed() {
    let manifest = std::fs::read_to_string("fuzz/Cargo.toml").unwrap();
    let page = std::fs::read_to_string("docs/testing.md").unwrap();
    for entry in std::fs::read_dir("fuzz/targets").unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
        assert!(std::fs::read_dir(Path::new("fuzz/seeds").join(name)).unwrap().next().is_some(), "{name}");
    }
}

type Check = fn(&[u8]);

#[test]
fn what_the_targets_check_holds_for_their_seeds() {
    let targets: [(&str, Check); 7] = [
        ("configuration", configuration::check),
        ("cookies", cookies::check),
        ("framing", framing::check),
        ("headers", headers::check),
        ("paths", paths::check),
        ("proxy", proxy::check),
        ("target", target::check),
    ];
    for (name, check) in targets {
        for seed in std::fs::read_dir(Path::new("fuzz/seeds").join(name)).unwrap() {
            check(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
    assert_eq!(std::fs::read_dir("fuzz/targets").unwrap().count(), targets.len());
}
