//! Where requests begin and end, read strictly: what two servers could read differently is refused
//! before it is read at all (RFC 9112, sections 2.2, 5.1, 5.2, 6.1 to 6.3 and 7.1). Pure.
//!
//! hyper reads requests by itself and is lenient where the RFC allows it: a bare LF ends a line, chunks
//! win over a length beside them, equal lengths count as one. Here none of that comes so far.

use memchr::{memchr, memchr2};

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// The first byte of those just given that must not be read.
    pub at: usize,
    /// For the log.
    pub why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request; empty lines are skipped.
    Start,
    Headers,
    /// So many bytes of a body of known length.
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailers,
}

/// What the head so far says of its body.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    http_1_0: bool,
    length: Option<u64>,
    chunked: bool,
}

/// How far the requests of one connection were read.
#[derive(Debug)]
pub struct Framing {
    state: State,
    said: Said,
    /// A line of which only the beginning came.
    partial: Vec<u8>,
    longest: usize,
    /// Requests of which at least a byte came.
    begun: u64,
    /// Of those, read to their end.
    ended: u64,
}

impl Framing {
    /// At the beginning of a connection; no line may be longer.
    pub fn new(longest: usize) -> Self {
        Self { state: State::Start, said: Said::default(), partial: Vec::new(), longest, begun: 0, ended: 0 }
    }

    /// Requests of which at least a byte came.
    pub const fn begun(&self) -> u64 {
        self.begun
    }

    /// Reads on.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.begun = self.ended + 1;
            let inside = self.state != State::Start;
            rest = match self.state {
                State::Body(left) | State::ChunkData(left) => self.skip(rest, left),
                _ => self.line(rest).map_err(|(left, why)| Bad { at: bytes.len().saturating_sub(left), why })?,
            };
            self.ended += u64::from(inside && self.state == State::Start);
        }
        Ok(())
    }

    fn skip<'b>(&mut self, bytes: &'b [u8], left: u64) -> &'b [u8] {
        let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - here as u64;
        self.state = match self.state {
            State::Body(_) if left == 0 => State::Start,
            State::Body(_) => State::Body(left),
            _ if left == 0 => State::ChunkEnd,
            _ => State::ChunkData(left),
        };
        bytes.get(here..).unwrap_or_default()
    }

    /// Reads one line or its beginning; an error says how many bytes must not be read, and why.
    fn line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], (usize, &'static str)> {
        let carried = self.partial.last() == Some(&b'\r');
        let end = if carried { Some(0) } else { memchr2(b'\r', b'\n', bytes) };
        let Some(end) = end else {
            if self.partial.len() + bytes.len() > self.longest {
                return Err((bytes.len(), "a line is too long"));
            }
            self.partial.extend_from_slice(bytes);
            return Ok(&[]);
        };
        let (before, from) = bytes.split_at(end);
        let line_feed = match (carried, from) {
            (false, [b'\r']) => {
                self.partial.extend_from_slice(bytes);
                return Ok(&[]);
            }
            (false, [b'\r', b'\n', ..]) => 1,
            (true, [b'\n', ..]) => 0,
            (false, [b'\n', ..]) => return Err((from.len(), "a line ends with a bare LF")),
            (true, _) => return Err((from.len(), "there is a bare CR")),
            (false, _) => return Err((from.len() - 1, "there is a bare CR")),
        };
        let after = from.get(line_feed + 1..).unwrap_or_default();
        let refused = |why| (after.len() + 1, why);
        if self.partial.is_empty() {
            self.whole(before).map_err(refused)?;
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(before);
            self.whole(line.strip_suffix(b"\r").unwrap_or(&line)).map_err(refused)?;
            line.clear();
            self.partial = line;
        }
        Ok(after)
    }

    fn whole(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.state = match self.state {
            State::Start | State::Trailers if line.is_empty() => State::Start,
            State::Start => {
                self.said = Said { http_1_0: version(line)?, ..Said::default() };
                State::Headers
            }
            State::Headers if line.is_empty() => match self.said {
                Said { chunked: true, .. } => State::ChunkSize,
                Said { length: Some(length @ 1..), .. } => State::Body(length),
                _ => State::Start,
            },
            State::Headers => {
                self.header(line)?;
                State::Headers
            }
            State::ChunkSize => match chunk_size(line)? {
                0 => State::Trailers,
                size => State::ChunkData(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err("a chunk is longer than it said"),
            State::Trailers => match kind(field(line)?.0) {
                Kind::Other => State::Trailers,
                _ => return Err("a trailer speaks of the body's length"),
            },
            State::Body(_) | State::ChunkData(_) => return Err("a body is no line"),
        };
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (name, value) = field(line)?;
        match kind(name) {
            Kind::Other => return Ok(()),
            Kind::Disguised => return Err("a header's name could be taken for another"),
            Kind::Length if self.said.length.is_some() => return Err("there are two lengths"),
            Kind::Length => self.said.length = Some(number(value)?),
            Kind::Encoding if self.said.http_1_0 => return Err("HTTP/1.0 has no transfer encodings"),
            Kind::Encoding if self.said.chunked => return Err("there are two transfer encodings"),
            Kind::Encoding if value.eq_ignore_ascii_case(b"chunked") => self.said.chunked = true,
            Kind::Encoding => return Err("only chunks are known as transfer encoding"),
        }
        match self.said {
            Said { length: Some(_), chunked: true, .. } => Err("there is a length beside chunks"),
            _ => Ok(()),
        }
    }
}

/// Is it HTTP/1.0?
fn version(line: &[u8]) -> Result<bool, &'static str> {
    match line {
        [b' ' | b'\t', ..] => Err("a request begins with space"),
        _ if line.ends_with(b" HTTP/1.1") => Ok(false),
        _ if line.ends_with(b" HTTP/1.0") => Ok(true),
        _ => Err("it is no request of HTTP/1.0 or 1.1"),
    }
}

