//! Following a command to its effect, and what a board says meanwhile.

use super::output::say;
use super::wait::{self, Patience};
use super::{Code, Failure};
use crate::board::Board;
use crate::client::{ClientEvent, Link};
use crate::model::{Body, Entity, Receipt, Stage, sanitize_line};
use futures::stream::{BoxStream, StreamExt as _};
use std::time::Duration;
use tokio::time::Instant;

/// So long a row may show a wait whose command is just about to be told effective.
const MOMENT: Duration = Duration::from_secs(2);

/// Reads the stream of updates.
pub(super) struct Follower {
    events: BoxStream<'static, ClientEvent>,
    /// What was told so far.
    pub board: Board,
    /// Has a snapshot been told to its end?
    pub whole: bool,
    /// Why nothing is told now.
    pub lost: Option<String>,
}

impl Follower {
    /// Opens the stream; what is sent after this returns can't be missed.
    pub(super) async fn open(link: &Link) -> Result<Follower, Failure> {
        let mut events = link.events();
        match events.next().await {
            Some(ClientEvent::Connected) => Ok(Follower { events, board: Board::default(), whole: false, lost: None }),
            Some(ClientEvent::Lost { why, .. }) => Err(Failure::new(Code::Unreachable, why)),
            _ => Err(Failure::new(Code::Unreachable, "the server told nothing")),
        }
    }

    /// Takes in what comes next; a receipt is handed on. `None`: nothing will come any more.
    pub(super) async fn hear(&mut self) -> Option<Option<Receipt>> {
        match self.events.next().await? {
            ClientEvent::Envelope(envelope) => {
                // Only the last envelope of a snapshot has a sequence: before it the board is half.
                self.whole |= envelope.seq > 0;
                self.board.apply(&envelope.scoped);
                if let Body::Upsert(Entity::Receipt(receipt)) = envelope.scoped.body {
                    return Some(Some(*receipt));
                }
            }
            ClientEvent::Lost { why, .. } => {
                say(&format!("connection lost ({why}); trying again"));
                self.lost = Some(why);
            }
            ClientEvent::Connected => self.lost = None,
        }
        Some(None)
    }

    /// The first word of that receipt.
    pub(super) async fn any(&mut self, id: &str, patience: Patience) -> Result<Receipt, Failure> {
        let deadline = patience.deadline();
        loop {
            match tokio::time::timeout_at(deadline, self.hear()).await {
                Ok(Some(Some(receipt))) if receipt.id.as_str() == id => return Ok(receipt),
                Ok(Some(_)) => {}
                _ => {
                    let what = format!("nothing was seen of {id} within {:#}", patience.within);
                    return Err(Failure::new(Code::TimedOut, what));
                }
            }
        }
    }

    /// Follows a receipt to its last stage, saying each. A rollout that has come to where a person must
    /// do something first is not waited for, unless it was said how long.
    pub(super) async fn until_final(&mut self, mut receipt: Receipt, patience: Patience) -> Result<Receipt, Failure> {
        let deadline = patience.deadline();
        let (mut said, mut waiting) = (None, None);
        loop {
            let stage = receipt.stage();
            if said.as_ref() != Some(stage) {
                let detail = stage.detail().map(|text| format!(": {}", sanitize_line(text))).unwrap_or_default();
                say(&format!("{}{detail}", stage.word()));
            }
            if stage.is_final() {
                return Ok(receipt);
            }
            said = Some(stage.clone());
            // Before it is observed the row may still show a wait that the command ends.
            let run = receipt.run().filter(|_| *stage == Stage::Observed);
            let waits = run.and_then(|run| wait::person(&self.board, run));
            // A row comes before the receipt that it moves: who waits for a person does so for a moment.
            let since =
                waits.as_ref().filter(|_| !patience.with_people).map(|_| *waiting.get_or_insert_with(Instant::now));
            let sure = since.map(|since| since + MOMENT);
            if let Some(waits) = waits.clone().filter(|_| sure.is_some_and(|sure| Instant::now() >= sure)) {
                return Err(waits);
            }
            waiting = since;
            let next = sure.map_or(deadline, |sure| sure.min(deadline));
            match tokio::time::timeout_at(next, self.hear()).await {
                // The answer may have overtaken what the stream still tells.
                Ok(Some(Some(newer))) if newer.id == receipt.id && newer.stages.len() >= receipt.stages.len() => {
                    receipt = newer;
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(Failure::new(Code::Unreachable, "the server ended before the effect was seen")),
                Err(_) if next < deadline => {}
                Err(_) => return Err(waits.unwrap_or_else(|| self.late(&receipt, patience))),
            }
        }
    }

    fn late(&self, receipt: &Receipt, patience: Patience) -> Failure {
        let (id, stage) = (&receipt.id, receipt.stage().word());
        let code = if self.lost.is_some() { Code::Unreachable } else { Code::TimedOut };
        let away = self.lost.as_ref().map_or(String::new(), |why| format!("; the server can't be reached: {why}"));
        let what =
            format!("the effect was not seen within {:#}; last: {stage}{away}. It may still come", patience.within);
        Failure::new(code, what).todo(format!("see `flightdeck get receipts {id}`"))
    }
}
