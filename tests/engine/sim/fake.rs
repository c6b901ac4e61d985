//! A world that carries effects out late, answers twice or out of order, loses what a crash loses,
//! and whose processes and proxy fail.

use super::rng::Rng;
use crate::engine::world::address;
use flightdeck::engine::core::{
    Effect, Input, InstanceEvent, InstanceId, InstanceStage, JobEnd, JobEvent, JobId, JobLaunch, Launch, SlotKey,
    State, pending,
};
use flightdeck::engine::proxy::wire::Route;
use flightdeck::model::Ppm;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A process of the fake machine.
#[derive(Debug, Clone)]
pub struct Process {
    pub attempt: u32,
    pub pid: u32,
    pub ready: bool,
}

enum Work {
    Start(Box<Launch>),
    Stop,
}

#[derive(Default)]
struct Line {
    work: VecDeque<Work>,
    tells: VecDeque<InstanceEvent>,
}

/// A hook of the fake machine.
#[derive(Debug, Clone)]
struct Hook {
    launch: JobLaunch,
    ended: Option<JobEnd>,
}

enum JobWork {
    Run(Box<JobLaunch>),
    End,
}

#[derive(Default)]
struct JobLine {
    work: VecDeque<JobWork>,
    tells: VecDeque<JobEvent>,
}

/// What the fake proxy does on one listener.
pub struct Listener {
    pub version: u64,
    pub route: Option<Route>,
}

#[derive(Default)]
pub struct Fake {
    pub processes: BTreeMap<InstanceId, Process>,
    lines: BTreeMap<InstanceId, Line>,
    hooks: BTreeMap<JobId, Hook>,
    begun: BTreeSet<JobId>,
    /// Migrations whose data is there.
    data: BTreeSet<(SlotKey, String)>,
    /// Migrations that were cut off, or failed: nobody has looked at their data yet.
    half: BTreeSet<(SlotKey, String)>,
    job_lines: BTreeMap<JobId, JobLine>,
    routes: Vec<(SlotKey, bool, u64, Option<Route>)>,
    answers: Vec<Input>,
    pub proxy: BTreeMap<SlotKey, Listener>,
    pub previews: BTreeMap<SlotKey, Listener>,
    pids: u32,
    pub faults: Vec<String>,
    /// Nothing fails any more.
    pub healed: bool,
}

impl Fake {
    pub fn take(&mut self, effect: &Effect) {
        match effect {
            Effect::Start(launch) => {
                self.lines.entry(launch.instance.clone()).or_default().work.push_back(Work::Start(launch.clone()));
            }
            Effect::Stop { instance, .. } => {
                self.lines.entry(instance.clone()).or_default().work.push_back(Work::Stop);
            }
            Effect::Route { slot, route, .. } => {
                let preview = route.listener != slot.to_string();
                self.routes.push((slot.clone(), preview, route.version, Some(route.clone())));
            }
            Effect::Unroute { slot, version, preview, .. } => {
                self.routes.push((slot.clone(), *preview, *version, None));
            }
            Effect::StartJob(launch) => {
                self.job_lines.entry(launch.job.clone()).or_default().work.push_back(JobWork::Run(launch.clone()));
            }
            // No story has a person end a command.
            Effect::StopJob { .. } => {}
            Effect::EndJob { job } => {
                self.job_lines.entry(job.clone()).or_default().work.push_back(JobWork::End);
            }
        }
    }

    pub fn busy(&self) -> bool {
        !self.routes.is_empty()
            || !self.answers.is_empty()
            || self.hooks.values().any(|hook| hook.ended.is_none())
            || self.job_lines.values().any(|line| !line.work.is_empty() || !line.tells.is_empty())
            || self.lines.values().any(|line| !line.work.is_empty() || !line.tells.is_empty())
    }

    /// Carries one thing out, or gives one answer that arrives.
    pub fn turn(&mut self, rng: &mut Rng) -> Option<Input> {
        match rng.below(5) {
            0 if !self.routes.is_empty() => {
                let at = rng.below(self.routes.len());
                let (slot, preview, version, route) = self.routes.remove(at);
                self.route((slot, preview), version, route, rng);
                None
            }
            1 if !self.answers.is_empty() => {
                let at = rng.below(self.answers.len());
                let answer = self.answers[at].clone();
                if self.healed || !rng.percent(10) {
                    self.answers.remove(at);
                }
                Some(answer)
            }
            2 if !self.hooks.is_empty() || !self.job_lines.is_empty() => self.job(rng),
            _ => {
                let busy: Vec<_> = self
                    .lines
                    .iter()
                    .filter(|(_, line)| !line.work.is_empty() || !line.tells.is_empty())
                    .map(|(id, _)| id.clone())
                    .collect();
                let id = rng.pick(&busy)?.clone();
                self.instance(&id, rng)
            }
        }
    }

