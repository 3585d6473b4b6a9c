//! What the package does on a machine: its scripts, with the system's own commands put aside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// What `postinst` has systemctl do, when it is called like this on a machine where the unit is active or not, and where systemctl
/// does what it is told or fails; and whether the script fails.
fn configured(arguments: &[&str], is_active: bool, fails: bool) -> (Vec<String>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let script = fs::read_to_string("packaging/debian/postinst").unwrap();
    fs::write(place.join("postinst"), script.replace("/run/systemd/system", place.to_str().unwrap())).unwrap();
    let systemctl = format!(
        "#!/bin/sh\ncase \"$*\" in *is-active*) exit {};; esac\necho \"$*\" >>'{}'\nexit {}\n",
        u8::from(!is_active),
        place.join("told").display(),
        u8::from(fails)
    );
    for (name, text) in [("systemctl", &*systemctl), ("getent", "#!/bin/sh\n"), ("chown", "#!/bin/sh\n"), ("chmod", "#!/bin/sh\n")]
    {
        let path = place.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("/bin/sh");
    let status = command.arg(place.join("postinst")).args(arguments).env("PATH", place).status().unwrap();
    let told = fs::read_to_string(place.join("told")).unwrap_or_default();
    (told.lines().map(str::to_owned).collect(), status.success())
}

#[test]
fn the_unit_is_enabled_once_and_handed_over_when_it_runs() {
    let enable = "enable --quiet --now doorward.service";
    let hand_over = "kill --kill-whom=main --signal=USR2 doorward.service";
    let cases: [(&[&str], bool, &[&str]); 5] = [
        (&["configure", ""], false, &["daemon-reload", enable]),
        (&["configure"], false, &["daemon-reload", enable]),
        (&["configure", "0.1.0"], false, &["daemon-reload"]),
        (&["configure", "0.1.0"], true, &["daemon-reload", hand_over]),
        (&["abort-upgrade", "0.1.0"], true, &[]),
    ];
    for (arguments, is_active, expected) in cases {
        for fails in [false, true] {
            let (told, succeeds) = configured(arguments, is_active, fails);
            assert_eq!(told, expected, "{arguments:?} {is_active}");
            assert!(succeeds, "a masked unit does not stop an installation: {arguments:?}");
        }
    }
}

#[test]
fn nothing_gets_into_the_image_that_is_not_named() {
    let text = fs::read_to_string(".dockerignore").unwrap();
    let mut rules = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(rules.next(), Some("*"));
    for rule in rules {
        let named = rule.strip_prefix('!').expect("only exceptions");
        assert!(!["certs", "state", "target", "config", "."].contains(&named), "{named}");
        assert!(named.contains('*') || fs::exists(named).unwrap(), "{named}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_little_that_it_could_do() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("doorward.service");
    let text = fs::read_to_string("packaging/doorward.service").unwrap();
    fs::write(&unit, text.replace("/usr/bin/doorward", env!("CARGO_BIN_EXE_doorward"))).unwrap();
    // Out of ten; 2.0 is what it is held to.
    for arguments in [&["verify", "--man=no"][..], &["security", "--offline=yes", "--threshold=20"]] {
        let Ok(said) = Command::new("systemd-analyze").args(arguments).arg(&unit).output() else {
            eprintln!("systemd-analyze is not here: the unit was not looked at");
            return;
        };
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(
            said.status.success() && !text.contains("doorward.service:"),
            "{arguments:?}: {text}{}",
            String::from_utf8_lossy(&said.stdout)
        );
    }
}
