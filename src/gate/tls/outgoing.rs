//! Bytes that are to be sent, in a buffer that is used again and again. In: whoever writes into it. Out: what they wrote. Must never
//! clear memory that is written to anyway.

/// A buffer, and how much of it is filled.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    buffer: Vec<u8>,
    filled: usize,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// It needs this much room.
    Needs(usize),
    /// It can't be.
    Never,
}

impl Outgoing {
    /// What was written since it was emptied.
    pub(super) fn filled(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Forgets what was written.
    pub(super) const fn empty(&mut self) {
        self.filled = 0;
    }

    /// Has something written behind what is there, by a writer that says how much that was, or how much room it needs.
    pub(super) fn append(&mut self, mut write: impl FnMut(&mut [u8]) -> Result<usize, Unwritten>) -> Result<(), Unwritten> {
        let mut written = write(self.buffer.get_mut(self.filled..).unwrap_or_default());
        if let Err(Unwritten::Needs(room)) = written {
            self.buffer.resize(self.filled + room, 0);
            written = write(self.buffer.get_mut(self.filled..).unwrap_or_default());
        }
        self.filled += written?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_writer_gets_the_room_that_it_needs() {
        let mut out = Outgoing::default();
        for (text, times) in [(&b"first "[..], 1), (b"second", 1), (b"", 1), (b"third", 2)] {
            for _ in 0..times {
                let append = out.append(|free| {
                    free.get_mut(..text.len()).ok_or(Unwritten::Needs(text.len()))?.copy_from_slice(text);
                    Ok(text.len())
                });
                append.unwrap();
            }
        }
        assert_eq!(out.filled(), b"first secondthirdthird");
        out.empty();
        assert_eq!(out.filled(), b"");
        assert_eq!(out.append(|_| Err(Unwritten::Never)), Err(Unwritten::Never));
    }
}
