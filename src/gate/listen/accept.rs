//! Connections taken from a socket. In: a listener. Out: guests that have shaken hands, or answers of the clear-text port. Must
//! never wait for one client before it takes the next, and never let in more than there is room for.

use super::door::Place;
use super::local::Local;
use super::{exchange, plain, proxy};
use crate::gate::tls::{self, TlsStream};
use crate::gate::upstream::announce::Ends;
use crate::gate::visit::Connection;
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::gate::Refused;
use prometheus::IntGauge;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// After how long without a byte the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// A pause after an error: out of file descriptors, most likely, without a pause the loop would take all of the core.
const PAUSE: Duration = Duration::from_millis(50);

/// What is spoken at a socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Port {
    /// HTTP over TLS.
    Https,
    /// HTTP in clear text, which is only redirected.
    Http,
}

/// Takes connections until the process is to stop.
pub(super) async fn accept(listener: TcpListener, port: Port, local: Rc<Local>, mut leaving: watch::Receiver<Option<Duration>>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = leaving.wait_for(Option::is_some) => return,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, port, &local),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, port: Port, local: &Rc<Local>) {
    let gate = &local.worker.gate;
    let Some(place) = local.door.enter(&gate.snapshot.load().entrance) else {
        return gate.metrics.refused(Refused::Full);
    };
    let (local, open) = (Rc::clone(local), local.hold());
    match port {
        Port::Https => drop(tokio::task::spawn_local(https(stream, peer, place, open, local))),
        Port::Http => drop(tokio::task::spawn_local(http(stream, peer.ip(), place, open, local))),
    }
}

async fn https(stream: TcpStream, peer: SocketAddr, mut place: Place, open: Rc<()>, local: Rc<Local>) {
    let metrics = &local.worker.gate.metrics;
    let ends = stream.local_addr().ok().map(|local| Ends { peer, local });
    let shaken = Box::pin(shake_hands(stream, peer.ip(), &mut place, &local)).await;
    let (stream, client) = match shaken {
        Ok(shaken) => shaken,
        Err(Unfit::Refused(why)) => return metrics.refused(why),
        Err(Unfit::Failed(_)) => return metrics.failed_handshakes.inc(),
    };
    // A tunnel is a connection for as long as it is open, and HTTP is over before that.
    let open = Box::new((place, open, Counted::new(&metrics.connections)));
    let connection = Connection::new(client, open).between(ends).showing(stream.shown());
    if let Err(error) = exchange::exchange(stream, local.guest(connection)).await {
        tracing::debug!(%error, "a connection ended");
    }
}

/// One in a gauge until it is dropped.
struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Why a connection comes to nothing.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("there is no room")]
    Refused(Refused),
    #[error("no handshake: {0}")]
    Failed(#[from] io::Error),
}

/// Finds out who it is, and shakes hands.
async fn shake_hands(
    mut stream: TcpStream,
    peer: IpAddr,
    place: &mut Place,
    local: &Rc<Local>,
) -> Result<(Box<TlsStream>, IpAddr), Unfit> {
    let snapshot = local.worker.gate.snapshot.load_full();
    let handshake = local.door.handshake(one_client(peer, &snapshot)).ok_or(Unfit::Refused(Refused::Handshakes))?;
    let shaken = async {
        tune(&stream)?;
        let client = proxy::client(&mut stream, peer, &snapshot).await?;
        if !has_room(place, client, &snapshot) {
            return Err(Unfit::Refused(Refused::Address));
        }
        Ok((Box::new(tls::accept(stream, &snapshot).await?), client))
    };
    tokio::time::timeout(handshake.patience, shaken).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// An address that is one client; a trusted proxy is many.
fn one_client(address: IpAddr, snapshot: &Snapshot) -> Option<IpAddr> {
    Some(address.to_canonical()).filter(|address| !snapshot.trusts(*address))
}

/// Whether there is room for one more connection of whoever is at this address.
fn has_room(place: &mut Place, address: IpAddr, snapshot: &Snapshot) -> bool {
    one_client(address, snapshot).is_none_or(|client| place.belongs_to(client, &snapshot.entrance))
}

/// Small answers don't wait for acknowledgements, and a client that has vanished is found out.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

async fn http(mut stream: TcpStream, peer: IpAddr, mut place: Place, _open: Rc<()>, local: Rc<Local>) {
    let snapshot = local.worker.gate.snapshot.load_full();
    let served = async {
        let client = proxy::client(&mut stream, peer, &snapshot).await?;
        if has_room(&mut place, client, &snapshot) {
            plain::serve(stream, Rc::clone(&local.worker)).await;
        } else {
            local.worker.gate.metrics.refused(Refused::Address);
        }
        io::Result::Ok(())
    };
    // A client that goes away, or takes too long, is of no interest here.
    let _ = tokio::time::timeout(plain::CONNECTION, served).await;
}
