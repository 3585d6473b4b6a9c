//! The configuration file that the demo runs Doorward with: a real one, to read and to copy.
//!
//! In: the site. Out: `doorward.yaml` in the state directory. It must never overwrite a file that somebody else
//! wrote or changed into their own.

use std::path::PathBuf;

use super::Error;
use super::device;
use super::site::{CLIENT_ID, Site};
use super::state::State;

const FILE: &str = "doorward.yaml";
const HEADER: &str = "# Written by `doorward demo` at every start. Copy it to change it.\n";

/// Writes the file, and returns its path.
pub(super) fn write(state: &State, site: Site) -> Result<PathBuf, Error> {
    let path = state.path(FILE);
    if state.read(FILE)?.is_some_and(|there| !there.starts_with(HEADER.as_bytes())) {
        return Err(Error::Foreign(path));
    }
    state.write(FILE, text(site).as_bytes())?;
    Ok(path)
}

fn text(site: Site) -> String {
    format!(
        r#"{HEADER}# Relative paths are relative to this file's directory.

listen:
  https: "{https}"
  http: "{http}"                 # only redirects to https
  admin: "{admin}"                # health, metrics, admin API; never public
admin:
  token: {{ file: admin-token }}

tls:
  certificates:
    - {{ cert: server.pem, key: server.key }}
  device_ca: {device_ca}                # browsers may show the certificate of a device
devices:
  file: {devices}                     # the devices that are known

auth:
  url: "{login}"
  session: {{ idle: 1h, lifetime: 12h }}

identity_providers:
  demo:
    name: "Demo sign-in"
    issuer: "{issuer}"
    client_id: {CLIENT_ID}
    client_secret: {{ file: idp-secret }}
    scopes: [openid, email, profile, groups, offline_access]
    claims: {{ groups: groups, department: department }}
    scim:                                  # the directory may say who there is, at {login}/scim/v2
      tokens: [{{ file: scim-token }}]

store: sqlite:doorward.db

apps:
  wiki:                                    # every employee
    url: "{wiki}"
    name: Wiki
    upstream: "http://{wiki_upstream}"
    identity: {{ X-Remote-User: email, X-Remote-Groups: groups }}
    allow:
      - domains: [corp.example]
    paths:
      - {{ match: /health, public: true }}
      - match: /vault                      # with a managed device of one's own
        allow: [{{ domains: [corp.example], when: {{ device: managed }} }}]
  payroll:                                 # the group finance, nobody else
    url: "{payroll}"
    name: Payroll
    upstream: "http://{payroll_upstream}"
    identity: {{ X-Remote-User: email, X-Remote-Groups: groups }}
    allow:
      - groups: [finance]

audit: {{ file: audit.jsonl }}
"#,
        https = site.https(),
        http = site.http(),
        admin = site.admin(),
        login = site.url("login"),
        device_ca = device::AUTHORITY,
        devices = device::INVENTORY,
        issuer = site.issuer(),
        wiki = site.url("wiki"),
        wiki_upstream = site.wiki(),
        payroll = site.url("payroll"),
        payroll_upstream = site.payroll(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let site = Site::at(8443).unwrap();
        write(&state, site).unwrap();
        write(&state, site).unwrap();
        state.write(FILE, b"listen: { https: '[::]:443' }\n").unwrap();
        assert!(matches!(write(&state, site), Err(Error::Foreign(_))));
        assert!(state.read(FILE).unwrap().unwrap().starts_with(b"listen"));
    }
}
