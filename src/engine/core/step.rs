//! The entry: one input in, the new state and what to carry out.

use super::context::StepContext;
use super::queue::advance_queue;
use super::slots::{with, with_all};
use super::state::{Remembered, Routing, Slot, State};
use super::types::{Effect, Input, InstanceEvent, JobEvent, LONGEST_TICK, Numbered, Outcome, SlotKey};
use super::{
    apply, dispatch, instances, jobs, judge, moves, one_off, phase, releases, removals, route, scale, scheduled,
};
use flightdeck_model::{Refusal, sanitize_line};
use jiff::{SignedDuration, Timestamp};

/// Commands remembered, so that one that is sent twice is carried out once.
const COMMANDS: usize = 512;

/// Takes one input. Pure: the same state, input and time give the same.
pub fn step(state: &mut State, input: &Input, now: Timestamp) -> Outcome {
    let decided = if let Input::Command { decided, .. } = input { *decided } else { now };
    let dt = elapsed(state, now);
    let mut ctx = StepContext {
        now,
        decided,
        dt,
        effects: Vec::new(),
        changed: false,
        note: None,
        created: None,
        ended: Vec::new(),
        renamed: Vec::new(),
    };
    pass_time(state, ctx.dt);
    let touched = match take(state, &mut ctx, input) {
        Ok(touched) => touched,
        Err(refused) => {
            return Outcome { refused: Some(refused), note: ctx.note, ..Outcome::default() };
        }
    };
    settle(state, &mut ctx, touched);
    if !matches!(input, Input::Tick | Input::Window { .. } | Input::WindowMissing | Input::InFlight { .. }) {
        ctx.changed = true;
    }
    let StepContext { effects, changed, note, created, ended, renamed, .. } = ctx;
    Outcome { effects, changed, refused: None, note, created, ended, renamed }
}

/// How much time counts: never negative, and a jump no more than one long tick.
fn elapsed(state: &mut State, now: Timestamp) -> SignedDuration {
    let last = state.last.replace(now);
    let exact = last.map_or(SignedDuration::ZERO, |last| now.duration_since(last));
    exact.clamp(SignedDuration::ZERO, LONGEST_TICK)
}

fn pass_time(state: &mut State, dt: SignedDuration) {
    if dt.is_zero() {
        return;
    }
    with_all(state, |state, slot| {
        moves::tick(state, slot, dt);
        instances::tick(slot, dt);
        route::tick(slot, dt);
        if let Some(warm) = &mut slot.warm {
            warm.elapsed = warm.elapsed.saturating_add(dt);
        }
        if slot.active().is_none()
            && slot.stable.is_some()
            && let Some((_, served)) = slot.served.last_mut()
        {
            *served = served.saturating_add(dt);
        }
    });
}

/// Which slots may have something to do.
enum Touched {
    All,
    One(SlotKey),
    None,
}

/// One arm for each input: who takes it into the state, and which slots may have something to do after it.
fn take(state: &mut State, ctx: &mut StepContext, input: &Input) -> Result<Touched, Refusal> {
    match input {
        Input::Command { command, actor, .. } => return command_once(state, ctx, command, actor),
        Input::Apply(wanted) => apply::apply(state, ctx, wanted)?,
        Input::ReleaseAdded(release) => {
            releases::added(state, release)?;
            return Ok(Touched::None);
        }
        Input::ReleaseRemoved { service, version } => {
            releases::removed(state, service, version)?;
            return Ok(Touched::None);
        }
        Input::Instance { id, event } => return Ok(instance(state, ctx, id, event)),
        Input::Job { id, event } => return Ok(job(state, ctx, id, event)),
        Input::RouteAcked { slot, preview, version, lacking } => {
            with(state, slot, |state, slot| {
                route::acked(state, slot, ctx, *preview, *version);
                route::lacks(slot, *preview, lacking.as_deref());
            });
            return Ok(Touched::One(slot.clone()));
        }
        Input::RouteLost { slot, preview } => {
            with(state, slot, |_, slot| route::lost(slot, *preview));
            return Ok(Touched::One(slot.clone()));
        }
        Input::RouteRefused { slot, preview, version, newer, why } => {
            with(state, slot, |state, slot| route::refused(state, slot, ctx, *preview, (*version, *newer), why));
            return Ok(Touched::One(slot.clone()));
        }
        Input::InFlight { requests } => {
            with_all(state, |_, slot| instances::counted(slot, requests));
            return Ok(Touched::None);
        }
        Input::Certificates { slot, certificates } => {
            with(state, slot, |_, slot| slot.certificates.clone_from(certificates));
            return Ok(Touched::None);
        }
        Input::Redirect { slot, refused } => {
            with(state, slot, |_, slot| slot.redirect_refused = refused.as_ref().map(|why| sanitize_line(why)));
            return Ok(Touched::None);
        }
        Input::Tried { slot, why } => {
            with(state, slot, |_, slot| slot.taken = why.as_ref().map(|why| sanitize_line(why)));
            return Ok(Touched::None);
        }
        Input::LeaseLapsed { slot, version, at } => {
            with(state, slot, |state, slot| route::lapsed(state, slot, ctx, *version, *at));
            return Ok(Touched::One(slot.clone()));
        }
        Input::Window { slot, pools, .. } => {
            with(state, slot, |_, slot| judge::window(slot, pools));
            return Ok(Touched::One(slot.clone()));
        }
        Input::WindowMissing | Input::Tick => {}
    }
    Ok(Touched::All)
}

