//! What connections are asked. In: `listen.proxy_protocol` and `limits`. Out: an [`Entrance`]. Must never believe a PROXY header
//! of somebody who is not trusted.

use super::Context;
use super::values::positive;
use crate::control::config::file::File;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::entrance::Entrance;
use std::num::NonZeroU32;

pub(super) fn compile(file: &File, context: &mut Context<'_>) -> Entrance {
    let proxy_protocol = file.listen.proxy_protocol;
    if proxy_protocol && file.trusted_proxies.0.is_empty() {
        let wrong = Wrong::new("nobody is trusted to send a PROXY header", "list the proxies before this one in `trusted_proxies`");
        context.findings.error(&Place::root().key("listen").key("proxy_protocol"), wrong);
    }
    let (place, limits) = (Place::root().key("limits"), file.limits.as_ref());
    let mut one = |key: &str, text: Option<&String>| text.and_then(|text| context.findings.take(&place.key(key), positive(text)));
    let connections = one("connections", limits.and_then(|limits| limits.connections.as_ref()));
    let per_address = one("connections_per_address", limits.and_then(|limits| limits.connections_per_address.as_ref()));
    let connections = connections.map_or(Entrance::default().connections, NonZeroU32::get);
    if per_address.is_some_and(|per_address| per_address.get() > connections) {
        let wrong = Wrong::plain("one address may have more connections than there may be, so that this never counts");
        context.findings.error(&place.key("connections_per_address"), wrong);
    }
    Entrance { proxy_protocol, connections, per_address }
}
