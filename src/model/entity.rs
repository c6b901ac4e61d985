//! Everything that a board holds rows of.

use super::{
    Action, Alert, Approval, ApprovalId, Environment, EnvironmentName, Evidence, Hold, HoldId, Instance, Receipt,
    ReceiptId, Release, Rollout, RolloutRecord, Run, Service, ServiceName, Silence, SilenceId, SourceId, Target,
    Version,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Unique within its source.
    pub id: String,
    pub run: Run,
    pub at: Timestamp,
    /// Who or what did it.
    pub who: String,
    /// One sanitised line.
    pub text: String,
    #[serde(default, skip_serializing_if = "NoteKind::is_event")]
    pub kind: NoteKind,
}

/// What a note is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Anything that happened.
    #[default]
    Event,
    /// The rollout began, ended a step, was paused, resumed, held or turned back: where a curve may bend.
    Progress,
}

impl NoteKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    const fn is_event(&self) -> bool {
        matches!(self, NoteKind::Event)
    }
}

/// One row of a board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Entity {
    Service(Service),
    Environment(Environment),
    /// A stored release.
    Release(Release),
    /// A rollout, in flight or settled: one per target, the newest run.
    Rollout(Arc<Rollout>),
    Approval(Box<Approval>),
    Evidence(Box<Evidence>),
    Receipt(Box<Receipt>),
    Hold(Hold),
    /// A finished rollout.
    #[serde(rename = "deployment")]
    RolloutRecord(Arc<RolloutRecord>),
    Instance(Box<Instance>),
    /// Something that happened.
    Note(Note),
    /// Told to those who say that they read it: [`super::READS_ALERTS`].
    Alert(Arc<Alert>),
    Silence(Box<Silence>),
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum EntityRef {
    Service(SourceId, ServiceName),
    Environment(SourceId, EnvironmentName),
    Release(SourceId, ServiceName, Version),
    /// By target: a newer run replaces the row.
    Rollout(Target),
    Approval(ApprovalId),
    Evidence(SourceId, String),
    Receipt(ReceiptId),
    Hold(SourceId, HoldId),
    #[serde(rename = "deployment")]
    RolloutRecord(Run),
    Instance(SourceId, String),
    Note(SourceId, String),
    /// By fingerprint.
    Alert(SourceId, String),
    Silence(SourceId, SilenceId),
}

impl Entity {
    /// Can only those read it who read alerts?
    #[must_use]
    pub fn is_of_alerts(&self) -> bool {
        match self {
            Entity::Alert(_) | Entity::Silence(_) => true,
            Entity::Receipt(receipt) => matches!(receipt.command.action, Action::Silence | Action::Unsilence),
            _ => false,
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> EntityRef {
        match self {
            Entity::Service(e) => EntityRef::Service(e.source.clone(), e.name.clone()),
            Entity::Environment(e) => EntityRef::Environment(e.source.clone(), e.name.clone()),
            Entity::Release(e) => EntityRef::Release(e.source.clone(), e.service.clone(), e.version.clone()),
            Entity::Rollout(e) => EntityRef::Rollout(e.run.target.clone()),
            Entity::Approval(e) => EntityRef::Approval(e.id.clone()),
            Entity::Evidence(e) => EntityRef::Evidence(e.run.target.source.clone(), e.id.clone()),
            Entity::Receipt(e) => EntityRef::Receipt(e.id.clone()),
            Entity::Hold(e) => EntityRef::Hold(e.source.clone(), e.id.clone()),
            Entity::RolloutRecord(e) => EntityRef::RolloutRecord(e.run.clone()),
            Entity::Instance(e) => EntityRef::Instance(e.target.source.clone(), e.id.clone()),
            Entity::Note(e) => EntityRef::Note(e.run.target.source.clone(), e.id.clone()),
            Entity::Alert(e) => EntityRef::Alert(e.source.clone(), e.fingerprint.clone()),
            Entity::Silence(e) => EntityRef::Silence(e.source.clone(), e.id.clone()),
        }
    }
}
