//! Writes every event of a session to a file, one JSON object a line, so that it can be replayed.

use crate::app::Event;
use jiff::Timestamp;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Version of the file's format, in its first line.
pub const RECORDING_VERSION: u32 = 1;

/// The first line.
#[derive(Serialize)]
struct Header {
    flightdeck_recording: u32,
    columns: u16,
    rows: u16,
}

/// Every other line.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    event: &'a Event,
}

/// An open recording. Lines reach the file when [`Recorder::flush`] is called or it is dropped.
pub(super) struct Recorder(BufWriter<File>);

impl Recorder {
    /// Makes the file, readable by its owner only: it holds whatever was typed. An existing one is replaced.
    pub(super) fn create(path: &Path, columns: u16, rows: u16) -> io::Result<Recorder> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut recorder = Recorder(BufWriter::new(file));
        recorder.line(&Header { flightdeck_recording: RECORDING_VERSION, columns, rows })?;
        Ok(recorder)
    }

    /// Adds an event.
    pub(super) fn record(&mut self, at: Timestamp, event: &Event) -> io::Result<()> {
        self.line(&Line { at, event })
    }

    /// Hands everything to the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn line<T: Serialize>(&mut self, line: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, line)?;
        self.0.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn events_come_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session.jsonl");
        let mut recorder = Recorder::create(&path, 120, 36).unwrap();
        let events = [Event::Key("p".into()), Event::Paste("a\u{fffd}b".into()), Event::Wake];
        for event in &events {
            recorder.record(Timestamp::UNIX_EPOCH, event).unwrap();
        }
        drop(recorder);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(r#"{"flightdeck_recording":1,"columns":120,"rows":36}"#));
        let read: Vec<Event> = lines
            .map(|line| {
                serde_json::from_value(serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone())
            })
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(read, events);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
