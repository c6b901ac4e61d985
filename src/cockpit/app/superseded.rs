//! A confirmation whose row changed while it was open: by whom, and what.

use super::command::{Bound, UiCommand};
use super::dialog::Item;
use super::keymap::Context;
use super::run;
use super::state::State;
use flightdeck_model::{Action, Approval, ApprovalState, Fact, FactChange, Receipt, Rollout, Run, Subject, Verdict};
use jiff::Timestamp;

/// What changed the row of an open confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its row is not there any more.
    Gone,
    /// Another rollout took the place of its run.
    Replaced {
        /// Who asked for that, where recorded.
        by: Option<String>,
        /// Which version it brings.
        version: String,
    },
    /// A request for a yes was settled, by this in words.
    Settled {
        /// Who or what settled it.
        by: String,
        /// How, such as `said no`.
        how: String,
    },
    /// Somebody's command.
    Command {
        who: String,
        action: Action,
        /// Why, where they said so.
        reason: Option<String>,
    },
    /// Something that happened to the run, as its source tells it.
    Note {
        /// Who or what did it.
        who: String,
        /// One line.
        text: String,
    },
    /// Nothing that was told says it.
    Unknown,
}

/// What changed the row of an item since it was seen.
#[must_use]
pub fn cause(state: &State, item: &Item) -> Cause {
    let newer = |at: Option<Timestamp>| at.is_some() && at > item.heard;
    let (run, settled) = match &item.subject {
        Subject::Run(run) => (run, None),
        Subject::Approval { id, run } => match state.board.approval(id) {
            Some(approval) => (run, settled(approval)),
            None => return Cause::Gone,
        },
        _ => return Cause::Unknown,
    };
    if let Some(settled) = settled {
        return settled;
    }
    match state.board.rollout(&run.target) {
        None => return Cause::Gone,
        Some(row) if row.run != *run => return replaced(row),
        Some(_) => {}
    }
    if let Some(receipt) = run::receipts(state, run).into_iter().find(|receipt| newer(begun(receipt))) {
        let (who, action) = (receipt.actor.name.clone(), receipt.command.action);
        return Cause::Command { who, action, reason: receipt.command.reason.clone() };
    }
    let note = run::notes(state, run).into_iter().find(|note| newer(Some(note.at)));
    note.map_or(Cause::Unknown, |note| Cause::Note { who: note.who.clone(), text: note.text.clone() })
}

fn settled(approval: &Approval) -> Option<Cause> {
    let (by, how) = match &approval.state {
        ApprovalState::Pending => return None,
        ApprovalState::Superseded { by } => (by.clone(), "took its place"),
        ApprovalState::Expired => ("nobody".to_owned(), "answered in time"),
        ApprovalState::Approved | ApprovalState::Rejected => {
            let vote = approval.votes.last()?;
            let how = if vote.verdict == Verdict::Approved { "said yes" } else { "said no" };
            (vote.who.clone(), how)
        }
    };
    Some(Cause::Settled { by, how: how.to_owned() })
}

fn replaced(row: &Rollout) -> Cause {
    let version = row.candidate().or_else(|| row.stable()).map_or_else(String::new, |arm| arm.version.to_string());
    Cause::Replaced { by: row.author.clone(), version }
}

fn begun(receipt: &Receipt) -> Option<Timestamp> {
    receipt.stages.first().map(|record| record.at)
}

/// The newest word on a run, by the clock of its server.
pub(super) fn heard(state: &State, run: &Run) -> Option<Timestamp> {
    let receipt = run::receipts(state, run).into_iter().find_map(begun);
    receipt.max(run::notes(state, run).first().map(|note| note.at))
}

/// Why an item can't be said yes to any more, and what to do: in one line. `None`: it is as it was.
pub(super) fn words(state: &State, item: &Item) -> Option<String> {
    // The generation counts every change: it says something only where nothing else does.
    let telling: Vec<&FactChange> = item.changes.iter().filter(|change| change.fact != Fact::Generation).collect();
    let changes = if telling.is_empty() { item.changes.iter().collect() } else { telling };
    let changes: Vec<String> = changes.into_iter().map(short).collect();
    if changes.is_empty() {
        return None;
    }
    let by = match cause(state, item) {
        Cause::Gone => Some("it is gone".to_owned()),
        Cause::Replaced { by: Some(by), version } => Some(format!("{by} began {version}")),
        Cause::Replaced { by: None, version } => Some(format!("{version} took its place")),
        Cause::Settled { by, how } => Some(format!("{by} {how}")),
        Cause::Command { who, action, reason: Some(why) } => Some(format!("{who}: {}, {why}", action.row().label)),
        Cause::Command { who, action, reason: None } => Some(format!("{who}: {}", action.row().label)),
        Cause::Note { who, text } => Some(format!("{who}: {text}")),
        Cause::Unknown => None,
    };
    let key = state.settings.keymap.first_key(&[Context::Dialog], Bound::Ui(UiCommand::Reopen));
    let way = if key.is_empty() {
        "leave with Esc and open it again".to_owned()
    } else {
        format!("{key} opens it as it is now")
    };
    Some(by.into_iter().chain([changes.join(", "), way]).collect::<Vec<_>>().join("; "))
}

/// Digests are told apart by their beginning.
fn short(change: &FactChange) -> String {
    let cut = |value: &str| match value.split_once(':') {
        Some((algorithm, hex)) if value.len() > 40 => {
            format!("{algorithm}:{}", hex.chars().take(8).collect::<String>())
        }
        _ => value.to_owned(),
    };
    let current = change.current.as_deref().map(cut);
    FactChange { fact: change.fact, pinned: cut(&change.pinned), current }.to_string()
}
