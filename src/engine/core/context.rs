//! What one call of `step` collects, and the few ways to write things down.

use super::state::{Counters, Kind, RunState, Slot, State};
use super::types::{Effect, Numbered};
use flightdeck_model::{
    AnalysisReport, Evidence, Note, NoteKind, Renamed, RolloutRecord, Run, ServiceKind, Step, counted, sanitize_line,
};
use jiff::{SignedDuration, Timestamp};

/// Notes kept of one run.
const NOTES: usize = 200;
/// Pieces of evidence kept of one run.
const EVIDENCE: usize = 100;

/// What one call of `step` collects.
pub(super) struct StepContext {
    pub(super) now: Timestamp,
    /// When what leads to all this was decided: before `now` for a command.
    pub(super) decided: Timestamp,
    /// How much of it counts for waits.
    pub(super) dt: SignedDuration,
    /// To carry out.
    pub(super) effects: Vec<Numbered>,
    /// More than timers moved.
    pub(super) changed: bool,
    /// What to answer besides yes.
    pub(super) note: Option<String>,
    /// The run that a command created.
    pub(super) created: Option<Run>,
    pub(super) ended: Vec<RolloutRecord>,
    /// Services that were renamed.
    pub(super) renamed: Vec<Renamed>,
}

/// Writes down an effect.
pub(super) fn emit(state: &mut State, ctx: &mut StepContext, effect: Effect) {
    let numbered = Numbered { id: Counters::next(&mut state.counters.effect), effect };
    state.pending.push(numbered.clone());
    ctx.effects.push(numbered);
    ctx.changed = true;
}

/// The identity of a run of a slot.
pub(super) fn run_id(state: &State, slot: &Slot, revision: &str) -> Run {
    Run { target: slot.target(&state.source), revision: revision.to_owned() }
}

/// Writes down what happened to a run.
pub(super) fn note(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, revision: &str, who: &str, text: &str) {
    write_note(state, slot, ctx, revision, who, text, NoteKind::Event);
}

/// The same of what moves the rollout, or stops it.
pub(super) fn note_progress(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    revision: &str,
    who: &str,
    text: &str,
) {
    write_note(state, slot, ctx, revision, who, text, NoteKind::Progress);
}

fn write_note(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    revision: &str,
    who: &str,
    text: &str,
    kind: NoteKind,
) {
    let note = Note {
        id: format!("N-{}", Counters::next(&mut state.counters.note)),
        run: run_id(state, slot, revision),
        at: ctx.now,
        who: who.to_owned(),
        text: sanitize_line(text),
        kind,
    };
    slot.notes.push_back(note);
    let of_run = slot.notes.iter().filter(|note| note.run.revision == revision).count();
    if of_run > NOTES
        && let Some(oldest) = slot.notes.iter().position(|note| note.run.revision == revision)
    {
        slot.notes.remove(oldest);
    }
    ctx.changed = true;
}

/// Writes down what happened to the newest run of a slot.
pub(super) fn note_run(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, who: &str, text: impl AsRef<str>) {
    if let Some(revision) = slot.run.as_ref().map(|run| run.revision.clone()) {
        note(state, slot, ctx, &revision, who, text.as_ref());
    }
}

/// The same of what moves it, or stops it.
pub(super) fn note_run_progress(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    who: &str,
    text: impl AsRef<str>,
) {
    if let Some(revision) = slot.run.as_ref().map(|run| run.revision.clone()) {
        note_progress(state, slot, ctx, &revision, who, text.as_ref());
    }
}

/// Writes down a judgement on the run in flight.
pub(super) fn evidence(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    report: AnalysisReport,
    summary: &str,
) {
    let Some(run) = &slot.run else { return };
    let revision = run.revision.clone();
    let evidence = Evidence {
        id: format!("E-{}", Counters::next(&mut state.counters.evidence)),
        run: run_id(state, slot, &revision),
        at: ctx.now,
        kind: "analysis".to_owned(),
        analysis: Some(report),
        summary: sanitize_line(summary),
    };
    slot.evidence.push_back(evidence);
    if slot.evidence.iter().filter(|evidence| evidence.run.revision == revision).count() > EVIDENCE {
        slot.evidence.pop_front();
    }
    ctx.changed = true;
}

/// Forgets notes and evidence of runs that are no longer remembered.
pub(super) fn trim(slot: &mut Slot) {
    let kept: Vec<String> = slot.runs().map(|run| run.revision.clone()).collect();
    slot.notes.retain(|note| kept.contains(&note.run.revision));
    slot.evidence.retain(|evidence| kept.contains(&evidence.run.revision));
}

/// A run in words: `1.10.0 (r-4)`.
pub(super) fn words(run: &RunState) -> String {
    let what = match run.kind {
        Kind::Restart => "restart of ",
        Kind::Rollback => "rollback to ",
        Kind::First | Kind::Canary => "",
    };
    format!("{what}{} ({})", run.to.version, run.revision)
}

/// A time span for people: `45 s`, `2 m`, `1 h 30 m`.
pub(super) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds % 3600 / 60, "m"), (seconds % 60, "s")];
    let words: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if words.is_empty() { format!("{} ms", duration.as_millis()) } else { words.join(" ") }
}

/// What comes at or after a step, in words.
pub(super) fn ahead(slot: &Slot, run: &RunState, from: u32) -> String {
    let rest = run.steps.get(from as usize..).unwrap_or_default();
    if slot.kind == ServiceKind::Worker {
        let batch = rest.iter().find_map(|step| match step {
            Step::Batch { instances, .. } => Some(format!("{} of it", counted(*instances, "instance"))),
            _ => None,
        });
        return batch.unwrap_or_else(|| "all instances".to_owned());
    }
    let weight = rest.iter().find_map(|step| match step {
        Step::SetWeight(weight) => Some(format!("{weight} of traffic")),
        _ => None,
    });
    weight.unwrap_or_else(|| "all traffic".to_owned())
}
