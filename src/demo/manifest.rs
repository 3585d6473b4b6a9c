//! `demo.json`: what a script needs to try the demo.
//!
//! In: the site, the people, the tokens. Out: a JSON file of mode 0600, for it holds the tokens and passwords.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::Error;
use super::device;
use super::people::Person;
use super::site::Site;
use super::state::State;

#[derive(Serialize)]
struct Manifest<'a> {
    apps: BTreeMap<&'static str, String>,
    auth: String,
    idp: String,
    admin: String,
    admin_token: &'a str,
    scim: String,
    scim_token: &'a str,
    ca: PathBuf,
    device: Device,
    users: Vec<User<'a>>,
}

/// A managed device, its certificate and key as PEM, and a page that needs it.
#[derive(Serialize)]
struct Device {
    id: &'static str,
    owner: &'static str,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    url: String,
}

#[derive(Serialize)]
struct User<'a> {
    email: &'a str,
    password: &'a str,
    groups: &'a [String],
}

/// Writes the file.
pub(super) fn write(state: &State, site: Site, people: &[Person], admin_token: &str, scim_token: &str) -> Result<(), Error> {
    let users = people.iter().map(|person| User { email: &person.email, password: &person.password, groups: &person.groups });
    let manifest = Manifest {
        apps: ["wiki", "payroll"].map(|app| (app, site.url(app))).into(),
        auth: site.url("login"),
        idp: site.issuer(),
        admin: format!("http://{}", site.admin()),
        admin_token,
        scim: format!("{}/scim/v2", site.url("login")),
        scim_token,
        ca: state.path("ca.pem"),
        device: Device {
            id: device::ID,
            owner: device::OWNER,
            ca: state.path(device::AUTHORITY),
            cert: state.path(device::CERTIFICATE),
            key: state.path(device::KEY),
            url: format!("{}/vault", site.url("wiki")),
        },
        users: users.collect(),
    };
    state.write("demo.json", &serde_json::to_vec_pretty(&manifest)?)
}
