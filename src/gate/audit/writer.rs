//! The thread that writes records. In: batches of lines. Out: the lines, appended to the audit file, or to standard output
//! where there is none. Must never give up on an error of the file: it says so and tries again.

use super::Receiver;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Opens the file (made for the owner alone) and starts the thread, which ends when every sender is gone.
pub fn start(receiver: Receiver, file: Option<&Path>) -> io::Result<JoinHandle<()>> {
    let out: Box<dyn Write + Send> = match file {
        Some(path) => Box::new(open(path)?),
        None => Box::new(io::stdout()),
    };
    thread::Builder::new().name("audit".to_owned()).spawn(move || run(&receiver, out))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Until every sender is gone.
fn run(receiver: &Receiver, mut out: Box<dyn Write + Send>) {
    while let Ok(batch) = receiver.batches.recv() {
        write(receiver, &mut out, &batch);
        receiver.queued.fetch_sub(batch.len(), Ordering::Relaxed);
    }
}

/// While the disk is full the queue fills, and with it requests are refused: no trace, no access. Once nobody is left to
/// refuse, the process must be able to end.
fn write(receiver: &Receiver, out: &mut Box<dyn Write + Send>, mut batch: &[u8]) {
    while !batch.is_empty() {
        let error = match out.write(batch) {
            Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
            Ok(written) => {
                batch = batch.get(written..).unwrap_or(&[]);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        tracing::error!(%error, "the audit trail can't be written");
        if Arc::strong_count(&receiver.queued) == 1 {
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
}
