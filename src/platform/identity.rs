//! Which process is it? A pid alone is no identity: the kernel gives it to another process later.
//! Pid, start time and boot id together are.

use crate::system;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// A process that can be told from every other one that had or will have its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// When it started, as this system counts: clock ticks since boot, or seconds since 1970.
    pub start_time: u64,
    /// The kernel's name of the boot at that time; empty where start times of two boots are never the same.
    pub boot_id: String,
}

impl Identity {
    /// Of a process that runs now.
    pub fn of(pid: u32) -> io::Result<Identity> {
        Ok(Identity { pid, start_time: system::start_of(pid)?.time, boot_id: system::boot_id()? })
    }

    /// Of this process.
    pub fn mine() -> io::Result<Identity> {
        Identity::of(std::process::id())
    }

    /// Does this very process run? A zombie does not.
    #[must_use]
    pub fn lives(&self) -> bool {
        system::boot_id().is_ok_and(|boot| boot == self.boot_id)
            && system::start_of(self.pid).is_ok_and(|start| start.time == self.start_time && !start.dead)
    }

    /// For how long it has been there, running or not.
    #[must_use]
    pub fn age(&self) -> Duration {
        system::since(self.start_time)
    }

    /// Sends a signal to this very process, and to no other one that has its pid. True if it lived.
    pub fn signal(&self, signal: Signal) -> bool {
        system::pid_of(self.pid).is_some_and(|pid| system::signal(pid, signal, || self.lives()).is_ok())
    }

    /// Ends this very process with SIGKILL. True if it lived.
    pub fn kill(&self) -> bool {
        self.signal(Signal::KILL)
    }
}

/// Which program that is: its file. Another build, and also a copy of the same, is another one. Empty
/// if it can't be looked at.
#[must_use]
pub fn program(path: &Path) -> String {
    fs::metadata(path).map_or_else(
        |_| String::new(),
        |file| format!("{:x}-{:x}-{:x}.{:x}", file.dev(), file.ino(), file.mtime(), file.mtime_nsec()),
    )
}

/// Every process of this user, other than this one, whose environment has exactly `entry` (`NAME=value`). Finds what
/// an instance left behind when its shim was killed, children of children included.
pub fn with_environment(entry: &str) -> Vec<Identity> {
    let mut found = system::with_environment(entry);
    found.retain(|process| process.pid != std::process::id());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_as_old_as_the_kernel_says() {
        let me = Identity::mine().unwrap();
        assert!(me.age() < Duration::from_hours(1), "{:?}", me.age());
        assert!(Identity { start_time: 0, ..me.clone() }.age() > me.age());
        assert_eq!(Identity { start_time: u64::MAX, ..me }.age(), Duration::ZERO);
    }

    #[test]
    fn only_the_very_same_process_lives() {
        let me = Identity::mine().unwrap();
        assert!(me.lives());
        assert!(!Identity { start_time: me.start_time + 1, ..me.clone() }.lives());
        assert!(!Identity { boot_id: "another".into(), ..me.clone() }.lives());
        // Of no effect should it come.
        assert!(!Identity { start_time: me.start_time + 1, ..me }.signal(Signal::CONT));
    }
}
