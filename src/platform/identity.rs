//! Which process is it? A pid alone is no identity: the kernel gives it to another process later.
//! Pid, start time (`/proc/PID/stat`, field 22, clock ticks since boot) and boot id together are.

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// A process that can be told from every other one that had or will have its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Kernel start time, in clock ticks since boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id` at that time.
    pub boot_id: String,
}

impl Identity {
    /// Of a process that runs now.
    pub fn of(pid: u32) -> io::Result<Identity> {
        Ok(Identity { pid, start_time: stat(pid)?.start_time, boot_id: boot_id()? })
    }

    /// Of this process.
    pub fn mine() -> io::Result<Identity> {
        Identity::of(std::process::id())
    }

    /// Does this very process run? A zombie does not.
    #[must_use]
    pub fn lives(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id)
            && stat(self.pid).is_ok_and(|stat| stat.start_time == self.start_time && !stat.dead)
    }

    /// For how long it has been there, running or not; time that the machine slept included. A jump
    /// of the wall clock changes nothing.
    #[must_use]
    pub fn age(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or_default());
        let ticks = clock_ticks_per_second().max(1);
        now.saturating_sub(Duration::from_millis(self.start_time.saturating_mul(1000) / ticks))
    }

    /// A descriptor of this very process, or `None` if it is gone. The identity is checked after the
    /// descriptor is held, so that it can't belong to a later process with the same pid.
    #[must_use]
    pub fn open(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        self.lives().then_some(fd)
    }

    /// Ends this very process with SIGKILL. True if it lived. No other process is ever signalled.
    pub fn kill(&self) -> bool {
        self.open().is_some_and(|fd| pidfd_send_signal(&fd, Signal::KILL).is_ok())
    }
}

/// The path of this process's own program.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// Which program that is: its file. Another build, and also a copy of the same, is another one. Empty
/// if it can't be looked at.
#[must_use]
pub fn program(path: &Path) -> String {
    fs::metadata(path).map_or_else(
        |_| String::new(),
        |file| format!("{:x}-{:x}-{:x}.{:x}", file.dev(), file.ino(), file.mtime(), file.mtime_nsec()),
    )
}

struct Stat {
    start_time: u64,
    dead: bool,
}

/// The second field is the command in parentheses and may hold anything, parentheses included.
fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: {text:?}")))
}

fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X" | "x");
    Some(Stat { start_time: fields.nth(18)?.parse().ok()?, dead })
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Every process of this user whose environment has exactly `entry` (`NAME=value`). Finds what an
/// instance left behind when its shim was killed, children of children included.
pub fn with_environment(entry: &str) -> Vec<Identity> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(|pid: u32| {
            // The identity is read first: if the pid changes hands in between, the later check fails.
            let identity = Identity::of(pid).ok()?;
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()).then_some(identity)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_command_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21";
        for command in ["cat", "a b", "a) Z 1 (b", ""] {
            let stat = parse_stat(&format!("12 ({command}) {rest}")).unwrap();
            assert_eq!((stat.start_time, stat.dead), (777, false), "{command:?}");
        }
        assert!(parse_stat("12 (cat) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20").unwrap().dead);
        assert!(parse_stat("12 (cat) S 1 2").is_none());
    }

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
        assert!(Identity { start_time: me.start_time + 1, ..me }.open().is_none());
    }
}
