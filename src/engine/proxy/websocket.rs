//! Where the frames of a WebSocket begin and end, so that it can be closed between two of them (RFC 6455,
//! sections 5.2 and 5.5.1). Pure.

/// "Going away": the server is going down, or a page was left (section 7.4.1).
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();
const CLOSE: u8 = 0x8;

/// The close frame for a user: what a server sends has no mask.
pub fn close_to_user() -> Vec<u8> {
    let [high, low] = GOING_AWAY;
    vec![0x80 | CLOSE, 2, high, low]
}

/// The close frame for an instance: what a user sends has a mask.
pub fn close_to_instance(mask: [u8; 4]) -> Vec<u8> {
    let [high, low] = GOING_AWAY;
    let [first, second, third, fourth] = mask;
    vec![0x80 | CLOSE, 0x80 | 2, first, second, third, fourth, high ^ first, low ^ second]
}

/// How far one direction was read.
#[derive(Debug, Default)]
pub struct Frames {
    header: Vec<u8>,
    /// Bytes of the frame's payload that have still to come; `None`: its header is not complete.
    left: Option<u64>,
    closed: bool,
}

impl Frames {
    /// Nothing of a further frame has come.
    pub const fn at_boundary(&self) -> bool {
        self.header.is_empty()
    }

    /// A close frame came, whole.
    pub const fn closed(&self) -> bool {
        self.closed
    }

    /// Reads all of it.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.read_frame(bytes);
        }
    }

    /// Reads up to the end of the frame that is under way, or else of the next one; gives the rest.
    pub fn read_frame<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while self.left.is_none() {
            let Some((first, rest)) = bytes.split_first() else { return bytes };
            self.header.push(*first);
            bytes = rest;
            self.left = payload(&self.header);
        }
        let left = self.left.unwrap_or(0);
        let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - here as u64;
        self.left = Some(left);
        if left == 0 {
            self.closed |= self.header.first().is_some_and(|first| first & 0xf == CLOSE);
            self.header.clear();
            self.left = None;
        }
        bytes.get(here..).unwrap_or_default()
    }
}

/// How long the payload is; `None` as long as the header is not complete.
fn payload(header: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = header else { return None };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if rest.len() < extended + mask {
        return None;
    }
    let length = rest.iter().take(extended).fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    Some(if extended == 0 { u64::from(second & 0x7f) } else { length })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with that payload, masked with zeros where it has a mask.
    fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(mask | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0; if masked { 4 } else { 0 } + length]);
        frame
    }

    #[test]
    fn frames_end_where_they_end_however_they_are_cut() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
                let one = frame(2, masked, length);
                let both = [one.clone(), frame(1, masked, 3)].concat();
                let mut frames = Frames::default();
                assert_eq!(frames.read_frame(&both).len(), both.len() - one.len(), "{length}, mask {masked}");
                assert!(frames.at_boundary() && !frames.closed());
                for piece in [1, 2, 3, 5, 1000] {
                    let mut frames = Frames::default();
                    let mut boundaries = Vec::new();
                    let mut before = 0;
                    for bytes in both.chunks(piece) {
                        frames.read(bytes);
                        before += bytes.len();
                        boundaries.extend(frames.at_boundary().then_some(before));
                    }
                    let ends: Vec<usize> = [one.len(), both.len()].into_iter().collect();
                    assert!(boundaries.iter().all(|at| ends.contains(at)), "{length} by {piece}: {boundaries:?}");
                    assert!(frames.at_boundary(), "{length} by {piece}");
                }
            }
        }
    }

    #[test]
    fn a_close_is_seen_once_it_is_whole() {
        for close in [close_to_user(), close_to_instance([1, 2, 3, 4]), frame(8, false, 0)] {
            let (last, first) = close.split_last().unwrap();
            let mut frames = Frames::default();
            frames.read(&frame(2, true, 300));
            frames.read(first);
            assert!(!frames.closed() && !frames.at_boundary(), "{close:?}");
            frames.read(&[*last]);
            assert!(frames.closed() && frames.at_boundary(), "{close:?}");
        }
        let masked = close_to_instance([9, 8, 7, 6]);
        let code: Vec<u8> = masked[6..].iter().zip(&masked[2..]).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!((code.as_slice(), &close_to_user()[2..]), (&GOING_AWAY[..], &GOING_AWAY[..]));
    }
}
