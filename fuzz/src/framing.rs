//! `listen::framing` beside hyper and beside the strict parser of the tests: what it takes for clear, all of them end at the same byte.

use crate::strict;
use doorward::gate::listen::framing::Framing;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Checks one input; panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let unclear = Framing::default().read(bytes);
    check_pieces(bytes, unclear);
    let bodies = hyper_reads(bytes);
    let mut at = 0;
    for (number, body) in (1..).zip(&bodies) {
        if unclear.is_some_and(|unclear| unclear <= number) {
            return;
        }
        while bytes[at..].starts_with(b"\r\n") {
            at += 2;
        }
        match strict::request(&bytes[at..]) {
            Ok(Some((request, length))) => {
                assert_eq!(Some(&request.body), body.as_ref(), "request {number} ends elsewhere for hyper");
                at += length;
            }
            Ok(None) => panic!("request {number} has ended for hyper alone"),
            Err(breach) if breach.starts_with("a bare line feed") => panic!("request {number}: {breach}"),
            // What says nothing about the end.
            Err(_) => return,
        }
    }
}

/// However the bytes arrive, the verdict is the same.
fn check_pieces(bytes: &[u8], unclear: Option<u64>) {
    let size = bytes.first().map_or(1, |b| usize::from(b % 7) + 1);
    let mut framing = Framing::default();
    let pieces = bytes.chunks(size).fold(None, |_, piece| framing.read(piece));
    assert_eq!(pieces, unclear);
    // Whole requests are clear, and what follows them is another.
    if let Ok(Some((_, length))) = strict::request(bytes) {
        let mut framing = Framing::default();
        assert_eq!(framing.read(&bytes[..length]), None);
        assert_eq!(framing.read(b"\n"), Some(2));
    }
}

/// The bodies that hyper reads to their ends; `None` for one that breaks off.
fn hyper_reads(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let bodies = Rc::<RefCell<Vec<Option<Vec<u8>>>>>::default();
    let service = service_fn(|request: Request<Incoming>| {
        let bodies = Rc::clone(&bodies);
        async move {
            let body = request.into_body().collect().await.ok();
            bodies.borrow_mut().push(body.map(|body| body.to_bytes().to_vec()));
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_header_size(32 * 1024).max_headers(128).max_buf_size(64 * 1024);
    let served = builder.serve_connection(Fed(bytes.to_vec(), 0), service);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    drop(runtime.block_on(served));
    let mut bodies = bodies.take();
    // A body that broke off is the last.
    if bodies.last().is_some_and(Option::is_none) {
        bodies.pop();
    }
    bodies
}

/// Bytes that arrive at once, and nobody who reads the answers.
struct Fed(Vec<u8>, usize);

impl hyper::rt::Read for Fed {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let length = (self.0.len() - self.1).min(buffer.remaining());
        buffer.put_slice(&self.0[self.1..self.1 + length]);
        self.1 += length;
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Fed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
