//! The addresses of a server. In: a host and a port. Out: where to connect to. Must never have two look-ups of a server under way
//! at once: each takes one of the few threads that all look-ups share, and a name server that hangs would soon have them all.

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long what was found is used again.
const KEPT: Duration = Duration::from_secs(5);

/// What one server's name leads to.
#[derive(Default)]
pub(super) struct Names(RefCell<Option<Asked>>);

/// Goes on where it was when nobody waits for it any more, until somebody does.
type Asked = Shared<LocalBoxFuture<'static, Result<Arc<Found>, Arc<io::Error>>>>;

struct Found {
    at: Instant,
    addresses: Vec<SocketAddr>,
}

impl Names {
    /// The addresses of a server, which must always be the same.
    pub(super) async fn find(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let look_up = || {
            let host = host.to_owned();
            async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }
        };
        self.find_by(look_up).await
    }

    async fn find_by<F>(&self, look_up: impl FnOnce() -> F) -> io::Result<Vec<SocketAddr>>
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + 'static,
    {
        let asked = self.ask(look_up);
        match asked.await {
            Ok(found) => Ok(found.addresses.clone()),
            Err(error) => Err(io::Error::new(error.kind(), error)),
        }
    }

    fn ask<F>(&self, look_up: impl FnOnce() -> F) -> Asked
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + 'static,
    {
        let mut asked = self.0.borrow_mut();
        match &*asked {
            Some(asked) if is_of_use(asked) => asked.clone(),
            _ => {
                let looking = look_up();
                let found = async move {
                    let addresses = looking.await?;
                    Ok::<_, Arc<io::Error>>(Arc::new(Found { at: Instant::now(), addresses }))
                };
                asked.insert(found.boxed_local().shared()).clone()
            }
        }
    }
}

/// Whether it is not over yet, or found something lately.
fn is_of_use(asked: &Asked) -> bool {
    asked.peek().is_none_or(|found| found.as_ref().is_ok_and(|found| found.at.elapsed() < KEPT))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_look_up_that_hangs_is_the_only_one_and_serves_all_who_wait_once_it_is_over() {
        let (names, count, go_on) = (Names::default(), Cell::new(0), Rc::new(Notify::new()));
        let address: SocketAddr = ([192, 0, 2, 1], 80).into();
        let look_up = || {
            count.set(count.get() + 1);
            let go_on = Rc::clone(&go_on);
            async move {
                go_on.notified().await;
                Ok(vec![address])
            }
        };
        for _ in 0..10 {
            let given_up = tokio::time::timeout(Duration::from_millis(1), names.find_by(look_up));
            assert!(given_up.await.is_err(), "it hangs");
        }
        go_on.notify_one();
        let (one, other) = tokio::join!(names.find_by(look_up), names.find_by(look_up));
        assert_eq!((one.unwrap(), other.unwrap(), count.get()), (vec![address], vec![address], 1));
        assert_eq!((names.find_by(look_up).await.unwrap(), count.get()), (vec![address], 1), "it is used again");
    }

    #[tokio::test]
    async fn what_was_not_found_is_looked_up_again() {
        let (names, address): (_, SocketAddr) = (Names::default(), ([192, 0, 2, 1], 80).into());
        let fails = || async { Err(io::ErrorKind::NotFound.into()) };
        assert_eq!(names.find_by(fails).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(names.find_by(|| async move { Ok(vec![address]) }).await.unwrap(), [address]);
    }
}
