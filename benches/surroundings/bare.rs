//! The least that a proxy of the same libraries does: TLS by rustls, hyper on both sides, connections that are kept, one thread a core.
//! It knows nobody, checks nothing and writes nothing down. In: a port, the port of an app, a certificate. Out: what the app answers.
//! What Doorward costs beyond this is its own.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, Version, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

/// The connections of one thread to the app that no request is on.
type Idle = Rc<RefCell<Vec<SendRequest<Incoming>>>>;

pub(super) fn run(port: u16, app: u16, certificate: &str, key: &str) {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let cores = thread::available_parallelism().unwrap().get();
    let threads: Vec<_> = (0..cores).map(|_| (acceptor.clone(), listen(port))).collect();
    let threads: Vec<_> =
        threads.into_iter().map(|(acceptor, socket)| thread::spawn(move || work(socket, &acceptor, app))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn listen(port: u16) -> std::net::TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    socket.listen(1024).unwrap();
    socket.into()
}

fn work(socket: std::net::TcpListener, acceptor: &TlsAcceptor, app: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (listener, idle) = (TcpListener::from_std(socket).unwrap(), Idle::default());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            spawn_local(serve(stream, acceptor.clone(), app, Rc::clone(&idle)));
        }
    });
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, app: u16, idle: Idle) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let multiplexes = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| forward(request, app, Rc::clone(&idle)));
    // A client that goes away is of no interest.
    if multiplexes {
        drop(http2::Builder::new(Here).serve_connection(TokioIo::new(stream), service).await);
    } else {
        drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
    }
}

async fn forward(mut request: Request<Incoming>, app: u16, idle: Idle) -> hyper::Result<Response<Answer>> {
    let free = std::iter::from_fn(|| idle.borrow_mut().pop()).find(SendRequest::is_ready);
    let mut sender = match free {
        Some(sender) => sender,
        None => connect(app).await?,
    };
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str()).unwrap();
        request.headers_mut().insert(header::HOST, host);
    }
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = request.uri().path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    let mut response = sender.send_request(request).await?;
    response.headers_mut().remove(header::CONNECTION);
    Ok(response.map(|body| Answer { body, sender: Some(sender), idle }))
}

async fn connect(app: u16) -> hyper::Result<SendRequest<Incoming>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, app)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    spawn_local(connection);
    Ok(sender)
}

/// Gives its connection back once it was read.
struct Answer {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    idle: Idle,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            let sender = self.sender.take();
            self.idle.borrow_mut().extend(sender);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs streams on the thread of their connection.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, stream: F) {
        spawn_local(stream);
    }
}
