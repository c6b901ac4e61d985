//! A check of an instance by a program of its own, as the shim runs it: with the instance's user, limits, variables
//! and secrets.

use super::wire::{Checked, Ended};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One that is under way, and who asked for it.
#[derive(Debug)]
pub struct Check {
    child: Child,
    pidfd: OwnedFd,
    until: Instant,
    asker: UnixStream,
}

impl Check {
    /// Starts it, in a process group of its own. What it writes is nobody's: it says all by its exit status.
    pub fn start(mut command: Command, until: Instant, asker: UnixStream) -> io::Result<Check> {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        // Not reaped yet, so that its pid can't have changed hands.
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Check { child, pidfd, until, asker })
    }

    /// Readable once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Until its time is over.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// What it said, for whom: it has ended.
    pub fn said(mut self) -> (UnixStream, Checked) {
        self.kill();
        let checked = match self.child.wait() {
            Ok(status) => Checked::Ended(Ended { code: status.code(), signal: status.signal(), left: 0 }),
            Err(error) => Checked::NotStarted { why: error.to_string() },
        };
        (self.asker, checked)
    }

    /// Ends it: its time is over, or what it looks at has ended.
    pub fn cut_off(mut self) -> (UnixStream, Checked) {
        self.kill();
        drop(self.child.wait()); // killed: there is nothing to learn from its status
        (self.asker, Checked::Late)
    }

    /// With all that it started. Not reaped yet, so that the group's number is its own.
    fn kill(&self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL); // nobody left is an error, and fine
    }
}
