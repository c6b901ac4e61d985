//! Numbers of rows whose source has none. Each probe has a task that asks it, one question at a time: whoever is
//! slow or dead holds up nobody but itself.

use super::state::{State, now};
use super::task::Watched;
use flightdeck_model::{ArmSample, Body, LinkState, Rollout, Scope, Scoped, SourceId, Target};
use flightdeck_port::{Measured, Probe, ProbeError};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// No probe is asked more often.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longer than the time limit that a probe has of its own.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// At a start rows come a moment later: so often it is looked whether they are there, and so long between two looks.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// What a probe is asked.
pub(super) struct Question {
    rows: Vec<Arc<Rollout>>,
    now: Timestamp,
}

/// What the task of a probe brings to the loop.
pub(super) enum Probing {
    /// It wants to know what to ask.
    Asks(oneshot::Sender<Question>),
    Answered {
        source: SourceId,
        asked: Timestamp,
        result: Result<Measured, ProbeError>,
    },
}

/// What the loop knows of its probes.
#[derive(Default)]
pub(super) struct Probes {
    /// Sources that tell numbers by themselves: nobody else is asked about their rows.
    measure_themselves: BTreeSet<SourceId>,
    /// Who measures a row, so that no two do.
    measured_by: BTreeMap<Target, SourceId>,
    /// When each was asked for the first time, and when it last had an answer.
    heard: BTreeMap<SourceId, (Timestamp, Option<Timestamp>)>,
    /// What each warned of last.
    warned: BTreeMap<SourceId, Vec<String>>,
}

/// Asks a probe for as long as the hub runs.
pub(super) async fn ask(probe: Arc<dyn Probe>, updates: mpsc::Sender<Watched>) {
    for _ in 0..LOOKS {
        match question(&updates).await {
            None => return,
            Some(question) if !question.rows.is_empty() => break,
            Some(_) => sleep(BETWEEN_LOOKS).await,
        }
    }
    let mut ticks = interval(probe.every().max(SHORTEST));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(Question { rows, now: asked }) = question(&updates).await else { return };
        let result = timeout(ANSWERED_WITHIN, probe.measure(&rows, asked)).await.unwrap_or_else(|_| {
            Err(ProbeError::Unreachable { why: format!("nothing within {} s", ANSWERED_WITHIN.as_secs()) })
        });
        let answered = Probing::Answered { source: probe.source().clone(), asked, result };
        if updates.send(Watched::Probing(answered)).await.is_err() {
            return;
        }
    }
}

/// What to ask now; `None`: the hub has ended.
async fn question(updates: &mpsc::Sender<Watched>) -> Option<Question> {
    let (answer, question) = oneshot::channel();
    updates.send(Watched::Probing(Probing::Asks(answer))).await.ok()?;
    question.await.ok()
}

impl State {
    pub fn probing(&mut self, probing: Probing) {
        match probing {
            Probing::Asks(answer) => {
                let own = &self.probes.measure_themselves;
                let rows = self.board.shared_rollouts().filter(|row| !own.contains(&row.run.target.source));
                let question = Question { rows: rows.cloned().collect(), now: now() };
                drop(answer.send(question)); // its task may have ended
            }
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
