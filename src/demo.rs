//! `doorward demo`: everything that Doorward needs around it, on loopback, with nothing installed.
//!
//! In: a port and a state directory. Out: running demo servers (identity provider, wiki, payroll), certificates, and
//! a configuration file to run the proxy with. It must never listen beyond loopback, and nothing in here may be
//! relied on by the proxy itself.

mod apps;
mod certs;
mod config;
mod device;
pub mod idp;
mod manifest;
mod people;
mod serve;
mod site;
mod state;
mod welcome;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::model::secret::NoRandomness;
use idp::{Idp, KeyError, SigningKey};
use people::Person;
use serve::Server;
use site::Site;
use state::State;

const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);

/// What can be chosen about the demo.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port that people type; the five after it are used too.
    pub port: u16,
    /// The directory that everything is kept in.
    pub state: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 8443, state: "state/demo".into() }
    }
}

/// What surrounds the proxy, running. Dropping it stops the identity provider and the apps.
pub struct Demo {
    /// The configuration file to run the proxy with.
    pub config: PathBuf,
    /// What to print once the proxy runs.
    pub welcome: String,
    _idp: Idp,
    _apps: [Server; 2],
}

/// Why the demo cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate could be made.
    #[error("the development certificates cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The configuration in the state directory is not the demo's.
    #[error("{} was not written by the demo; choose another directory with --state", .0.display())]
    Foreign(PathBuf),
    /// The identity provider did not start.
    #[error(transparent)]
    Idp(#[from] idp::Error),
    /// The identity provider's key could not be made or read.
    #[error("the demo identity provider's key: {0}; delete idp-key.der in the state directory to make a new one")]
    Key(#[from] KeyError),
    /// `demo.json` could not be written as JSON.
    #[error("demo.json cannot be made: {0}")]
    Manifest(#[from] serde_json::Error),
    /// There is no randomness for secrets.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A listener could not be made.
    #[error("cannot listen on {address}: {source}; choose other ports with --port")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// One of the six ports is in use.
    #[error("port {0} is in use; the demo needs six ports in a row, choose them with --port")]
    PortInUse(u16),
    /// There are no six ports from here.
    #[error("--port {0} does not leave room for six ports in a row: choose one from 1 to 65530")]
    PortRange(u16),
    /// A server of the demo did not start.
    #[error("a server of the demo cannot start: {0}")]
    Serve(#[source] io::Error),
    /// A file or directory could not be read or written.
    #[error("{}: {source}", .path.display())]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes everything that the proxy needs, and starts the servers around it.
pub async fn prepare(options: &Options) -> Result<Demo, Error> {
    let site = Site::at(options.port).ok_or(Error::PortRange(options.port))?;
    let listeners = listeners(site).await?;
    let state = State::open(&options.state)?;
    let people = people::everyone();
    let config = config::write(&state, site)?;
    certs::prepare(&state)?;
    device::prepare(&state)?;
    manifest::write(&state, site, &people, &state.secret("admin-token")?, &state.secret("scim-token")?)?;
    let welcome = welcome::text(&state, site, &people);
    let settings = provider(&state, site, people)?;
    let [idp, wiki, payroll] = listeners;
    Ok(Demo {
        config,
        welcome,
        _idp: idp::start(idp, settings)?,
        _apps: [start(wiki, apps::wiki())?, start(payroll, apps::payroll())?],
    })
}

/// The demo's own listeners. That the proxy's ports are free is found out first: its listeners share ports, and would
/// join another demo's.
async fn listeners(site: Site) -> Result<[TcpListener; 3], Error> {
    for address in [site.https(), site.http(), site.admin()] {
        listen(address).await?;
    }
    Ok([listen(site.idp()).await?, listen(site.wiki()).await?, listen(site.payroll()).await?])
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::PortInUse(address.port()),
        _ => Error::Listen { address, source },
    })
}

fn start(listener: TcpListener, router: axum::Router) -> Result<Server, Error> {
    serve::start(listener, router).map_err(Error::Serve)
}

fn provider(state: &State, site: Site, people: Vec<Person>) -> Result<idp::Settings, Error> {
    let auth = site.url("login");
    Ok(idp::Settings {
        issuer: site.issuer(),
        client_id: site::CLIENT_ID.into(),
        client_secret: state.secret("idp-secret")?.into(),
        redirect_uris: vec![format!("{auth}/.doorward/callback")],
        post_logout_uris: vec![format!("{auth}/.doorward/logout")],
        back_channel: Some(back_channel(state, site)?),
        return_origins: vec![auth, site.url("wiki"), site.url("payroll")],
        people,
        access_token_life: ACCESS_TOKEN_LIFE,
        key: signing_key(state)?,
    })
}

/// Doorward, as the provider reaches it.
fn back_channel(state: &State, site: Site) -> Result<idp::BackChannel, Error> {
    let uri = format!("{}/.doorward/backchannel-logout", site.url("login"));
    let uri = uri.parse().map_err(idp::Error::Issuer)?;
    Ok(idp::BackChannel { uri, address: site.https(), ca: state.read("ca.pem")?.unwrap_or_default() })
}

fn signing_key(state: &State) -> Result<SigningKey, Error> {
    const FILE: &str = "idp-key.der";
    if let Some(der) = state.read(FILE)? {
        return Ok(SigningKey::from_pkcs8(&der)?);
    }
    let key = SigningKey::generate()?;
    state.write(FILE, &key.to_pkcs8()?)?;
    Ok(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
