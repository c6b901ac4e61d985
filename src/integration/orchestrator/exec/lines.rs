//! Lines of a pipe, none longer than a bound.

use std::io;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// What a pipe brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end.
    Text(Vec<u8>),
    /// Longer than the bound: skipped, this many bytes.
    TooLong(usize),
}

/// Reads lines; what is too long is skipped without being kept.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// Bytes of the line so far, kept or not.
    length: usize,
    longest: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(reader: R, longest: usize) -> Lines<R> {
        Lines { reader: BufReader::new(reader), line: Vec::new(), length: 0, longest }
    }

    /// The next line; `None` at the end of the pipe. A last line without its end counts. Loses
    /// nothing when dropped before it is ready.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((self.length > 0).then(|| self.take()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let (text, _) = chunk.split_at(end.unwrap_or(chunk.len()));
            self.length = self.length.saturating_add(text.len());
            if self.length <= self.longest {
                self.line.extend_from_slice(text);
            } else {
                self.line = Vec::new();
            }
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let (line, length) = (std::mem::take(&mut self.line), std::mem::take(&mut self.length));
        if length <= self.longest { Line::Text(line) } else { Line::TooLong(length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_over_the_bound_is_skipped_and_the_next_one_is_whole() {
        let text = format!("ab\n\n{}\ncd\n{}\nlast", "x".repeat(100_000), "y".repeat(9));
        let mut lines = Lines::new(text.as_bytes(), 8);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        let text = |text: &str| Line::Text(text.into());
        let expected = [text("ab"), text(""), Line::TooLong(100_000), text("cd"), Line::TooLong(9), text("last")];
        assert_eq!(found, expected);
    }
}
