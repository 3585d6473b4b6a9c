//! Cookies of an app that believes in its internal name and paths. In: a `Set-Cookie` line. Out: the line for the browser, or nothing
//! where it is fine. Must never widen a cookie beyond the app's own host and prefix.

use super::own::Own;

/// Drops a domain that the browser does not know, and maps the path (RFC 6265, section 4.1).
pub(super) fn put_right(line: &[u8], own: &Own<'_>) -> Option<Vec<u8>> {
    let mut attributes = line.split(|b| *b == b';');
    let mut kept = attributes.next()?.to_vec();
    // Browsers take such a cookie with the path of the whole host only.
    let whole_host = kept.trim_ascii_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"__host-"));
    let mut changed = false;
    for attribute in attributes {
        match change(attribute, own, whole_host) {
            Some(other) => {
                kept.extend_from_slice(other.as_bytes());
                changed = true;
            }
            None => {
                kept.push(b';');
                kept.extend_from_slice(attribute);
            }
        }
    }
    changed.then_some(kept)
}

/// What stands in place of an attribute; `None` where it stays.
fn change(attribute: &[u8], own: &Own<'_>, whole_host: bool) -> Option<String> {
    let (name, value) = str::from_utf8(attribute).ok()?.split_once('=')?;
    let (name, value) = (name.trim_ascii(), value.trim_ascii());
    if name.eq_ignore_ascii_case("domain") {
        return own.is_internal_domain(value).then(String::new);
    }
    if whole_host || !name.eq_ignore_ascii_case("path") {
        return None;
    }
    let path = own.rewriting.prefix.as_ref()?.cookie_path(value)?;
    (path != value).then(|| format!("; Path={path}"))
}
