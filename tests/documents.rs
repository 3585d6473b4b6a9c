//! What the documents say is so: configurations load, commands exist, reasons are listed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use doorward::cli::check::check;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The documents that operators read, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let markdown = |folder: &str| {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "md")).collect::<Vec<_>>()
    };
    let paths = [markdown("."), markdown("docs"), markdown("certs")].concat();
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).unwrap());
    paths.into_iter().map(read).collect()
}

/// The code blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&*fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A folder in which every file that this configuration names is there.
fn scene(yaml: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let named = |key: &str| {
        let key = format!("{key}: ");
        let values = yaml.split(&*key).skip(1).map(|rest| rest.split([',', ' ', '}', '\n']).next().unwrap().to_owned());
        values.collect::<Vec<_>>()
    };
    // Setting a variable is not safe beside other threads: secrets come from files here.
    let mut text = yaml.to_owned();
    for variable in named("{ env") {
        text = text.replace(&format!("{{ env: {variable} }}"), &format!("{{ file: secrets/{variable} }}"));
        write(folder.path(), &format!("secrets/{variable}"), "a-secret");
    }
    for (certificate, key) in named("cert").into_iter().zip(named("key")) {
        let made = rcgen::generate_simple_self_signed(["*.corp.example".to_owned(), "*.corp.test".to_owned()]).unwrap();
        write(folder.path(), &certificate, &made.cert.pem());
        write(folder.path(), &key, &made.signing_key.serialize_pem());
    }
    for file in named("{ file") {
        write(folder.path(), &file, "a-secret");
    }
    write(folder.path(), "doorward.yaml", &text);
    let path = folder.path().join("doorward.yaml");
    (folder, path)
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn every_whole_configuration_in_a_document_is_fine_without_a_warning() {
    let mut found = BTreeSet::new();
    for (path, text) in documents() {
        for yaml in blocks(&text, "yaml").into_iter().filter(|yaml| yaml.contains("listen:")) {
            let (_folder, file) = scene(yaml);
            let verdict = check(&file);
            assert_eq!((verdict.code, &*verdict.problems), (0, ""), "{}:\n{yaml}", path.display());
            found.insert(path.clone());
        }
    }
    assert!(found.contains(Path::new("./README.md")), "{found:?}");
}

#[test]
fn the_first_configuration_of_the_readme_is_short() {
    let readme = fs::read_to_string("README.md").unwrap();
    let lines = blocks(&readme, "yaml")[0].lines().count();
    assert!(lines <= 30, "{lines} lines");
}

fn doorward(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_command_in_a_document_exists_with_its_options_and_every_command_is_documented() {
    let (_, help) = doorward(&["--help"]);
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap().lines();
    let commands: BTreeSet<_> = commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    let mut named = BTreeSet::new();
    for (path, text) in documents() {
        let spans = text.split('`').skip(1).step_by(2).chain(text.lines());
        for span in spans.map(str::trim) {
            let Some(rest) = span.strip_prefix("doorward ").or_else(|| span.strip_prefix("cargo run --release -- ")) else {
                continue;
            };
            let words: Vec<&str> = rest.split_whitespace().collect();
            let (fine, help) = doorward(&[words[0], "--help"]);
            assert!(fine, "{}: {span}", path.display());
            for option in words.iter().filter(|word| word.starts_with('-')) {
                assert!(help.contains(option), "{}: {span}", path.display());
            }
            named.extend(commands.get(words[0]));
        }
    }
    assert_eq!(named, commands);
}

#[test]
fn every_reason_is_explained_once_and_no_other() {
    let source = fs::read_to_string("src/model/reason.rs").unwrap();
    let codes: Vec<&str> = source.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(codes.len() > 25);
    let page = fs::read_to_string("docs/reasons.md").unwrap();
    let rows: Vec<Vec<&str>> = page.lines().filter(|line| line.starts_with("| `")).map(|row| row.split(" | ").collect()).collect();
    let listed: Vec<&str> = rows.iter().map(|row| row[0].trim_matches(['|', ' ', '`'])).collect();
    assert_eq!(listed, codes, "in the order of the list");
    for row in rows {
        assert!(row.len() == 4 && row.iter().all(|cell| cell.len() > 2), "{row:?}");
    }
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    for (path, text) in documents() {
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let leads = link.is_empty() || link.contains("://") || path.parent().unwrap().join(link).exists();
            assert!(leads, "{}: {link}", path.display());
        }
    }
}

#[test]
fn there_is_a_changelog_with_something_in_it() {
    let text = fs::read_to_string("CHANGELOG.md").unwrap();
    assert!(text.contains("## Unreleased") && text.contains("### Added"));
}

#[test]
fn no_document_names_a_place_on_a_developer_s_machine() {
    for (path, text) in documents() {
        for word in ["/home/", "/root/", "/tmp/", "/Users/"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}
