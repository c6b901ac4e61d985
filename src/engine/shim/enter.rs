//! What a process does to itself before it becomes the program: joins its cgroup, takes its limits and its user. A
//! process of its own, since a shim must stay what it is, and a fork may not do all of this.

use super::wire::{Confinement, Ids};
use flightdeck_platform::become_user;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// How a program is started.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct EnterArgs {
    /// As whom and within what, as JSON.
    pub confinement: String,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}

/// Why it can't be started.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// Not by us.
    #[error("cannot read as whom and within what to start")]
    Parse(#[from] serde_json::Error),
    /// A step failed.
    #[error("cannot {step}")]
    Step {
        /// Which.
        step: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Becomes the program.
///
/// # Errors
/// A limit or the user can't be taken, or there is no such program; nothing of it has run.
pub fn run(args: &EnterArgs) -> Result<Infallible, EnterError> {
    let step = |step: String| move |source: io::Error| EnterError::Step { step, source };
    let Confinement { ids, cgroup, files, data, processes, kept: _ } = serde_json::from_str(&args.confinement)?;
    if let Some(group) = cgroup {
        let joined = fs::write(group.join("cgroup.procs"), "0");
        joined.map_err(step(format!("join the cgroup {}", group.display())))?;
    }
    for (resource, name, most) in [
        (Resource::Nofile, "files", files),
        (Resource::Data, "memory", data),
        (Resource::Nproc, "processes", processes),
    ] {
        if most.is_some() {
            let limited = setrlimit(resource, Rlimit { current: most, maximum: most });
            limited.map_err(|error| step(format!("limit {name}"))(error.into()))?;
        }
    }
    if let Some(ids) = ids {
        let user = ids.uid;
        enter_user(&ids).map_err(step(format!("become user {user}")))?;
    }
    let mut words = args.program.iter();
    let program = words.next().cloned().unwrap_or_default();
    let error = Command::new(&program).args(words).exec();
    Err(step(format!("run {}", program.display()))(error))
}

fn enter_user(ids: &Ids) -> io::Result<()> {
    // Programs open /dev/stdout by its name, which asks who owns it.
    for output in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let (uid, gid) = (rustix::fs::Uid::from_raw(ids.uid), rustix::fs::Gid::from_raw(ids.gid));
        rustix::fs::fchown(output, Some(uid), Some(gid))?;
    }
    become_user(ids.uid, ids.gid, &ids.groups)
}
