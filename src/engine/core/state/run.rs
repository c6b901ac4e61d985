//! One rollout: what it brings in, how far it is, who stopped it, and what it counts.

use crate::types::{InstanceId, JobEnd, JobId};
use flightdeck_analysis::{MannWhitney, Sequential, Totals};
use flightdeck_model::{
    AnalysisTemplate, DeploymentOutcome, Diagnosis, HoldId, HookSpec, Phase, Ppm, ReleaseRef, RollbackPath, Step,
    StepRecord, Strategy,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What sort of rollout it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing was there before.
    First,
    /// By weighted steps.
    Canary,
    /// Back to the version before. Its target is the slot's stable pool from the start, and the
    /// version that is left is the candidate: what holds for an abort holds for it.
    Rollback,
    /// The same version, instance by instance.
    Restart,
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Progress {
    /// In line.
    Queued,
    /// At a step of its plan.
    Steps,
    /// All steps done or skipped: to full size, then all traffic.
    Promoting,
    /// Traffic goes back to stable, then it ends so.
    RollingBack {
        /// How it will end.
        outcome: DeploymentOutcome,
        /// For how long already.
        elapsed: SignedDuration,
    },
    /// Replacing these instances of stable.
    Restarting {
        /// Those still to go.
        old: Vec<InstanceId>,
    },
    /// Settled.
    Ended(DeploymentOutcome),
}

/// Who stopped a rollout; it moves only when nobody does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pauses {
    pub person: Option<Pause>,
    pub holds: BTreeSet<HoldId>,
    /// An analysis without data.
    pub analysis: Option<Pause>,
    /// A migration that a person must look at.
    #[serde(default)]
    pub hook: Option<Pause>,
}

impl Pauses {
    pub(crate) fn none(&self) -> bool {
        self.person.is_none() && self.holds.is_empty() && self.analysis.is_none() && self.hook.is_none()
    }
}

/// One reason to stand still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    pub who: String,
    pub why: Option<String>,
    pub since: Timestamp,
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Unique within its slot.
    pub revision: String,
    pub kind: Kind,
    /// What it brings in.
    pub to: ReleaseRef,
    /// What served when it began.
    pub from: Option<ReleaseRef>,
    pub author: String,
    /// Its place in line, over all slots.
    pub asked: u64,
    /// When it was asked for.
    pub started: Timestamp,
    /// When `phase` last changed.
    pub since: Timestamp,
    /// As last told.
    pub phase: Phase,
    /// Its plan, as configured when it was asked for.
    pub steps: Arc<[Step]>,
    /// The analyses that its plan names, as configured then.
    pub templates: BTreeMap<String, AnalysisTemplate>,
    /// Judged from the first weight on.
    pub background: Option<String>,
    /// How far it is.
    pub progress: Progress,
    /// Index of the current step.
    pub step: u32,
    /// How long the step ran, as far as it could.
    pub elapsed: SignedDuration,
    /// How long the step waited for instances or the proxy.
    pub waited: SignedDuration,
    /// The candidate's share that is wanted now.
    pub weight: Ppm,
    /// What the current analysis step has seen.
    pub measured: Measured,
    /// Who stopped it.
    pub pauses: Pauses,
    /// Why it stands as it does, where there is more to say than its step: a rollback's or an end's reason.
    pub cause: String,
    /// What the background analysis has seen.
    #[serde(default)]
    pub watched: Watched,
    /// How it is brought in, as configured when it was asked for.
    #[serde(default = "canary")]
    pub strategy: Strategy,
    /// Its hooks, as configured then.
    #[serde(default)]
    pub hooks: Arc<[HookSpec]>,
    /// The hook of the current step, or of the way back.
    #[serde(default)]
    pub job: Option<Job>,
    /// A run of a hook that was cut off: nothing else runs before that is over.
    #[serde(default)]
    pub cut_off: Option<JobId>,
    /// Hooks that run again and again while it has traffic, by name.
    #[serde(default)]
    pub watches: BTreeMap<String, Watch>,
    /// What is still to be run on the way back, in order; `None`: not that far.
    #[serde(default)]
    pub undo: Option<VecDeque<Undo>>,
    /// It rehearses the way back.
    #[serde(default)]
    pub drill: Option<Drill>,
    /// What is counted for its record.
    #[serde(default)]
    pub tally: Tally,
    /// What was found out about the instance, or the hook, that failed it.
    #[serde(default)]
    pub diagnosis: Option<Box<Diagnosis>>,
}

/// What journals of before other strategies hold.
const fn canary() -> Strategy {
    Strategy::Canary
}

/// A run of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id; another try has another one.
    pub id: JobId,
    /// The hook's name.
    pub hook: String,
    /// It takes a migration back.
    pub back: bool,
    /// Tries before this one.
    pub attempt: u32,
    /// How far it is.
    pub stage: JobStage,
    pub since: Timestamp,
}

