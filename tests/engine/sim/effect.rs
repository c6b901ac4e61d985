//! Invariant 13: a command that is effective has users where it wanted them. Each accepted command is
//! followed as a hub does it; when it is said to be effective, the routes and instances of the state must
//! show it, not the row.

use super::check::Coverage;
use flightdeck::engine::EngineExecutor;
use flightdeck::engine::core::{Input, InstanceStage, Kind, Outcome, Pool, Progress, Slot, SlotKey, State, row};
use flightdeck::model::*;
use flightdeck::port::Followed;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// So many commands of a story are followed at once, the newest.
const FOLLOWED: usize = 12;

/// An accepted command.
struct Pending {
    command: Command,
    slot: SlotKey,
    created: Option<Run>,
    before: Option<Rollout>,
    ended: Option<RolloutRecord>,
    /// The running number of the newest instance when it was asked.
    instances: u64,
}

/// What was there before a command.
#[derive(Default)]
pub struct Before {
    row: Option<Rollout>,
    instances: u64,
}

/// Commands that are not known to be effective yet.
#[derive(Default)]
pub struct Effects {
    pending: Vec<Pending>,
    /// Runs that were more than in line.
    begun: BTreeSet<Run>,
    /// Runs whose version had all traffic, at an instance that was ready.
    served: BTreeSet<Run>,
    pub faults: Vec<String>,
}

fn slot_of(state: &State, subject: &Subject) -> Option<SlotKey> {
    match subject {
        Subject::Run(run) | Subject::Approval { run, .. } => {
            let slot = state.slots.values().find(|slot| slot.target(&state.source) == run.target)?;
            Some(slot.key.clone())
        }
        Subject::NewRollout { service, environment, .. } => {
            Some(SlotKey { service: service.clone(), environment: environment.clone() })
        }
        _ => None,
    }
}

