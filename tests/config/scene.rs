//! A directory with certificates and a configuration.

use doorward::control::config::{Loaded, Problem, Problems, load};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The least that is fine, without a warning. Lines are counted in the tests.
pub(crate) const BASE: &str = r#"listen: { https: "127.0.0.1:8443" }
tls:
  certificates:
    - { cert: apps.pem, key: apps.key }
auth:
  url: https://login.corp.example
identity_providers:
  staff:
    issuer: https://idp.corp.example
    client_id: doorward
    claims: { groups: groups, department: dept }
store: sqlite:doorward.db
apps:
  wiki:
    url: https://wiki.corp.example
    upstream: http://127.0.0.1:8080
    allow:
      - groups: [staff]
"#;

pub(crate) struct Scene {
    directory: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self { directory: tempfile::tempdir().unwrap() };
        scene.certificate("apps", &["*.corp.example"]);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn yaml(&self) -> PathBuf {
        self.path("doorward.yaml")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn certificate(&self, name: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        self.write(&format!("{name}.pem"), &made.cert.pem());
        self.write(&format!("{name}.key"), &made.signing_key.serialize_pem());
    }

    /// Somebody who vouches for certificates.
    pub(crate) fn authority(&self, name: &str) {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        self.write(name, &params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem());
    }

    pub(crate) fn load(&self, yaml: &str) -> Result<Loaded, Problems> {
        self.write("doorward.yaml", yaml);
        load(&self.yaml(), 1)
    }

    /// The errors of a file that has some.
    pub(crate) fn errors(&self, yaml: &str) -> Vec<Problem> {
        match self.load(yaml) {
            Ok(_) => panic!("this is fine:\n{yaml}"),
            Err(problems) => problems.errors,
        }
    }

    /// A configuration that has to be fine.
    pub(crate) fn fine(&self, yaml: &str) -> Loaded {
        self.load(yaml).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"))
    }
}

/// [`BASE`] with one text replaced by another.
pub(crate) fn with(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replacen(from, to, 1)
}

/// What is shown of a file, with the directory taken out.
pub(crate) fn shown(text: &str, directory: &Path) -> String {
    text.replace(&format!("{}/", directory.display()), "")
}
