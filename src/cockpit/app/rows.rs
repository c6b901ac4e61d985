//! The rows of each list: what matches, in which order, and the few that are on the screen.
//! The order is kept in step with the rows; a frame costs what the rows on it cost.

use super::ConnectionState;
use super::layout::layout;
use super::state::{Connection, Cursor, DeckPage, OutputPage, Over, OwnCommand, Page, RolloutPanel, State};
use super::timeline::{Moment, timeline};
use flightdeck_board as board;
use flightdeck_board::{Attention, AttentionSubject, Filter, Freshness, Health, JobRef, List, Needs, Wanted};
use flightdeck_model::{
    Analysis, Approval, ApprovalId, ApprovalState, ArmRole, Detail, Evidence, Instance, InstanceState, Note, Receipt,
    ReceiptId, Revision, Rollout, Run, Subject, Target,
};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The part of a list that is on the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Window<R> {
    /// The rows on the screen.
    pub rows: Vec<R>,
    /// Which row of the list the first of them is.
    pub top: usize,
    /// Which of `rows` is selected; `None`: nothing is, or its row is gone.
    pub selected: Option<usize>,
    /// Rows of the list, those that a filter hides not counted.
    pub matching: usize,
    /// All that there are.
    pub total: usize,
}

/// A row of the Deck.
#[derive(Debug, Clone, PartialEq)]
pub struct DeckRow<'a> {
    pub rollout: &'a Rollout,
    /// Marked with space.
    pub marked: bool,
    /// Can it be believed?
    pub freshness: Freshness,
    /// One's newest command about it.
    pub own: Option<&'a OwnCommand>,
}

/// An entry of "Needs you".
#[derive(Debug, Clone, PartialEq)]
pub struct NeedRow {
    /// What it says.
    pub entry: Attention,
    /// Can what it is about be believed?
    pub freshness: Freshness,
}

/// A row of the Approvals page.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalRow<'a> {
    pub approval: &'a Approval,
    /// Marked with space.
    pub marked: bool,
    /// Can it be believed?
    pub freshness: Freshness,
    /// One's newest command about it.
    pub own: Option<&'a OwnCommand>,
}

/// What needs a person, most dangerous first.
pub fn attention(state: &State) -> &Needs {
    state.attention.get(|| Needs::of(&state.board, state.now))
}

/// The Deck's list.
pub fn deck_list(state: &State) -> &List {
    state.deck.list.get(|| {
        let DeckPage { filter, order, reverse, in_flight_only, .. } = &state.deck;
        let filter = Filter::parse(filter, state.now);
        let wanted = Wanted { filter, in_flight_only: *in_flight_only, order: *order, reverse: *reverse };
        List::of(&state.board, wanted)
    })
}

/// Where the Deck's selected row is; `None`: nothing is selected, or it is not in the list.
pub(super) fn deck_position(state: &State) -> Option<usize> {
    state.deck.cursor.key.as_ref().and_then(|target| deck_list(state).position(&state.board, target))
}

/// Where the selected entry of "Needs you" is.
pub(super) fn needs_position(state: &State) -> Option<usize> {
    state.deck.needs.key.as_ref().and_then(|subject| attention(state).position(&state.board, subject))
}

/// The Approvals page's ids in the order of its list: what is pending first, where most care is
/// asked for and the oldest first; then what is settled, the newest first.
pub fn approval_ids(state: &State) -> &[ApprovalId] {
    state.approvals.list.get(|| {
        let filter = Filter::parse(&state.approvals.filter, state.now);
        let mut approvals: Vec<&Approval> =
            state.board.approvals().filter(|approval| approval_matches(state, &filter, approval)).collect();
        approvals.sort_by_cached_key(|approval| {
            let pending = approval.state == ApprovalState::Pending;
            let environment = state.board.environment(&approval.run.target.source, &approval.environment);
            let tier = environment.map(|environment| environment.tier).unwrap_or_default();
            let asked = approval.requested.as_millisecond();
            let by = if pending { (Reverse(Some(tier)), asked) } else { (Reverse(None), -asked) };
            (!pending, by, approval.id.clone())
        });
        approvals.into_iter().map(|approval| approval.id.clone()).collect()
    })
}

