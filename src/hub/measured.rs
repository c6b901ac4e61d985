//! What the loop does with what probes ask and answer.

use super::following::now;
use super::inbox::{Probing, Question};
use super::state::State;
use flightdeck_model::{ArmSample, Body, LinkState, Scope, Scoped, SourceId};
use flightdeck_port::{ArmIncrease, Measured, ProbeError};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl State {
    pub fn probing(&mut self, probing: Probing) {
        match probing {
            Probing::Asks(answer) => {
                let own = &self.probes.measure_themselves;
                let rows = self.board.shared_rollouts().filter(|row| !own.contains(&row.run.target.source));
                let question = Question { rows: rows.cloned().collect(), now: now() };
                drop(answer.send(question)); // its task may have ended
            }
            Probing::AsksObjectives(answer) => drop(answer.send(self.objective_questions())), // as above
            Probing::Tallied { source, asked, tallied } => self.tallied(&source, asked, tallied),
            Probing::Answered { source, asked, result } => self.answered(&source, asked, result),
        }
    }

    /// A source tells numbers by itself.
    pub fn measures_itself(&mut self, source: &SourceId) {
        if !self.probes.measure_themselves.contains(source) {
            self.probes.measure_themselves.insert(source.clone());
        }
    }

    fn answered(&mut self, probe: &SourceId, asked: Timestamp, result: Result<Measured, ProbeError>) {
        let scope = Scope { source: probe.clone(), part: Scope::METRICS_PART.to_owned() };
        let heard = self.probes.heard.entry(probe.clone()).or_insert((asked, None));
        match result {
            Ok(measured) => {
                heard.1 = Some(asked);
                // Complete since then: that it still is needs no word.
                if !matches!(self.board.link_of(&scope), Some(LinkState::Live { .. })) {
                    self.tell(Scoped { scope, body: Body::Link(LinkState::live(asked)) });
                }
                self.warned(probe, measured.warnings);
                self.samples(probe, measured.samples);
                let measured_by = &self.probes.measured_by;
                let own = |increase: &ArmIncrease| measured_by.get(&increase.target).is_none_or(|by| by == probe);
                self.watch_increases(measured.increases.into_iter().filter(own).collect());
            }
            Err(error) => {
                let (since, never) = heard.1.map_or((heard.0, true), |last| (last, false));
                // Another may measure what it can't.
                self.probes.measured_by.retain(|_, by| by != probe);
                let state = LinkState::Stale { since, why: error.to_string(), never };
                self.tell(Scoped { scope, body: Body::Link(state) });
            }
        }
    }

    /// What it warns of is in the log once, not with each answer.
    fn warned(&mut self, probe: &SourceId, warnings: Vec<String>) {
        let before = self.probes.warned.get(probe).map(Vec::as_slice).unwrap_or_default();
        for new in warnings.iter().filter(|warning| !before.contains(warning)) {
            tracing::info!("{probe}: {new}");
        }
        self.probes.warned.insert(probe.clone(), warnings);
    }

    /// Numbers of rows that are still there, in the scope of each row's own source as if that had told them.
    fn samples(&mut self, probe: &SourceId, samples: Vec<ArmSample>) {
        let board = &self.board;
        self.probes.measured_by.retain(|target, _| board.rollout(target).is_some());
        let mut by_source: BTreeMap<SourceId, Vec<ArmSample>> = BTreeMap::new();
        for sample in samples {
            let (target, source) = (&sample.target, &sample.target.source);
            if board.rollout(target).is_none() || self.probes.measure_themselves.contains(source) {
                continue;
            }
            let by = self.probes.measured_by.entry(target.clone()).or_insert_with(|| probe.clone());
            if by == probe {
                by_source.entry(source.clone()).or_default().push(sample);
            }
        }
        for (source, samples) in by_source {
            self.tell(Scoped { scope: Scope { source, part: String::new() }, body: Body::Samples(samples) });
        }
    }
}
