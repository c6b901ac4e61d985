//! From a data directory to an engine that is ready to run.

use super::clock::clock;
use super::engine::Engine;
use super::handover::ProxyHome;
use super::publish::{HISTORY, Publisher};
use super::settings::{EngineError, Settings};
use super::spilled::Spilled;
use super::task::EngineTask;
use super::windows::Counters;
use crate::journal::{Journal, Opened, Spill};
use crate::process::context::Context;
use crate::process::supervisor::Supervisor;
use crate::store::Store;
use flightdeck_engine_core::State;
use flightdeck_model::SourceId;
use flightdeck_platform::files::{self, LockError, LockFile};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Ordinary requests that may wait for the loop.
const ASKS: usize = 256;
/// Artifacts that are unpacked at once.
const UNPACKING: usize = 2;

impl Engine {
    /// Opens the data directory and reads the journal. Nothing is started, adopted or answered
    /// before [`EngineTask::run`] runs. Blocks for a few milliseconds.
    pub fn open(settings: Settings) -> Result<(Engine, EngineTask), EngineError> {
        let data = &settings.data;
        files::folder(data).map_err(|source| EngineError::Io { step: "make", path: data.clone(), source })?;
        let lock = lock(&data.join("lock"))?;
        let (spill, spilled) = Spill::open(&data.join("engine-spill"))?;
        let Opened { journal, state, deployments } = Journal::open(&data.join("engine.db"), HISTORY)?;
        let state = state_of(state.as_deref(), &settings.source)?;
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

/// The state of the journal, or that of a new engine.
fn state_of(text: Option<&str>, source: &SourceId) -> Result<State, EngineError> {
    let Some(text) = text else { return Ok(State::new(source.clone())) };
    let state = State::read(text).map_err(EngineError::State)?;
    if state.source == *source {
        Ok(state)
    } else {
        Err(EngineError::Source { found: state.source, expected: source.clone() })
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
