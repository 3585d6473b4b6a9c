//! `upstream:` and `upstream_tls:`. In: what the file says. Out: servers with their transports. Must never let a server that
//! speaks TLS go unverified.

mod terms;
mod tls;

pub(super) use terms::{pooling, timeouts};
pub(super) use tls::Client;

use super::Context;
use super::values::{bare, parse};
use crate::control::config::file;
use crate::control::config::file::upstream::SendProxyProtocol;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::Upstream;
use crate::snapshot::upstream::{Address, ProxyProtocol, Transport};
use std::path::PathBuf;
use url::Host;

/// What every address may look like.
const FORMS: &str = "write `http://host:port`, `https://host:port`, `h2c://host:port` or `unix:/path/to.sock`";
/// The longest path that a socket can have, in bytes (unix(7)).
const LONGEST_PATH: usize = 107;

/// Where an app really is: each server of the list, or nothing in its place after an error.
pub(super) fn compile(app: &file::App, place: &Place, context: &mut Context<'_>) -> Vec<Option<Upstream>> {
    let trust = tls::compile(app.upstream_tls.as_ref(), &place.key("upstream_tls"), context);
    let at = |index| place.key("upstream").index(index).key("url");
    let listed = app.upstream.iter().flat_map(|upstream| &upstream.0).enumerate();
    let mut server = |index, url: &str| server(url, &at(index), trust.as_ref(), context);
    let servers = listed.map(|(index, listed)| Some(server(index, &listed.url)?.announced(app.send_proxy_protocol.map(version))));
    let servers: Vec<_> = servers.collect();
    let is_clear =
        |server: &Option<Upstream>| server.as_ref().is_some_and(|server| !matches!(server.transport(), Transport::Tls(_)));
    if app.upstream_tls.is_some() && !servers.is_empty() && servers.iter().all(is_clear) {
        let wrong = Wrong::new("no server of this app is reached by https", "write `https://` under `upstream`, or take this away");
        context.findings.error_in_key(&place.key("upstream_tls"), wrong);
    }
    servers
}

const fn version(written: SendProxyProtocol) -> ProxyProtocol {
    match written {
        SendProxyProtocol::V1 => ProxyProtocol::V1,
        SendProxyProtocol::V2 => ProxyProtocol::V2,
    }
}

/// One server.
fn server(text: &str, place: &Place, trust: Option<&tls::Trust>, context: &mut Context<'_>) -> Option<Upstream> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = socket_path(path, context);
        let path = context.findings.take(place, path)?;
        return Some(Upstream::new(format!("unix:{}", path.display()), Address::Unix(path), Transport::Http1));
    }
    let (scheme, host, port) = context.findings.take(place, address(text))?;
    let transport = match scheme {
        Scheme::Http => Transport::Http1,
        Scheme::H2c => Transport::Http2,
        Scheme::Https => Transport::Tls(trust?.towards(&host, place, context)?),
    };
    let name = format!("{}://{host}:{port}", scheme.as_str());
    let host = host_name(host);
    Some(Upstream::new(name, Address::Tcp { host, port }, transport))
}

#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
    H2c,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::Http, Self::Https, Self::H2c];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http | Self::H2c => 80,
            Self::Https => 443,
        }
    }
}

fn address(text: &str) -> Result<(Scheme, Host, u16), Wrong> {
    let wrong = |message: &str| Wrong::new(message, FORMS);
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("not a URL"))?;
    let scheme = Scheme::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(scheme));
    let scheme = scheme.ok_or_else(|| wrong("this kind of upstream is not known"))?;
    // The parser reads hosts well only in URLs of the kinds that it knows.
    let url = parse(&format!("http://{rest}")).map_err(|_| wrong("not a URL"))?;
    bare(&url)?;
    if url.path() != "/" {
        return Err(Wrong::plain("an upstream has no path: the app receives the path that the browser sent"));
    }
    let host = url.host().ok_or_else(|| wrong("no host"))?.to_owned();
    let port = match url.port() {
        Some(port) => port,
        None if rest.trim_end_matches('/').ends_with(":80") => 80,
        None => scheme.port(),
    };
    Ok((scheme, host, port))
}

fn host_name(host: Host) -> Box<str> {
    match host {
        Host::Domain(name) => name.into(),
        Host::Ipv4(address) => address.to_string().into(),
        Host::Ipv6(address) => address.to_string().into(),
    }
}

fn socket_path(text: &str, context: &Context<'_>) -> Result<PathBuf, Wrong> {
    let path = text.strip_prefix("//").unwrap_or(text);
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return Err(Wrong::new("not the path of a socket", "as in `unix:/run/app.sock`"));
    }
    let path = context.sources.resolve(path);
    match path.as_os_str().len() {
        ..=LONGEST_PATH => Ok(path),
        length => Err(Wrong::plain(format!("the path of a socket has {LONGEST_PATH} bytes at most, and this one has {length}"))),
    }
}
