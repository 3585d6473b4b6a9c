//! The writer where writing fails.

use super::super::channel;
use super::*;
use crate::model::chain::Chained;
use crate::store::{Location, trail_keys};
use std::sync::Mutex;

/// Takes a few bytes at once, and every now and then none.
struct Narrow(Arc<Mutex<(Vec<u8>, usize)>>);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.0.lock().unwrap();
        taken.1 += 1;
        match taken.1 {
            3 => Err(io::ErrorKind::StorageFull.into()),
            count if count % 5 == 0 => Err(io::ErrorKind::Interrupted.into()),
            _ => {
                let length = bytes.len().min(70);
                taken.0.extend_from_slice(&bytes[..length]);
                Ok(length)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_line_breaks_no_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("db.keys"), format!("1 {}\n", "A".repeat(43) + "=")).unwrap();
    let location = Location::parse(&format!("sqlite:{}", folder.path().join("db").display())).unwrap();
    let keys = trail_keys(&location).unwrap();
    let (taken, (sender, receiver)) = (Arc::default(), channel());
    let out = Out::Stream(Box::new(Narrow(Arc::clone(&taken))));
    let last = IntGauge::new("last", "last").unwrap();
    let writer = Writer::new(receiver, out, (keys, last.clone()), Link::START).unwrap();
    let thread = thread::spawn(move || writer.run());
    sender.take(b"{\"a\":1}\n{\"a\":2}\n".to_vec());
    sender.take(b"{\"a\":3}\n".to_vec());
    // Where nobody is left to refuse, a writer gives up.
    while last.get() < 4 {
        thread::sleep(Duration::from_millis(5));
    }
    drop(sender);
    thread.join().unwrap();
    let text = taken.lock().unwrap().0.clone();
    let mut link = Link::START;
    for line in text.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n') {
        assert_eq!(Chained::parse(line).unwrap().before, link.hash, "{}", String::from_utf8_lossy(line));
        link = Link::of(line).unwrap();
    }
    assert_eq!((link.number, last.get()), (5, 5), "started, three records, stopped");
}
