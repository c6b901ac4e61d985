//! What ran out of memory.

use std::fs;

/// How many processes the kernel has ended since the machine started, for want of memory of its own or of a limit.
/// `None`: this kernel does not count them.
#[must_use]
pub fn machine_kills() -> Option<u64> {
    let counts = fs::read_to_string("/proc/vmstat").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