    /// One hook goes on by one event.
    fn job(&mut self, rng: &mut Rng) -> Option<Input> {
        let busy: Vec<_> = self
            .job_lines
            .iter()
            .filter(|(id, line)| {
                let runs = self.hooks.get(*id).is_some_and(|hook| hook.ended.is_none());
                runs || !line.work.is_empty() || !line.tells.is_empty()
            })
            .map(|(id, _)| id.clone())
            .collect();
        let id = rng.pick(&busy)?.clone();
        let line = self.job_lines.get_mut(&id)?;
        if !line.tells.is_empty() && (line.work.is_empty() || rng.percent(60)) {
            let event = line.tells.pop_front()?;
            return Some(Input::Job { id, event });
        }
        match line.work.pop_front() {
            Some(JobWork::Run(launch)) => self.run_hook(&id, *launch, rng),
            Some(JobWork::End) => {
                if let Some(hook) = self.hooks.remove(&id).filter(|hook| hook.ended.is_none()) {
                    self.left_half_way(&hook.launch);
                }
                self.job_lines.get_mut(&id)?.tells.push_back(JobEvent::Gone);
            }
            None => {
                let how = match rng.below(20) {
                    _ if self.healed => JobEnd::Exited(0),
                    0..=12 => JobEnd::Exited(0),
                    13..=14 => JobEnd::Exited(75),
                    15 => JobEnd::Killed(9),
                    16 => JobEnd::TimedOut,
                    17 => JobEnd::Lost,
                    _ => JobEnd::Exited(1),
                };
                self.end_hook(&id, how);
            }
        }
        None
    }

    fn end_hook(&mut self, id: &str, how: JobEnd) {
        let Some(hook) = self.hooks.get_mut(id).filter(|hook| hook.ended.is_none()) else { return };
        hook.ended = Some(how.clone());
        let launch = hook.launch.clone();
        let data = (launch.slot.clone(), launch.hook.clone());
        if how != JobEnd::Exited(0) {
            self.left_half_way(&launch);
        } else if launch.hook.starts_with("migration") {
            if launch.run.first().is_some_and(|word| word == "back") {
                self.data.remove(&data);
            } else {
                self.data.insert(data);
            }
        }
        let line = self.job_lines.entry(id.to_owned()).or_default();
        line.tells.push_back(JobEvent::Ended { how, output: vec!["said".to_owned()], cause: None });
    }

    fn run_hook(&mut self, id: &str, launch: JobLaunch, rng: &mut Rng) {
        if let Some(hook) = self.hooks.get(id) {
            if let Some(how) = hook.ended.clone() {
                let line = self.job_lines.entry(id.to_owned()).or_default();
                line.tells.push_back(JobEvent::Ended { how, output: Vec::new(), cause: None });
            }
            return;
        }
        if !self.healed && rng.percent(3) {
            let how = JobEnd::NotStarted("no such command".to_owned());
            self.job_lines.entry(id.to_owned()).or_default().tells.push_back(JobEvent::Ended {
                how,
                output: Vec::new(),
                cause: None,
            });
            return;
        }
        if !self.begun.insert(id.to_owned()) {
            self.faults.push(format!("invariant 5: {id} is begun a second time"));
        }
        let migration = launch.hook.starts_with("migration");
        let data = (launch.slot.clone(), launch.hook.clone());
        let back = launch.run.first().is_some_and(|word| word == "back");
        if migration && back != self.data.contains(&data) {
            let (what, there) = if back { ("taken back", "not there") } else { ("run", "there") };
            self.faults.push(format!("invariant 12: {} is {what} though its data is {there}", launch.hook));
        }
        if migration && self.half.contains(&data) {
            self.faults.push(format!("invariant 12: {} is begun half way", launch.hook));
        }
        let same = |hook: &&Hook| hook.ended.is_none() && hook.launch.slot == launch.slot;
        if (migration || launch.hook == "clock")
            && self.hooks.values().filter(same).any(|hook| hook.launch.hook == launch.hook)
        {
            self.faults.push(format!("invariant 5: {} runs twice at once", launch.hook));
        }
        self.hooks.insert(id.to_owned(), Hook { launch, ended: None });
    }

    /// How far it came nobody knows.
    fn left_half_way(&mut self, launch: &JobLaunch) {
        if launch.hook.starts_with("migration") {
            self.half.insert((launch.slot.clone(), launch.hook.clone()));
        }
    }

