//! How an engine is set up, and why it can't run.

use super::retention::Retention;
use crate::journal::JournalError;
use crate::store::StoreError;
use flightdeck_model::SourceId;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

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
