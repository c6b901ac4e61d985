//! A check of an instance by a program of its own, as the shim runs it: with the instance's user, limits, variables
//! and secrets.

use super::mask::Mask;
use super::wire::{CheckEnd, Checked, Ended};
use flightdeck_model::sanitize_line;
use flightdeck_platform::exit_fd;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of its output that are kept, the last ones.
const KEPT: usize = 2 << 10;
/// Lines of them that are told, and characters of each.
const LINES: (usize, usize) = (3, 160);
/// Bytes that are read at once: what writes without an end must not keep the shim from all else.
const PIECE: usize = 16 << 10;
/// Pieces that a full pipe holds.
const PIECES: usize = 4;

/// One that is under way, and who asked for it.
#[derive(Debug)]
pub struct Check {
    child: Child,
    exit: OwnedFd,
    /// Read end of its output; `None` once every writer closed it.
    output: Option<OwnedFd>,
    tail: Vec<u8>,
    mask: Mask,
    until: Instant,
    asker: UnixStream,
}

impl Check {
    /// Starts it, in a process group of its own. Its exit status is what it says; its last lines say why.
    pub fn start(mut command: Command, until: Instant, asker: UnixStream, mask: Mask) -> io::Result<Check> {
        let (read, write) = io::pipe()?;
        fcntl_setfl(&read, OFlags::NONBLOCK)?;
        let errors = write.try_clone()?;
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::from(write)).stderr(Stdio::from(errors));
        let child = command.spawn()?;
        // Not reaped yet, so that its pid can't have changed hands.
        let exit = exit_fd(Pid::from_child(&child))?;
        Ok(Check { child, exit, output: Some(read.into()), tail: Vec::new(), mask, until, asker })
    }

    /// Readable when there is output, or its end.
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    /// Takes in a piece of its output; false: there is none now.
    pub fn read_output(&mut self) -> bool {
        let Some(output) = &self.output else { return false };
        let mut buffer = [0; PIECE];
        match rustix::io::read(output, &mut buffer) {
            Ok(count @ 1..) => {
                let shown = self.mask.next(buffer.get(..count).unwrap_or_default());
                self.tail.extend(shown);
                let over = self.tail.len().saturating_sub(KEPT);
                self.tail.drain(..over);
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            Ok(0) | Err(_) => {
                self.output = None;
                false
            }
        }
    }

    /// Readable once it has ended.
    pub fn exit(&self) -> BorrowedFd<'_> {
        self.exit.as_fd()
    }

    /// Until its time is over.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// What it said, for whom: it has ended.
    pub fn said(mut self) -> (UnixStream, Checked) {
        self.kill();
        let end = match self.child.wait() {
            Ok(status) => CheckEnd::Ended(Ended { code: status.code(), signal: status.signal(), left: 0 }),
            Err(error) => CheckEnd::NotStarted { why: error.to_string() },
        };
        let said = self.last_lines();
        (self.asker, Checked { end, said })
    }

    /// Ends it: its time is over, or what it looks at has ended.
    pub fn cut_off(mut self) -> (UnixStream, Checked) {
        self.kill();
        drop(self.child.wait()); // killed: there is nothing to learn from its status
        let said = self.last_lines();
        (self.asker, Checked { end: CheckEnd::Late, said })
    }

    /// Nothing of it writes any more, unless something left its group: that is not waited for.
    fn last_lines(&mut self) -> Vec<String> {
        let _ = (0..PIECES).all(|_| self.read_output());
        let rest = self.mask.rest();
        self.tail.extend(rest);
        let text = String::from_utf8_lossy(&self.tail);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let (most, length) = LINES;
        let last = lines.iter().skip(lines.len().saturating_sub(most));
        last.map(|line| sanitize_line(line).chars().take(length).collect()).collect()
    }

    /// With all that it started. Not reaped yet, so that the group's number is its own.
    fn kill(&self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL); // nobody left is an error, and fine
    }
}
