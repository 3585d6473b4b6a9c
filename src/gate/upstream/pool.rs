//! Connections to apps, kept by each worker for itself. In: an upstream. Out: a connection that is free. Must never give out
//! one on which an exchange is still going on.

use crate::gate::body::RequestBody;
use crate::gate::visit::Gate;
use crate::snapshot::Upstream;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long to try to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// The most that is read at once, and the largest head of an answer, in bytes.
const READ_SIZE: usize = 64 * 1024;
/// How long an idle connection is kept: less than the minute or so that servers do.
const IDLE: Duration = Duration::from_secs(50);
/// How many idle connections a worker keeps for one upstream.
const KEPT: usize = 256;

/// The idle connections of one worker.
#[derive(Default)]
pub struct Pool(RefCell<HashMap<Arc<Upstream>, Vec<Idle>>>);

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection in use; given back only when its answer was read to the end.
pub struct Lease {
    pool: Rc<Pool>,
    upstream: Arc<Upstream>,
    sender: SendRequest<RequestBody>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The system says no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It takes too long.
    #[error("no connection within {} s", CONNECT.as_secs())]
    Timeout,
    /// HTTP can't begin.
    #[error("{0}")]
    Handshake(hyper::Error),
    /// It was closed before it took a request.
    #[error("the connection was closed at once")]
    Closed,
}

impl Pool {
    /// The connection that was used last and is free.
    pub fn take(&self, upstream: &Upstream) -> Option<SendRequest<RequestBody>> {
        let mut pool = self.0.borrow_mut();
        let idle = pool.get_mut(upstream)?;
        while let Some(candidate) = idle.pop() {
            if candidate.sender.is_ready() && candidate.since.elapsed() < IDLE {
                return Some(candidate.sender);
            }
        }
        None
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        self.0.borrow_mut().retain(|_, idle| {
            idle.retain(|candidate| !candidate.sender.is_closed() && candidate.since.elapsed() < IDLE);
            !idle.is_empty()
        });
    }

    fn put(&self, upstream: Arc<Upstream>, sender: SendRequest<RequestBody>) {
        let mut pool = self.0.borrow_mut();
        let idle = pool.entry(upstream).or_default();
        if idle.len() < KEPT {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

impl Lease {
    pub(super) const fn new(pool: Rc<Pool>, upstream: Arc<Upstream>, sender: SendRequest<RequestBody>) -> Self {
        Self { pool, upstream, sender }
    }

    /// The answer was read to the end: another request may have the connection.
    pub fn give_back(self) {
        if !self.sender.is_closed() {
            self.pool.put(self.upstream, self.sender);
        }
    }
}

/// A new connection, driven by a task of this worker.
pub async fn connect(upstream: &Upstream, gate: &Gate) -> Result<SendRequest<RequestBody>, ConnectError> {
    let connected = connect_in_time(upstream).await.inspect_err(|_| gate.metrics.upstream_failures.inc())?;
    let mut builder = http1::Builder::new();
    let handshake = builder.max_buf_size(READ_SIZE).handshake(TokioIo::new(connected));
    let (sender, connection) = handshake.await.map_err(ConnectError::Handshake)?;
    let open = gate.metrics.upstream_connections.clone();
    tokio::task::spawn_local(async move {
        open.inc();
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an app ended");
        }
        open.dec();
    });
    Ok(sender)
}

async fn connect_in_time(upstream: &Upstream) -> Result<TcpStream, ConnectError> {
    let connecting = TcpStream::connect((&*upstream.host, upstream.port));
    let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| ConnectError::Timeout)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
