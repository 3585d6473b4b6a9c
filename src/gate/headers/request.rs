//! What an app is told beside its identity, where its configuration asks for it. In: the headers that it would get. Out: those
//! that it gets. Must never touch a header that Doorward has set for every app.

use crate::gate::target::Target;
use crate::gate::visit::Visit;
use crate::snapshot::rewriting::{Edits, ToApp};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use std::net::IpAddr;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Changes what the configuration says.
pub(super) fn adapt(headers: &mut HeaderMap, visit: &Visit, target: &Target, to_app: &ToApp) {
    edit(headers, &to_app.edits);
    if let Some(host) = &to_app.host {
        headers.insert(header::HOST, host.clone());
    }
    if let Some(prefix) = &to_app.stripped {
        headers.insert(X_FORWARDED_PREFIX, prefix.clone());
    }
    // An address and a checked host are visible ASCII.
    if let (true, Ok(hop)) = (to_app.forwarded, HeaderValue::try_from(forwarded(visit.client, target))) {
        headers.insert(header::FORWARDED, hop);
    }
}

/// Takes out and sets.
pub(super) fn edit(headers: &mut HeaderMap, edits: &Edits) {
    if edits.is_empty() {
        return;
    }
    super::remove(headers, |name| edits.removes(name));
    for (name, value) in &edits.set {
        headers.insert(name.clone(), HeaderValue::clone(value));
    }
}

/// One hop (RFC 7239, section 4): what stood before it is not known to be true.
fn forwarded(client: IpAddr, target: &Target) -> String {
    let client = match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    format!("for={client};host=\"{}\";proto=https", target.authority())
}
