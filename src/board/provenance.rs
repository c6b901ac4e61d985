//! Where a version in a rollout came from: who brought it in, when, from which commit, and why.

use super::Board;
use flightdeck_model::{DeploymentOutcome, Rollout, Run, Version};
use jiff::Timestamp;

/// Something about a deployment that may not be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Known(String),
    /// Its source records such things, but not this one.
    Missing,
    /// Its source can't know.
    NotKept,
}

/// Where one version came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    pub version: Version,
    /// Who deployed it.
    pub by: Recorded,
    /// When that began.
    pub at: Option<Timestamp>,
    /// Its source commit, whole.
    pub commit: Recorded,
    /// The reason that was given with it.
    pub reason: Recorded,
}

/// What a yes to a rollout replaces: where the stable version came from, as far as the board knows.
#[must_use]
pub fn of_stable(board: &Board, rollout: &Rollout) -> Option<Provenance> {
    let version = rollout.stable()?.version.clone();
    let brought = board.deployments().filter(|deployment| {
        deployment.run.target == rollout.run.target
            && deployment.to == version
            && matches!(deployment.outcome, DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack)
    });
    let last = brought.max_by_key(|deployment| deployment.ended);
    let by = last.filter(|deployment| deployment.author.is_some() || deployment.writer.is_some());
    let by = by.map(|deployment| deployment.who().into_owned());
    Some(provenance(board, rollout, version, by, last.map(|last| (&last.run, last.started))))
}

/// What it puts there: where the candidate came from.
#[must_use]
pub fn of_candidate(board: &Board, rollout: &Rollout) -> Option<Provenance> {
    let version = rollout.candidate()?.version.clone();
    Some(provenance(board, rollout, version, rollout.author.clone(), Some((&rollout.run, rollout.started))))
}

fn provenance(
    board: &Board,
    rollout: &Rollout,
    version: Version,
    by: Option<String>,
    run: Option<(&Run, Timestamp)>,
) -> Provenance {
    let source = &rollout.run.target.source;
    let commit = board.release(source, &rollout.service, &version).and_then(|release| release.commit.clone());
    // Where releases are stored their commits could be; a cluster has images and no more.
    let stores = board.releases().any(|release| release.source == *source);
    let receipt = run.and_then(|(run, _)| board.receipts().find(|receipt| receipt.created.as_ref() == Some(run)));
    let reason = receipt.and_then(|receipt| receipt.command.reason.clone());
    let unless = |keeps: bool| if keeps { Recorded::Missing } else { Recorded::NotKept };
    Provenance {
        version,
        // Whoever deployed past every record could have given no reason to it.
        reason: reason.map_or_else(|| unless(receipt.is_some() || by.is_some()), Recorded::Known),
        by: by.map_or(Recorded::Missing, Recorded::Known),
        at: run.map(|(_, at)| at),
        commit: commit.map_or_else(|| unless(stores), Recorded::Known),
    }
}
