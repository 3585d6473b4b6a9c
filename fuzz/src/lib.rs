//! What the fuzz targets check, and what they stand on. In: fuzzed bytes. Out: requests, a gate without sockets that judges them, and a
//! panic where something does not hold. Must never share code with what it checks: whoever looks for mistakes must not repeat them.

pub mod configuration;
pub mod cookies;
pub mod framing;
pub mod gate;
pub mod headers;
pub mod paths;
pub mod proxy;
pub mod request;
#[allow(dead_code)]
#[path = "../../tests/world/strict.rs"]
pub mod strict;
pub mod target;
