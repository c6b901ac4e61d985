//! Holds: a workload stands still and says who asked for it.

use super::super::kind::Live;
use super::super::meta::{HOLD_ANNOTATION, HoldMark, mark_path};
use super::patch::Ops;
use super::request::{Plan, Request, refused};
use flightdeck_model::{HoldId, Refusal, sanitize_line};
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
    let kind = live.workload.kind();
    let Some(pause) = kind.pause_field() else {
        return HoldPlan::Cannot(format!("a {} can't be paused: it goes on", kind.resource().kind));
    };
    match live.held_by() {
        Some(held) if held.id == mark.id => return HoldPlan::HeldAlready,
        Some(held) => {
            let words = format!("stands still by hold {} of {} and goes on when that is released", held.id, held.owner);
            return HoldPlan::Cannot(sanitize_line(&words));
        }
        None => {}
    }
    if let Some(why) = live.workload.unheld() {
        return HoldPlan::Cannot(why.to_owned());
    }
    let mark = HoldMark { paused_before: live.paused(), ..mark.clone() };
    let Some(text) = text(&mark) else { return HoldPlan::Cannot("its mark can't be written".to_owned()) };
    let ops = live.workload.hold_tests(&live.raw);
    let ops = ops.annotate("/metadata", HOLD_ANNOTATION, &text).set(pause, true);
    HoldPlan::Send(live.request(false, ops.body(), format!("hold {}", mark.id)))
}

/// What takes a hold's mark from a workload, and lets it go on unless it stood still before.
#[must_use]
pub fn plan_release(live: &Live, id: &HoldId) -> Option<Request> {
    let mark = live.mark().filter(|mark| mark.id == *id)?;
    let pause = live.workload.kind().pause_field()?;
    let ops = live.without_mark(Ops::on(&live.raw));
    let ops = if live.paused() && !mark.paused_before { ops.test(pause, true).set(pause, false) } else { ops };
    Some(live.request(false, ops.body(), format!("release hold {id}")))
}

/// Lets one workload go on although it is held, whoever holds it.
pub fn let_through(live: &Live) -> Result<Plan, Refusal> {
    let request = live.held_by().and_then(|mark| plan_release(live, &mark.id));
    let request = request.ok_or_else(|| refused(format!("{} is not held", live.place())))?;
    let still = live.mark().is_some_and(|mark| mark.paused_before);
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
    let current = live.mark().filter(|current| current.id == mark.id)?;
    let mark = HoldMark { paused_before: current.paused_before, ..mark.clone() };
    let ops = Ops::on(&live.raw).as_read(&mark_path()).set(&mark_path(), Value::String(text(&mark)?));
    Some(live.request(false, ops.body(), format!("what hold {} could not stop", mark.id)))
}

fn text(mark: &HoldMark) -> Option<String> {
    serde_json::to_string(mark).ok()
}

/// A hold stands against it.
pub fn check_hold(live: &Live) -> Result<(), Refusal> {
    let Some(mark) = live.held_by() else { return Ok(()) };
    Err(refused(format!(
        "{} is held by {} of {}: release that hold first",
        live.place(),
        sanitize_line(mark.id.as_str()),
        sanitize_line(&mark.owner)
    )))
}