fn approval_matches(state: &State, filter: &Filter, approval: &Approval) -> bool {
    if filter.is_empty() {
        return true;
    }
    // An approval is found by what its rollout is found by; one whose rollout is gone by its names.
    let text = state.approvals.filter.to_lowercase();
    let names = format!("{} {}", approval.service, approval.environment).to_lowercase();
    state.board.rollout(&approval.run.target).map_or_else(|| names.contains(&text), |rollout| filter.matches(rollout))
}

/// How fresh a rollout's row is: a lost server makes all that it told stale.
#[must_use]
pub fn freshness(state: &State, rollout: &Rollout) -> Freshness {
    of_target(state, &rollout.run.target, || board::freshness(&state.board, rollout))
}

/// How fresh what is known of a target is.
pub(super) fn of_target(state: &State, target: &Target, otherwise: impl FnOnce() -> Freshness) -> Freshness {
    let connection = state.owners.get(&target.source).and_then(|id| state.connections.get(*id));
    connection.and_then(lost).unwrap_or_else(otherwise)
}

/// Why nothing that a connection told can be believed now.
#[must_use]
pub(super) fn lost(connection: &Connection) -> Option<Freshness> {
    let known = !connection.scopes.is_empty();
    match &connection.state {
        ConnectionState::Up { .. } => None,
        ConnectionState::Connecting if known => {
            Some(Freshness::Stale { since: connection.since, why: "connecting again".to_owned() })
        }
        ConnectionState::Connecting => Some(Freshness::Connecting),
        // What never told anything has no rows that could be old.
        ConnectionState::Down { why, .. } if !known => {
            Some(Freshness::Never { since: connection.since, why: why.clone() })
        }
        ConnectionState::Down { why, .. } => Some(Freshness::Stale { since: connection.since, why: why.clone() }),
    }
}

/// The first of the Deck's rows on the screen, and how many fit.
pub(super) fn deck_view(state: &State) -> (usize, usize) {
    let height = usize::from(layout(state).list.height);
    (scrolled(state.deck.cursor.top, deck_position(state), height, deck_list(state).len()), height)
}

/// The first entry of "Needs you" on the screen, and how many fit.
pub(super) fn needs_view(state: &State) -> (usize, usize) {
    let height = layout(state).needs.map_or(0, |area| usize::from(area.height));
    (scrolled(state.deck.needs.top, needs_position(state), height, attention(state).len()), height)
}

/// The Deck's rows on the screen.
#[must_use]
pub fn deck(state: &State) -> Window<DeckRow<'_>> {
    let list = deck_list(state);
    let (top, height) = deck_view(state);
    let shown = list.from(top).take(height).filter_map(|target| state.board.rollout(target));
    let rows = shown.map(|rollout| DeckRow {
        rollout,
        marked: state.deck.marks.contains(&rollout.run.target),
        freshness: freshness(state, rollout),
        own: state.own_command(&rollout.run),
    });
    Window {
        rows: rows.collect(),
        top,
        selected: deck_position(state).map(|at| at - top),
        matching: list.len(),
        total: state.board.rollout_count(),
    }
}

/// The entries of "Needs you" on the screen.
#[must_use]
pub fn needs(state: &State) -> Window<NeedRow> {
    let list = attention(state);
    let (top, height) = needs_view(state);
    let shown = list.from(top).take(height);
    Window {
        rows: shown
            .filter_map(|about| {
                let freshness = need_freshness(state, &about.subject());
                Some(NeedRow { entry: board::describe(&state.board, about)?, freshness })
            })
            .collect(),
        top,
        selected: needs_position(state).map(|at| at - top),
        matching: list.len(),
        total: list.len(),
    }
}

