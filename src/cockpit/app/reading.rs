//! The charts of an opened rollout: which time they show, what happened meanwhile, and the moment whose numbers are
//! read.

use super::pages::Page;
use super::run;
use super::state::State;
use super::timeline::{Happened, timeline};
use flightdeck_board::Board;
use flightdeck_model::{ArmRole, ArmSample, NoteKind, Rollout, Target};
use jiff::{SignedDuration, Timestamp};

/// A chart shows at least so much time.
const LEAST: SignedDuration = SignedDuration::from_secs(60);
/// Moments that can be read from one edge of a chart to the other, where windows are short enough.
const MOMENTS: i64 = 60;

/// The time that charts show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The right edge: the end of the newest window.
    pub end: Timestamp,
    /// How far back the left edge is.
    pub length: SignedDuration,
    /// Did the rollout begin at the left edge?
    pub from_begin: bool,
}

impl Span {
    #[must_use]
    pub fn begin(&self) -> Timestamp {
        self.end.saturating_sub(self.length).unwrap_or(self.end)
    }
}

fn samples<'a>(board: &'a Board, target: &Target) -> impl Iterator<Item = &'a std::collections::VecDeque<ArmSample>> {
    let roles = [ArmRole::Candidate, ArmRole::Stable];
    roles.into_iter().filter_map(|role| board.samples(target, &role)).collect::<Vec<_>>().into_iter()
}

/// What the charts of a rollout show: back to its begin, or as far as there is data.
#[must_use]
pub fn span(board: &Board, rollout: &Rollout, now: Timestamp) -> Span {
    let target = &rollout.run.target;
    let newest = samples(board, target).filter_map(|all| all.back()).map(|sample| sample.at).max();
    let oldest = samples(board, target).filter_map(|all| all.front()).map(|sample| sample.at).min();
    span_of(oldest, newest.unwrap_or(now), rollout.started)
}

fn span_of(oldest: Option<Timestamp>, end: Timestamp, began: Timestamp) -> Span {
    let data = oldest.map_or(LEAST, |oldest| end.duration_since(oldest)).max(LEAST);
    let own = end.duration_since(began).max(LEAST);
    let whole = |length: SignedDuration| SignedDuration::from_secs(length.as_secs());
    // What was before it began says nothing of it, unless it began just now.
    let (length, from_begin) = if own <= data { (whole(own), own > LEAST) } else { (whole(data), false) };
    Span { end, length, from_begin }
}

/// From one moment that can be read to the next: a window, and no less than what a chart can show.
fn step(board: &Board, target: &Target, span: &Span) -> SignedDuration {
    let window = samples(board, target).filter_map(|all| all.back()).map(|sample| sample.window_ms).max().unwrap_or(0);
    let shown = SignedDuration::from_secs(span.length.as_secs() / MOMENTS);
    SignedDuration::from_millis(i64::from(window)).max(shown).max(SignedDuration::from_secs(1))
}

/// The moment that is read of a rollout; `None`: the newest, as on every page but its own.
#[must_use]
pub fn moment(state: &State, rollout: &Rollout, span: &Span) -> Option<Timestamp> {
    let page = state.rollout.as_ref().filter(|page| state.page == Page::Rollout && page.run == rollout.run)?;
    Some(page.reading?.clamp(span.begin(), span.end))
}

/// Reads so many moments later, or earlier. What is later than the newest is the newest, which goes on by itself.
pub(super) fn go(state: &mut State, steps: i32) {
    let Some(rollout) = run::opened(state) else { return };
    let span = span(&state.board, rollout, state.now);
    let by = step(&state.board, &rollout.run.target, &span) * steps;
    let from = moment(state, rollout, &span).unwrap_or(span.end);
    let to = from.saturating_add(by).unwrap_or(from);
    if let Some(page) = &mut state.rollout {
        page.reading = (to < span.end).then(|| to.max(span.begin()));
    }
}

/// Where a curve may bend: what moved the rollout, what somebody asked for, an alert.
#[must_use]
pub fn marks(state: &State, rollout: &Rollout) -> Vec<Timestamp> {
    let of_note = |happened: &Happened<'_>| match happened {
        Happened::Event(note) => note.kind == NoteKind::Progress,
        Happened::Asked(receipt) => run::added_to(receipt).is_none(),
        _ => false,
    };
    let happened = timeline(state, &rollout.run).into_iter().filter(|moment| of_note(&moment.what));
    let alerts = state.board.alerts_of(rollout).into_iter().map(|alert| alert.since);
    happened.map(|moment| moment.at).chain(alerts).collect()
}

/// What happened next to a moment, in one sentence: the nearest of what there is in the timeline, and of alerts.
#[must_use]
pub fn happened(state: &State, rollout: &Rollout, span: &Span, at: Timestamp) -> Option<String> {
    // Nobody hits a second: the moments beside it count, too.
    let near = step(&state.board, &rollout.run.target, span) * 2;
    let away = |of: Timestamp| of.duration_since(at).abs();
    let events = timeline(state, &rollout.run).into_iter().map(|moment| {
        let (who, sentence) = (moment.who(), moment.sentence(state));
        (moment.at, if who.is_empty() { sentence } else { format!("{who}: {sentence}") })
    });
    let alerts = state.board.alerts_of(rollout).into_iter();
    let alerts = alerts.map(|alert| (alert.since, format!("{}: alert {} began", alert.source, alert.name)));
    let all = events.chain(alerts).filter(|(of, _)| away(*of) <= near);
    all.min_by_key(|(of, _)| away(*of)).map(|(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_begin_with_their_rollout() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let shown = |oldest: Option<i64>, began| {
            let span = span_of(oldest.map(at), at(400), at(began));
            (span.length.as_secs(), span.from_begin)
        };
        assert_eq!(shown(Some(0), 100), (300, true));
        assert_eq!(shown(Some(0), -900), (400, false), "older than its data");
        assert_eq!(shown(Some(0), 390), (60, false), "begun just now");
        assert_eq!(shown(None, 100), (60, false));
    }
}
