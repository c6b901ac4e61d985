//! What happened to a run, across people and sources, in one list: events, commands with who and why, approvals
//! and their votes, judgements, analyses. Newest first.

use super::run;
use super::state::State;
use flightdeck_model::{
    Approval, ApprovalState, Evidence, MetricVerdict, Note, Receipt, Run, Stage, StageRecord, Verdict,
};
use jiff::Timestamp;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment<'a> {
    pub at: Timestamp,
    pub what: Happened<'a>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened<'a> {
    /// The backend, its instances or somebody else did something.
    Event(&'a Note),
    /// Somebody asked for something.
    Asked(&'a Receipt),
    /// That came so far, and no further.
    Came(&'a Receipt, &'a StageRecord),
    /// A judgement.
    Judged(&'a Evidence),
    /// A yes was asked for.
    ApprovalAsked(&'a Approval),
    /// Somebody answered; which of the votes.
    Vote(&'a Approval, usize),
    /// An analysis of the backend began; which of [`run::analyses`].
    Analysis(usize),
}

impl Moment<'_> {
    /// What a cursor sticks to.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.what {
            Happened::Event(note) => format!("event {}", note.id),
            Happened::Asked(receipt) => format!("asked {}", receipt.id),
            Happened::Came(receipt, record) => format!("{} {}", record.stage.word(), receipt.id),
            Happened::Judged(evidence) => format!("judged {}", evidence.id),
            Happened::ApprovalAsked(approval) => format!("approval {}", approval.id),
            Happened::Vote(approval, index) => format!("vote {index} {}", approval.id),
            Happened::Analysis(index) => format!("analysis {index}"),
        }
    }

    /// Who did it; empty: nobody is known to have.
    #[must_use]
    pub fn who(&self) -> &str {
        let who = match &self.what {
            Happened::Event(note) => note.who.as_str(),
            Happened::Asked(receipt) | Happened::Came(receipt, _) => receipt.actor.name.as_str(),
            Happened::Judged(_) | Happened::Analysis(_) => "analysis",
            Happened::ApprovalAsked(approval) => approval.author.as_str(),
            Happened::Vote(approval, index) => approval.votes.get(*index).map_or("", |vote| vote.who.as_str()),
        };
        // The program's own names are the longest and say least.
        who.strip_prefix("system:").unwrap_or(who)
    }

    /// What, in one sentence.
    #[must_use]
    pub fn sentence(&self, state: &State) -> String {
        match &self.what {
            Happened::Event(note) => note.text.clone(),
            Happened::Asked(receipt) if run::added_to(receipt).is_some() => {
                let to = run::added_to(receipt).and_then(|id| state.board.receipts().find(|one| one.id == *id));
                let label = to.map_or("a command", |of| of.command.action.row().label);
                format!("adds to {label}: {}", receipt.command.reason.as_deref().unwrap_or_default())
            }
            Happened::Asked(receipt) => {
                let reason = receipt.command.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
                format!("asked to {}{reason}", receipt.command.action.row().label)
            }
            Happened::Came(receipt, record) => {
                let detail = record.stage.detail().map_or(String::new(), |detail| format!(": {detail}"));
                format!("{} is {}{detail}", receipt.command.action.row().label, record.stage.word())
            }
            Happened::Judged(evidence) => evidence.summary.clone(),
            Happened::ApprovalAsked(approval) => {
                let from = &approval.requirement.from;
                let of = if from.is_empty() { String::new() } else { format!(" of {}", from.join(" or ")) };
                let state = match &approval.state {
                    ApprovalState::Pending => "waits".to_owned(),
                    ApprovalState::Approved => "granted".to_owned(),
                    ApprovalState::Rejected => "rejected".to_owned(),
                    ApprovalState::Expired => "lapsed: nobody answered in time".to_owned(),
                    ApprovalState::Superseded { by } => format!("no longer asked: {by}"),
                };
                format!("needs {} yes{of}, {}; {state}", approval.requirement.count, approval.what)
            }
            Happened::Vote(approval, index) => {
                let Some(vote) = approval.votes.get(*index) else { return String::new() };
                let word = if vote.verdict == Verdict::Approved { "approves" } else { "rejects" };
                vote.reason.as_ref().map_or_else(|| word.to_owned(), |why| format!("{word}: {why}"))
            }
            Happened::Analysis(index) => run::analyses(state).nth(*index).map_or(String::new(), |analysis| {
                let message =
                    if analysis.message.is_empty() { String::new() } else { format!(": {}", analysis.message) };
                format!("{} {}{message}", analysis.belongs, analysis.phase)
            }),
        }
    }

    /// Did it go well, as far as it says so?
    #[must_use]
    pub fn verdict(&self) -> Option<MetricVerdict> {
        match &self.what {
            Happened::Judged(evidence) => evidence.analysis.as_ref().map(|report| report.verdict),
            Happened::Came(_, record) => match &record.stage {
                Stage::Effective { .. } => Some(MetricVerdict::Pass),
                stage if stage.is_final() => Some(MetricVerdict::Fail),
                _ => Some(MetricVerdict::Missing),
            },
            Happened::Vote(approval, index) => approval.votes.get(*index).map(|vote| match vote.verdict {
                Verdict::Approved => MetricVerdict::Pass,
                Verdict::Rejected => MetricVerdict::Fail,
            }),
            _ => None,
        }
    }
}

/// What happened to a run, newest first.
#[must_use]
pub fn timeline<'a>(state: &'a State, run: &Run) -> Vec<Moment<'a>> {
    let mut all: Vec<Moment<'a>> = Vec::new();
    let judged = run::evidence(state, run);
    // A judgement that the backend tells as an event too is shown with its numbers.
    let told = |note: &&Note| !judged.iter().any(|evidence| evidence.at == note.at && evidence.summary == note.text);
    let notes = run::notes(state, run).into_iter().filter(told);
    all.extend(notes.map(|note| Moment { at: note.at, what: Happened::Event(note) }));
    for receipt in run::receipts(state, run) {
        if let Some(first) = receipt.stages.first() {
            all.push(Moment { at: first.at, what: Happened::Asked(receipt) });
        }
        // That what was added stands there is all that there is to tell of it.
        let told = receipt.stages.len() > 1 && run::added_to(receipt).is_none();
        if let Some(last) = receipt.stages.last().filter(|_| told) {
            all.push(Moment { at: last.at, what: Happened::Came(receipt, last) });
        }
    }
    all.extend(judged.iter().copied().map(|evidence| Moment { at: evidence.at, what: Happened::Judged(evidence) }));
    for approval in state.board.approvals().filter(|approval| approval.run == *run) {
        all.push(Moment { at: approval.requested, what: Happened::ApprovalAsked(approval) });
        let votes = approval.votes.iter().enumerate();
        all.extend(votes.map(|(index, vote)| Moment { at: vote.at, what: Happened::Vote(approval, index) }));
    }
    let begun = run::analyses(state).enumerate().filter_map(|(index, analysis)| Some((index, analysis.started?)));
    all.extend(begun.map(|(index, at)| Moment { at, what: Happened::Analysis(index) }));
    // What happened in the same moment keeps its order from look to look.
    all.sort_by_cached_key(|moment| (std::cmp::Reverse(moment.at), moment.key()));
    all
}