/// How far a run of a hook is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum JobStage {
    /// Under way.
    Running,
    /// Ended, its end not yet acted on.
    Ended(JobEnd),
    /// Failed in a way that may pass: tried again when that has passed.
    Waiting(SignedDuration),
}

/// A hook that runs again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Its current run.
    pub job: Option<Job>,
    /// Until the next one.
    pub left: SignedDuration,
}

/// Something to run on the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub hook: HookSpec,
    /// From whose artifact.
    pub release: ReleaseRef,
    /// It takes a migration back.
    pub back: bool,
}

/// How far a rehearsal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drill {
    /// On the way back.
    Back,
    /// Returning to what served.
    Return,
}

/// What is counted for a rollout's record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The largest share that the proxy acknowledged.
    pub reached: Ppm,
    /// How long it waited for people.
    pub waited: SignedDuration,
    /// Steps that a person did.
    pub manual: u32,
    /// Steps that are done.
    pub steps: u32,
    /// The steps that it has left, in order.
    #[serde(default)]
    pub left: Vec<StepRecord>,
    /// Since when it is at its current step.
    #[serde(default)]
    pub step_since: Option<Timestamp>,
    /// When it was decided to go back.
    pub back_since: Option<Timestamp>,
    pub back_path: Option<RollbackPath>,
    /// How long it took.
    pub back_took: Option<SignedDuration>,
    /// Since when nothing serves, where the strategy ends one version before the other starts.
    pub down_since: Option<Timestamp>,
}

/// What an analysis step has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub from: Option<Timestamp>,
    /// The candidate's.
    pub candidate: Totals,
    /// Stable's.
    pub stable: Totals,
    /// What is known for and against the candidate.
    #[serde(default)]
    pub sequential: Sequential,
    #[serde(default)]
    pub mann_whitney: MannWhitney,
}

/// What a background analysis has seen. Its sliding span is not journalled: after a restart it begins anew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// How long the candidate has had traffic.
    #[serde(skip)]
    pub exposed: SignedDuration,
    /// Windows by the `exposed` at their end.
    #[serde(skip)]
    pub windows: VecDeque<(SignedDuration, Totals, Totals)>,
    /// New numbers since the last judgement.
    #[serde(skip)]
    pub fresh: bool,
    /// What is known for and against the candidate since it has had traffic.
    #[serde(default)]
    pub sequential: Sequential,
    /// Begins anew with the span.
    #[serde(skip)]
    pub mann_whitney: MannWhitney,
}

impl Watched {
    /// What both arms did in the span, as of now; what is older is forgotten.
    pub(crate) fn sums(&mut self, span: SignedDuration) -> (Totals, Totals) {
        let oldest = self.exposed.saturating_sub(span);
        while self.exposed >= span && self.windows.front().is_some_and(|(at, ..)| *at <= oldest) {
            self.windows.pop_front();
        }
        self.fresh = false;
        let (mut candidate, mut stable) = (Totals::default(), Totals::default());
        for (_, of_candidate, of_stable) in &self.windows {
            candidate.add(of_candidate.requests, of_candidate.errors, &of_candidate.latency);
            stable.add(of_stable.requests, of_stable.errors, &of_stable.latency);
        }
        (candidate, stable)
    }

    /// Its sliding span begins anew.
    pub(crate) fn anew(&mut self) {
        *self = Watched { sequential: std::mem::take(&mut self.sequential), ..Watched::default() };
    }
}

impl RunState {
    /// Can it still change anything?
    pub fn active(&self) -> bool {
        !matches!(self.progress, Progress::Queued | Progress::Ended(_))
    }

    pub(crate) fn rolling_back(&self) -> bool {
        matches!(self.progress, Progress::RollingBack { .. })
    }

    /// Is one version ended before the other starts?
    pub(crate) fn exclusive(&self) -> bool {
        self.strategy == Strategy::Recreate
    }

    /// A hook of its plan, as configured when it was asked for.
    pub(crate) fn hook(&self, name: &str) -> Option<&HookSpec> {
        self.hooks.iter().find(|hook| hook.name == name)
    }

    /// Its current step is over. `done`: it is not skipped.
    pub(crate) fn leave_step(&mut self, done: bool, now: Timestamp) {
        let left = self.step_until(done, now);
        self.tally.left.extend(left);
        self.tally.step_since = None;
    }

    /// The steps that it was at: one that its end cuts short lasted until it was decided to go back.
    pub(crate) fn step_times(&self, now: Timestamp) -> Vec<StepRecord> {
        let cut_short = self.step_until(false, self.tally.back_since.unwrap_or(now));
        self.tally.left.iter().cloned().chain(cut_short).collect()
    }

    fn step_until(&self, done: bool, ended: Timestamp) -> Option<StepRecord> {
        let step = self.steps.get(self.step as usize)?.clone();
        let began = self.tally.step_since?;
        Some(StepRecord { index: self.step, step, began, ended: ended.max(began), done })
    }

    pub(crate) fn current_step(&self) -> Option<&Step> {
        if self.progress == Progress::Steps { self.steps.get(self.step as usize) } else { None }
    }
}
