//! The routes on disk, so that the next process comes back to them.
//!
//! Replaced whole by a rename. Not flushed to the platters: after a power cut no instance is left
//! that a route could lead to, and an unreadable file only means that the engine routes anew.

use super::wire::Route;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The newest that this program reads.
const FORMAT: u32 = 3;

/// All that outlives the process.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    format: u32,
    /// In force.
    pub routes: Vec<Route>,
    /// Leases that lapsed: listener, version, and when in milliseconds of `CLOCK_MONOTONIC`.
    pub lapsed: Vec<(String, u64, u64)>,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not readable.
    #[error("reading {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Not what this program wrote.
    #[error("{path} holds no routes")]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// Written by a newer program.
    #[error("{path} has format {found}; this program reads {FORMAT}")]
    Newer {
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

impl Saved {
    /// What is to be written.
    pub fn new(routes: Vec<Route>, lapsed: Vec<(String, u64, u64)>) -> Self {
        // One more than the highest level that does not follow all of them as they are meant: an older program must
        // not begin with them.
        let beyond = |level: &u32| routes.iter().any(|route| route.is_beyond(*level));
        let format = 1 + (0..FORMAT - 1).filter(beyond).map(|level| level + 1).max().unwrap_or(0);
        Self { format, routes, lapsed }
    }

    /// Reads the file; without one there is nothing.
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
        };
        let saved: Self =
            serde_json::from_slice(&text).map_err(|source| StateError::Parse { path: path.to_owned(), source })?;
        if saved.format > FORMAT {
            return Err(StateError::Newer { path: path.to_owned(), found: saved.format });
        }
        Ok(saved)
    }

    /// Replaces the file.
    pub async fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let new = path.with_extension("new");
        tokio::fs::write(&new, text).await?;
        tokio::fs::rename(&new, path).await
    }
}
