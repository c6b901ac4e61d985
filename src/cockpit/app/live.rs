//! What the opened rollout's backend says of it when it is asked. Some backends tell instances and
//! events by themselves, so that nothing has to be asked; of the others it is asked when the page
//! opens, again when the row changes, and now and then while it moves.

use super::pages::Page;
use super::run::{opened, told};
use super::state::{Asked, Over, RolloutPage, State};
use super::{ConnectionState, Effect};
use flightdeck_model::{Detail, Phase, Query, Reply, Run, sanitize};
use jiff::{SignedDuration, Timestamp};

/// A row that changes all the time is asked for no more often than this.
const REST: SignedDuration = SignedDuration::from_secs(2);
/// How old an answer gets while a rollout moves: restarts of pods change no row.
const AGED: SignedDuration = SignedDuration::from_secs(10);

/// When the backend is to be asked next; `None`: not without an event.
pub(super) fn due(state: &State) -> Option<Timestamp> {
    let page = state.rollout.as_ref().filter(|_| state.page == Page::Rollout)?;
    let rollout = opened(state)?;
    let connection = state.connections.get(state.owner(&page.run)?)?;
    let up = matches!(connection.state, ConnectionState::Up { .. });
    if !up || page.live.asked.is_some() || (page.over.is_none() && told(state)) {
        return None;
    }
    let Some(at) = page.live.at else { return Some(state.now) };
    let after = |span| at.saturating_add(span).unwrap_or(Timestamp::MAX);
    let moves = rollout.phase.in_flight() || rollout.phase == Phase::Degraded;
    match () {
        () if page.live.changed => Some(after(REST)),
        () if moves && !told(state) => Some(after(AGED)),
        () => None,
    }
}

/// Asks where it is time to.
pub(super) fn keep_up(state: &mut State, effects: &mut Vec<Effect>) {
    if due(state).is_some_and(|at| at <= state.now) {
        ask(state, effects);
    }
}

/// Asks now, unless an answer is on its way.
pub(super) fn ask(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(run) = state.rollout.as_ref().filter(|page| page.live.asked.is_none()).map(|page| page.run.clone()) else {
        return;
    };
    let Some(connection) = state.owner(&run) else { return };
    let token = state.token();
    state.asked.insert(token, Asked::Detail(run.clone()));
    if let Some(page) = &mut state.rollout {
        page.live.asked = Some(token);
        page.live.changed = false;
    }
    effects.push(Effect::Ask { connection, token, query: Query::Inspect { run } });
}

/// The answer. One that failed leaves what was read before, with its age.
pub(super) fn answered(state: &mut State, run: &Run, reply: Result<Box<Reply>, String>) {
    let now = state.now;
    let Some(page) = state.rollout.as_mut().filter(|page| page.run == *run) else { return };
    page.live.asked = None;
    page.live.at = Some(now);
    let failed = match reply.map(|reply| *reply) {
        Ok(Reply::Detail(detail)) => {
            page.live.raw = yaml(&detail);
            page.live.read = Some(now);
            page.live.detail = Some(detail);
            choose(page);
            None
        }
        Ok(Reply::Refused(refusal)) => Some(refusal.why),
        Ok(_) => Some("the server answered something else than was asked".to_owned()),
        Err(why) => Some(why),
    };
    page.live.failed = failed;
    state.visible_changed |= state.page == Page::Rollout;
}

fn yaml(detail: &Detail) -> Vec<String> {
    let text =
        serde_saphyr::to_string(&detail.raw).unwrap_or_else(|error| format!("it can't be written as YAML: {error}"));
    sanitize(&text).lines().map(str::to_owned).collect()
}

/// Selects a revision to compare with, where none is: the one that an undo goes back to.
pub(super) fn choose(page: &mut RolloutPage) {
    let Some(Over::Diff { revision, .. }) = &mut page.over else { return };
    let history = page.live.detail.as_ref().map(|detail| detail.history.as_slice()).unwrap_or_default();
    if revision.as_ref().is_some_and(|revision| history.iter().any(|one| one.revision == *revision)) {
        return;
    }
    let differs = || history.iter().filter(|one| !one.diff.is_empty());
    let serves = differs().find(|one| one.role == Some(flightdeck_model::ArmRole::Stable));
    *revision = serves.or_else(|| differs().next()).or_else(|| history.first()).map(|one| one.revision.clone());
}

/// Selects the revision so many rows on.
pub(super) fn step(page: &mut RolloutPage, by: isize) {
    let Some(Over::Diff { revision, top }) = &mut page.over else { return };
    let history = page.live.detail.as_ref().map(|detail| detail.history.as_slice()).unwrap_or_default();
    let at = history.iter().position(|one| Some(&one.revision) == revision.as_ref()).unwrap_or(0);
    let next = at.saturating_add_signed(by).min(history.len().saturating_sub(1));
    if let Some(one) = history.get(next) {
        (*revision, *top) = (Some(one.revision.clone()), 0);
    }
}
