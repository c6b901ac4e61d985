//! Where a rollout stands, in a glyph and few words.

use crate::app::clock::{Clock, clock};
use crate::app::state::{OwnCommand, OwnProgress};
use crate::view::{Scope, format, glyph};
use flightdeck_board::Freshness;
use flightdeck_model::time::{age, countdown};
use flightdeck_model::{Phase, Rollout, Step, Wait};
use jiff::Timestamp;

/// The words of a row in so many columns: why its instances fail stands there before that they do.
pub(in crate::view) fn words_in(
    columns: u16,
    rollout: &Rollout,
    freshness: &Freshness,
    own: Option<&OwnCommand>,
    now: Timestamp,
) -> (String, Scope) {
    let (text, scope) = words(rollout, freshness, own, now);
    if format::width(&text) <= columns {
        return (text, scope);
    }
    (text.replacen("failing: ", "", 1), scope)
}

/// The words of a row: `⏸ paused 31 m`, `▶ analysis 0:42`; what one asked for oneself comes first
/// while it is under way, and a row that may be old says so.
pub(in crate::view) fn words(
    rollout: &Rollout,
    freshness: &Freshness,
    own: Option<&OwnCommand>,
    now: Timestamp,
) -> (String, Scope) {
    if let Some(text) = own.and_then(under_way) {
        return (text, Scope::StageOpen);
    }
    if let Some(failing) = rollout.failing.first().filter(|_| is_unwell(rollout)) {
        let words = format!("failing: {}", failing.counted());
        return if freshness.is_fresh() {
            (format!("✗ {words}"), Scope::SeverityFailing)
        } else {
            (format!("◌ {words}?"), Scope::LinkStale)
        };
    }
    let (word, scope) = state(rollout);
    if !freshness.is_fresh() {
        return (format!("◌ {word}?"), Scope::LinkStale);
    }
    let glyph = glyph::phase(rollout.phase);
    let ticking = match clock(rollout) {
        Clock::Still => String::new(),
        Clock::Since(since) => format!(" {}", age(since, now)),
        Clock::Until(at) => format!(" {}", countdown(at, now)),
    };
    (format!("{glyph} {word}{ticking}"), scope)
}

/// Does it lack instances while it is on its way, or is it up without all of them? Whatever it waits for beside
/// them, why they fail comes first. Where it stands still, or goes back, that is said first.
fn is_unwell(rollout: &Rollout) -> bool {
    matches!(rollout.phase, Phase::Initializing | Phase::Progressing | Phase::Degraded | Phase::Failed)
}

/// The word: what it waits for where that says more than the phase.
pub(in crate::view) fn state(rollout: &Rollout) -> (&'static str, Scope) {
    let scope = Scope::phase(rollout.phase);
    let waits = |wanted: fn(&Wait) -> bool| rollout.waits.iter().any(wanted);
    let at_approval = matches!(current(rollout), Some(Step::Approval { .. }));
    let word = match rollout.phase {
        Phase::Progressing | Phase::Paused | Phase::Queued if waits(|wait| matches!(wait, Wait::Hold(_))) => "held",
        Phase::Progressing | Phase::Paused if waits(|wait| matches!(wait, Wait::Human { .. })) && at_approval => {
            return ("approval", Scope::SeverityApproval);
        }
        Phase::Progressing if waits(|wait| matches!(wait, Wait::Analysis { .. })) => "analysis",
        Phase::Progressing if waits(|wait| matches!(wait, Wait::Health)) => "starting",
        Phase::Progressing if matches!(current(rollout), Some(Step::Pause { .. })) => "pause",
        phase => phase.word(),
    };
    (word, scope)
}

/// The step that it is at.
pub(in crate::view) fn current(rollout: &Rollout) -> Option<&Step> {
    rollout.step.and_then(|step| rollout.steps.get(step as usize))
}

/// One's own command while nobody knows yet what became of it.
fn under_way(own: &OwnCommand) -> Option<String> {
    let verb = own.action.row().label;
    match &own.progress {
        OwnProgress::Sending => Some(format!("→ {verb} sent")),
        OwnProgress::Unknown(_) => Some(format!("? {verb} unknown")),
        OwnProgress::Receipt(receipt) if !receipt.stage().is_final() => {
            Some(format!("{} {verb} {}", glyph::stage(receipt.stage()), receipt.stage().word()))
        }
        _ => None,
    }
}
