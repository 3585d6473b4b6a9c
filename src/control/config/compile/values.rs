//! Texts to single values. In: what the file says. Out: addresses, durations, hosts, methods; or what would be right.

use crate::control::config::findings::Wrong;
use crate::model::Origin;
use crate::model::identity::is_domain;
use crate::snapshot::is_host;
use http::Method;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;
use url::{Host, Url};

/// `90s`, `30m`, `12h`, `7d`; not zero.
pub(in crate::control::config) fn duration(text: &str) -> Result<Duration, Wrong> {
    let unit = |unit: char, seconds: u64| text.strip_suffix(unit).map(|count| (count, seconds));
    let parts = unit('s', 1).or(unit('m', 60)).or(unit('h', 3600)).or(unit('d', 86_400));
    let seconds = parts.and_then(|(count, seconds)| {
        let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| count.parse::<u64>().ok()?.checked_mul(seconds)).flatten()
    });
    match seconds {
        Some(0) => Err(Wrong::plain("a duration can't be zero")),
        Some(seconds) if seconds <= 10 * 366 * 86_400 => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Wrong::plain("longer than ten years")),
        None => Err(Wrong::new("not a duration", "a number and a unit: `90s`, `30m`, `12h` or `7d`")),
    }
}

/// A whole number from 1.
pub(super) fn positive(text: &str) -> Result<NonZeroU32, Wrong> {
    let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let number = count(text, 1..=most)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new).ok_or_else(|| Wrong::plain("not a number that can be used here"))
}

/// A whole number within bounds.
pub(super) fn count(text: &str, bounds: RangeInclusive<usize>) -> Result<usize, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(count) if digits && bounds.contains(&count) => Ok(count),
        _ => {
            let help = format!("a whole number from {} to {}", bounds.start(), bounds.end());
            Err(Wrong::new("not a number that can be used here", help))
        }
    }
}

/// `127.0.0.1:9901`, `[::]:443`.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    let help = "write `address:port` with a numeric address, as in `127.0.0.1:9901` or `[::]:443`";
    text.parse().map_err(|_| Wrong::new("not an address to listen on", help))
}

/// `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let one = |_| text.parse::<IpAddr>().map(IpNet::from);
    let wrong = |_| Wrong::new("not a network", "write `10.0.0.0/8`, `fd00::/8` or a single address");
    let network = text.parse::<IpNet>().or_else(one).map_err(wrong)?;
    if network == network.trunc() {
        Ok(network)
    } else {
        let help = format!("did you mean `{}`?", network.trunc());
        Err(Wrong::new("the address has bits outside its network", help))
    }
}

/// `corp.example`, in lower case.
pub(super) fn domain(text: &str) -> Result<String, Wrong> {
    if is_domain(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let bare = text.trim_start_matches(['@', '*', '.']);
    let help = if bare != text && is_domain(bare) {
        format!("write `{bare}`; it matches exactly this domain, not those below it")
    } else {
        "write what stands behind the `@`, as in `corp.example`".to_owned()
    };
    Err(Wrong::new("not a domain", help))
}

/// `GET`; names of methods are case-sensitive (RFC 9110, section 9.1).
pub(super) fn method(text: &str) -> Result<Method, Wrong> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| Wrong::new("not a method", "as in `GET` or `POST`"))?;
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Wrong::new("methods are written in capitals", format!("did you mean `{}`?", text.to_uppercase())));
    }
    Ok(method)
}

/// A key that ends up in rule ids, logs and metrics.
pub(super) fn is_key(text: &str) -> bool {
    crate::model::ProviderName::parse(text).is_some()
}

/// What a browser's address bar shows of an app or the sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control::config) struct Address {
    /// With a leading `*.` where the file has one.
    pub(in crate::control::config) origin: Origin,
    /// Without a trailing slash; empty for a whole host.
    pub(in crate::control::config) prefix: String,
}

/// `https://host[:port][/prefix]`, where the host may start with `*.`.
pub(super) fn address(text: &str) -> Result<Address, Wrong> {
    let form = |message: &str| Wrong::new(message, "write `https://host`, with a port or path prefix where it has one");
    let (scheme, rest) = text.split_once("://").ok_or_else(|| form("not a URL"))?;
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(form("only https is served"));
    }
    let (star, rest) = rest.strip_prefix("*.").map_or(("", rest), |rest| ("*.", rest));
    let url = parse(&format!("https://{rest}")).map_err(|error| form(&format!("not a URL: {error}")))?;
    bare(&url)?;
    let host = match url.host() {
        Some(Host::Domain(host)) if is_host(host) => host,
        _ => {
            return Err(Wrong::new("not a host name", "a domain such as `wiki.corp.example`, or `localhost`"));
        }
    };
    let origin = Origin::https(format!("{star}{host}"), url.port().unwrap_or(443));
    let prefix = prefix(rest, &url)?;
    Ok(Address { origin, prefix })
}

/// The path as it is written, which must be as plain as it is after normalization.
fn prefix(rest: &str, url: &Url) -> Result<String, Wrong> {
    let written = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    if written != url.path() || !is_plain_path(written) {
        return Err(Wrong::new("not a plain path prefix", "letters, digits, `-`, `_`, `.` and `~`, as in `/wiki`"));
    }
    if written == "/.doorward" || written.starts_with("/.doorward/") {
        return Err(Wrong::plain("`/.doorward/` belongs to Doorward on every host"));
    }
    Ok(written.trim_end_matches('/').to_owned())
}

/// Whether every parser reads this path in the same way.
pub(super) fn is_plain_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    let dots = |segment: &str| matches!(segment, "." | "..");
    text.starts_with('/') && !text.contains("//") && text.bytes().all(plain) && !text.split('/').any(dots)
}

/// A URL with nothing in it that the parser would silently take out.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("white space".to_owned());
    }
    Url::parse(text).map_err(|error| error.to_string())
}

/// No user, password, query or fragment.
pub(super) fn bare(url: &Url) -> Result<(), Wrong> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::plain("a user or password has no place in this URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::plain("a query or fragment has no place in this URL"));
    }
    Ok(())
}
