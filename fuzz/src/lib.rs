//! What the fuzz targets share. In: fuzzed bytes. Out: requests, and a gate without sockets that judges them. Must never share code
//! with what it checks: whoever looks for mistakes must not repeat them.

pub mod gate;
pub mod request;

/// A name as CGI-style backends see it.
pub fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
