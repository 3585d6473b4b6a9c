//! What `benches/compare` and `benches/revocation` need around the servers that they measure. In: the command line. Out: an identity
//! provider, a store full of sessions, a client that shakes hands anew for every request, many open WebSockets and the app behind them;
//! and the bare proxy that Doorward is compared with. Must never be part of what is measured otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bare;
mod handshakes;
#[path = "../../tests/world/mmdb.rs"]
#[allow(dead_code)]
mod mmdb;
mod provider;
mod revocation;
mod sessions;

use std::io::Write as _;

const USAGE: &str = "\
surroundings provider PORT REDIRECT_URI...
surroundings sessions STORE HOST COUNT [KEYS]   (prints the cookies)
surroundings country   (prints a database by which this machine is in Germany)
surroundings handshakes ADDRESS SERVER_NAME CONNECTIONS SECONDS   (reads the request)
surroundings bare PORT APP_PORT CERTIFICATE KEY
surroundings hold PORT
surroundings revocation HOST ADMIN_ADDRESS TOKEN WEBSOCKETS ADDRESS...   (reads cookies)";

fn main() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["provider", port, ref redirect_uris @ ..] => provider::run(port.parse().unwrap(), redirect_uris),
        ["sessions", store, host, count] => sessions::fill(store, None, host, count.parse().unwrap()),
        ["sessions", store, host, count, keys] => sessions::fill(store, Some(keys), host, count.parse().unwrap()),
        ["country"] => std::io::stdout().write_all(&mmdb::database(&[(&[127], mmdb::country("DE"))], 1)).unwrap(),
        ["handshakes", address, name, connections, seconds] => {
            handshakes::run(address.parse().unwrap(), name, connections.parse().unwrap(), seconds.parse().unwrap());
        }
        ["bare", port, app, certificate, key] => bare::run(port.parse().unwrap(), app.parse().unwrap(), certificate, key),
        ["hold", port] => revocation::hold(port.parse().unwrap()),
        ["revocation", host, admin, token, sockets, ref addresses @ ..] => revocation::measure(revocation::Bench {
            host: host.to_owned(),
            admin: admin.parse().unwrap(),
            token: token.to_owned(),
            sockets: sockets.parse().unwrap(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            cookies: std::io::stdin().lines().map(Result::unwrap).collect(),
        }),
        _ => panic!("usage:\n{USAGE}"),
    }
}
