//! A world around the core that does what it is told, at once and without faults, and the words to
//! tell a story with.

use flightdeck::engine::core::{
    Apply, Effect, Input, InstanceEvent, InstanceId, JobEnd, JobEvent, JobId, JobLaunch, Launch, Numbered, Outcome,
    PoolWindow, Progress, Slot, SlotKey, State, project, step,
};
use flightdeck::engine::proxy::wire::Route;
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

pub fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

pub fn address(n: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(20_000 + n % 40_000).unwrap()))
}

pub fn actor(name: &str) -> Actor {
    Actor { name: name.to_owned(), uid: Some(1000), roles: vec!["users".to_owned()] }
}

pub fn key(service: &str, environment: &str) -> SlotKey {
    SlotKey { service: service.into(), environment: environment.into() }
}

pub fn limit(metric: Metric, max: f64) -> MetricLimit {
    MetricLimit { metric, max: Some(max), over_stable: None, ratio_to_stable: None }
}

pub fn golden(missing: Missing) -> AnalysisTemplate {
    AnalysisTemplate {
        limits: vec![limit(Metric::ErrorRate, 0.01)],
        min_requests: 50,
        missing,
        window: seconds(10),
        judge: Judge::Sequential,
    }
}

pub fn canary_steps() -> Vec<Step> {
    vec![
        Step::SetWeight(Ppm::percent(10)),
        Step::Pause { duration: None },
        Step::SetWeight(Ppm::percent(50)),
        Step::Pause { duration: Some(seconds(5)) },
    ]
}

pub fn placement(listen: u64, steps: &[Step]) -> Placement {
    Placement {
        listen: Some(address(listen)),
        replicas: 3,
        progress_deadline: seconds(60),
        keep_warm: seconds(120),
        concurrency: Concurrency::Supersede,
        steps: steps.to_vec().into(),
        background_analysis: None,
        strategy: Strategy::Canary,
        preview: None,
        sticky: None,
        hooks: std::sync::Arc::default(),
        jobs: BTreeMap::new(),
        rto: None,
        overrides: Overrides::default(),
        connections: Connections::default(),
        ingress: Ingress::default(),
    }
}

pub fn service(placements: BTreeMap<EnvironmentName, Placement>) -> ServiceSpec {
    ServiceSpec {
        kind: ServiceKind::Http,
        run: vec!["bin/app".to_owned()],
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        health: HealthSpec {
            probe: Probe::Http { path: "/healthz".to_owned() },
            interval: seconds(1),
            healthy: 2,
            unhealthy: 3,
            timeout: seconds(1),
        },
        stop: StopSpec { signal: "TERM".to_owned(), grace: seconds(10) },
        run_as: None,
        limits: Limits::default(),
        depends_on: Vec::new(),
        connections: Connections::default(),
        renamed_from: None,
        placements,
    }
}

pub fn environment(order: u32) -> EnvironmentSpec {
    EnvironmentSpec {
        only_named: false,
        order,
        tier: Tier::Standard,
        concurrent_rollouts: None,
        allow_self: false,
        promote_from: None,
        soak: SignedDuration::ZERO,
    }
}

pub fn spec(steps: &[Step]) -> Spec {
    let mut spec = Spec::default();
    spec.environments.insert("staging".into(), environment(1));
    spec.environments.insert("production".into(), environment(2));
    let placements =
        [("staging".into(), placement(1, &[])), ("production".into(), placement(2, steps))].into_iter().collect();
    spec.services.insert("shop".into(), service(placements));
    spec.analyses.insert("golden".to_owned(), golden(Missing::Pause));
    spec
}

pub fn release(service: &str, version: &str) -> Release {
    Release {
        source: "local".into(),
        service: service.into(),
        version: version.into(),
        artifacts: vec![ArtifactRef { digest: format!("sha256:{service}-{version}"), size: 1 }],
        commit: None,
        commit_at: None,
        pipeline_run: None,
        author: "ann".to_owned(),
        added: Timestamp::UNIX_EPOCH,
        migrations: None,
    }
}