/// How fresh what an entry is about is; one about a source says itself how that is.
fn need_freshness(state: &State, subject: &AttentionSubject) -> Freshness {
    match subject {
        AttentionSubject::Rollout(run) => {
            state.board.rollout(&run.target).map_or(Freshness::Fresh, |rollout| freshness(state, rollout))
        }
        AttentionSubject::Approval(id) => {
            state.board.approval(id).map_or(Freshness::Fresh, |approval| approval_freshness(state, approval))
        }
        AttentionSubject::Hold(source, _) | AttentionSubject::Job(JobRef { source, .. }) => {
            let connection = state.owners.get(source).and_then(|id| state.connections.get(*id));
            connection.and_then(lost).unwrap_or_else(|| Freshness::of(Some(&state.board.link(source))))
        }
        AttentionSubject::Source(_) => Freshness::Fresh,
    }
}

/// The approvals on the screen.
#[must_use]
pub fn approvals(state: &State) -> Window<ApprovalRow<'_>> {
    let list = approval_ids(state);
    let height = usize::from(layout(state).list.height);
    let total = state.board.approvals().count();
    window(list, &state.approvals.cursor, height, total, |id| {
        state.board.approval(id).map(|approval| ApprovalRow {
            approval,
            marked: state.approvals.marks.contains(id),
            freshness: approval_freshness(state, approval),
            own: state.own_command(&approval.run),
        })
    })
}

/// How fresh an approval's row is.
#[must_use]
pub fn approval_freshness(state: &State, approval: &Approval) -> Freshness {
    of_target(state, &approval.run.target, || {
        let scope = state.board.scope(&flightdeck_model::EntityRef::Approval(approval.id.clone()));
        Freshness::of(scope.and_then(|scope| state.board.link_of(scope)))
    })
}

/// The instances of the opened rollout, all of them.
#[must_use]
pub fn instances(state: &State) -> Vec<&Instance> {
    let Some(page) = &state.rollout else { return Vec::new() };
    let of_it = |row: &&Instance| row.target == page.run.target;
    let mut rows: Vec<_> = state.board.instances().filter(of_it).collect();
    if rows.is_empty() {
        rows = detail(state).into_iter().flat_map(|detail| &detail.instances).filter(of_it).collect();
    }
    // What is wrong stands first.
    let well = |one: &Instance| match one.state {
        InstanceState::BackingOff { .. } | InstanceState::Unhealthy { .. } => 0,
        InstanceState::Starting => 1,
        _ => 2,
    };
    rows.sort_by(|a, b| (well(a), &a.role, &a.id).cmp(&(well(b), &b.role, &b.id)));
    rows
}

/// What the rows of a panel of the opened rollout are called, in order.
#[must_use]
pub fn panel_keys(state: &State, panel: RolloutPanel) -> Vec<String> {
    let Some(page) = &state.rollout else { return Vec::new() };
    let detail = || detail(state).into_iter();
    match panel {
        RolloutPanel::Instances => instances(state).into_iter().map(|one| one.id.clone()).collect(),
        RolloutPanel::Sets => detail().flat_map(|detail| &detail.groups).map(|one| one.name.clone()).collect(),
        RolloutPanel::Timeline => timeline(state, &page.run).iter().map(Moment::key).collect(),
        RolloutPanel::Analysis => {
            let judged = evidence(state, &page.run).into_iter().map(|one| one.id.clone());
            judged.chain(analyses(state).map(|one| one.name.clone())).collect()
        }
        RolloutPanel::Revisions => {
            detail().flat_map(|detail| &detail.history).map(|one| one.revision.clone()).collect()
        }
        RolloutPanel::Actions => receipts(state, &page.run).into_iter().map(|one| one.id.to_string()).collect(),
        RolloutPanel::Plan => (0..super::rollback_plan::plan(state).len()).map(|index| index.to_string()).collect(),
    }
}

/// Which rows of a panel of the opened rollout fit on a screen of that height: the first of them, and where the
/// selected one is in the panel. Without a selection that is the first row.
#[must_use]
pub fn panel_view(state: &State, panel: RolloutPanel, height: usize) -> (usize, Option<usize>) {
    let keys = panel_keys(state, panel);
    let cursor = state.rollout.as_ref().and_then(|page| page.cursors.get(&panel));
    let Some(cursor) = cursor else { return (0, (!keys.is_empty()).then_some(0)) };
    let selected = cursor.position(&keys, |key| key);
    (scrolled(cursor.top, selected, height, keys.len()), selected)
}

