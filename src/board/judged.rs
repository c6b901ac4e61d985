//! The newest judgement of each run.

use super::Board;
use flightdeck_model::{Evidence, MetricVerdict, Run};
use std::collections::BTreeMap;

/// The newest judgement of each run.
pub(super) fn latest_judgements(board: &Board) -> BTreeMap<&Run, &Evidence> {
    let mut latest: BTreeMap<&Run, &Evidence> = BTreeMap::new();
    for evidence in board.evidence().filter(|evidence| evidence.analysis.is_some()) {
        let newest = latest.entry(&evidence.run).or_insert(evidence);
        if evidence.at >= newest.at {
            *newest = evidence;
        }
    }
    latest
}

/// Does it say that a limit is broken?
pub(super) fn fails(evidence: &Evidence) -> bool {
    evidence.analysis.as_ref().is_some_and(|report| report.verdict == MetricVerdict::Fail)
}

/// The newest judgement of one run.
pub(super) fn latest_judgement<'a>(board: &'a Board, run: &Run) -> Option<&'a Evidence> {
    board.evidence().filter(|evidence| evidence.analysis.is_some() && evidence.run == *run).max_by_key(|e| e.at)
}

/// Does the newest judgement of a run say that a limit is broken?
pub(super) fn failing(board: &Board, run: &Run) -> bool {
    latest_judgement(board, run).is_some_and(fails)
}
