//! Programs that are run once: how they end, and what is known of those that people ask for.

use super::{CommandId, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a program ended that was run once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum JobEnd {
    /// With this status.
    Exited(i32),
    /// By this signal, not ours.
    Killed(i32),
    /// It took longer than its timeout and was killed.
    TimedOut,
    /// It could not be started, in words; it has done nothing.
    NotStarted(String),
    /// It ran when its shim or the machine died: how far it came nobody knows.
    Lost,
}

impl fmt::Display for JobEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobEnd::Exited(code) => write!(f, "exit status {code}"),
            JobEnd::Killed(signal) => write!(f, "killed by signal {signal}"),
            JobEnd::TimedOut => f.write_str("it took too long"),
            JobEnd::NotStarted(why) => f.write_str(why),
            JobEnd::Lost => f.write_str("cut off when its shim or the machine died"),
        }
    }
}

/// A command line that somebody had run once in the environment of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOff {
    /// By which its output is asked for.
    pub id: String,
    /// The command that asked for it.
    pub command: CommandId,
    /// Who did.
    pub by: String,
    /// Program and arguments.
    pub run: Vec<String>,
    /// Whose artifact it was run in.
    pub version: Version,
    /// When it was asked for.
    pub began: Timestamp,
    /// When it ended, and how; `None`: it runs.
    pub ended: Option<(Timestamp, JobEnd)>,
}
