//! As whom a program runs, and within which limits.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A user of the machine and its groups, by name or number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    pub user: String,
    /// The main group; `None`: the user's own.
    pub group: Option<String>,
    /// Groups beside those that the user has on the machine.
    pub groups: Vec<String>,
}

/// What an instance, or a hook's run, may use; `None`: no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all its processes, bytes.
    pub memory: Option<u64>,
    /// Time of processors, in thousandths of one.
    pub cpu: Option<u32>,
    /// Open files of each of its processes.
    pub files: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// One of [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    Memory,
    /// Time of processors.
    Cpu,
    /// Open files.
    Files,
    /// Processes and threads.
    Processes,
}

/// What keeps a limit on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptBy {
    /// A cgroup, for all processes together.
    Cgroup,
    /// The kernel, as each process has it: files are meant so; of memory each process may use so much by itself,
    /// and of processes the user may have so many in all.
    Process,
    /// Nothing: this machine has no means for it.
    Nothing,
}

/// A limit, and what keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LimitKept {
    pub limit: Limit,
    /// By what.
    pub by: KeptBy,
}

impl Limits {
    /// Those that are set.
    pub fn set(&self) -> impl Iterator<Item = Limit> {
        let each = [
            (self.memory.is_some(), Limit::Memory),
            (self.cpu.is_some(), Limit::Cpu),
            (self.files.is_some(), Limit::Files),
            (self.processes.is_some(), Limit::Processes),
        ];
        each.into_iter().filter(|(set, _)| *set).map(|(_, limit)| limit)
    }
}

impl LimitKept {
    /// Why it is not kept as it is meant, in words; `None`: it is.
    #[must_use]
    pub const fn lacking(self) -> Option<&'static str> {
        match (self.limit, self.by) {
            (_, KeptBy::Cgroup) | (Limit::Files, KeptBy::Process) => None,
            (Limit::Memory, KeptBy::Process) => Some("memory is limited for each process by itself"),
            (Limit::Processes, KeptBy::Process) => Some("processes are counted over all that the user runs"),
            (Limit::Memory, KeptBy::Nothing) => Some("memory is not limited"),
            (Limit::Cpu, _) => Some("cpu is not limited"),
            (Limit::Files, KeptBy::Nothing) => Some("files are not limited"),
            (Limit::Processes, KeptBy::Nothing) => Some("processes are not limited"),
        }
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)
    }
}