/// The core with a world that carries out each effect at once, unless told otherwise.
pub struct Story {
    pub state: State,
    pub now: Timestamp,
    /// Effects that are not carried out until `flush`.
    pub held_back: Vec<Numbered>,
    /// Carry out routes at once?
    pub routes: bool,
    /// Carry out stops at once?
    pub stops: bool,
    /// Make instances ready at once?
    pub ready: bool,
    /// Routes in force.
    pub proxy: BTreeMap<String, Route>,
    pub running: BTreeSet<InstanceId>,
    pub started: Vec<InstanceId>,
    /// With what instances and hooks were started, oldest first.
    pub launches: Vec<Launch>,
    pub jobs_run: Vec<JobLaunch>,
    /// Rollouts that ended, oldest first.
    pub ended: Vec<RolloutRecord>,
    /// How the next runs of a hook end; without an entry they succeed.
    pub ends: BTreeMap<String, Vec<JobEnd>>,
    /// Hooks that do not end before `end_hook`.
    pub hanging: BTreeSet<String>,
    /// What was run: hook, program and version.
    pub ran: Vec<String>,
    pub jobs: BTreeMap<String, JobId>,
    /// The most instances of production that ran at once, and the fewest that served.
    pub most: usize,
    pub fewest: usize,
    /// Why the next commands are asked for.
    pub reason: Option<String>,
    commands: u64,
}

/// A version of a service for an environment, as `deploy` names it.
pub fn deployment(service: &str, environment: &str, version: &str) -> Subject {
    Subject::NewRollout {
        source: "local".into(),
        service: service.into(),
        environment: environment.into(),
        version: Some(version.into()),
        from: None,
    }
}

impl Story {
    pub fn new(spec: Spec) -> Story {
        let mut story = Story {
            state: State::new("local".into()),
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            held_back: Vec::new(),
            reason: None,
            routes: true,
            stops: true,
            ready: true,
            proxy: BTreeMap::new(),
            running: BTreeSet::new(),
            started: Vec::new(),
            launches: Vec::new(),
            jobs_run: Vec::new(),
            ended: Vec::new(),
            ends: BTreeMap::new(),
            hanging: BTreeSet::new(),
            ran: Vec::new(),
            jobs: BTreeMap::new(),
            most: 0,
            fewest: usize::MAX,
            commands: 0,
        };
        story.apply(spec).unwrap();
        for version in ["1.0", "1.1", "1.2", "1.3"] {
            story.input(&Input::ReleaseAdded(release("shop", version)));
        }
        story
    }

    /// With 1.0 serving everywhere.
    pub fn serving(spec: Spec) -> Story {
        let mut story = Story::new(spec);
        for environment in ["staging", "production"] {
            story.deploy(environment, "1.0").unwrap();
            story.agree();
        }
        assert_eq!(story.row().phase, Phase::Healthy);
        story
    }

    pub fn apply(&mut self, spec: Spec) -> Result<(), Refusal> {
        let gone = self.state.slots.keys().filter(|key| !has(&spec, key));
        let remove = gone.map(|key| ServicePlace::of(&key.to_string())).collect();
        self.apply_with(spec, remove)
    }

    /// With what is named to be removed.
    pub fn apply_with(&mut self, spec: Spec, remove: Vec<ServicePlace>) -> Result<(), Refusal> {
        self.input(&applied(spec, remove)).refused.map_or(Ok(()), Err)
    }

    pub fn input(&mut self, input: &Input) -> Outcome {
        let outcome = step(&mut self.state, input, self.now);
        let serving: BTreeSet<_> = self
            .proxy
            .get("shop@production")
            .into_iter()
            .flat_map(|route| &route.pools)
            .filter(|pool| pool.weight > Ppm::ZERO)
            .flat_map(|pool| pool.endpoints.iter().map(|endpoint| endpoint.instance.clone()))
            .collect();
        self.most = self.most.max(self.running.iter().filter(|id| id.starts_with("shop-production")).count());
        self.fewest = self.fewest.min(serving.len());
        self.ended.extend(outcome.ended.iter().cloned());
        for effect in &outcome.effects {
            let held = match &effect.effect {
                Effect::Route { .. } | Effect::Unroute { .. } => !self.routes,
                Effect::Stop { .. } => !self.stops,
                _ => false,
            };
            if held {
                self.held_back.push(effect.clone());
            } else {
                self.carry_out(&effect.effect);
            }
        }
        outcome
    }

