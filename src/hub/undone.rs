//! A while beyond its effect: whatever happens to the run of a command later, and undoes it, reverts its
//! receipt.

use super::follow::rank;
use super::following::Following;
use super::state::State;
use flightdeck_model::{
    Action, Aim, CommandId, DeploymentOutcome, Direction, MetricVerdict, Phase, Ppm, Rollout, Run, Stage,
};

/// What became of an effect.
enum Later {
    /// It stands, and can still be undone.
    Stands,
    /// It stands for good.
    Settled,
    Undone {
        by: String,
        outcome: Option<DeploymentOutcome>,
    },
}

/// What it wanted of the users. A rollback that made no run of its own ends one, as an abort does.
fn wanted(following: &Following) -> Aim {
    match following.action() {
        Action::Rollback if following.receipt.created.is_none() => Aim::Away,
        action => action.row().aim,
    }
}

impl State {
    /// How the run of a command ended, as the record of its end or its row says.
    pub fn outcome(&self, following: &Following) -> Option<DeploymentOutcome> {
        let run = following.receipt.run()?;
        let row = || self.board.rollout(&run.target).filter(|row| row.run == *run);
        let recorded = self.board.deployment(run).map(|record| record.outcome);
        let outcome = recorded.or_else(|| row()?.phase.outcome());
        // What is taken away from had ended well before, or has yet to show that it is taken away from.
        outcome.filter(|of| *of != DeploymentOutcome::Succeeded || wanted(following) != Aim::Away)
    }

    /// Was its effect undone?
    pub fn look_back(&mut self, id: &CommandId) {
        let Some(following) = self.commands.get(id).filter(|following| !following.settled) else { return };
        let Some(record) = following.receipt.stages.last() else { return };
        let later = match record.stage {
            Stage::Effective { .. } => self.became(following),
            // How its run ends is still to be told.
            Stage::Reverted { .. } | Stage::Superseded { .. } | Stage::Failed { .. }
                if following.receipt.run().is_some() && self.outcome(following).is_none() =>
            {
                Later::Stands
            }
            _ => Later::Settled,
        };
        let known = self.outcome(following);
        let Some(following) = self.commands.get_mut(id) else { return };
        let is_new = known.is_some() && following.receipt.outcome != known;
        following.receipt.outcome = known.or(following.receipt.outcome);
        match later {
            Later::Undone { by, outcome } => {
                following.receipt.outcome = outcome.or(following.receipt.outcome);
                following.settled = following.receipt.outcome.is_some();
                self.push(id, Stage::Reverted { by });
                return;
            }
            Later::Settled => following.settled = true,
            Later::Stands => {}
        }
        if is_new {
            self.tell_receipt(id);
        }
    }

    fn became(&self, following: &Following) -> Later {
        let (wanted, Some(run)) = (wanted(following), following.receipt.run()) else { return Later::Settled };
        let Some(row) = self.board.rollout(&run.target) else { return Later::Stands };
        if wanted == Aim::Nothing {
            return Later::Settled;
        }
        if row.run != *run {
            return self.after(&wanted, run, row);
        }
        let back = matches!(row.phase, Phase::Aborted | Phase::Failed | Phase::Superseded);
        let exposed = row.candidate().and_then(|arm| arm.traffic.actual).unwrap_or(Ppm::ZERO);
        let undone = match wanted {
            Aim::Forward => back || row.phase == Phase::RollingBack,
            Aim::Back => back,
            Aim::Away => exposed > Ppm::ZERO && row.phase.in_flight() && row.phase != Phase::RollingBack,
            Aim::Nothing => false,
        };
        if undone {
            Later::Undone { by: self.undone_by(following, row), outcome: row.phase.outcome() }
        } else {
            Later::Stands
        }
    }

    /// Another run is shown: the record of the command's own says how that ended, and the record of the
    /// one that is shown whether users were taken back to what was there before.
    fn after(&self, wanted: &Aim, run: &Run, row: &Rollout) -> Later {
        let Some(record) = self.board.deployment(run) else { return Later::Stands };
        let well = matches!(record.outcome, DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack);
        match (wanted, well) {
            (Aim::Away | Aim::Nothing, _) | (Aim::Back, true) => Later::Settled,
            (Aim::Forward | Aim::Back, false) => {
                Later::Undone { by: record.cause.clone(), outcome: Some(record.outcome) }
            }
            (Aim::Forward, true) => match self.board.deployment(&row.run) {
                Some(next) if next.takes_back(record) => {
                    Later::Undone { by: next.cause.clone(), outcome: Some(DeploymentOutcome::RolledBack) }
                }
                Some(_) => Later::Settled,
                None => Later::Stands,
            },
        }
    }

    /// Who undid it: a later command of this hub, the judgement on the run, or somebody else.
    pub(super) fn undone_by(&self, following: &Following, rollout: &Rollout) -> String {
        let raised = following.action().direction() == Direction::Raises;
        let later = self.commands.values().filter(|other| {
            let opposite = (other.action().direction() == Direction::Raises) != raised;
            opposite
                && other.asked() >= following.asked()
                && self.meets(other, following)
                && other.receipt.id != following.receipt.id
        });
        let sent = later.filter(|other| rank(other.receipt.stage()) >= rank(&Stage::Sent));
        if let Some(other) = sent.max_by_key(|other| other.asked()) {
            return format!("{} by {}", other.action().name(), other.receipt.actor.name);
        }
        let since = following.receipt.stages.last().map(|record| record.at);
        let judged = self.board.evidence().filter(|of| of.run == rollout.run && Some(of.at) >= since);
        let failing = judged.filter(|e| e.analysis.as_ref().is_some_and(|a| a.verdict == MetricVerdict::Fail));
        match failing.max_by_key(|evidence| evidence.at) {
            Some(evidence) => evidence.summary.clone(),
            None if rollout.message.is_empty() => format!("somebody outside: it is {}", rollout.phase.word()),
            None => rollout.message.clone(),
        }
    }
}
