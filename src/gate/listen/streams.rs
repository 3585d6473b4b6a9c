//! The streams of an HTTP/2 connection, each a task. In: the futures that answer them. Out: their end, by themselves or because
//! nobody reads the answer. Must never end another stream than that one.

use crate::gate::visit::Connection;
use futures_util::FutureExt as _;
use futures_util::future::try_join;
use hyper::rt::Executor;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// Runs the streams of this connection, on the worker that has the connection.
#[derive(Clone)]
pub(super) struct Streams(Rc<Connection>);

/// A stream is over.
struct End;

impl Streams {
    pub(super) const fn of(connection: Rc<Connection>) -> Self {
        Self(connection)
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        // What is run right behind the beginning of a visit is its stream; the rest are the halves of tunnels.
        let Some(visit) = self.0.begun.take() else { return drop(tokio::task::spawn_local(future)) };
        let connection = Rc::clone(&self.0);
        let unread = poll_fn(move |_| if connection.unread.is_over(visit) { Poll::Ready(End) } else { Poll::Pending });
        // The first of the two is the end of both, and the stream is asked first. That it is let go resets it.
        tokio::task::spawn_local(try_join(future.map(|()| Err::<Infallible, _>(End)), unread.map(Err::<Infallible, _>)));
    }
}
