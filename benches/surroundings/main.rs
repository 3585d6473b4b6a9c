//! What `benches/compare` needs around the servers that it measures. In: the command line. Out: one of three things: an identity
//! provider, a store full of sessions, a client that shakes hands anew for every request. Must never be part of what is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod handshakes;
mod provider;
mod sessions;

const USAGE: &str = "\
surroundings provider PORT REDIRECT_URI...
surroundings sessions STORE HOST COUNT          (prints the cookies)
surroundings handshakes ADDRESS SERVER_NAME CONNECTIONS SECONDS   (reads the request)";

fn main() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["provider", port, ref redirect_uris @ ..] => provider::run(port.parse().unwrap(), redirect_uris),
        ["sessions", store, host, count] => sessions::fill(store, host, count.parse().unwrap()),
        ["handshakes", address, name, connections, seconds] => {
            handshakes::run(address.parse().unwrap(), name, connections.parse().unwrap(), seconds.parse().unwrap());
        }
        _ => panic!("usage:\n{USAGE}"),
    }
}
