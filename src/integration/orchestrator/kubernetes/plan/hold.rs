//! Holds: a workload stands still and says who asked for it.

use super::{Live, Ops, Plan, Request, mark_path, refused};
use crate::orchestrator::argo_rollouts;
use crate::orchestrator::kubernetes::{HOLD_ANNOTATION, HoldMark, Workload};
use flightdeck_model::{HoldId, Refusal};
use serde_json::Value;

/// What one workload gets of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldPlan {
    /// This stops and marks it.
    Send(Request),
    /// It carries the hold's mark and stands still.
    HeldAlready,
    /// Nothing can or may stop it now, in words.
    Cannot(String),
}

/// What a hold sends to a workload in flight.
#[must_use]
pub fn plan_hold(live: &Live, mark: &HoldMark) -> HoldPlan {
    let kind = live.workload.kind().name();
    if matches!(live.workload, Workload::StatefulSet(_) | Workload::DaemonSet(_)) {
        return HoldPlan::Cannot(format!("a {kind} can't be paused: it goes on"));
    }
    match live.held_by() {
        Some(held) if held.id == mark.id => return HoldPlan::HeldAlready,
        Some(held) => {
            let words = format!("stands still by hold {} of {} and goes on when that is released", held.id, held.owner);
            return HoldPlan::Cannot(flightdeck_model::sanitize_line(&words));
        }
        None => {}
    }
    if let Workload::Rollout(rollout) = &live.workload
        && let Some(why) = argo_rollouts::plan::unheld(rollout)
    {
        return HoldPlan::Cannot(why.to_owned());
    }
    let mark = HoldMark { paused_before: live.paused(), ..mark.clone() };
    let Some(text) = text(&mark) else { return HoldPlan::Cannot("its mark can't be written".to_owned()) };
    let ops = match &live.workload {
        // A rollout that goes back must not be held: its candidate's pods would stay.
        Workload::Rollout(_) => Ops::on(&live.raw)
            .as_read("/metadata/generation")
            .as_read("/status/currentPodHash")
            .as_read("/status/abort")
            .as_read("/spec/paused")
            .as_read(&mark_path()),
        _ => Ops::unchanged(&live.raw),
    };
    let ops = ops.annotate("/metadata", HOLD_ANNOTATION, &text).set("/spec/paused", true);
    HoldPlan::Send(live.request(false, ops.body(), format!("hold {}", mark.id)))
}

/// What takes a hold's mark from a workload, and lets it go on unless it stood still before.
#[must_use]
pub fn plan_release(live: &Live, id: &HoldId) -> Option<Request> {
    let mark = live.workload.hold().filter(|mark| mark.id == *id)?;
    let ops = live.without_mark(Ops::on(&live.raw));
    let ops = if live.paused() && !mark.paused_before {
        ops.test("/spec/paused", true).set("/spec/paused", false)
    } else {
        ops
    };
    Some(live.request(false, ops.body(), format!("release hold {id}")))
}

/// Lets one workload go on although it is held, whoever holds it.
pub fn let_through(live: &Live) -> Result<Plan, Refusal> {
    let request = live.held_by().and_then(|mark| plan_release(live, &mark.id));
    let request = request.ok_or_else(|| refused(format!("{} is not held", live.place())))?;
    let still = live.workload.hold().is_some_and(|mark| mark.paused_before);
    let note = still.then(|| "it stood still before it was held: resume it, too".to_owned());
    Ok(Plan {
        request: Request { what: "let through a hold".to_owned(), ..request },
        finish: false,
        target: None,
        note,
    })
}

/// Replaces a mark that was just set.
#[must_use]
pub fn rewrite(live: &Live, mark: &HoldMark) -> Option<Request> {
    let current = live.workload.hold().filter(|current| current.id == mark.id)?;
    let mark = HoldMark { paused_before: current.paused_before, ..mark.clone() };
    let ops = Ops::on(&live.raw).as_read(&mark_path()).set(&mark_path(), Value::String(text(&mark)?));
    Some(live.request(false, ops.body(), format!("what hold {} could not stop", mark.id)))
}

fn text(mark: &HoldMark) -> Option<String> {
    serde_json::to_string(mark).ok()
}