/// What the selected row of the panel that takes the keys is called.
#[must_use]
pub fn selected_key(state: &State) -> Option<String> {
    let page = state.rollout.as_ref()?;
    match page.cursors.get(&page.panel) {
        Some(cursor) => cursor.key.clone(),
        None => panel_keys(state, page.panel).into_iter().next(),
    }
}

/// The opened rollout's selected instance.
#[must_use]
pub fn selected_instance(state: &State) -> Option<&Instance> {
    let (_, selected) = panel_view(state, RolloutPanel::Instances, usize::MAX);
    instances(state).get(selected?).copied()
}

/// Are the opened rollout's instances and numbers told without being asked for?
#[must_use]
pub fn told(state: &State) -> bool {
    let Some(page) = &state.rollout else { return true };
    let target = &page.run.target;
    // Numbers of pods come from whoever measures those, and tell nothing of the pods.
    let has_pods = || opened(state).is_some_and(|rollout| rollout.arms.iter().any(|arm| arm.pods.is_some()));
    state.board.instances().any(|instance| instance.target == *target) || (measured(state) && !has_pods())
}

/// Are there numbers of the opened rollout?
#[must_use]
pub fn measured(state: &State) -> bool {
    let Some(page) = &state.rollout else { return false };
    [ArmRole::Stable, ArmRole::Candidate].iter().any(|role| state.board.samples(&page.run.target, role).is_some())
}

/// What the backend said of the opened rollout when it was asked.
#[must_use]
pub fn detail(state: &State) -> Option<&Detail> {
    state.rollout.as_ref()?.live.detail.as_deref()
}

/// The panels of the opened rollout: sets and revisions only where its backend may know of any.
#[must_use]
pub fn panels(state: &State) -> Vec<RolloutPanel> {
    let has = |len: fn(&Detail) -> usize| detail(state).map_or_else(|| !told(state), |detail| len(detail) > 0);
    let shown = |panel: &RolloutPanel| match panel {
        RolloutPanel::Sets => has(|detail| detail.groups.len()),
        RolloutPanel::Revisions => has(|detail| detail.history.len()),
        RolloutPanel::Plan => opened(state).is_some_and(|rollout| rollout.rollback_plan.is_some()),
        _ => true,
    };
    RolloutPanel::ALL.into_iter().filter(shown).collect()
}

/// What could not be read of the opened rollout, each as a sentence.
#[must_use]
pub fn gaps(state: &State) -> Vec<String> {
    let Some(live) = state.rollout.as_ref().map(|page| &page.live) else { return Vec::new() };
    let failed = live.failed.iter().map(|why| format!("not read: {why}"));
    failed.chain(live.detail.iter().flat_map(|detail| detail.gaps.iter().cloned())).collect()
}

/// Analyses of the opened rollout, newest first.
pub fn analyses(state: &State) -> impl Iterator<Item = &Analysis> {
    detail(state).into_iter().flat_map(|detail| detail.analyses.iter().rev())
}

/// The revision of the opened rollout that is compared.
#[must_use]
pub fn compared(state: &State) -> Option<&Revision> {
    let Some(Over::Diff { revision: Some(revision), .. }) = &state.rollout.as_ref()?.over else { return None };
    detail(state)?.history.iter().find(|one| one.revision == *revision)
}

/// The lines of what lies over the opened rollout's panels.
#[must_use]
pub fn over_lines(state: &State) -> &[String] {
    match state.rollout.as_ref().map(|page| (page, &page.over)) {
        Some((page, Some(Over::Raw { .. }))) => &page.live.raw,
        Some((_, Some(Over::Diff { .. }))) => compared(state).map_or(&[], |revision| revision.diff.as_slice()),
        _ => &[],
    }
}

/// What happened to a run, newest first.
#[must_use]
pub fn notes<'a>(state: &'a State, run: &Run) -> Vec<&'a Note> {
    let asked = detail(state).into_iter().flat_map(|detail| &detail.notes);
    let mut rows: Vec<_> = state.board.notes().chain(asked).filter(|note| note.run == *run).collect();
    // What is told by itself may be in the answer as well.
    let mut seen = BTreeSet::new();
    rows.retain(|note| seen.insert(&note.id));
    rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    rows
}