    /// A person has brought a migration's data to where they say it is.
    pub fn put_right(&mut self, data: (SlotKey, String), applied: bool) {
        self.half.remove(&data);
        if applied {
            self.data.insert(data);
        } else {
            self.data.remove(&data);
        }
    }

    /// Nothing of a hook runs.
    pub fn no_hook_runs(&self) -> bool {
        self.hooks.values().all(|hook| hook.ended.is_some())
    }

    /// Every process of the machine dies with it; routes are on disk.
    pub fn reboot(&mut self) {
        self.processes.clear();
        for hook in self.hooks.values_mut().filter(|hook| hook.ended.is_none()) {
            hook.ended = Some(JobEnd::Lost);
            if hook.launch.hook.starts_with("migration") {
                self.half.insert((hook.launch.slot.clone(), hook.launch.hook.clone()));
            }
        }
    }

    /// A machine where nothing is left but the data, which is as it was last; the proxy is told what the
    /// restored state says.
    pub fn new_machine(&mut self, state: &State) {
        self.reboot();
        self.hooks.clear();
        self.begun.clear();
        self.answers.clear();
        self.proxy.clear();
        self.previews.clear();
        for slot in state.slots.values() {
            let told = [(&slot.routing, &mut self.proxy), (&slot.preview, &mut self.previews)];
            for (routing, listeners) in told {
                if let Some(acked) = &routing.acked {
                    let listener = Listener { version: acked.version, route: acked.route.clone() };
                    listeners.insert(slot.key.clone(), listener);
                }
            }
        }
        self.restart(state);
    }

    fn instance(&mut self, id: &str, rng: &mut Rng) -> Option<Input> {
        let line = self.lines.get_mut(id)?;
        if !line.tells.is_empty() && (line.work.is_empty() || rng.percent(60)) {
            let event = line.tells.pop_front()?;
            return Some(Input::Instance { id: id.to_owned(), event });
        }
        match line.work.pop_front()? {
            Work::Start(launch) => self.start(&launch, rng),
            Work::Stop => {
                self.check_stop(id);
                self.processes.remove(id);
                self.lines.get_mut(id)?.tells.push_back(InstanceEvent::Stopped);
            }
        }
        None
    }

    fn check_stop(&mut self, id: &str) {
        let listeners = self.proxy.values().chain(self.previews.values());
        let routed = listeners.filter_map(|of| of.route.as_ref()).flat_map(|route| &route.pools);
        if routed.flat_map(|pool| &pool.endpoints).any(|endpoint| endpoint.instance == id) {
            self.faults.push(format!("invariant 2: {id} is stopped while the proxy may send it requests"));
        }
    }

    fn start(&mut self, launch: &Launch, rng: &mut Rng) {
        let id = launch.instance.clone();
        if let Some(process) = self.processes.get(&id)
            && process.attempt != launch.attempt
        {
            self.faults.push(format!("invariant 5: {id} is started again while it runs"));
        }
        let line = self.lines.entry(id.clone()).or_default();
        let number = id.rsplit('-').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        if let Some(process) = self.processes.get(&id) {
            line.tells.push_back(InstanceEvent::Started {
                pid: process.pid,
                address: address(number),
                limits: Vec::new(),
            });
            if process.ready {
                line.tells.push_back(InstanceEvent::Ready);
            }
            return;
        }
        let version = launch.version.as_str();
        if !self.healed && (version == "1.4" && rng.percent(50) || rng.percent(3)) {
            let permanent = version == "1.4" && rng.percent(50);
            line.tells.push_back(InstanceEvent::StartFailed {
                why: "no such command".to_owned(),
                permanent,
                diagnosis: None,
            });
            return;
        }
        self.pids += 1;
        line.tells.push_back(InstanceEvent::Started { pid: self.pids, address: address(number), limits: Vec::new() });
        let bad = !self.healed && (version == "1.3" && rng.percent(70) || rng.percent(5));
        if bad && rng.percent(50) {
            line.tells.push_back(InstanceEvent::Exited { why: "exit status 3".to_owned(), diagnosis: None });
            return;
        }
        line.tells.push_back(if bad {
            InstanceEvent::Unhealthy { why: "HTTP 500".to_owned(), diagnosis: None }
        } else {
            InstanceEvent::Ready
        });
        self.processes.insert(id, Process { attempt: launch.attempt, pid: self.pids, ready: !bad });
    }

