//! Where the frames of a WebSocket begin and end (RFC 6455, section 5.2). In: the bytes of one direction as they pass. Out: whether
//! another frame may be put in here. Must never keep any of them.

/// How far the bytes of one direction have come.
#[derive(Debug, Default)]
pub(in crate::gate) struct Frames {
    /// What has come of the head of a frame.
    head: Head,
    /// How much of its payload is still to come.
    payload: u64,
    /// There was a close frame: nothing may follow.
    closed: bool,
}

#[derive(Debug, Default)]
struct Head {
    bytes: [u8; 14],
    length: usize,
}

const CLOSE: u8 = 8;

impl Frames {
    /// These bytes pass.
    pub(in crate::gate) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload).map_or(bytes.len(), |payload| payload.min(bytes.len()));
                self.payload -= u64::try_from(skipped).unwrap_or(0);
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if let Some(frame) = self.head.take(*first) {
                self.payload = frame.payload;
                self.closed |= frame.is_close;
            }
            bytes = rest;
        }
    }

    /// How many bytes the frame that has begun needs at the least; 0 between two frames.
    pub(in crate::gate) fn wants(&self) -> u64 {
        if self.payload > 0 { self.payload } else { self.head.wants() }
    }

    /// Whether the last word has been said.
    pub(in crate::gate) const fn is_closed(&self) -> bool {
        self.closed
    }
}

/// What a head says.
struct Frame {
    payload: u64,
    is_close: bool,
}

impl Head {
    fn take(&mut self, byte: u8) -> Option<Frame> {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
        if self.wants() > 0 {
            return None;
        }
        let [first, second, rest @ ..] = self.bytes;
        let of = |count: usize| rest.iter().take(count).fold(0, |number, byte| number << 8 | u64::from(*byte));
        let payload = match second & 0x7F {
            126 => of(2),
            127 => of(8),
            length => u64::from(length),
        };
        self.length = 0;
        Some(Frame { payload, is_close: first & 0x0F == CLOSE })
    }

    /// How many bytes are missing; 0 where none has come, or all have.
    fn wants(&self) -> u64 {
        let [_, second, ..] = self.bytes;
        let longer = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let whole: usize = match self.length {
            0 => 0,
            1 => 2,
            _ => 2 + longer + if second & 0x80 == 0 { 0 } else { 4 },
        };
        u64::try_from(whole.saturating_sub(self.length)).unwrap_or(0)
    }
}

/// A server's close frame with a code and a reason of at most 123 bytes (RFC 6455, section 5.5.1).
pub(in crate::gate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.as_bytes().get(..reason.len().min(123)).unwrap_or_default();
    let length = u8::try_from(reason.len() + 2).unwrap_or(125);
    [&[0x80 | CLOSE, length][..], &code.to_be_bytes(), reason].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn frame(opcode: u8, payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..126 => frame.push(mask | u8::try_from(payload).unwrap_or(0)),
            126..65536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(payload).unwrap_or(0).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend(u64::try_from(payload).unwrap_or(0).to_be_bytes());
            }
        }
        frame.extend(vec![0; if masked { 4 } else { 0 }]);
        frame.extend(vec![0x88; payload]);
        frame
    }

    #[test]
    fn frames_end_where_they_end_however_their_bytes_are_dealt_out() {
        for masked in [false, true] {
            for payload in [0, 1, 125, 126, 127, 65535, 65536] {
                for step in [1, 2, 3, 7, 1000, usize::MAX] {
                    let bytes = [frame(2, payload, masked), frame(9, 5, masked)].concat();
                    let first = frame(2, payload, masked).len();
                    let mut frames = Frames::default();
                    let mut passed = 0;
                    for part in bytes.chunks(step.min(bytes.len())) {
                        frames.pass(part);
                        passed += part.len();
                        let between = passed == first || passed == bytes.len();
                        assert_eq!(frames.wants() == 0, between, "{payload} {step} {passed}");
                        let left = if passed < first { first - passed } else { bytes.len() - passed };
                        assert!(usize::try_from(frames.wants()).is_ok_and(|wants| wants <= left), "never more than the frame");
                    }
                    assert!(!frames.is_closed(), "what a payload holds is no frame");
                }
            }
        }
    }

    #[test]
    fn a_close_frame_is_the_last_word() {
        let mut frames = Frames::default();
        frames.pass(&close(1008, "access ended"));
        assert!(frames.is_closed() && frames.wants() == 0);
        assert_eq!(close(1008, "x"), [0x88, 3, 0x03, 0xF0, b'x']);
        assert_eq!(close(1008, &"x".repeat(200)).len(), 127);
    }
}