/// What was judged of a run, newest first.
#[must_use]
pub fn evidence<'a>(state: &'a State, run: &Run) -> Vec<&'a Evidence> {
    let mut rows: Vec<_> = state.board.evidence().filter(|evidence| evidence.run == *run).collect();
    rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    rows
}

/// How the candidate of a run does; `None`: its row is of another run by now.
#[must_use]
pub fn health(state: &State, run: &Run) -> Option<Health> {
    let row = state.board.rollout(&run.target).filter(|row| row.run == *run)?;
    Some(board::health(&state.board, row))
}

/// Commands about a run and what was added to them, newest first.
#[must_use]
pub fn receipts<'a>(state: &'a State, run: &Run) -> Vec<&'a Receipt> {
    let about = |receipt: &&Receipt| match &receipt.command.subject {
        Subject::Run(of) | Subject::Approval { run: of, .. } => of == run,
        _ => receipt.created.as_ref() == Some(run) || receipt.targets.iter().any(|target| target.run == *run),
    };
    let mut rows: Vec<_> = state.board.receipts().filter(about).collect();
    let commands: BTreeSet<_> = rows.iter().map(|receipt| &receipt.id).collect();
    let added = |receipt: &&Receipt| added_to(receipt).is_some_and(|of| commands.contains(of));
    let more: Vec<_> = state.board.receipts().filter(added).collect();
    rows.extend(more);
    let begun = |receipt: &Receipt| receipt.stages.first().map(|record| record.at);
    rows.sort_by(|a, b| (begun(b), &b.id).cmp(&(begun(a), &a.id)));
    rows
}

/// The command that something was added to; `None`: it is a command of its own.
#[must_use]
pub const fn added_to(receipt: &Receipt) -> Option<&ReceiptId> {
    match &receipt.command.subject {
        Subject::Receipt { id } => Some(id),
        _ => None,
    }
}

/// What was added to a command afterwards, oldest first.
#[must_use]
pub fn additions<'a>(state: &'a State, to: &ReceiptId) -> Vec<&'a Receipt> {
    let mut all: Vec<_> = state.board.receipts().filter(|receipt| added_to(receipt) == Some(to)).collect();
    all.sort_by_key(|receipt| receipt.stages.first().map(|record| record.at));
    all
}

/// The command that a reason would be added to, and the run that it is about: the selected one, else the newest
/// about the selected rollout.
#[must_use]
pub fn selected_receipt(state: &State) -> Option<(&Receipt, &Run)> {
    let run = match (state.page, &state.rollout) {
        (Page::Rollout, Some(page)) => &page.run,
        _ => &selected_rollout(state)?.run,
    };
    let all: Vec<_> = receipts(state, run).into_iter().filter(|receipt| added_to(receipt).is_none()).collect();
    let key = selected_key(state).filter(|_| state.page == Page::Rollout);
    // A timeline's rows have a word before the id.
    let meant = |receipt: &&Receipt| key.as_deref().and_then(|key| key.rsplit(' ').next()) == Some(&receipt.id.0);
    let receipt = all.iter().copied().find(|receipt| meant(receipt)).or_else(|| all.first().copied())?;
    Some((receipt, run))
}

/// Rows of the panel of the opened rollout that Tab is on.
#[must_use]
pub fn panel_len(state: &State, panel: RolloutPanel) -> usize {
    let Some(page) = &state.rollout else { return 0 };
    match panel {
        RolloutPanel::Instances => instances(state).len(),
        RolloutPanel::Sets => detail(state).map_or(0, |detail| detail.groups.len()),
        RolloutPanel::Timeline => timeline(state, &page.run).len(),
        RolloutPanel::Analysis => evidence(state, &page.run).len() + analyses(state).count(),
        RolloutPanel::Revisions => detail(state).map_or(0, |detail| detail.history.len()),
        RolloutPanel::Actions => receipts(state, &page.run).len(),
        RolloutPanel::Plan => super::rollback_plan::plan(state).len(),
    }
}

