//! Where a sign-in may lead: only ever to a URL of a configured app. In: text that anybody may have written. Out: a
//! [`ReturnTarget`]. Must never be written out but from its checked parts, behind `https://` and a configured host.

use crate::model::AppIndex;
use crate::snapshot::hosts::Host;
use crate::snapshot::{App, Snapshot, is_host};
use std::fmt;

/// The longest return target.
const LONGEST: usize = 4096;

/// A URL of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReturnTarget {
    app: AppIndex,
    host: String,
    port: u16,
    /// Path and query, byte for byte.
    rest: String,
}

/// The text is not a URL of a configured app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URL of a configured app")]
pub(super) struct NotATarget;

impl ReturnTarget {
    /// Takes `https://HOST[:PORT]/PATH[?QUERY]` exactly as a browser writes it, and nothing that needs interpreting.
    pub(super) fn parse(snapshot: &Snapshot, text: &str) -> Result<Self, NotATarget> {
        if text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(NotATarget);
        }
        let behind = text.strip_prefix("https://").ok_or(NotATarget)?;
        let slash = behind.find('/').ok_or(NotATarget)?;
        let (authority, rest) = behind.split_at_checked(slash).ok_or(NotATarget)?;
        let (host, port) = split_authority(authority)?;
        let path = rest.split_once('?').map_or(rest, |(path, _)| path);
        let app = find_app(snapshot, host, &plain_path(path)?)?;
        let fits = snapshot.app(app).is_some_and(|app| app.origin.port() == port);
        fits.then(|| Self { app, host: host.to_owned(), port, rest: rest.to_owned() }).ok_or(NotATarget)
    }

    /// The app that it belongs to.
    pub(super) fn app<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a App> {
        snapshot.app(self.app)
    }

    /// The host, lower case, without the port.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Path and query.
    pub(super) fn path_and_query(&self) -> &str {
        &self.rest
    }

    /// The same without the query.
    pub(super) fn without_query(&self) -> Self {
        let path = self.rest.split_once('?').map_or(&*self.rest, |(path, _)| path);
        Self { rest: path.to_owned(), ..self.clone() }
    }

    /// The root of the same host.
    pub(super) fn root(&self) -> Self {
        Self { rest: "/".to_owned(), ..self.clone() }
    }

    /// `https://HOST[:PORT]` and a path of ours.
    pub(super) fn sibling(&self, path: &str) -> String {
        match self.port {
            443 => format!("https://{}{path}", self.host),
            port => format!("https://{}:{port}{path}", self.host),
        }
    }
}

impl fmt::Display for ReturnTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sibling(&self.rest))
    }
}

/// No userinfo, no encoded or foreign host, no second spelling of a port.
fn split_authority(authority: &str) -> Result<(&str, u16), NotATarget> {
    let (host, port) = match authority.split_once(':') {
        None => (authority, 443),
        Some((host, text)) => {
            let port: u16 = text.parse().map_err(|_| NotATarget)?;
            if port == 443 || port.to_string() != text {
                return Err(NotATarget);
            }
            (host, port)
        }
    };
    let fine = is_host(host) && !host.bytes().any(|b| b.is_ascii_uppercase());
    fine.then_some((host, port)).ok_or(NotATarget)
}

fn find_app(snapshot: &Snapshot, host: &str, path: &str) -> Result<AppIndex, NotATarget> {
    match snapshot.hosts.find(host) {
        Some(Host::Apps(apps)) => apps.find(path).ok_or(NotATarget),
        Some(Host::Auth) | None => Err(NotATarget),
    }
}

/// The decoded path, when it has no dot segment and is not one of ours.
fn plain_path(path: &str) -> Result<String, NotATarget> {
    let decoded = decode(path);
    let dots = decoded.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."));
    let first = decoded.split(['/', '\\']).find(|segment| !segment.is_empty()).unwrap_or("");
    let fine = !dots && !path.contains('\\') && !decoded.chars().any(char::is_control) && !first.eq_ignore_ascii_case(".doorward");
    fine.then_some(decoded).ok_or(NotATarget)
}

/// Percent-decoding (RFC 3986, section 2.1); what is not an encoding stays as it is.
pub(super) fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let encoded = (*first == b'%').then(|| hexadecimal(others)).flatten();
        bytes.push(encoded.unwrap_or(*first));
        rest = encoded.and_then(|_| others.get(2..)).unwrap_or(others);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(behind: &[u8]) -> Option<u8> {
    let digits = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
