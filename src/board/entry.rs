//! An entry of what needs a person: what it is about, how bad it is, and its words.

use flightdeck_model::{ApprovalId, EnvironmentName, HoldId, Rollout, Run, Scope, ServiceName, SourceId, Target};
use jiff::Timestamp;
use std::cmp::Ordering;
use std::sync::Arc;

/// What an entry is about; opening it leads there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttentionSubject {
    Rollout(Run),
    Approval(ApprovalId),
    /// A hold that somebody undid from outside.
    Hold(SourceId, HoldId),
    /// A job whose last run failed.
    Job(JobRef),
    /// A watch that is not live.
    Source(Scope),
}

/// Why it needs a person. Ordered, most dangerous first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It fails, users may be hurt by it, or it is being taken back.
    Failing,
    /// It goes on although it was held: somebody undid that from outside.
    Undone,
    /// It failed, and stands so until a person does something.
    Failed,
    /// Somebody's yes is missing.
    Approval,
    /// It stands still until a person lets it go on.
    Paused,
    /// It is up but not well, or it ended without success.
    Degraded,
    /// What is shown may be old.
    Stale,
}

impl Severity {
    /// One column wide.
    #[must_use]
    pub const fn glyph(self) -> &'static str {
        match self {
            Severity::Failing | Severity::Failed => "✗",
            Severity::Undone => "▶",
            Severity::Approval => "?",
            Severity::Paused => "⏸",
            Severity::Degraded => "!",
            Severity::Stale => "◌",
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    pub subject: AttentionSubject,
    /// The service, or the source's name.
    pub name: String,
    /// Where; `None` for a source.
    pub environment: Option<EnvironmentName>,
    pub severity: Severity,
    /// Beside the glyph: `failing`, `rolling back`, `approval`, `paused`, …
    pub word: &'static str,
    /// One sentence without ages, which tick: `since` has those.
    pub sentence: String,
    /// When something happens by itself.
    pub deadline: Option<Timestamp>,
    pub since: Timestamp,
}

/// What an entry is about.
#[derive(Debug, Clone)]
pub enum About {
    Rollout(Arc<Rollout>),
    Approval(ApprovalId),
    /// A hold that somebody undid from outside, in whole or in part.
    Hold(SourceId, HoldId),
    /// A job whose last run failed.
    Job(JobRef),
    /// A watch that is not live.
    Source(Scope),
}

impl About {
    /// What a cursor sticks to.
    #[must_use]
    pub fn subject(&self) -> AttentionSubject {
        match self {
            About::Rollout(rollout) => AttentionSubject::Rollout(rollout.run.clone()),
            About::Approval(id) => AttentionSubject::Approval(id.clone()),
            About::Hold(source, id) => AttentionSubject::Hold(source.clone(), id.clone()),
            About::Job(job) => AttentionSubject::Job(job.clone()),
            About::Source(scope) => AttentionSubject::Source(scope.clone()),
        }
    }

    pub(super) fn is(&self, subject: &AttentionSubject) -> bool {
        match (self, subject) {
            (About::Rollout(rollout), AttentionSubject::Rollout(run)) => rollout.run == *run,
            (About::Approval(id), AttentionSubject::Approval(wanted)) => id == wanted,
            (About::Hold(source, id), AttentionSubject::Hold(at, wanted)) => source == at && id == wanted,
            (About::Job(job), AttentionSubject::Job(wanted)) => job == wanted,
            (About::Source(scope), AttentionSubject::Source(wanted)) => scope == wanted,
            _ => false,
        }
    }

    pub(super) fn is_of(&self, target: &Target) -> bool {
        matches!(self, About::Rollout(rollout) if rollout.run.target == *target)
    }

    pub(super) fn cmp(&self, other: &About) -> Ordering {
        let kind = |about: &About| match about {
            About::Rollout(_) => 0,
            About::Approval(_) => 1,
            About::Hold(..) => 2,
            About::Job(_) => 3,
            About::Source(_) => 4,
        };
        match (self, other) {
            (About::Rollout(a), About::Rollout(b)) => a.run.cmp(&b.run),
            (About::Approval(a), About::Approval(b)) => a.cmp(b),
            (About::Hold(source, id), About::Hold(at, other)) => (source, id).cmp(&(at, other)),
            (About::Job(a), About::Job(b)) => a.cmp(b),
            (About::Source(a), About::Source(b)) => a.cmp(b),
            (a, b) => kind(a).cmp(&kind(b)),
        }
    }
}

/// A job of a service in an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobRef {
    /// Where its service is known.
    pub source: SourceId,
    pub service: ServiceName,
    pub environment: EnvironmentName,
    pub name: String,
}
