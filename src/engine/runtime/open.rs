//! From a data directory to an engine that is ready to run.

use super::commit::Spilled;
use super::handover::ProxyHome;
use super::publish::{HISTORY, Publisher};
use super::retention::Retention;
use super::task::EngineTask;
use super::windows::Counters;
use super::{Engine, clock};
use crate::journal::{Journal, JournalError, Opened, Spill};
use crate::process::instance::Context;
use crate::process::supervisor::Supervisor;
use crate::store::{Store, StoreError};
use flightdeck_engine_core::State;
use flightdeck_model::SourceId;
use flightdeck_platform::files::{self, LockError, LockFile};
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Ordinary requests that may wait for the loop.
const ASKS: usize = 256;
/// Artifacts that are unpacked at once.
const UNPACKING: usize = 2;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name among the sources of a board.
    pub source: SourceId,
    /// Journal, artifacts, instances; belongs to one engine at a time.
    pub data: PathBuf,
    /// This program: shims and the proxy run it.
    pub exe: PathBuf,
    /// Where instances listen, on 127.0.0.1.
    pub ports: RangeInclusive<u16>,
    /// So long a candidate keeps its traffic while no engine judges it.
    pub lease: Duration,
    /// What is kept, and for how long.
    pub retention: Retention,
}

/// Why an engine can't run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The data directory belongs to another one.
    #[error("{} belongs to another server: {holder}; stop that one, or use another data directory", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// The journal can't be used.
    #[error("the engine's journal can't be used")]
    Journal(#[from] JournalError),
    /// The journal's content can't be understood.
    #[error("the engine's state in the journal can't be read")]
    State(#[source] serde_json::Error),
    /// The artifacts can't be used.
    #[error("the engine's artifacts can't be used")]
    Store(#[from] StoreError),
    /// A step failed.
    #[error("cannot {step} {path}")]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The engine that wrote the journal had another name.
    #[error(
        "the data belongs to the engine {found}, not to {expected}: set the same name, or use another data directory"
    )]
    Source {
        /// As in the journal.
        found: SourceId,
        /// As set.
        expected: SourceId,
    },
    /// A task of the engine ended by itself.
    #[error("the {0} ended unexpectedly")]
    Ended(&'static str),
}

impl Engine {
    /// Opens the data directory and reads the journal. Nothing is started, adopted or answered
    /// before [`EngineTask::run`] runs. Blocks for a few milliseconds.
    pub fn open(settings: Settings) -> Result<(Engine, EngineTask), EngineError> {
        let data = &settings.data;
        files::folder(data).map_err(|source| EngineError::Io { step: "make", path: data.clone(), source })?;
        let lock = lock(&data.join("lock"))?;
        let (spill, spilled) = Spill::open(&data.join("engine-spill"))?;
        let Opened { journal, state, deployments } = Journal::open(&data.join("engine.db"), HISTORY)?;
        let state = match state {
            Some(text) => State::read(&text).map_err(EngineError::State)?,
            None => State::new(settings.source.clone()),
        };
        if state.source != settings.source {
            return Err(EngineError::Source { found: state.source, expected: settings.source });
        }
        let store = Store::open(data.join("artifacts/sha256"))?;
        let uploads = data.join("uploads");
        clear(&uploads)?;
        let (urgent, urgent_receiver) = mpsc::unbounded_channel();
        let (asks, ask_receiver) = mpsc::channel(ASKS);
        let (reports, report_receiver) = mpsc::unbounded_channel();
        let (drains, drain_receiver) = mpsc::unbounded_channel();
        let (metrics, metrics_receiver) = watch::channel(Vec::new());
        let (unmatched, unmatched_receiver) = watch::channel(Vec::new());
        let instances = data.join("instances");
        let context = Context {
            store: store.clone(),
            exe: settings.exe.clone(),
            instances: instances.clone(),
            reports,
            drains,
            unpacking: Semaphore::new(UNPACKING),
        };
        let room = Supervisor::open(context, settings.ports.clone()).map_err(|source| EngineError::Io {
            step: "make",
            path: instances.clone(),
            source,
        })?;
        let home = ProxyHome { dir: data.join("proxy"), exe: settings.exe.clone(), lease: settings.lease };
        let engine = Engine {
            source: settings.source.clone(),
            uploads,
            instances,
            store,
            urgent,
            asks,
            metrics: metrics_receiver,
            unmatched: unmatched_receiver,
        };
        let spilled = spilled.iter().filter_map(|line| Spilled::parse(line)).collect();
        let task = EngineTask {
            publisher: Publisher::new(settings.source.clone(), deployments, clock()),
            store: engine.store.clone(),
            settings,
            state,
            journal,
            ended: Vec::new(),
            config: None,
            news: Vec::new(),
            spill: Some(spill),
            spilled,
            room,
            counters: Counters::default(),
            metrics,
            unmatched,
            staged: Vec::new(),
            urgent: urgent_receiver,
            asks: ask_receiver,
            reports: report_receiver,
            link: None,
            link_parts: Some((home, drain_receiver)),
            tasks: JoinSet::new(),
            up: false,
            adopting: None,
            unsaved: false,
            dirty: true,
            last_renew: None,
            last_sweep: None,
            _lock: lock,
        };
        Ok((engine, task))
    }
}

/// Makes a directory, without whatever an earlier run left in it.
fn clear(path: &Path) -> Result<(), EngineError> {
    let failed = |source| EngineError::Io { step: "clear", path: path.to_owned(), source };
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => files::folder(path).map_err(failed),
    }
}

/// One server for one data directory.
fn lock(path: &Path) -> Result<LockFile, EngineError> {
    LockFile::take(path, Duration::ZERO).map_err(|error| match error {
        LockError::Held { path, holder } => EngineError::Held { path, holder },
        LockError::Io { step, path, source } => EngineError::Io { step, path, source },
    })
}