fn field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if let [b' ' | b'\t', ..] = line {
        return Err("a header is folded");
    }
    let (name, value) =
        memchr(b':', line).and_then(|colon| line.split_at_checked(colon)).ok_or("a header has no colon")?;
    match name {
        [] => Err("a header has no name"),
        [.., b' ' | b'\t'] => Err("there is space before a header's colon"),
        _ => Ok((name, value.get(1..).unwrap_or_default().trim_ascii())),
    }
}

enum Kind {
    Length,
    Encoding,
    /// With `_` for `-`, which is the same name to a CGI.
    Disguised,
    Other,
}

fn kind(name: &[u8]) -> Kind {
    let is = |wanted: &[u8]| {
        let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
        name.len() == wanted.len() && name.iter().zip(wanted).all(same)
    };
    let disguised = || name.contains(&b'_');
    match name.len() {
        14 if is(b"content-length") => {
            if disguised() {
                Kind::Disguised
            } else {
                Kind::Length
            }
        }
        17 if is(b"transfer-encoding") => {
            if disguised() {
                Kind::Disguised
            } else {
                Kind::Encoding
            }
        }
        _ => Kind::Other,
    }
}

fn number(digits: &[u8]) -> Result<u64, &'static str> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.filter(|_| all_digits).ok_or("a length is no number")
}

fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let (digits, extension) = line.split_at(memchr(b';', line).unwrap_or(line.len()));
    let fits = !digits.is_empty() && digits.len() <= 16 && digits.iter().all(u8::is_ascii_hexdigit);
    if !fits || extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err("a chunk's size is no number");
    }
    let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    size.ok_or("a chunk's size is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[&str] = &[
        "GET / HTTP/1.1\r\nhost: t\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length:\t3 \r\n\r\nabc",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3;x=\"y\"\r\na\r\n\r\nA\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nx-content-length: 9\r\ncontent-length: 4\r\n\r\n\r\n\r\n",
    ];

    #[test]
    fn requests_are_told_apart_wherever_they_are_cut() {
        let all = GOOD.concat();
        for piece in 1..40 {
            let mut framing = Framing::new(100);
            for bytes in all.as_bytes().chunks(piece) {
                assert_eq!(framing.read(bytes), Ok(()), "pieces of {piece}");
            }
            assert_eq!((framing.state, framing.begun()), (State::Start, GOOD.len() as u64), "pieces of {piece}");
        }
    }

    #[test]
    fn what_must_not_be_read_is_named_wherever_it_is_cut() {
        let cases = [
            ("GET / HTTP/1.1\n", 14, "bare LF"),
            ("GET / HTTP/1.1\r\na: b\rc\r\n", 21, "bare CR"),
            ("GET / HTTP/1.1\r\na: b\n\r\n", 20, "bare LF"),
            ("GET / HTTP/1.1\r\na: b\r\n c\r\n", 25, "folded"),
            ("GET / HTTP/1.1\r\na : b\r\n", 22, "before a header's colon"),
            ("GET / HTTP/2.0\r\n", 15, "no request"),
            ("G / HTTP/1.0\r\ntransfer-encoding: chunked\r\n", 41, "1.0"),
            ("G / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n", 60, "beside"),
            ("G / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n", 60, "beside"),
            ("G / HTTP/1.1\r\ntransfer_encoding: chunked\r\n", 41, "taken for another"),
            ("G / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1 \r\n", 47, "size"),
            ("G / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n", 50, "longer"),
        ];
        for (request, at, why) in cases {
            for piece in [1, 2, 3, 7, 1000] {
                let (mut framing, mut before) = (Framing::new(100), 0);
                let bad = request.as_bytes().chunks(piece).find_map(|bytes| {
                    let bad = framing.read(bytes).err().map(|bad| (before + bad.at, bad.why));
                    before += bytes.len();
                    bad
                });
                let (got, because) = bad.unwrap_or_else(|| panic!("{request:?} is read"));
                assert_eq!(got, at, "{request:?} in pieces of {piece}: {because}");
                assert!(because.contains(why), "{request:?}: {because}");
            }
        }
        assert!(Framing::new(10).read(b"GET /long").is_ok());
        assert!(Framing::new(10).read(b"GET /longer").is_err());
    }
}
