//! What comes from the terminal, as events.
//!
//! crossterm's reader waits on its edge-triggered source and forgets input that arrives together
//! with a window change or beyond its first kilobyte, until the next key; and a report that was cut
//! off swallows the keys after it. A cockpit must not lose the key that aborts, so this reads the
//! terminal itself: whatever is there is taken, and what can't be finished is dropped soon.

use super::parse::{Parsed, Parser};
use crate::app::{Event, Key};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::io;
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

/// A sequence whose rest has not come for so long won't come: an escape byte was the Esc key.
const PATIENCE: Duration = Duration::from_millis(50);

/// The keyboard and mouse of the terminal on standard input.
pub(super) struct Input {
    /// A terminal reads like a pipe: what is there, or "not yet".
    tty: Receiver,
    parser: Parser,
    /// What was read and not yet given out.
    events: VecDeque<Event>,
    /// When the last bytes came.
    read: Option<Instant>,
}

impl Input {
    /// Opens the terminal anew, so that not to wait for it is no business of whoever shares standard
    /// input with us.
    pub(super) fn open() -> io::Result<Input> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |name: &CStr| rustix::fs::open(name, flags, Mode::empty());
        let name = rustix::termios::ttyname(io::stdin(), Vec::new())?;
        // Under su, runuser and sudo the device is somebody else's; as its own controlling terminal a process may
        // open it all the same.
        let tty = open(&name).or_else(|error| match error {
            Errno::ACCESS | Errno::PERM => open(c"/dev/tty"),
            other => Err(other),
        })?;
        let tty = Receiver::from_owned_fd_unchecked(tty)?;
        Ok(Input { tty, parser: Parser::default(), events: VecDeque::new(), read: None })
    }

    /// Waits for the next event. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.ready()? {
                return Ok(event);
            }
            let patience = self.read.filter(|_| self.parser.is_waiting()).map(|at| at + PATIENCE);
            tokio::select! {
                ready = self.tty.readable() => ready?,
                () = tokio::time::sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                    self.parser.give_up();
                    self.take();
                }
            }
        }
    }

    /// An event that is there already.
    pub(super) fn ready(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let mut bytes = [0; 4096];
            match self.tty.try_read(&mut bytes) {
                Ok(0) => return Ok(Some(Event::Terminate)), // the terminal is gone
                Ok(count) => {
                    self.read = Some(Instant::now());
                    self.parser.push(bytes.get(..count).unwrap_or_default());
                    self.take();
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted => {}
                    // What a terminal answers when its other end was closed.
                    _ if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                        return Ok(Some(Event::Terminate));
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// Takes from the parser what one read brought.
    fn take(&mut self) {
        self.events.extend(together(&mut self.parser));
    }
}

/// What a parser has now; keys that stand beside each other are one burst: no hand presses two within a read.
pub(super) fn together(parser: &mut Parser) -> Vec<Event> {
    let (mut events, mut keys) = (Vec::new(), Vec::new());
    loop {
        let next = parser.next();
        if let Parsed::Event(Event::Key(key)) = next {
            keys.push(key);
            continue;
        }
        match <[Key; 1]>::try_from(std::mem::take(&mut keys)) {
            Ok([key]) => events.push(Event::Key(key)),
            Err(keys) if keys.is_empty() => {}
            Err(keys) => events.push(Event::Burst(keys)),
        }
        match next {
            Parsed::Event(event) => events.push(event),
            Parsed::Nothing => return events,
        }
    }
}
