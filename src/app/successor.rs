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
    /// It hangs.
    #[error("it did not serve within a minute")]
    Late,
}

/// A process that is to take over.
pub(super) struct Successor {
    process: Child,
    channel: tokio::net::UnixStream,
    serves: bool,
}

impl Successor {
    /// Starts it, and passes the sockets.
    pub(super) fn start(sockets: &[TcpListener]) -> Result<Self, Error> {
        let (ours, its) = UnixStream::pair()?;
        let mut arguments = env::args_os();
        // As the program was called, not where it was found: that is where a new version is put.
        let program = arguments.next().map_or_else(env::current_exe, |program| Ok(program.into()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::from(OwnedFd::from(its))).env(VARIABLE, "1");
        for name in NOT_ITS_OWN {
            command.env_remove(name);
        }
        let process = command.spawn()?;
        // The command holds the other end of the socket: as long as it does, that the process ended could not be seen.
        drop(command);
        passing::send(&ours, sockets)?;
        ours.set_nonblocking(true)?;
        Ok(Self { process, channel: tokio::net::UnixStream::from_std(ours)?, serves: false })
    }

    /// Waits until it serves; from then on it is on its own.
    pub(super) async fn serves(mut self) -> Result<Self, Error> {
        let mut said = [0];
        match tokio::time::timeout(PATIENCE, self.channel.read(&mut said)).await {
            Ok(Ok(1)) if said == [SERVING] => {
                self.serves = true;
                Ok(self)
            }
            // Its end of the socket is closed when it ends.
            Ok(_) => Err(Error::Ended(self.process.wait()?)),
            Err(_) => Err(Error::Late),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.serves {
            // That it has ended already is what was wanted.
            let _ = self.process.kill().and_then(|()| self.process.wait());
        }
    }
}
