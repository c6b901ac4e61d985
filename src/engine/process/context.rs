//! What the tasks of instances and of hooks share, and what they tell.

use crate::store::Store;
use flightdeck_engine_core::{Input, InstanceEvent, InstanceId, JobEvent, JobId};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot};

/// What all instances share.
#[derive(Debug)]
pub struct Context {
    /// Artifacts.
    pub store: Store,
    /// This program.
    pub exe: PathBuf,
    /// Holds a directory for each instance.
    pub instances: PathBuf,
    /// To the engine's loop.
    pub reports: UnboundedSender<Report>,
    /// To the proxy's connection.
    pub drains: UnboundedSender<Drain>,
    /// Unpacking takes disk and CPU: a few at a time.
    pub unpacking: Semaphore,
}

impl Context {
    /// The directory of an instance.
    #[must_use]
    pub fn dir(&self, id: &str) -> PathBuf {
        self.instances.join(id)
    }
}

/// What the engine's loop is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Something happened to an instance.
    Instance { id: InstanceId, event: InstanceEvent },
    /// Something happened to a hook's run.
    Job { id: JobId, event: JobEvent },
}

impl From<Report> for Input {
    fn from(report: Report) -> Input {
        match report {
            Report::Instance { id, event } => Input::Instance { id, event },
            Report::Job { id, event } => Input::Job { id, event },
        }
    }
}

/// "Wait until this one has no request in flight": answered (or dropped) then, or at the bound.
#[derive(Debug)]
pub struct Drain {
    /// Which; it is out of every route already.
    pub instance: InstanceId,
    /// How long at most; what is left is closed after that.
    pub bound: Duration,
    /// Answered when it is drained, with what was left at the bound where that is known.
    pub done: oneshot::Sender<Option<u64>>,
}

/// Is it fit to be a directory's name? Ids become that.
pub fn plain_name(id: &str) -> bool {
    !id.is_empty() && id.len() <= 200 && !id.starts_with('.') && !id.contains(['/', '\0'])
}
