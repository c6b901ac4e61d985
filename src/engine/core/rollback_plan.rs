//! What a rollback from here would do, for people.

use super::rollback_path::{estimate, path};
use super::slots::replicas;
use super::state::{Kind, RunState, Slot, State};
use super::{commands, migrations, slots};
use flightdeck_model::{ReleaseRef, RollbackPath, RollbackPlan, ServiceKind, are, counted};

/// What happens to workers, which have no traffic.
fn worker_steps(path: RollbackPath, full: u32, to: &ReleaseRef, left: &ReleaseRef) -> Vec<String> {
    let (to, left) = (&to.version, &left.version);
    let started = format!("{} of {to} {} started", counted(full, "instance"), are(full));
    match path {
        RollbackPath::Warm => vec![format!("{to} goes on working: all of its instances run")],
        RollbackPath::Start => {
            let ready = if full == 1 { "it is" } else { "they are" };
            vec![format!("{started}; {left} goes on working until {ready} ready")]
        }
        RollbackPath::Recreate => vec![format!("every instance of {left} ends: nothing works from here"), started],
    }
}

/// The plan of a rollback from here; `None`: there is nowhere to go.
pub(super) fn rollback_plan(state: &State, slot: &Slot, run: &RunState) -> Option<RollbackPlan> {
    let flying = run.active();
    let to = if flying { slot.stable_pool()?.release.clone() } else { slot.previous()?.clone() };
    let left = if flying { run.to.clone() } else { slot.stable_pool()?.release.clone() };
    if run.rolling_back() || (!flying && commands::may_rollback(state, slot).is_err()) {
        return None;
    }
    let path = path(state, slot, &to);
    let (estimate, measured) = estimate(&slot.timings, path);
    let full = replicas(state, slot);
    let started = format!("{} of {} {} started", counted(full, "instance"), to.version, are(full));
    let mut steps = match (slot.kind, path) {
        (ServiceKind::Worker, path) => worker_steps(path, full, &to, &left),
        (_, RollbackPath::Warm) => vec![format!("all traffic goes to {}, which is up, in one switch", to.version)],
        (_, RollbackPath::Start) => vec![
            format!("{started}; {} goes on serving", left.version),
            match full {
                1 => "all traffic follows once it is ready".to_owned(),
                _ => "traffic follows as they become ready, all of it once they all are".to_owned(),
            },
        ],
        (_, RollbackPath::Recreate) => vec![
            format!("every instance of {} ends: nothing serves from here", left.version),
            format!("{started} and {} all traffic", if full == 1 { "gets" } else { "get" }),
        ],
    };
    let hooks = run.hooks.iter().filter(|hook| hook.on == flightdeck_model::HookOn::Rollback);
    steps.extend(hooks.map(|hook| format!("hook {} runs", hook.name)));
    let as_rollback = RunState { kind: if flying { run.kind } else { Kind::Rollback }, ..run.clone() };
    steps.extend(
        migrations::undoes(slot, &as_rollback).into_iter().map(|name| format!("migration {name} is taken back")),
    );
    steps.push(format!("{} ends", left.version));
    let drilled = slot.timings.back.iter().rev().find(|of| of.drill).map(|of| (of.at, of.took));
    Some(RollbackPlan {
        kind: slot.kind,
        path,
        to: to.version,
        steps,
        estimate,
        measured,
        cannot_undo: migrations::cannot_undo(slot, &as_rollback, &left),
        rto: slots::placement(state, &slot.key).and_then(|placement| placement.rto),
        drilled,
    })
}