fn number(id: &str) -> u64 {
    id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn newest_instance(state: &State) -> u64 {
    let pools = state.slots.values().flat_map(|slot| slot.pools.values());
    pools.flat_map(|pool| pool.instances.keys()).map(|id| number(id)).max().unwrap_or(0)
}

/// The share that the proxy acknowledged for a pool, if an instance of it is ready and in that route; of a worker
/// that among all of its instances which work.
fn share(slot: &Slot, pool: Option<&Pool>) -> Ppm {
    let Some(pool) = pool else { return Ppm::ZERO };
    if slot.kind == ServiceKind::Worker {
        let sides = slot.stable_pool().into_iter().chain(slot.candidate_pool());
        let all: u32 = sides.map(Pool::working).sum();
        return Ppm(pool.working() * 1_000_000 / all.max(1));
    }
    let Some(acked) = &slot.routing.acked else { return Ppm::ZERO };
    // One that is to leave still serves while it is in the route.
    let ready = |id: &String| pool.instances.get(id).is_some_and(|instance| instance.stage == InstanceStage::Ready);
    let routed = acked.route.iter().flat_map(|route| &route.pools).find(|of| of.pool == pool.id);
    let serves = routed.filter(|of| of.endpoints.iter().any(|endpoint| ready(&endpoint.instance)));
    serves.map_or(Ppm::ZERO, |of| of.weight)
}

/// Does any route that may be in force lead to a pool?
fn may_lead_to(slot: &Slot, pool: &Pool) -> bool {
    if slot.kind == ServiceKind::Worker {
        return pool.working() > 0;
    }
    let routes = slot.routing.acked.iter().chain(&slot.routing.sent).filter_map(|sent| sent.route.as_ref());
    let mut pools = routes.flat_map(|route| &route.pools);
    pools.any(|of| of.pool == pool.id && of.weight > Ppm::ZERO && !of.endpoints.is_empty())
}

impl Effects {
    /// Nobody follows a command into another story of the same world.
    pub fn forget(&mut self) {
        let faults = std::mem::take(&mut self.faults);
        *self = Effects { faults, ..Effects::default() };
    }

    /// The row before a command, if it is one to be followed.
    pub fn before(state: &State, input: &Input, now: Timestamp) -> Option<Before> {
        let Input::Command { command, .. } = input else { return None };
        let row = row(state, &slot_of(state, &command.subject)?, now);
        Some(Before { row, instances: newest_instance(state) })
    }

    /// Takes in what a step did.
    pub fn after(
        &mut self,
        state: &State,
        input: &Input,
        before: Option<Before>,
        outcome: &Outcome,
        (now, cover): (Timestamp, &mut Coverage),
    ) {
        self.note_served(state, outcome);
        if let (Input::Command { command, .. }, None) = (input, &outcome.refused)
            && !self.pending.iter().any(|of| of.command.id == command.id)
            && let Some(slot) = slot_of(state, &command.subject)
        {
            let (command, created) = (command.clone(), outcome.created.clone());
            let Before { row: before, instances } = before.unwrap_or_default();
            self.pending.push(Pending { command, slot, created, before, ended: None, instances });
            if self.pending.len() > FOLLOWED {
                self.pending.remove(0);
            }
        }
        if !outcome.changed {
            return;
        }
        for record in &outcome.ended {
            let about = |of: &Pending| of.created.clone().or_else(|| asked_for(&of.command).cloned());
            let of_it = self.pending.iter_mut().filter(|of| about(of).as_ref() == Some(&record.run));
            of_it.for_each(|of| of.ended = Some(record.clone()));
        }
        let mut faults = Vec::new();
        let (served, begun) = (&self.served, &self.begun);
        self.pending.retain(|of| {
            let current = row(state, &of.slot, now);
            let reached = EngineExecutor::stage(&Followed {
                command: &of.command,
                created: of.created.as_ref(),
                left: None,
                before: of.before.as_ref(),
                current: current.as_ref(),
                ended: of.ended.as_ref(),
                now,
            });
            if let (Stage::Effective { proof }, Some(slot)) = (&reached, state.slots.get(&of.slot)) {
                let about = of.created.as_ref().or_else(|| asked_for(&of.command));
                let run = slot.runs().find(|run| about.is_some_and(|about| about.revision == run.revision));
                let strategy = run.map_or("", |run| strategy(run.strategy));
                *cover.could_fail.entry(13).or_default() += 1;
                *cover.effective.entry((of.command.action.name(), strategy)).or_default() += 1;
                if let Some(why) = untrue(state, slot, of, current.as_ref(), (served, begun)) {
                    let action = of.command.action.name();
                    faults.push(format!("invariant 13: {}: {action} {why}, and is effective: {}", of.slot, proof.text));
                }
            }
            !reached.is_final()
        });
        self.faults.append(&mut faults);
    }

    fn note_served(&mut self, state: &State, outcome: &Outcome) {
        for slot in state.slots.values() {
            // One may end, and the next begin, within a step.
            let target = slot.target(&state.source);
            let all = share(slot, slot.stable_pool()) == Ppm::ALL;
            self.served.extend(outcome.ended.iter().map(|of| &of.run).filter(|of| all && of.target == target).cloned());
            let Some(run) = &slot.run else { continue };
            if run.active() {
                self.begun.insert(Run { target: slot.target(&state.source), revision: run.revision.clone() });
            }
            // A rollback's target is the stable pool from its start; it brings nothing in.
            let pool = if slot.candidate.is_some() && run.kind != Kind::Rollback {
                slot.candidate_pool()
            } else {
                slot.stable_pool().filter(|pool| pool.release == run.to)
            };
            if share(slot, pool) == Ppm::ALL {
                self.served.insert(Run { target: slot.target(&state.source), revision: run.revision.clone() });
            }
        }
    }
}

pub const fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Recreate => "recreate",
        Strategy::Rolling => "rolling",
        Strategy::BlueGreen => "blue_green",
        _ => "canary",
    }
}

