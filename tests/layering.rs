//! Dependencies point one way: the house of the design, held by reading every `crate::` path in the sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the top level, and what it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("app", &["assertion", "control", "gate", "model", "snapshot", "store", "telemetry"]),
    ("assertion", &["clock", "model", "store"]),
    ("cli", &["app", "clock", "control", "demo", "model", "policy", "snapshot", "store", "telemetry"]),
    ("clock", &["model"]),
    ("control", &["assertion", "clock", "cookies", "model", "pages", "policy", "snapshot", "store", "telemetry"]),
    ("cookies", &[]),
    ("demo", &["model"]),
    ("gate", &["assertion", "clock", "cookies", "model", "pages", "policy", "snapshot", "store", "telemetry"]),
    ("lib", &[]),
    ("main", &[]),
    ("model", &[]),
    ("pages", &["model"]),
    ("policy", &["model"]),
    ("snapshot", &["model", "policy"]),
    ("store", &["clock", "model"]),
    ("telemetry", &["clock", "model"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

fn top(path: &Path) -> String {
    let relative = path.strip_prefix("src").unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules that a source file names: `crate::x`, and the `x`s of `crate::{x, y::z}`.
fn used(source: &str) -> BTreeSet<String> {
    let code: String = source.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
    let word = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group.split('}').next().unwrap().split(',').map(word)),
            None => drop(found.insert(word(rest))),
        }
    }
    found.into_iter().filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_module_uses_only_what_is_below_it() {
    let mut breaches = Vec::new();
    for path in sources(Path::new("src")) {
        let module = top(&path);
        let allowed =
            MAY_USE.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module} has no place in the house")).1;
        let breach = |used: &String| *used != module && !allowed.contains(&used.as_str());
        breaches.extend(
            used(&fs::read_to_string(&path).unwrap())
                .into_iter()
                .filter(breach)
                .map(|used| format!("{} uses {used}", path.display())),
        );
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn a_breach_would_be_seen() {
    assert!(used("use crate::control::Control;").contains("control"));
    assert!(used("let x = crate::{clock, gate::visit::Visit}::now();").contains("gate"));
    assert!(!used("// use crate::control").contains("control"));
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with its purpose", path.display());
        assert!(text.lines().count() <= 400, "{} is longer than 400 lines", path.display());
    }
}

#[test]
fn no_file_switches_the_lints_off_outside_of_tests() {
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let outside = text.split("#[cfg(test)]").next().unwrap();
        assert!(!outside.contains("allow(clippy::"), "{}", path.display());
    }
}