    fn route(&mut self, (slot, preview): (SlotKey, bool), version: u64, route: Option<Route>, rng: &mut Rng) {
        let listeners = if preview { &mut self.previews } else { &mut self.proxy };
        let now = listeners.get(&slot).map_or(0, |of| of.version);
        let same = listeners.get(&slot).is_some_and(|of| of.version == version && of.route == route);
        if version <= now && !same {
            let (why, newer) = ("a newer route is in force".to_owned(), Some(now));
            self.answers.push(Input::RouteRefused { slot, preview, version, newer, why });
            return;
        }
        if !same && !self.healed && rng.percent(2) {
            let why = "address in use".to_owned();
            self.answers.push(Input::RouteRefused { slot, preview, version, newer: None, why });
            return;
        }
        listeners.insert(slot.clone(), Listener { version, route });
        self.answers.push(Input::RouteAcked { slot, preview, version, lacking: None });
    }

    /// A lowering route is carried out though the journal could not commit.
    pub fn lower_now(&mut self, effect: &Effect) {
        if let Effect::Route { slot, route, lowers_exposure: true } = effect
            && self.proxy.get(slot).is_some_and(|of| of.version < route.version)
        {
            self.proxy.insert(slot.clone(), Listener { version: route.version, route: Some(route.clone()) });
        }
    }

    /// A process dies, or one answers its checks differently.
    pub fn fail_one(&mut self, rng: &mut Rng) {
        // What is about to be started again is left alone: a runtime carries out what is pending first.
        let calm = |id: &InstanceId| self.lines.get(id).is_none_or(|line| line.work.is_empty());
        let ids: Vec<_> = self.processes.keys().filter(|id| calm(id)).cloned().collect();
        let Some(id) = rng.pick(&ids) else { return };
        let line = self.lines.entry(id.clone()).or_default();
        match rng.below(3) {
            0 => {
                self.processes.remove(id);
                line.tells.push_back(InstanceEvent::Exited { why: "killed by signal 9".to_owned(), diagnosis: None });
            }
            1 => {
                self.processes.get_mut(id).unwrap().ready = false;
                line.tells.push_back(InstanceEvent::Unhealthy { why: "timeout".to_owned(), diagnosis: None });
            }
            _ => {
                self.processes.get_mut(id).unwrap().ready = true;
                line.tells.push_back(InstanceEvent::Ready);
            }
        }
    }

    /// Leases lapse on every leased route: the proxy is on stable, and tells so.
    pub fn lapse(&mut self, now: Timestamp) {
        for (slot, listener) in &mut self.proxy {
            let Some(route) = &mut listener.route else { continue };
            let Some(fallback) = route.fallback.clone() else { continue };
            for pool in &mut route.pools {
                pool.weight = if pool.pool == fallback { Ppm::ALL } else { Ppm::ZERO };
            }
            let input = Input::LeaseLapsed { slot: slot.clone(), version: listener.version, at: now };
            self.answers.push(input);
        }
    }

    /// The server died: what was under way is lost; processes and routes are not. The new one
    /// carries out what is pending and adopts what runs.
    pub fn restart(&mut self, state: &State) {
        self.lines.clear();
        self.job_lines.clear();
        self.routes.clear();
        let lapsed = |input: &Input| matches!(input, Input::LeaseLapsed { .. });
        self.answers.retain(lapsed);
        for id in self.hooks.keys() {
            self.job_lines.entry(id.clone()).or_default();
        }
        for numbered in pending(state) {
            self.take(&numbered.effect);
        }
        let records =
            state.slots.values().flat_map(|slot| slot.pools.values()).flat_map(|pool| pool.instances.values());
        let mut known = Vec::new();
        for record in records {
            known.push(record.id.clone());
            let line = self.lines.entry(record.id.clone()).or_default();
            if !line.work.is_empty() || matches!(record.stage, InstanceStage::BackingOff { .. }) {
                continue;
            }
            let number = record.id.rsplit('-').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            match self.processes.get(&record.id) {
                Some(process) => {
                    line.tells.push_back(InstanceEvent::Started {
                        pid: process.pid,
                        address: address(number),
                        limits: Vec::new(),
                    });
                    if process.ready {
                        line.tells.push_back(InstanceEvent::Ready);
                    }
                }
                None => line
                    .tells
                    .push_back(InstanceEvent::Exited { why: "gone while nobody looked".to_owned(), diagnosis: None }),
            }
        }
        for id in self.processes.keys().filter(|id| !known.contains(id)) {
            self.faults.push(format!("invariant 5: {id} runs and nobody knows it after a crash"));
        }
    }

    /// From now on nothing fails, and what is unwell recovers.
    pub fn heal(&mut self) {
        self.healed = true;
        let ids: Vec<_> = self.processes.iter().filter(|(_, of)| !of.ready).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.processes.get_mut(&id).unwrap().ready = true;
            self.lines.entry(id).or_default().tells.push_back(InstanceEvent::Ready);
        }
    }
}
