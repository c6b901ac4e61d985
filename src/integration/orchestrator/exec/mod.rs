//! Any program that speaks the vocabulary as JSON lines on its standard input and output.
//!
//! docs/exec.md describes the lines. The program is started by the watch, started again with
//! growing pauses when it ends, and killed with its process group when the watch is dropped. What it
//! says can neither block the hub nor speak for another source.

mod health;
mod lines;
mod own;
mod program;
mod provider;
mod session;
mod shared;
mod watch;
mod wire;

pub use provider::ExecProvider;
pub use wire::EXEC_WIRE;

use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{Detail, Direction, Refusal, RefusalKind, Rollout, Run, Scoped, SourceId, Stage, Target};
use flightdeck_port::{Accepted, Capabilities, Executor, Followed, InspectError, NotDone};
use futures::stream::BoxStream;
use shared::{Lost, Shared};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use wire::{Outcome, ToProgram};

/// What an exec source is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// Its name among sources.
    pub source: SourceId,
    /// The program and its arguments; run as it stands, by no shell.
    pub command: Vec<String>,
    /// Nothing may be changed through it.
    pub read_only: bool,
}

/// Why a program is not in a situation of the contract suite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SituationError {
    /// It says that it can't be.
    #[error("it can't be: {0}")]
    Cannot(String),
    /// It did not answer.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// A program as a backend.
///
/// How far a command has come is what the program says: its `stage` lines are kept by command id in
/// a map of this source, which [`Executor::progress`] looks into. That map is an input like the
/// rows are, written by the watch alone, so the rule itself stays a plain look-up.
#[derive(Debug, Clone)]
pub struct Exec {
    shared: Arc<Shared>,
}

impl Exec {
    /// A source; the program is started by the watch.
    #[must_use]
    pub fn new(settings: ExecSettings) -> Exec {
        Exec { shared: Arc::new(Shared::new(settings, None)) }
    }

    /// The same for the contract suite: the program is told of a folder that outlives it, and that
    /// it will be asked for situations.
    #[must_use]
    pub fn for_contract(settings: ExecSettings, scratch: PathBuf) -> Exec {
        Exec { shared: Arc::new(Shared::new(settings, Some(scratch))) }
    }

    /// Asks the program to bring about a situation of the contract suite; gives the workload that is
    /// in it.
    pub async fn situation(&self, name: &str) -> Result<Target, SituationError> {
        let outcome = self.shared.ask(false, |id| ToProgram::Contract { id, situation: name }.line()).await;
        match outcome {
            Ok(Outcome::Ready { mut target }) => {
                own::target(&mut target, &self.shared.settings.source);
                Ok(target)
            }
            Ok(Outcome::Cannot { why }) => Err(SituationError::Cannot(why)),
            Ok(other) => Err(SituationError::NoAnswer(answered_otherwise("contract", &other))),
            Err(Lost::NotSent(why) | Lost::Unknown(why)) => Err(SituationError::NoAnswer(why)),
        }
    }

    fn has(&self, run: &Run) -> bool {
        run.target.source == self.shared.settings.source
    }
}

fn answered_otherwise(asked: &str, outcome: &Outcome) -> String {
    let what = match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::NotSent { .. } => "not_sent",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Rollout(_) => "rollout",
        Outcome::Detail(_) => "detail",
        Outcome::NotFound => "not_found",
        Outcome::Unreachable { .. } => "unreachable",
        Outcome::Ready { .. } => "ready",
        Outcome::Cannot { .. } => "cannot",
    };
    format!("the program answered {what} to {asked}")
}

/// What is left of an answer that was not the one asked for.
fn not_read(run: &Run, asked: &str, outcome: Result<Outcome, Lost>) -> InspectError {
    match outcome {
        Ok(Outcome::NotFound) => InspectError::NotFound(run.clone()),
        Ok(Outcome::Unreachable { why }) | Err(Lost::NotSent(why) | Lost::Unknown(why)) => {
            InspectError::Unreachable(why)
        }
        Ok(other) => InspectError::Unreachable(answered_otherwise(asked, &other)),
    }
}

/// It answered about another workload.
fn another(run: &Run, row: &Rollout) -> InspectError {
    InspectError::Unreachable(format!("the program answered about {}, not {run}", row.run))
}

#[async_trait]
impl Executor for Exec {
    /// What its last hello said; nothing before the first one.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: self.shared.settings.source.clone(),
            actions: self.shared.actions(),
            later: "whether it holds what begins later is up to the program",
            read_only: self.shared.settings.read_only,
        }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        watch::watch(Arc::clone(&self.shared))
    }

    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        if self.shared.settings.read_only {
            return Err(Refusal::new(RefusalKind::Denied, self.shared.read_only()).into());
        }
        let command = authorized.command();
        let none = BTreeMap::new();
        let pinned = command.pin.as_ref().map_or(&none, |pin| &pin.facts);
        let urgent = command.action.direction() == Direction::Reduces;
        let line = |id| ToProgram::Execute { id, authorized, pinned }.line();
        match self.shared.ask(urgent, line).await {
            Ok(Outcome::Accepted { note }) => Ok(Accepted { note, ..Accepted::default() }),
            Ok(Outcome::Refused(refusal)) => Err(refusal.into()),
            Ok(Outcome::NotSent { why }) | Err(Lost::NotSent(why)) => Err(NotDone::NotSent { why }),
            Ok(Outcome::Unknown { why }) | Err(Lost::Unknown(why)) => Err(NotDone::Unknown { why }),
            Ok(other) => Err(NotDone::Unknown { why: answered_otherwise("execute", &other) }),
        }
    }

    fn progress(&self, followed: &Followed<'_>) -> Stage {
        self.shared.reported(&followed.command.id).unwrap_or(Stage::Accepted)
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        if !self.has(run) {
            return Err(InspectError::NotFound(run.clone()));
        }
        match self.shared.ask(false, |id| ToProgram::Read { id, run }.line()).await {
            Ok(Outcome::Rollout(mut row)) => {
                self.shared.adopt(&mut row);
                if row.run.target == run.target { Ok(*row) } else { Err(another(run, &row)) }
            }
            other => Err(not_read(run, "read", other)),
        }
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        if !self.has(run) {
            return Err(InspectError::NotFound(run.clone()));
        }
        match self.shared.ask(false, |id| ToProgram::Inspect { id, run }.line()).await {
            Ok(Outcome::Detail(mut detail)) => {
                own::detail(&mut detail, &self.shared.settings.source);
                self.shared.adopt(&mut detail.rollout);
                if detail.rollout.run.target == run.target { Ok(*detail) } else { Err(another(run, &detail.rollout)) }
            }
            other => Err(not_read(run, "inspect", other)),
        }
    }
}
