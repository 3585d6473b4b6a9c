//! The process that takes over: this program anew, as it is on disk now, with the same arguments. In: the listening sockets. Out:
//! a process that serves, or the reason why there is none. Must never leave a process behind that did not come to serve, and never
//! let go of a socket before another process has it.

use super::inherited::{SERVING, VARIABLE};
use super::passing;
use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// How long it may take to begin to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// What was meant for this process alone.
const NOT_ITS_OWN: [&str; 4] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"];

/// Why there is no successor.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It could not be started, or not be given the sockets.
    #[error("it can't be started: {0}")]
    Start(#[from] io::Error),
    /// It ended: its own log says why.
    #[error("it ended before it served: {0}")]
    Ended(ExitStatus),
    /// The system ends everything in a container with its first process.
    #[error("this is the first process of a container, and all others would end with it: start another container instead")]
    First,
    /// It hangs.
    #[error("it did not serve within a minute")]
    Late,
}

/// A process that is to take over.
pub(super) struct Successor {
    process: Child,
    channel: UnixStream,
    serves: bool,
}

impl Successor {
    /// Starts it, and passes the sockets.
    pub(super) fn start(sockets: &[TcpListener]) -> Result<Self, Error> {
        if std::process::id() == 1 {
            return Err(Error::First);
        }
        let (ours, its) = UnixStream::pair()?;
        let mut arguments = env::args_os();
        // As the program was called, not where it was found: that is where a new version is put.
        let program = arguments.next().map_or_else(env::current_exe, |program| Ok(program.into()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::from(OwnedFd::from(its))).env(VARIABLE, "1");
        for name in NOT_ITS_OWN {
            command.env_remove(name);
        }
        // From here on, whatever fails ends it.
        let successor = Self { process: command.spawn()?, channel: ours, serves: false };
        // The command holds the other end of the socket: as long as it does, that the process ended could not be seen.
        drop(command);
        passing::send(&successor.channel, sockets)?;
        Ok(successor)
    }

    /// Waits until it serves; from then on it is on its own.
    pub(super) async fn serves(mut self) -> Result<Self, Error> {
        let mut said = [0];
        self.channel.set_nonblocking(true)?;
        let mut channel = tokio::net::UnixStream::from_std(self.channel.try_clone()?)?;
        match tokio::time::timeout(PATIENCE, channel.read(&mut said)).await {
            Ok(Ok(1)) if said == [SERVING] => {
                self.serves = true;
                Ok(self)
            }
            // Its end of the socket is closed when it ends; if it has not, it does now.
            Ok(_) => Err(Error::Ended(self.end()?)),
            Err(_) => Err(Error::Late),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        self.process.kill()?;
        self.process.wait()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.serves {
            // That it has ended already is what was wanted.
            let _ = self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;
    use std::path::Path;

    /// A process that does nothing, with the other end of its socket.
    fn idle() -> (Successor, UnixStream, String) {
        let (ours, its) = UnixStream::pair().unwrap();
        let process = Command::new("sleep").arg("600").spawn().unwrap();
        let place = format!("/proc/{}", process.id());
        assert!(Path::new(&place).exists());
        (Successor { process, channel: ours, serves: false }, its, place)
    }

    #[tokio::test]
    async fn a_process_that_does_not_come_to_serve_is_ended() {
        for says in ["", "?", "n"] {
            let (successor, mut its, place) = idle();
            its.write_all(says.as_bytes()).unwrap();
            drop(its);
            assert!(matches!(successor.serves().await, Err(Error::Ended(_))), "{says}");
            assert!(!Path::new(&place).exists(), "{says}");
        }
    }

    #[test]
    fn a_process_that_is_let_go_before_it_serves_is_ended() {
        let (successor, _its, place) = idle();
        drop(successor);
        assert!(!Path::new(&place).exists());
    }

    #[tokio::test]
    async fn a_process_that_serves_is_on_its_own() {
        let (successor, mut its, place) = idle();
        its.write_all(&[SERVING]).unwrap();
        let mut successor = successor.serves().await.unwrap();
        assert!(successor.serves);
        assert!(Path::new(&place).exists());
        successor.end().unwrap();
    }
}
