//! A program as a backend under test: it brings itself into the situations.

use super::{Backend, Fixture, Situation, Stop};
use crate::integration::orchestrator::exec::{Exec, ExecSettings, SituationError};
use crate::model::Target;
use crate::port::Executor;
use async_trait::async_trait;
use std::sync::Arc;
use tempfile::TempDir;

/// A program that speaks docs/exec.md, its lines for the contract suite included.
#[derive(Debug, Clone)]
pub struct ProgramBackend {
    /// The program and its arguments.
    pub command: Vec<String>,
}

struct Subject {
    exec: Exec,
    /// It has ended itself and comes back by itself.
    interrupted: Option<Target>,
    /// Outlives the program, not the case.
    scratch: TempDir,
}

#[async_trait]
impl Backend for ProgramBackend {
    fn name(&self) -> String {
        let program = self.command.first().map_or("", String::as_str);
        let file = std::path::Path::new(program).file_name();
        file.map_or_else(|| program.to_owned(), |name| name.to_string_lossy().into_owned())
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        let scratch =
            tempfile::tempdir().map_err(|error| Stop::Failed(format!("cannot make a scratch folder: {error}")))?;
        let settings = ExecSettings { source: "program".into(), command: self.command.clone(), read_only: false };
        let exec = Exec::for_contract(settings, scratch.path().to_owned());
        Ok(Box::new(Subject { exec, interrupted: None, scratch }))
    }
}

#[async_trait]
impl Fixture for Subject {
    fn orchestrator(&self) -> Arc<dyn Executor> {
        Arc::new(self.exec.clone())
    }

    async fn bring(&mut self, situation: Situation) -> Result<Target, Stop> {
        if let Some(target) = self.interrupted.take().filter(|_| situation == Situation::Restored) {
            return Ok(target);
        }
        let brought = self.exec.situation(situation.word()).await;
        self.interrupted = brought.as_ref().ok().filter(|_| situation == Situation::Interrupted).cloned();
        brought.map_err(|error| match error {
            SituationError::Cannot(why) => Stop::NotApplicable(why),
            SituationError::NoAnswer(why) => Stop::Failed(format!("asked to be {}: {why}", situation.word())),
        })
    }

    async fn close(self: Box<Self>) -> Result<(), Stop> {
        self.scratch.close().map_err(|error| Stop::Failed(format!("cannot remove the scratch folder: {error}")))
    }
}
