//! What a shim is told, what it says, and what it leaves on disk.

use crate::LogLimits;
use flightdeck_model::LimitKept;
use flightdeck_platform::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Version of the words between server and shim, and of `spec.json` and `state.json`.
pub const SHIM_WIRE: u32 = 1;

/// What a shim runs.
pub const SPEC_FILE: &str = "spec.json";
/// Who runs, and how it ended.
pub const STATE_FILE: &str = "state.json";
/// Where a shim answers.
pub const SOCKET_FILE: &str = "shim.sock";
/// Held by a shim for its life.
pub const LOCK_FILE: &str = "shim.lock";
/// There from the moment on that a [`ShimSpec::once`] may have done something.
pub const BEGUN_FILE: &str = "begun";
/// Where the output goes.
pub const LOG_DIR: &str = "log";
/// Variable that every process of an instance inherits: the instance's directory.
pub const DIR_VARIABLE: &str = "FLIGHTDECK_INSTANCE_DIR";

/// What a shim runs. Secrets are not in here: they come over its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// [`SHIM_WIRE`] of the writer; a newer one is refused.
    pub wire: u32,
    pub instance: String,
    /// Counts starts of this instance.
    pub attempt: u32,
    /// Absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside those inherited.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// How much output is kept.
    pub log: LogLimits,
    /// Start it again when it ends by itself: for the proxy, which must come back without a server.
    pub keep: bool,
    /// Never start it a second time, whatever happens in between: for hooks. That it begins, and how
    /// it ended, is on disk before anything else happens.
    #[serde(default)]
    pub once: bool,
    /// As whom and within what it runs; `None`: as the shim does.
    #[serde(default)]
    pub confinement: Option<Confinement>,
    /// What [`Request::Check`] runs: an absolute path, and its arguments.
    #[serde(default)]
    pub check: Vec<String>,
}

/// As whom and within what a process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Another user.
    pub ids: Option<Ids>,
    /// The cgroup that it joins.
    pub cgroup: Option<PathBuf>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// Bytes of writable memory of each process, where no cgroup limits it.
    pub data: Option<u64>,
    /// Processes of the user, where no cgroup limits them.
    pub processes: Option<u64>,
    /// What keeps each limit that was asked for.
    pub kept: Vec<LimitKept>,
}

/// A user and its groups by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit status.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// So many other processes of it ran on then; they were ended.
    #[serde(default)]
    pub left: u32,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(signal)) => write!(f, "killed by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// A shim's answer, its notice to watchers, and the content of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The shim's [`SHIM_WIRE`].
    pub wire: u32,
    pub instance: String,
    /// Which start of it.
    pub attempt: u32,
    /// The shim itself.
    pub shim: Identity,
    /// The instance's process, the last one if it was started again.
    pub process: Option<Identity>,
    /// How it ended; `None` while it runs.
    pub ended: Option<Ended>,
    /// Why it could not be started.
    pub failed: Option<String>,
    /// How often the shim started it again.
    pub restarts: u32,
    /// It is started again when it ends.
    #[serde(default)]
    pub keeps: bool,
}

impl Status {
    /// Does the instance run?
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some() && self.ended.is_none()
    }
}

/// A listening socket by its listener and address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listening {
    /// `service@environment`.
    pub listener: String,
    pub address: SocketAddr,
}

/// What a shim is asked; one JSON line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Request {
    /// Answered by the status.
    Status,
    /// As `Status`, and again each time that it changes, until the connection ends.
    Watch,
    /// To the instance's process group. It is not started again.
    Signal {
        /// `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2`.
        name: String,
    },
    /// It is not started again when it ends.
    LetEnd,
    /// SIGKILL to the process group. It is not started again.
    Kill,
    /// The status is known: end. Refused while the instance runs.
    Forget,
    /// Keep the socket that comes with this line, so that its queue outlives the kept process. Only
    /// for what is kept; takes the place of one that is held for the same.
    Hold(Listening),
    /// A duplicate of a held socket, sent with `Done`.
    Lend(Listening),
    /// Close a held socket. Nothing is held: done too.
    LetGo(Listening),
    /// Which sockets are held?
    Held,
    /// Run [`ShimSpec::check`]. Answered by `Checked` when it has ended; one at a time, a newer one cuts it off.
    Check {
        /// It is ended after so many milliseconds.
        timeout_ms: u64,
    },
}

/// What a shim answers; one JSON line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Response {
    Status(Status),
    Done,
    Held(Vec<Listening>),
    /// What a check said.
    Checked(Checked),
    /// Not done.
    Refused {
        why: String,
    },
}

/// What a check said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What became of it.
    #[serde(flatten)]
    pub end: CheckEnd,
    /// The last lines of its output, oldest first, without secrets. Shims of before kept none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum CheckEnd {
    /// It ended so.
    Ended(Ended),
    /// It was ended.
    Late,
    /// It could not be started.
    NotStarted { why: String },
}

/// What a shim says on its standard output while it starts, one JSON line each: `Bound`, then it
/// reads the secrets, then `Started` with the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Greeting {
    /// It answers on its socket. Whatever it starts from here on can be found.
    Bound,
    /// The instance runs, or could not be started.
    Started(Status),
    /// The shim itself can't work.
    Failed { why: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shims_of_before_say_of_a_check_is_still_read() {
        let read = |text: &str| serde_json::from_str::<Response>(text).unwrap();
        let checked = |end| Response::Checked(Checked { end, said: Vec::new() });
        let ended = Ended { code: Some(1), ..Ended::default() };
        for (text, is) in [
            (r#"{"type":"checked","data":{"type":"late"}}"#, checked(CheckEnd::Late)),
            (
                r#"{"type":"checked","data":{"type":"ended","data":{"code":1,"signal":null,"left":0}}}"#,
                checked(CheckEnd::Ended(ended)),
            ),
        ] {
            assert_eq!(read(text), is);
        }
        let said = Response::Checked(Checked { end: CheckEnd::Late, said: vec!["waits".into()] });
        assert_eq!(read(&serde_json::to_string(&said).unwrap()), said);
    }
}