fn instance(state: &mut State, ctx: &mut StepContext, id: &str, event: &InstanceEvent) -> Touched {
    let key = state.slots.values().find(|slot| slot.pools.values().any(|pool| pool.instances.contains_key(id)));
    let Some(key) = key.map(|slot| slot.key.clone()) else {
        // Nothing is known of it any more: what was asked of it is answered.
        state.pending.retain(|numbered| numbered.effect.instance() != Some(id));
        return Touched::None;
    };
    with(state, &key, |state, slot| instances::happened(state, slot, ctx, id, event));
    Touched::One(key)
}

fn job(state: &mut State, ctx: &mut StepContext, id: &str, event: &JobEvent) -> Touched {
    if *event == JobEvent::Gone {
        state.pending.retain(|numbered| !matches!(&numbered.effect, Effect::EndJob { job } if job == id));
        // A way back may wait for it.
        return Touched::All;
    }
    let beside = state.slots.values().find(|slot| one_off::knows(slot, id) || scheduled::knows(slot, id));
    if let (Some(key), JobEvent::Ended { how, .. }) = (beside.map(|slot| slot.key.clone()), event) {
        with(state, &key, |state, slot| {
            let ended = if one_off::knows(slot, id) { one_off::ended } else { scheduled::ended };
            ended(state, slot, ctx, id, how);
        });
        return Touched::None;
    }
    let key = state.slots.values().find(|slot| jobs::knows(slot, id)).map(|slot| slot.key.clone());
    let Some(key) = key else {
        // Nobody waits for it any more; that it is to be ended stays asked for.
        state.pending.retain(|numbered| !matches!(&numbered.effect, Effect::StartJob(launch) if launch.job == id));
        return Touched::None;
    };
    with(state, &key, |state, slot| jobs::happened(state, slot, ctx, id, event));
    Touched::One(key)
}

fn command_once(
    state: &mut State,
    ctx: &mut StepContext,
    command: &flightdeck_model::Command,
    actor: &flightdeck_model::Actor,
) -> Result<Touched, Refusal> {
    if let Some(before) = state.commands.iter().find(|before| before.id == command.id) {
        ctx.note.clone_from(&before.note);
        ctx.created.clone_from(&before.created);
        return before.refused.clone().map_or(Ok(Touched::None), Err);
    }
    let result = dispatch::carry_out(state, ctx, command, actor);
    let refused = result.as_ref().err().cloned();
    let (note, created) = (ctx.note.clone(), ctx.created.clone());
    state.commands.push_back(Remembered { id: command.id.clone(), refused, note, created });
    if state.commands.len() > COMMANDS {
        state.commands.pop_front();
    }
    result.map(|()| Touched::All)
}

fn settle(state: &mut State, ctx: &mut StepContext, touched: Touched) {
    if matches!(touched, Touched::None) {
        return;
    }
    // What replaces a rollout does so before that can go on once more.
    for key in waiting(state) {
        with(state, &key, |state, slot| advance_queue(state, slot, ctx));
    }
    match touched {
        Touched::None => {}
        Touched::One(key) => {
            with(state, &key, |state, slot| drive(state, slot, ctx));
        }
        Touched::All => with_all(state, |state, slot| drive(state, slot, ctx)),
    }
    // One that ended may let another start, in any slot.
    for key in waiting(state) {
        with(state, &key, |state, slot| {
            advance_queue(state, slot, ctx);
            drive(state, slot, ctx);
        });
    }
    let down: Vec<_> = state.slots.values().filter(|slot| is_down(slot)).map(|slot| slot.key.clone()).collect();
    for key in down {
        let gone = state.slots.remove(&key).map(|slot| slot.migrations).filter(|of| !of.is_empty());
        state.migrated.extend(gone.map(|migrations| (key.to_string(), migrations)));
        removals::forget(state, &key);
        ctx.changed = true;
    }
}

/// Slots with somebody in line, the longest waiting first.
fn waiting(state: &State) -> Vec<SlotKey> {
    let first = |slot: &Slot| slot.queue.front().map(|run| (run.asked, slot.key.clone()));
    let mut waiting: Vec<_> = state.slots.values().filter_map(|slot| first(slot)).collect();
    waiting.sort();
    waiting.into_iter().map(|(_, key)| key).collect()
}

/// Nothing is left of a slot that is gone from the configuration.
fn is_down(slot: &Slot) -> bool {
    let closed =
        |routing: &Routing| routing.settled() && routing.acked.as_ref().is_none_or(|sent| sent.route.is_none());
    slot.removed && slot.pools.is_empty() && closed(&slot.routing) && closed(&slot.preview)
}

/// Brings one slot as far as it can go now.
fn drive(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    moves::advance(state, slot, ctx);
    scale::cool(state, slot, ctx);
    scale::scale(state, slot, ctx);
    route::send(state, slot, ctx);
    scale::sweep(state, slot, ctx);
    phase::note_phase(state, slot, ctx);
    scheduled::advance(state, slot, ctx);
}

/// Effects that nothing answered yet, oldest first: after a crash they are carried out again.
pub fn pending(state: &State) -> impl Iterator<Item = &Numbered> {
    state.pending.iter()
}
