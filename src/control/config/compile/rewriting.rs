//! `host:`, `strip_prefix:`, `add_prefix:`, `forwarded:`, `request_headers:` and `response_headers:` of an app. In: what the file
//! says. Out: names and values, ready to be put into a message. Must never let a header through that frames a message, or
//! that is Doorward's to say.

use super::Context;
use super::values::{Address, bare, is_plain_path, parse};
use crate::control::config::file::App;
use crate::control::config::file::rewriting::Headers;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::prefix::Prefix;
use crate::snapshot::rewriting::{Edits, InternalOrigin, Rewriting, SECURITY, ToApp};
use crate::snapshot::servers::Servers;
use crate::snapshot::{Attribute, fold, upstream};
use http::{HeaderName, HeaderValue};

/// Headers that frame a message or belong to its connection, folded.
const FRAMING: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];
/// What else is not to be changed on the way to an app: what Doorward sets or takes out itself.
const OF_REQUESTS: [&str; 7] =
    ["cookie", "forwarded", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto"];
/// What else is not to be changed in an answer: what Doorward reads in it.
const OF_RESPONSES: [&str; 2] = ["location", "set-cookie"];

/// What an app and the addresses around it lead to.
pub(super) fn compile(
    app: &App,
    place: &Place,
    (address, servers): (Option<&Address>, Option<&Servers>),
    identity: &[(HeaderName, Attribute)],
    context: &mut Context<'_>,
) -> Rewriting {
    let host = app.host.as_deref().filter(|host| *host != "keep");
    let host = host.and_then(|host| context.findings.take(&place.key("host"), self::host(host)));
    let prefix = prefix(app, place, address, context);
    let told: Vec<String> = identity.iter().map(|(name, _)| fold(name.as_str())).collect();
    let place_of_request = place.key("request_headers");
    let request = edits(app.request_headers.as_ref(), &place_of_request, (&OF_REQUESTS, &told), context);
    let response = edits(app.response_headers.as_ref(), &place.key("response_headers"), (&OF_RESPONSES, &[]), context);
    let internal = internal(servers, host.as_ref());
    let stripped = prefix.as_ref().map(Prefix::stripped).filter(|prefix| !prefix.is_empty());
    let to_app = ToApp {
        host: host.map(|said| said.value),
        stripped: stripped.and_then(|prefix| HeaderValue::from_str(prefix).ok()),
        forwarded: app.forwarded,
        edits: request,
    };
    let changes = to_app.host.is_some() || to_app.stripped.is_some() || to_app.forwarded || !to_app.edits.is_empty();
    Rewriting { request: changes.then(|| Box::new(to_app)), prefix, internal, security: security(&response), response }
}

/// A `Host`, and what it says.
struct Said {
    value: HeaderValue,
    name: String,
    port: Option<u16>,
}

/// `name` or `name:port`.
fn host(text: &str) -> Result<Said, Wrong> {
    let wrong = || Wrong::new("not a host", "`keep`, or a name such as `wiki.internal`, with a port where the app expects one");
    let url = parse(&format!("http://{text}")).map_err(|_| wrong())?;
    bare(&url)?;
    let name = url.host_str().filter(|_| url.path() == "/" && !text.ends_with('/')).ok_or_else(wrong)?;
    let port = url.port().or(text.ends_with(":80").then_some(80));
    let value = HeaderValue::from_str(&text.to_ascii_lowercase()).map_err(|_| wrong())?;
    Ok(Said { value, name: name.to_owned(), port })
}

fn prefix(app: &App, place: &Place, address: Option<&Address>, context: &mut Context<'_>) -> Option<Prefix> {
    let public = address.map_or("", |address| &address.prefix);
    if app.strip_prefix && address.is_some() && public.is_empty() {
        let wrong = Wrong::new("there is nothing to strip: `url` has no path", "take this away");
        context.findings.error_in_key(&place.key("strip_prefix"), wrong);
    }
    let add = app.add_prefix.as_deref().and_then(|text| context.findings.take(&place.key("add_prefix"), added(text)));
    let changes = app.strip_prefix || add.is_some();
    changes.then(|| Prefix { public: public.into(), strip: app.strip_prefix, add: add.unwrap_or_default().into() })
}

fn added(text: &str) -> Result<&str, Wrong> {
    let bare = text.trim_end_matches('/');
    if is_plain_path(text) && !bare.is_empty() {
        return Ok(bare);
    }
    Err(Wrong::new("not a plain path prefix", "letters, digits, `-`, `_`, `.` and `~`, as in `/base`"))
}

/// What the app may take for its own name: where it listens, and what its `Host` says.
fn internal(servers: Option<&Servers>, host: Option<&Said>) -> Vec<InternalOrigin> {
    let listens = servers.into_iter().flat_map(Servers::iter).filter_map(|server| match server.upstream.address() {
        upstream::Address::Tcp { host, port } => Some((&**host, *port)),
        upstream::Address::Unix(_) => None,
    });
    let ports = |said: &Said| said.port.map_or_else(|| vec![80, 443], |port| vec![port]);
    let said = host.into_iter().flat_map(|said| ports(said).into_iter().map(|port| (said.name.as_str(), port)));
    let origin = |(host, port): (&str, u16)| InternalOrigin { host: host.trim_matches(['[', ']']).into(), port };
    listens.chain(said).map(origin).collect()
}

fn edits(written: Option<&Headers>, place: &Place, (taken, told): (&[&str], &[String]), context: &mut Context<'_>) -> Edits {
    let Some(written) = written else { return Edits::default() };
    let mut edits = Edits::default();
    let name = |text: &str| -> Result<HeaderName, Wrong> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| Wrong::plain(format!("`{text}` is not a header name")))?;
        let folded = fold(text);
        if FRAMING.contains(&&*folded) || taken.contains(&&*folded) || folded.starts_with("x-doorward-") {
            return Err(Wrong::plain(format!("`{text}` is not to be changed: Doorward and HTTP need it as it is")));
        }
        if told.contains(&folded) {
            return Err(Wrong::plain(format!("`{text}` carries an identity to this app")));
        }
        Ok(name)
    };
    for (text, value) in &written.set {
        let place = place.key("set").key(text);
        let name = name(text).map_err(|wrong| context.findings.error_in_key(&place, wrong));
        let value = HeaderValue::from_str(value).map_err(|_| Wrong::plain("a header's value has no control characters"));
        if edits.removes(&fold(text)) {
            context.findings.error_in_key(&place, Wrong::plain(format!("`{text}` is set twice")));
        }
        edits.remove.push(fold(text).into());
        edits.set.extend(name.ok().zip(context.findings.take(&place, value)));
    }
    if let Some(remove) = &written.remove {
        let removed = context.each(remove, &place.key("remove"), |text, _| name(text));
        edits.remove.extend(removed.iter().map(|name| Box::from(fold(name.as_str()))));
    }
    edits
}

/// The defaults, but what is set has its own value, and what is removed is gone.
fn security(response: &Edits) -> Vec<(HeaderName, HeaderValue)> {
    let own = |name: &HeaderName| response.set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone());
    let kept = SECURITY.iter().filter_map(|(name, default)| {
        let value = own(name).or_else(|| (!response.removes(name.as_str())).then(|| default.clone()));
        value.map(|value| (name.clone(), value))
    });
    kept.collect()
}
