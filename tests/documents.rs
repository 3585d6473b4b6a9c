//! What the documents say is so: configurations load, commands exist, reasons are listed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use doorward::cli::check::check;
use doorward::model::Timestamp;
use doorward::model::device::entry::{Entry, KEYS};
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
        write(folder.path(), &format!("secrets/{variable}"), "a-secret-of-some-length");
    }
    for (certificate, key) in named("cert").into_iter().zip(named("key")) {
        let made = rcgen::generate_simple_self_signed(["*.corp.example".to_owned(), "*.corp.test".to_owned()]).unwrap();
        write(folder.path(), &certificate, &made.cert.pem());
        write(folder.path(), &key, &made.signing_key.serialize_pem());
    }
    for file in named("{ file") {
        let is_list = Path::new(&file).extension().is_some_and(|end| end == "csv");
        let text = if is_list { "id,owner\n".to_owned() } else { format!("a-secret-of-some-length-in-{file}") };
        write(folder.path(), &file, &text);
    }
    for (key, text) in [("device_ca", authority().0), ("device_crl", authority().1)] {
        named(key).iter().for_each(|file| write(folder.path(), file, &text));
    }
    write(folder.path(), "doorward.yaml", &text);
    let path = folder.path().join("doorward.yaml");
    (folder, path)
}

/// Somebody who vouches for devices, and an empty list of what was revoked.
fn authority() -> (String, String) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let now = std::time::SystemTime::now();
    let list = rcgen::CertificateRevocationListParams {
        this_update: now.into(),
        next_update: (now + std::time::Duration::from_secs(3600)).into(),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    (authority.pem(), list.signed_by(&authority).unwrap().pem().unwrap())
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

/// The devices on the page about them, in each of the three ways.
#[test]
fn every_device_in_a_document_is_one() {
    let page = fs::read_to_string("docs/devices.md").unwrap();
    let whole = blocks(&page, "yaml").into_iter().find(|yaml| yaml.contains("listen:")).unwrap();
    let listed = blocks(&page, "yaml").into_iter().find(|yaml| yaml.starts_with("devices:")).unwrap();
    for (name, text, count) in [("devices.csv", blocks(&page, "csv")[0], 2), ("devices.yaml", listed, 1)] {
        let (folder, file) = scene(&whole.replace("devices.csv", name));
        write(folder.path(), name, text);
        let loaded = doorward::control::config::load(&file, 1).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(loaded.snapshot.devices.len(), count, "{name}");
    }
    let mut entry: Entry = serde_json::from_str(blocks(&page, "json")[0]).unwrap();
    entry.id = "mac-0042".to_owned();
    assert!(entry.check(Timestamp::default()).is_ok());
    assert!(KEYS.iter().all(|key| page.contains(&format!("`{key}`"))));
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
            let (fine, mut help) = doorward(&[words[0], "--help"]);
            assert!(fine, "{}: {span}", path.display());
            if help.contains("Commands:") && words.len() > 1 {
                let (fine, more) = doorward(&[words[0], words[1], "--help"]);
                assert!(fine, "{}: {span}", path.display());
                help.push_str(&more);
            }
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
