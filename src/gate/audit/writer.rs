//! The thread that writes records. In: records. Out: one JSON line each, appended to the audit file, or to standard output
//! where there is none. Must never give up on an error of the file: it says so and tries again.

use super::{Receiver, Record, Trail, Verdict};
use crate::model::{Reason, Timestamp};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TryRecvError;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// One line of the audit file. Times are milliseconds.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: String,
    app: Option<&'a str>,
    route: Option<&'a str>,
    method: &'a str,
    host: Option<&'a str>,
    path: Option<&'a str>,
    peer: IpAddr,
    user: Option<String>,
    email: Option<String>,
    session: Option<&'a str>,
    act: Option<&'static str>,
    decision: Verdict,
    reason: &'static str,
    rule: Option<&'a str>,
    upstream: Option<String>,
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    complete: bool,
    duration_ms: f64,
}

/// How long the thread sleeps when there is nothing to write: waking it for each record would cost the workers a system call.
const NAP: Duration = Duration::from_millis(10);

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

fn run(receiver: &Receiver, mut out: Box<dyn Write + Send>) {
    let mut batch = Vec::with_capacity(1 << 16);
    loop {
        let (taken, gone) = take(receiver, &mut batch);
        write(receiver, &mut out, &batch);
        batch.clear();
        receiver.queued.fetch_sub(taken, Ordering::Relaxed);
        match (gone, taken) {
            (true, _) => return,
            (false, 0) => thread::sleep(NAP),
            (false, _) => {}
        }
    }
}

/// Takes what waits, a bounded batch of it.
fn take(receiver: &Receiver, batch: &mut Vec<u8>) -> (usize, bool) {
    let mut taken = 0;
    while batch.len() < 1 << 20 {
        match receiver.records.try_recv() {
            Ok(record) => append(batch, &record),
            Err(TryRecvError::Empty) => return (taken, false),
            Err(TryRecvError::Disconnected) => return (taken, true),
        }
        taken += 1;
    }
    (taken, false)
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

fn append(batch: &mut Vec<u8>, record: &Record) {
    let trail = &record.trail;
    let reason = trail.reason.unwrap_or(Reason::BadRequest);
    let (user, email) = who(trail);
    let line = Line {
        time: written(record.begun),
        request_id: record.request_id.to_string(),
        app: trail.app.as_ref().map(|(_, name)| &**name),
        route: trail.route.as_deref(),
        method: trail.method.as_str(),
        host: trail.target.as_ref().map(|target| target.authority()),
        path: trail.target.as_ref().map(|target| target.path()),
        peer: record.client,
        user,
        email,
        session: trail.session.as_ref().map(|known| &*known.id),
        act: trail.acted.as_ref().map(|acted| acted.act.code()),
        decision: Verdict::of(reason),
        reason: reason.code(),
        rule: trail.rule.as_ref().map(|rule| &*rule.0),
        upstream: trail.upstream.as_ref().map(ToString::to_string),
        status: record.status,
        bytes_in: trail.bytes_in.as_ref().map_or(0, |bytes| bytes.load(Ordering::Relaxed)),
        bytes_out: record.bytes_out,
        complete: record.complete,
        duration_ms: (record.took.as_secs_f64() * 1e6).round() / 1e3,
    };
    // Writing a struct of texts and numbers into memory can't fail.
    if serde_json::to_writer(&mut *batch, &line).is_ok() {
        batch.push(b'\n');
    }
}

/// Who it was: by the session that the gate found, or by what control did.
fn who(trail: &Trail) -> (Option<String>, Option<String>) {
    let identity = trail.session.as_ref().map(|known| known.session.sign_in.identity());
    let subject = identity.as_ref().map(|identity| &identity.subject).or(trail.acted.as_ref().map(|acted| &acted.subject));
    let known = identity.as_ref().and_then(|identity| identity.profile.email.as_ref());
    let email = known.or(trail.acted.as_ref().and_then(|acted| acted.email.as_ref()));
    (subject.map(ToString::to_string), email.map(|email| email.as_str().to_owned()))
}

/// RFC 3339, with milliseconds.
fn written(time: Timestamp) -> String {
    let milliseconds = i64::try_from(time.millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(milliseconds).map(|time| format!("{time:.3}")).unwrap_or_default()
}
