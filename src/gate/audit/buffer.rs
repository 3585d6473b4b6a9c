//! The records that one worker has made and not yet given away. In: lines. Out: batches for the writer: when there is enough for
//! one, or soon after the first line. Must never hold a line for longer than a moment.

use super::Sender;
use crate::model::Timestamp;
use prometheus::IntCounter;
use std::cell::RefCell;
use std::time::Duration;
use tokio::sync::Notify;

/// How many bytes are enough for a batch.
const ENOUGH: usize = 64 * 1024;
/// How long a line may lie here.
const MOMENT: Duration = Duration::from_millis(10);

/// Lines on their way.
pub struct Buffer {
    lines: RefCell<Lines>,
    begun: Notify,
    sender: Sender,
    lost: IntCounter,
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
    /// The time that was written last: the clock is coarse, and many visits share one.
    time: (Timestamp, String),
}

impl Buffer {
    /// A buffer before this queue; `lost` counts the lines that find no room in it.
    pub fn new(sender: Sender, lost: IntCounter) -> Self {
        Self { lines: RefCell::default(), begun: Notify::new(), sender, lost }
    }

    /// Adds a line: `write` gets the bytes to append to and the time of the visit as text.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>, &str), begun: Timestamp) {
        let mut lines = self.lines.borrow_mut();
        if lines.time.0 != begun || lines.time.1.is_empty() {
            lines.time = (begun, written(begun));
        }
        if lines.bytes.is_empty() {
            self.begun.notify_one();
        }
        let Lines { bytes, count, time } = &mut *lines;
        write(bytes, &time.1);
        *count += 1;
        let enough = bytes.len() >= ENOUGH;
        drop(lines);
        if enough {
            self.flush();
        }
    }

    /// Gives away what is here.
    pub fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.bytes.is_empty() {
            return;
        }
        let next = Vec::with_capacity(lines.bytes.capacity());
        let (batch, count) = (std::mem::replace(&mut lines.bytes, next), std::mem::take(&mut lines.count));
        if self.sender.send(batch, count).is_err() {
            self.lost.inc_by(count);
        }
    }

    /// Waits until there is a line, and a moment for others to join it.
    pub async fn ripe(&self) {
        self.begun.notified().await;
        tokio::time::sleep(MOMENT).await;
    }
}

/// RFC 3339, with milliseconds.
fn written(time: Timestamp) -> String {
    let milliseconds = i64::try_from(time.millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(milliseconds).map(|time| format!("{time:.3}")).unwrap_or_default()
}
