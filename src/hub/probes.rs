//! Numbers of rows whose source has none. Each probe has a task that asks it, one question at a time: whoever is
//! slow or dead holds up nobody but itself.

use super::inbox::{Probing, Question, Watched};
use flightdeck_model::{SourceId, Target};
use flightdeck_port::{Probe, ProbeError};
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

/// What the loop knows of its probes.
#[derive(Default)]
pub(super) struct Probes {
    /// Sources that tell numbers by themselves: nobody else is asked about their rows.
    pub measure_themselves: BTreeSet<SourceId>,
    /// Who measures a row, so that no two do.
    pub measured_by: BTreeMap<Target, SourceId>,
    /// When each was asked for the first time, and when it last had an answer.
    pub heard: BTreeMap<SourceId, (Timestamp, Option<Timestamp>)>,
    /// What each warned of last.
    pub warned: BTreeMap<SourceId, Vec<String>>,
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