/// The rollout that keys act on, on this page.
#[must_use]
pub fn selected_rollout(state: &State) -> Option<&Rollout> {
    match state.page {
        Page::Deck => match state.deck.panel {
            super::state::DeckPanel::Rollouts => state.deck.cursor.key.as_ref().and_then(|target| {
                // A row that a filter hides is not selected.
                deck_position(state)?;
                state.board.rollout(target)
            }),
            super::state::DeckPanel::Needs => match selected_need(state)? {
                AttentionSubject::Rollout(run) => state.board.rollout(&run.target).filter(|row| row.run == *run),
                AttentionSubject::Approval(id) => {
                    state.board.approval(id).and_then(|approval| state.board.rollout(&approval.run.target))
                }
                AttentionSubject::Hold(source, id) => {
                    let target = state.board.hold(source, id)?.undone().next()?;
                    state.board.rollout(&target.run.target)
                }
                AttentionSubject::Job(_) | AttentionSubject::Source(_) => None,
            },
        },
        Page::Rollout => opened(state),
        _ => None,
    }
}

/// The selected entry of "Needs you": one that is over is not selected any more.
pub(super) fn selected_need(state: &State) -> Option<&AttentionSubject> {
    needs_position(state)?;
    state.deck.needs.key.as_ref()
}

/// The opened rollout's row, while it is still of the same run.
#[must_use]
pub fn opened(state: &State) -> Option<&Rollout> {
    let page = state.rollout.as_ref()?;
    state.board.rollout(&page.run.target).filter(|row| row.run == page.run)
}

/// The approval that keys act on.
#[must_use]
pub fn selected_approval(state: &State) -> Option<&Approval> {
    let key = state.approvals.cursor.key.as_ref()?;
    state.approvals.cursor.position(approval_ids(state), |id| id)?;
    state.board.approval(key)
}

/// Marked rows that the filter hides: nothing is done to what can't be seen.
#[must_use]
pub fn hidden_marks(state: &State) -> usize {
    match state.page {
        Page::Deck => {
            let list = deck_list(state);
            state.deck.marks.iter().filter(|target| list.position(&state.board, target).is_none()).count()
        }
        Page::Approvals => {
            let shown = approval_ids(state).iter().filter(|id| state.approvals.marks.contains(id)).count();
            state.approvals.marks.len() - shown
        }
        _ => 0,
    }
}

/// The first line of an instance's output on a screen of that height, as an index into its lines.
#[must_use]
pub fn output_top(output: &OutputPage, height: usize) -> usize {
    let last = output.lines.len().saturating_sub(height);
    if output.follow {
        return last;
    }
    usize::try_from(output.top.saturating_sub(output.dropped)).unwrap_or(last).min(last)
}

impl<K: PartialEq> Cursor<K> {
    /// Where what is selected is now; `None`: nothing is selected, or it is gone.
    pub fn position<T>(&self, list: &[T], key: impl Fn(&T) -> &K) -> Option<usize> {
        let wanted = self.key.as_ref()?;
        // Rows seldom move: look where it was first.
        if list.get(self.index).is_some_and(|row| key(row) == wanted) {
            return Some(self.index);
        }
        list.iter().position(|row| key(row) == wanted)
    }
}

/// The first row on the screen: as before, unless the selected one would be off it.
#[must_use]
pub fn scrolled(top: usize, selected: Option<usize>, height: usize, len: usize) -> usize {
    let last = len.saturating_sub(height);
    let top = top.min(last);
    match selected {
        Some(at) if at < top => at,
        Some(at) if height > 0 && at >= top + height => at + 1 - height,
        _ => top,
    }
}

fn window<'a, K: PartialEq, R>(
    list: &'a [K],
    cursor: &Cursor<K>,
    height: usize,
    total: usize,
    row: impl Fn(&'a K) -> Option<R>,
) -> Window<R> {
    let selected = cursor.position(list, |key| key);
    let top = scrolled(cursor.top, selected, height, list.len());
    let rows: Vec<R> = list.iter().skip(top).take(height).filter_map(row).collect();
    // A row that left the board after the list was made is left out; then the index would lie.
    let complete = rows.len() == height.min(list.len() - top);
    Window { rows, top, selected: selected.map(|at| at - top).filter(|_| complete), matching: list.len(), total }
}
