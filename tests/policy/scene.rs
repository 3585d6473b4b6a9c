//! A directory with a certificate and a configuration, and the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const BASE: &str = "listen: { https: '127.0.0.1:8443' }\ntls: { certificates: [{ cert: cert.pem, key: key.pem }] }\n\
    auth: { url: https://login.corp.example }\nstore: sqlite:x.db\nidentity_providers:\n  staff:\n    \
    issuer: https://idp.corp.example\n    client_id: doorward\n    claims: { groups: groups, department: department }\n";

pub(crate) struct Scene(TempDir);

impl Scene {
    /// With these apps.
    pub(crate) fn of(apps: &str) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        let made = rcgen::generate_simple_self_signed(["*.corp.example".to_owned()]).unwrap();
        scene.write("cert.pem", &made.cert.pem());
        scene.write("key.pem", &made.signing_key.serialize_pem());
        scene.write("doorward.yaml", &format!("{BASE}{apps}"));
        scene
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }
}

/// Where in the configuration this text stands.
pub(crate) fn line(scene: &Scene, part: &str) -> usize {
    let yaml = fs::read_to_string(scene.path().join("doorward.yaml")).unwrap();
    yaml.lines().position(|line| line.contains(part)).unwrap() + 1
}

pub(crate) fn doorward(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward")).current_dir(folder).args(arguments).output().unwrap()
}
