//! Which columns of the Deck have anything to show: one that is empty in every row leaves its room to the others.

use flightdeck_board::Board;
use flightdeck_model::{EnvironmentName, Rollout, ServiceName, SourceId};
use std::collections::BTreeMap;

/// In how many rows something stands in columns that are empty while nothing is on its way, or that all rows have alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    steps: usize,
    candidates: usize,
    watched: usize,
    promised: usize,
    /// How many rows of each source have a name.
    named: BTreeMap<(ServiceName, EnvironmentName), BTreeMap<SourceId, usize>>,
    /// Names that rows of several sources have.
    alike: usize,
    /// Did an alert concern a row since all were looked at?
    alerts: bool,
}

impl Filled {
    pub(crate) fn of(board: &Board) -> Filled {
        let mut filled = Filled::default();
        board.rollouts().for_each(|rollout| filled.add(rollout));
        filled.alerts = board.rollouts().any(|rollout| !board.alerts_of(rollout).is_empty());
        filled
    }

    /// A row changed; `alerts`: some concern it. True if a column comes or goes, or rows are to be told apart otherwise.
    pub(crate) fn change(&mut self, old: Option<&Rollout>, new: Option<&Rollout>, alerts: bool) -> bool {
        let before = self.counts();
        self.alerts |= alerts;
        let renamed = old.zip(new).is_some_and(|(old, new)| name(old) != name(new));
        if let Some(old) = old {
            self.unname(old);
            self.steps = self.steps.saturating_sub(usize::from(at_step(old)));
            self.candidates = self.candidates.saturating_sub(usize::from(old.candidate().is_some()));
            self.watched = self.watched.saturating_sub(usize::from(old.watchdog.is_some()));
            self.promised = self.promised.saturating_sub(usize::from(!old.objectives.is_empty()));
        }
        if let Some(new) = new {
            self.add(new);
        }
        renamed || before != self.counts()
    }

    /// What decides on columns.
    const fn counts(&self) -> ([bool; 4], usize, bool) {
        ([self.steps(), self.candidates(), self.watched(), self.promised()], self.alike, self.alerts)
    }

    fn add(&mut self, rollout: &Rollout) {
        self.steps += usize::from(at_step(rollout));
        self.candidates += usize::from(rollout.candidate().is_some());
        self.watched += usize::from(rollout.watchdog.is_some());
        self.promised += usize::from(!rollout.objectives.is_empty());
        let sources = self.named.entry(name(rollout)).or_default();
        let before = sources.len();
        *sources.entry(rollout.run.target.source.clone()).or_default() += 1;
        self.alike += usize::from(before == 1 && sources.len() == 2);
    }

    fn unname(&mut self, rollout: &Rollout) {
        let (name, source) = (name(rollout), &rollout.run.target.source);
        let Some(sources) = self.named.get_mut(&name) else { return };
        let before = sources.len();
        if let Some(rows) = sources.get_mut(source) {
            *rows -= 1;
            if *rows == 0 {
                sources.remove(source);
            }
        }
        self.alike -= usize::from(before == 2 && sources.len() == 1);
        if sources.is_empty() {
            self.named.remove(&name);
        }
    }

    /// Is any rollout at a step?
    #[must_use]
    pub const fn steps(&self) -> bool {
        self.steps > 0
    }

    /// Does any alert concern a row?
    #[must_use]
    pub const fn alerts(&self) -> bool {
        self.alerts
    }

    /// Can some rows be told apart by their source only?
    #[must_use]
    pub const fn alike(&self) -> bool {
        self.alike > 0
    }

    /// Has a row of another source the same name?
    #[must_use]
    pub fn is_alike(&self, rollout: &Rollout) -> bool {
        self.named.get(&name(rollout)).is_some_and(|sources| sources.len() > 1)
    }

    /// Is any rollout under a watchdog?
    #[must_use]
    pub const fn watched(&self) -> bool {
        self.watched > 0
    }

    /// Does the service of any rollout promise something?
    #[must_use]
    pub const fn promised(&self) -> bool {
        self.promised > 0
    }

    /// Has any rollout a candidate, and with it a share?
    #[must_use]
    pub const fn candidates(&self) -> bool {
        self.candidates > 0
    }
}

fn name(rollout: &Rollout) -> (ServiceName, EnvironmentName) {
    (rollout.service.clone(), rollout.environment.clone())
}

/// Is it at one of its steps? Where it stopped for good its row tells otherwise.
#[must_use]
pub fn at_step(rollout: &Rollout) -> bool {
    rollout.phase.in_flight() && rollout.step.is_some() && !rollout.steps.is_empty()
}