    pub fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Start(launch) => {
                let id = launch.instance.clone();
                self.running.insert(id.clone());
                self.started.push(id.clone());
                self.launches.push((**launch).clone());
                let number = id.rsplit('-').next().unwrap().parse::<u64>().unwrap();
                self.event(&id, InstanceEvent::Started { pid: 7, address: address(number), limits: Vec::new() });
                if self.ready {
                    self.event(&id, InstanceEvent::Ready);
                }
            }
            Effect::Stop { instance, .. } => {
                let routed = self.proxy.values().flat_map(|route| &route.pools).flat_map(|pool| &pool.endpoints);
                assert!(!routed.into_iter().any(|of| of.instance == *instance), "{instance} is stopped while routed");
                self.running.remove(instance);
                self.event(&instance.clone(), InstanceEvent::Stopped);
            }
            // As the proxy does: what is older than the route in force is not followed.
            Effect::Route { route, .. }
                if self.proxy.get(&route.listener).is_some_and(|of| of.version > route.version) => {}
            Effect::Route { slot, route, .. } => {
                self.proxy.insert(route.listener.clone(), route.clone());
                let preview = route.listener.ends_with("!preview");
                self.input(&Input::RouteAcked { slot: slot.clone(), preview, version: route.version, lacking: None });
            }
            Effect::Unroute { slot, version, preview, .. } => {
                self.proxy.remove(&effect.listener().unwrap().0);
                self.input(&Input::RouteAcked {
                    slot: slot.clone(),
                    preview: *preview,
                    version: *version,
                    lacking: None,
                });
            }
            Effect::StartJob(launch) => {
                self.jobs_run.push((**launch).clone());
                self.ran.push(format!("{} {} {}", launch.hook, launch.run.join(" "), launch.version));
                self.jobs.insert(launch.hook.clone(), launch.job.clone());
                if !self.hanging.contains(&launch.hook) {
                    let ends = self.ends.entry(launch.hook.clone()).or_default();
                    let how = if ends.is_empty() { JobEnd::Exited(0) } else { ends.remove(0) };
                    self.end_hook(&launch.hook, how);
                }
            }
            Effect::StopJob { job, .. } => {
                let (id, how) = (job.clone(), JobEnd::Killed(15));
                self.input(&Input::Job { id, event: JobEvent::Ended { how, output: Vec::new(), cause: None } });
            }
            Effect::EndJob { job } => {
                self.input(&Input::Job { id: job.clone(), event: JobEvent::Gone });
            }
        }
    }

    /// The newest run of a hook ends.
    pub fn end_hook(&mut self, hook: &str, how: JobEnd) {
        let id = self.jobs[hook].clone();
        self.input(&Input::Job {
            id,
            event: JobEvent::Ended { how, output: vec!["its last line".to_owned()], cause: None },
        });
    }

    /// Carries out what was held back.
    pub fn flush(&mut self) {
        for effect in std::mem::take(&mut self.held_back) {
            self.carry_out(&effect.effect);
        }
    }

    pub fn event(&mut self, id: &str, event: InstanceEvent) {
        self.input(&Input::Instance { id: id.to_owned(), event });
    }

    /// Lets time pass in ticks of a second.
    pub fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += SignedDuration::from_secs(1);
            self.input(&Input::Tick);
        }
    }

    /// Lets time pass, with so many requests and errors at the candidate each second.
    pub fn pass_with(&mut self, seconds: i64, requests: u64, errors: u64) {
        for _ in 0..seconds {
            let slot = self.slot();
            let window = |pool: &Option<String>, requests, errors| {
                let latency = Histogram::default();
                pool.clone().map(|pool| PoolWindow { pool, requests, errors, latency })
            };
            let pools =
                [window(&slot.stable, 1000, 1), window(&slot.candidate, requests, errors)].into_iter().flatten();
            let input = Input::Window { slot: slot.key.clone(), pools: pools.collect(), window_ms: 1000 };
            self.input(&input);
            self.pass(1);
        }
    }

    pub fn command_as(
        &mut self,
        who: &str,
        action: Action,
        subject: Subject,
        pin: Option<Pin>,
    ) -> Result<Outcome, Refusal> {
        self.commands += 1;
        let id = CommandId::from(format!("c-{}", self.commands));
        let command = Command { id, action, subject, pin, reason: self.reason.clone() };
        let outcome = self.input(&Input::Command { command, actor: actor(who), decided: self.now });
        match outcome.refused {
            Some(refusal) => Err(refusal),
            None => Ok(outcome),
        }
    }

    pub fn deploy(&mut self, environment: &str, version: &str) -> Result<Outcome, Refusal> {
        self.command_as("ann", Action::Deploy, deployment("shop", environment, version), None)
    }

    /// Does it to the row that is shown for production.
    pub fn act(&mut self, action: Action) -> Result<Outcome, Refusal> {
        let run = self.row().run;
        self.command_as("bob", action, Subject::Run(run), None)
    }

    /// Two people say yes to whatever asks for it.
    fn agree(&mut self) {
        let asked = self.state.approvals.iter().map(|asked| asked.approval.clone());
        let pending: Vec<_> = asked.filter(|of| of.state == ApprovalState::Pending).collect();
        for approval in pending {
            for who in ["bob", "eve"].into_iter().take(approval.requirement.count as usize) {
                let subject = Subject::Approval { id: approval.id.clone(), run: approval.run.clone() };
                self.command_as(who, Action::Approve, subject, None).unwrap();
            }
        }
    }

    pub fn vote(&mut self, who: &str, action: Action) -> Result<Outcome, Refusal> {
        let approval = self.approval();
        let subject = Subject::Approval { id: approval.id, run: approval.run };
        self.command_as(who, action, subject, None)
    }

    pub fn approval(&self) -> Approval {
        self.rows()
            .into_iter()
            .rev()
            .find_map(|row| if let Entity::Approval(of) = row { Some(*of) } else { None })
            .unwrap()
    }

    pub fn hold(&mut self, who: &str) -> HoldId {
        let subject = Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None };
        let outcome = self.command_as(who, Action::Hold, subject, None).unwrap();
        HoldId::from(outcome.note.unwrap())
    }

    pub fn release_hold(&mut self, id: &HoldId) -> Result<Outcome, Refusal> {
        self.command_as(
            "bob",
            Action::ReleaseHold,
            Subject::Hold { source: Some("local".into()), id: id.clone() },
            None,
        )
    }

    pub fn rows(&self) -> Vec<Entity> {
        project(&self.state, self.now)
    }

    pub fn row_of(&self, environment: &str) -> Rollout {
        let mut rows = self.rows().into_iter();
        rows.find_map(|row| match row {
            Entity::Rollout(of) if of.environment.as_str() == environment && of.service.as_str() == "shop" => {
                Some(std::sync::Arc::unwrap_or_clone(of))
            }
            _ => None,
        })
        .unwrap()
    }

    pub fn row(&self) -> Rollout {
        self.row_of("production")
    }

    pub fn slot(&self) -> Slot {
        (*self.state.slots[&key("shop", "production")]).clone()
    }

    pub fn progress(&self) -> Progress {
        self.slot().run.unwrap().progress
    }

    /// The versions that the proxy sends production's requests to, with their weights in percent.
    pub fn traffic(&self) -> Vec<(String, u32)> {
        let Some(route) = self.proxy.get("shop@production") else { return Vec::new() };
        let pools = route.pools.iter().filter(|pool| pool.weight > Ppm::ZERO);
        pools.map(|pool| (pool.version.to_string(), pool.weight.0 / 10_000)).collect()
    }

    /// Instances of a version in production that are ready.
    pub fn ready_of(&self, version: &str) -> Vec<InstanceId> {
        let slot = self.slot();
        let pools = slot.pools.values().filter(|pool| pool.release.version.as_str() == version);
        pools
            .flat_map(|pool| pool.instances.values())
            .filter(|of| of.stage == flightdeck::engine::core::InstanceStage::Ready && !of.leaving)
            .map(|of| of.id.clone())
            .collect()
    }
}

/// Is it configured there?
pub fn has(spec: &Spec, key: &SlotKey) -> bool {
    spec.services.get(&key.service).is_some_and(|of| of.placements.contains_key(&key.environment))
}

/// A configuration to put into force.
pub fn applied(spec: Spec, remove: Vec<ServicePlace>) -> Input {
    let (text, path) = ("# as in the test".to_owned(), "/x/flightdeck.toml".to_owned());
    let (digest, actor, reason) = ("sha256:c".to_owned(), actor("ann"), None);
    Input::Apply(Box::new(Apply { spec, text, path, digest, actor, reason, remove }))
}