fn asked_for(command: &Command) -> Option<&Run> {
    match &command.subject {
        Subject::Run(run) | Subject::Approval { run, .. } => Some(run),
        _ => None,
    }
}

/// Why users are not where the command wanted them; `None`: they are.
fn untrue(
    state: &State,
    slot: &Slot,
    of: &Pending,
    row: Option<&Rollout>,
    (served, begun): (&BTreeSet<Run>, &BTreeSet<Run>),
) -> Option<String> {
    let run = of.created.as_ref().or_else(|| asked_for(&of.command))?;
    let current = slot.run.as_ref().filter(|current| current.revision == run.revision);
    let (stable, candidate) = (slot.stable_pool(), slot.candidate_pool());
    match of.command.action {
        Action::Abort | Action::Reject => away(slot, of, row, begun),
        Action::Rollback if of.created.is_none() => away(slot, of, row, begun),
        Action::Pause => None,
        // Which run it was and where it went is over; it must have been there.
        _ if current.is_none() && in_line(slot, run) => None,
        _ if current.is_none() => (!served.contains(run)).then(|| format!("{} never had all traffic", run.revision)),
        Action::Restart => {
            let routed = slot.routing.acked.iter().filter_map(|sent| sent.route.as_ref()).flat_map(|of| &of.pools);
            let works = stable
                .filter(|_| slot.kind == ServiceKind::Worker)
                .into_iter()
                .flat_map(|pool| pool.instances.values());
            let works = works.filter(|instance| instance.stage == InstanceStage::Ready && !instance.leaving);
            let serving = routed.flat_map(|pool| &pool.endpoints).map(|at| &at.instance).chain(works.map(|it| &it.id));
            let old = serving.into_iter().find(|id| number(id) <= of.instances);
            match old {
                Some(old) => Some(format!("{old} is old and still serves")),
                None => (share(slot, stable) != Ppm::ALL).then(|| "serves nobody".to_owned()),
            }
        }
        Action::Rollback | Action::Drill => {
            let left = candidate.is_some_and(|pool| may_lead_to(slot, pool));
            (left || share(slot, stable) != Ppm::ALL).then(|| "is not back".to_owned())
        }
        _ => {
            let current = current?;
            let brought_in = match current.progress {
                Progress::Ended(DeploymentOutcome::Succeeded) => stable.filter(|pool| pool.release == current.to),
                _ => candidate,
            };
            // Where its plan gives it nothing yet, going on is all that could be asked.
            let moves = matches!(of.command.action, Action::Promote | Action::Resume | Action::Approve);
            let none_yet = moves && (current.weight == Ppm::ZERO || current.kind == Kind::Restart);
            (share(slot, brought_in) == Ppm::ZERO && !none_yet)
                .then(|| format!("no ready instance of {} has a share ({})", current.to.version, state.source))
        }
    }
}

fn in_line(slot: &Slot, run: &Run) -> bool {
    slot.queue.iter().any(|queued| queued.revision == run.revision)
}

/// Nobody meets what was brought in, and stable, where there is one, has everybody.
fn away(slot: &Slot, of: &Pending, row: Option<&Rollout>, begun: &BTreeSet<Run>) -> Option<String> {
    let run = asked_for(&of.command)?;
    // What ended in line has changed nothing that could be put back.
    if !begun.contains(run) && of.ended.is_some() {
        return None;
    }
    if slot.run.as_ref().is_none_or(|current| current.revision != run.revision) {
        // A later run has its own shares; how this one ended is on record.
        return of.ended.is_none().then(|| format!("nothing says how {} ended", run.revision));
    }
    if slot.candidate_pool().is_some_and(|pool| may_lead_to(slot, pool)) {
        return Some("still leads to the candidate".to_owned());
    }
    let back = slot.stable_pool().is_none_or(|pool| share(slot, Some(pool)) == Ppm::ALL);
    (!back).then(|| format!("does not have all at stable: {:?}", row.map(|row| &row.arms)))
}
