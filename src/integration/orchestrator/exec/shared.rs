//! What the watch tells the calls: who can be asked now, and the stages that the program reported.

use super::ExecSettings;
use super::own;
use super::wire::Outcome;
use flightdeck_model::{Action, ActionSet, CommandId, Denied, Rollout, Stage};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long an answer is waited for; less than a hub waits, so that what never left is known as such.
const ANSWER: Duration = Duration::from_secs(8);
/// Questions that wait at most for the program to read them; what reduces exposure always may.
const LANE: usize = 64;
/// Commands whose last stage is kept.
const REPORTED: usize = 4096;

/// One line for the program, and where its answer goes.
pub(super) struct Ask {
    pub id: u64,
    pub line: Vec<u8>,
    /// Told just before the first byte is written; from then on it may have arrived.
    pub begun: oneshot::Sender<()>,
    pub answer: oneshot::Sender<Result<Outcome, Lost>>,
}

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// Not a byte of it left.
    NotSent(String),
    /// It may have arrived.
    Unknown(String),
}

/// The lanes into a running program.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    urgent: mpsc::UnboundedSender<Ask>,
    ordinary: mpsc::Sender<Ask>,
}

/// Their other ends.
#[derive(Debug)]
pub(super) struct Inbox {
    pub urgent: mpsc::UnboundedReceiver<Ask>,
    pub ordinary: mpsc::Receiver<Ask>,
}

/// Lanes for one life of the program.
pub(super) fn lanes() -> (Lanes, Inbox) {
    let ((urgent, first), (ordinary, second)) = (mpsc::unbounded_channel(), mpsc::channel(LANE));
    (Lanes { urgent, ordinary }, Inbox { urgent: first, ordinary: second })
}

/// The program as it can be reached now.
#[derive(Debug)]
struct Connection {
    life: u64,
    actions: ActionSet,
    /// Or why it can't be asked.
    lanes: Result<Lanes, String>,
}

/// The last stage of each command, oldest forgotten first.
#[derive(Debug, Default)]
struct Reported {
    stages: BTreeMap<CommandId, Stage>,
    order: VecDeque<CommandId>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub settings: ExecSettings,
    pub scratch: Option<PathBuf>,
    connection: watch::Sender<Connection>,
    reported: watch::Sender<Reported>,
    denied: Arc<[Denied]>,
    ids: AtomicU64,
}

impl Shared {
    pub fn new(settings: ExecSettings, scratch: Option<PathBuf>) -> Shared {
        let lanes = Err(format!("{} has not said hello yet", name(&settings)));
        let connection = watch::Sender::new(Connection { life: 0, actions: ActionSet::EMPTY, lanes });
        let ids = AtomicU64::new(0);
        let mut shared = Shared {
            settings,
            scratch,
            connection,
            reported: watch::Sender::new(Reported::default()),
            denied: Arc::from([]),
            ids,
        };
        if shared.settings.read_only {
            let actions = Action::TABLE.iter().map(|row| row.action).collect();
            shared.denied = Arc::from([Denied { actions, why: shared.read_only() }]);
        }
        shared
    }

    /// The program's name for sentences.
    pub fn name(&self) -> String {
        name(&self.settings)
    }

    pub fn read_only(&self) -> String {
        format!(
            "the source {} is read-only in the configuration: nothing can be changed through it",
            self.settings.source
        )
    }

    pub fn next(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn actions(&self) -> ActionSet {
        self.connection.borrow().actions
    }

    /// The program said hello: it can be asked.
    pub fn connect(&self, life: u64, actions: ActionSet, lanes: Lanes) {
        self.connection.send_replace(Connection { life, actions, lanes: Ok(lanes) });
    }

    /// That life of it is over; a later one stays as it is.
    pub fn disconnect(&self, life: u64, why: &str) {
        self.connection.send_modify(|connection| {
            if connection.life <= life {
                connection.lanes = Err(why.to_owned());
            }
        });
    }

    pub fn report(&self, command: CommandId, stage: Stage) {
        self.reported.send_modify(|reported| {
            if reported.stages.insert(command.clone(), stage).is_none() {
                reported.order.push_back(command);
            }
            if reported.order.len() > REPORTED
                && let Some(oldest) = reported.order.pop_front()
            {
                reported.stages.remove(&oldest);
            }
        });
    }

    pub fn reported(&self, command: &CommandId) -> Option<Stage> {
        self.reported.borrow().stages.get(command).cloned()
    }

    /// Makes a row one of this source.
    pub fn adopt(&self, row: &mut Rollout) {
        own::rollout(row, &self.settings.source);
        if self.settings.read_only {
            row.denied = Arc::clone(&self.denied);
        }
    }

    /// Sends a line and waits for its answer.
    pub async fn ask(&self, urgent: bool, line: impl FnOnce(u64) -> Result<Vec<u8>, String>) -> Result<Outcome, Lost> {
        let id = self.next();
        let line = line(id).map_err(Lost::NotSent)?;
        let lanes = self.connection.borrow().lanes.clone().map_err(Lost::NotSent)?;
        let (begun, mut has_begun) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let ask = Ask { id, line, begun, answer };
        let taken = if urgent {
            lanes.urgent.send(ask).map_err(|_| format!("{} has just ended", self.name()))
        } else {
            let full = format!("{} does not read what is asked: {LANE} lines wait for it", self.name());
            lanes.ordinary.try_send(ask).map_err(|_| full)
        };
        taken.map_err(Lost::NotSent)?;
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Lost::NotSent(format!("{} ended before it was sent", self.name()))),
            Err(_) => {
                // Closed first: what has not begun by now never will.
                has_begun.close();
                let waited = ANSWER.as_secs();
                Err(match has_begun.try_recv() {
                    Ok(()) => Lost::Unknown(format!("{} did not answer within {waited} s", self.name())),
                    Err(_) => Lost::NotSent(format!("{} did not read it within {waited} s", self.name())),
                })
            }
        }
    }
}

fn name(settings: &ExecSettings) -> String {
    let program = settings.command.first().map_or("", String::as_str);
    let file = Path::new(program).file_name().map_or(program.into(), |name| name.to_string_lossy());
    flightdeck_model::sanitize_line(&file)
}
