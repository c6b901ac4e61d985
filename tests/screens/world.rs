//! A small world built by hand: three servers, three environments, rollouts in every state. It is
//! told to the cockpit in the same events that servers send.

use flightdeck::cockpit::app::{ConnectionState, Effect, Event, Keymap, Settings, State, update};
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// 21 November 2026, 12:00:00 UTC.
pub fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

pub fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn ahead(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

pub fn empty(columns: u16, rows: u16) -> State {
    let settings = Settings {
        keymap: Keymap::built_in().unwrap(),
        theme: "dark".into(),
        themes: vec!["dark".into(), "light".into()],
        session: "test".into(),
        read_only: false,
        found: Vec::new(),
        optional: Vec::new(),
        watched: Vec::new(),
    };
    let mut state = State::new(columns, rows, settings);
    state.now = now();
    state
}

pub fn tell(state: &mut State, event: Event) {
    drop(effects_of(state, event));
}

/// The same with what the shell has to do then.
pub fn effects_of(state: &mut State, event: Event) -> Vec<Effect> {
    // Time stands still here: each key is one by itself all the same.
    state.typing = flightdeck::cockpit::app::state::Typing::default();
    update(state, event, now())
}

pub fn press(state: &mut State, keys: &str) {
    for key in keys.split(' ') {
        tell(state, Event::Key(key.into()));
    }
}

pub fn connect(state: &mut State, id: usize, name: &str, up: bool) {
    let actor = Actor { name: "alice".into(), uid: Some(1000), roles: vec!["sre".into()] };
    let new = if up {
        ConnectionState::Up { actor, enforced: true }
    } else {
        ConnectionState::Down { why: "connection refused".into(), heard: None }
    };
    tell(state, Event::Connection { id, name: name.into(), state: new });
}

/// Sends updates of one source, as its server would.
pub struct Hub {
    pub id: usize,
    pub source: &'static str,
    seq: u64,
}

impl Hub {
    pub fn new(id: usize, source: &'static str) -> Hub {
        Hub { id, source, seq: 0 }
    }

    /// One that told something before.
    pub fn again(id: usize, source: &'static str, seq: u64) -> Hub {
        Hub { id, source, seq }
    }

    pub fn send(&mut self, state: &mut State, body: Body) {
        self.send_of(state, "", body);
    }

    /// Of one of its watches.
    pub fn send_of(&mut self, state: &mut State, part: &str, body: Body) {
        self.seq += 1;
        let scope = Scope { source: self.source.into(), part: part.to_owned() };
        let envelope = Envelope {
            hub: format!("hub-{}", self.source).into(),
            epoch: 1,
            seq: self.seq,
            at: now(),
            scoped: Scoped { scope, body },
        };
        tell(state, Event::Update { id: self.id, envelope: Box::new(envelope) });
    }

    pub fn upsert(&mut self, state: &mut State, entity: Entity) {
        self.send(state, Body::Upsert(entity));
    }

    pub fn snapshot(&mut self, state: &mut State, entities: Vec<Entity>) {
        self.send(state, Body::SnapshotBegin);
        for entity in entities {
            self.upsert(state, entity);
        }
        self.send(state, Body::SnapshotEnd);
        self.send(state, Body::Link(LinkState::live(now())));
        tell(state, Event::Wake);
    }
}

pub fn target(source: &str, environment: &str, service: &str) -> Target {
    Target {
        source: source.into(),
        kind: "service".into(),
        namespace: Some(environment.into()),
        name: service.into(),
        uid: format!("{service}.{environment}"),
        first_name: None,
    }
}

pub fn environments(source: &str) -> Vec<Entity> {
    [("dev", 1, Tier::Low), ("staging", 2, Tier::Standard), ("production", 3, Tier::Critical)]
        .map(|(name, order, tier)| {
            Entity::Environment(Environment {
                source: source.into(),
                name: name.into(),
                order,
                tier,
                allow_self: tier != Tier::Critical,
            })
        })
        .into()
}

fn steps() -> Arc<[Step]> {
    vec![
        Step::SetWeight(Ppm::percent(5)),
        Step::Pause { duration: Some(SignedDuration::from_secs(60)) },
        Step::SetWeight(Ppm::percent(25)),
        Step::Analysis { name: "slo".into(), duration: SignedDuration::from_secs(90) },
        Step::Approval { count: 1, from: vec!["sre".into()], expires: Some(SignedDuration::from_hours(4)) },
        Step::SetWeight(Ppm::ALL),
    ]
    .into()
}

fn arm(role: ArmRole, version: &str, share: Ppm, ready: u32) -> Arm {
    let digest: String = version.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat().repeat(16);
    Arm {
        role,
        version: version.into(),
        digest: Some(format!("sha256:{}", &digest[..64])),
        replicas: Replicas { ready, desired: 3 },
        traffic: Traffic { desired: share, actual: Some(share), how: TrafficSource::Acknowledged },
        pods: None,
        service: None,
    }
}

pub fn rollout(source: &str, service: &str, environment: &str, from: &str, to: &str, percent: u32) -> Rollout {
    let share = Ppm::percent(percent);
    let offers = [Action::Promote, Action::PromoteFull, Action::Pause, Action::Abort];
    let run = Run { target: target(source, environment, service), revision: "r-7".into() };
    Rollout {
        strategy: Strategy::Canary,
        steps: steps(),
        step: Some(2),
        arms: vec![arm(ArmRole::Stable, from, share.rest(), 3), arm(ArmRole::Candidate, to, share, 1)],
        phase: Phase::Progressing,
        message: "25 % goes to the candidate".into(),
        started: ago(750),
        author: Some("dana".into()),
        facts: Facts::default().with(Fact::Workload, service).with(Fact::Step, "2").with(Fact::Generation, "31"),
        offers: offers.into_iter().collect(),
        ..Rollout::bare(run, service.into(), environment.into(), ago(120))
    }
}

pub fn settled(source: &str, service: &str, environment: &str, version: &str) -> Rollout {
    let mut rollout = rollout(source, service, environment, version, version, 0);
    rollout.arms = vec![arm(ArmRole::Stable, version, Ppm::ALL, 3)];
    rollout.phase = Phase::Healthy;
    rollout.step = Some(6);
    rollout.since = ago(7200);
    rollout.started = ago(9000);
    rollout.message = "all traffic at 3 of 3 ready".into();
    rollout.offers = [Action::Rollback, Action::Restart].into_iter().collect();
    rollout
}

/// Samples of both arms, one a second: what happened in second `n` of a hundred and twenty.
pub fn samples(target: &Target, of: impl Fn(i64) -> [Option<(u64, u64, u32)>; 2]) -> Vec<ArmSample> {
    let mut samples = Vec::new();
    for second in 0..120 {
        for (role, what) in [ArmRole::Candidate, ArmRole::Stable].into_iter().zip(of(second)) {
            let Some((requests, errors, p95)) = what else { continue };
            let micros = |part: u32| (requests > 0).then_some(p95 * part * 10);
            samples.push(ArmSample {
                target: target.clone(),
                role,
                version: "1".into(),
                at: ago(119 - second),
                window_ms: 1000,
                requests,
                errors,
                p50_us: micros(40),
                p95_us: micros(100),
                p99_us: micros(150),
            });
        }
    }
    samples
}

fn failing(run: &Run) -> Evidence {
    let result =
        |name: &str, candidate, stable, (limit, max): (&str, f64), unit: &str, verdict, why: &str| MetricResult {
            name: name.into(),
            candidate: Some(candidate),
            stable: Some(stable),
            limit: limit.into(),
            max: Some(max),
            unit: unit.into(),
            verdict,
            why: why.into(),
        };
    Evidence {
        id: format!("e-{}", run.target.name),
        run: run.clone(),
        at: ago(8),
        kind: "analysis".into(),
        analysis: Some(AnalysisReport {
            template: "slo".into(),
            from: ago(38),
            to: ago(8),
            candidate_requests: 912,
            stable_requests: 2740,
            verdict: MetricVerdict::Fail,
            metrics: vec![
                result(
                    "error_rate",
                    0.041,
                    0.003,
                    ("at most 1 %", 0.01),
                    "ratio",
                    MetricVerdict::Fail,
                    "errors 4.1 % against 0.3 % at stable, limit 1 %",
                ),
                result(
                    "latency_p95",
                    212.0,
                    181.0,
                    ("at most 250 ms", 250.0),
                    "ms",
                    MetricVerdict::Pass,
                    "p95 212 ms against 181 ms at stable, at most 250 ms",
                ),
            ],
        }),
        summary: "slo fails: errors 4.1 % against 0.3 % at stable, limit 1 %".into(),
    }
}

fn note(run: &Run, id: &str, at: Timestamp, who: &str, text: &str) -> Entity {
    Entity::Note(noted(run, id, at, who, text, NoteKind::Event))
}

fn progress(run: &Run, id: &str, at: Timestamp, who: &str, text: &str) -> Entity {
    Entity::Note(noted(run, id, at, who, text, NoteKind::Progress))
}

fn noted(run: &Run, id: &str, at: Timestamp, who: &str, text: &str, kind: NoteKind) -> Note {
    Note { id: id.into(), run: run.clone(), at, who: who.into(), text: text.into(), kind }
}

pub fn instance(run: &Run, id: &str, role: ArmRole, version: &str, state: InstanceState, restarts: u32) -> Entity {
    Entity::Instance(Box::new(Instance {
        id: id.into(),
        target: run.target.clone(),
        role,
        version: version.into(),
        pid: Some(40_000 + u32::from(id.as_bytes().last().copied().unwrap())),
        address: Some("127.0.0.1:31007".into()),
        restarts,
        started: Some(ago(700)),
        logs: None,
        draining: None,
        state,
        limits: Vec::new(),
    }))
}

fn receipt(run: &Run, id: &str, action: Action, stages: Vec<(i64, Stage)>) -> Entity {
    let command = Command {
        id: id.into(),
        action,
        subject: Subject::Run(run.clone()),
        pin: None,
        reason: (action == Action::Pause).then(|| "looking at the error budget".into()),
    };
    Entity::Receipt(Box::new(Receipt {
        id: id.into(),
        command,
        actor: Actor { name: "bob".into(), uid: Some(1001), roles: Vec::new() },
        stages: stages
            .into_iter()
            .map(|(millis, stage)| StageRecord { stage, at: ago(400) + SignedDuration::from_millis(millis) })
            .collect(),
        forecast: None,
        grade: Some(Grade { as_forecast: true, text: "standing still within 1 s".into() }),
        targets: Vec::new(),
        sources: Vec::new(),
        created: None,
        left: None,
        outcome: None,
    }))
}

pub fn approval(run: &Run, service: &str, environment: &str, id: &str) -> Approval {
    let release =
        |version: &str, hex: &str| ReleaseRef { version: version.into(), digest: format!("sha256:{}", hex.repeat(16)) };
    Approval {
        id: id.into(),
        run: run.clone(),
        service: service.into(),
        environment: environment.into(),
        what: "step 5 of 6: then 100 % of traffic".into(),
        from: Some(release("2.3.1", "3fa9")),
        to: release("2.4.0", "b04e"),
        author: "dana".into(),
        requested: ago(730),
        expires: Some(ahead(13_670)),
        requirement: Requirement { count: 2, from: vec!["sre".into()], allow_self: false },
        reviewers: None,
        votes: vec![Vote {
            who: "bob".into(),
            verdict: Verdict::Approved,
            at: ago(300),
            reason: Some("budget is fine".into()),
        }],
        state: ApprovalState::Pending,
        behind: vec!["2.4.1 by erin".into(), "2.5.0 by dana".into()],
        facts: Facts::default().with(Fact::Approval, id),
    }
}

fn checkout() -> (Rollout, Vec<Entity>) {
    let mut checkout = rollout("local", "checkout", "production", "1.9.0", "1.10.0", 25);
    checkout.step = Some(3);
    checkout.waits = vec![Wait::Analysis { name: "slo".into(), until: Some(ahead(42)) }];
    checkout.message = "slo is judged at 25 %".into();
    checkout.arms[1].traffic.actual = Some(Ppm::percent(18));
    let run = checkout.run.clone();
    let more = vec![
        Entity::Evidence(Box::new(failing(&run))),
        note(&run, "n1", ago(750), "dana", "rollout of 1.10.0 began"),
        note(&run, "n2", ago(700), "system:engine", "candidate is ready: 1 of 1"),
        progress(&run, "n3", ago(690), "system:engine", "step 1 of 6: 5 % to the candidate, acknowledged by the proxy"),
        progress(&run, "n4", ago(400), "bob", "paused: looking at the error budget"),
        progress(&run, "n5", ago(310), "bob", "resumed"),
        progress(&run, "n6", ago(120), "system:engine", "step 3 of 6: 25 % to the candidate"),
        note(&run, "n7", ago(8), "system:analysis", "slo fails: errors 4.1 % against 0.3 % at stable, limit 1 %"),
        instance(&run, "i1", ArmRole::Stable, "1.9.0", InstanceState::Ready, 0),
        instance(&run, "i2", ArmRole::Stable, "1.9.0", InstanceState::Ready, 0),
        instance(&run, "i3", ArmRole::Stable, "1.9.0", InstanceState::Draining, 1),
        instance(&run, "i4", ArmRole::Candidate, "1.10.0", InstanceState::Ready, 0),
        instance(
            &run,
            "i5",
            ArmRole::Candidate,
            "1.10.0",
            InstanceState::BackingOff { why: "exit status 3".into() },
            4,
        ),
        receipt(
            &run,
            "c1",
            Action::Pause,
            vec![
                (0, Stage::Requested),
                (12, Stage::Accepted),
                (31, Stage::Observed),
                (
                    840,
                    Stage::Effective {
                        proof: Proof { text: "standing at step 2 of 6; route 41 unchanged at 5 %".into() },
                    },
                ),
            ],
        ),
    ];
    (checkout, more)
}

fn local_rollouts() -> Vec<Entity> {
    let (checkout, mut entities) = checkout();
    let mut payments = rollout("local", "payments", "production", "2.3.1", "2.4.0", 25);
    payments.step = Some(4);
    payments.phase = Phase::Paused;
    payments.waits = vec![Wait::Human { what: "approval by sre".into(), who: Some("sre".into()), since: ago(730) }];
    payments.since = ago(730);
    payments.message = "waits for 1 more yes by sre".into();
    let pending = approval(&payments.run, "payments", "production", "A-17");
    let mut old = approval(&payments.run, "payments", "production", "A-12");
    old.to.version = "2.3.9".into();
    old.state = ApprovalState::Superseded { by: "2.4.0, A-17".into() };
    old.requested = ago(9000);
    entities.push(Entity::Approval(Box::new(pending)));
    entities.push(Entity::Approval(Box::new(old)));

    let mut search = rollout("local", "search", "production", "3.0.4", "3.1.0", 10);
    search.step = Some(1);
    search.phase = Phase::Paused;
    search.waits = vec![Wait::Human { what: String::new(), who: Some("bob".into()), since: ago(1860) }];
    search.since = ago(1860);
    search.offers = [Action::Resume, Action::Abort].into_iter().collect();
    search.message = "paused by bob".into();

    let mut catalog = rollout("local", "catalog", "staging", "5.1", "5.2", 40);
    catalog.steps = steps()[2..5].into();
    catalog.step = Some(1);
    catalog.waits = vec![Wait::Analysis { name: "slo".into(), until: Some(ahead(60)) }];
    catalog.message = "slo is judged at 40 %".into();

    let mut cart = rollout("local", "cart", "staging", "0.8.0", "0.9.0", 50);
    cart.phase = Phase::RollingBack;
    cart.message = "p99 1210 ms against 240 ms at stable, limit 500 ms".into();
    cart.arms[1].traffic =
        Traffic { desired: Ppm::ZERO, actual: Some(Ppm::percent(50)), how: TrafficSource::Acknowledged };
    cart.since = ago(3);

    entities.extend([checkout, payments, search, catalog, cart].map(|row| Entity::Rollout(Arc::new(row))));
    let healthy = [("checkout", "1.10.0"), ("payments", "2.4.0"), ("search", "3.1.0"), ("inventory", "7.0.2")];
    entities.extend(healthy.map(|(name, version)| Entity::Rollout(Arc::new(settled("local", name, "dev", version)))));
    entities.push(Entity::Rollout(Arc::new(settled("local", "inventory", "production", "7.0.1"))));
    let mut failed = settled("local", "mailer", "staging", "1.4.0");
    failed.phase = Phase::Failed;
    failed.message = "1.5.0: no instance became ready within 2 m: GET /healthz answered 500".into();
    failed.offers = [Action::Retry].into_iter().collect();
    entities.push(Entity::Rollout(Arc::new(failed)));
    entities
}

/// Everything live, but one server lost.
pub fn live(columns: u16, rows: u16) -> State {
    let mut state = empty(columns, rows);
    connect(&mut state, 0, "local", true);
    connect(&mut state, 1, "prod-eu", true);
    let mut local = Hub::new(0, "local");
    let mut entities = environments("local");
    entities.extend(local_rollouts());
    local.snapshot(&mut state, entities);
    let mut eu = Hub::new(1, "prod-eu");
    let far = rollout("prod-eu", "recommendations-and-ranking", "production", "2026.11.20-rc1", "2026.11.21", 5);
    let mut entities = environments("prod-eu");
    entities.push(Entity::Rollout(Arc::new(far)));
    eu.snapshot(&mut state, entities);
    numbers(&mut state, &mut local);
    tell(&mut state, Event::Wake);
    state
}

fn numbers(state: &mut State, local: &mut Hub) {
    // Errors that grow since the share went up.
    local.send(
        state,
        Body::Samples(samples(&target("local", "production", "checkout"), |second| {
            let errors = if second > 60 { u64::try_from((second - 60) / 7).unwrap() } else { 0 };
            let late = u32::try_from(second % 9).unwrap();
            [Some((200, errors, 190 + late * 3)), Some((600, 2, 178 + late))]
        })),
    );
    local.send(
        state,
        Body::Samples(samples(&target("local", "production", "search"), |second| {
            [Some((30, 0, 91)), Some((280, u64::from(second % 40 == 0), 90))]
        })),
    );
    // A candidate that gets traffic now and then, and none of late.
    local.send(
        state,
        Body::Samples(samples(&target("local", "staging", "catalog"), |second| {
            let some = (80..90).contains(&second) || (100..108).contains(&second);
            [some.then_some((5, 0, 40)), Some((7, 0, 38))]
        })),
    );
    local.send(state, Body::Samples(samples(&target("local", "dev", "checkout"), |_| [None, Some((3, 0, 12))])));
}

/// As [`live`], then a server is lost for 41 s.
pub fn stale(columns: u16, rows: u16) -> State {
    let mut state = live(columns, rows);
    connect(&mut state, 1, "prod-eu", false);
    state.connections[1].since = ago(41);
    state
}

/// Ten thousand rollouts, told once.
pub fn crowd(columns: u16, rows: u16) -> State {
    static CROWD: std::sync::OnceLock<State> = std::sync::OnceLock::new();
    let told = CROWD.get_or_init(|| {
        let mut state = live(120, 36);
        connect(&mut state, 2, "big", true);
        let entities = (0..10_000).map(|n| {
            let mut row = rollout("big", &format!("svc-{n:05}"), "production", "1.0.0", "1.1.0", 1 + n % 99);
            if n % 3 != 0 {
                row = settled("big", &format!("svc-{n:05}"), "production", "1.1.0");
            }
            Entity::Rollout(Arc::new(row))
        });
        Hub::new(2, "big").snapshot(&mut state, entities.collect());
        state
    });
    let mut state = told.clone();
    tell(&mut state, Event::Resize { columns, rows });
    state
}

/// As [`live`], and the server of the first row is lost.
pub fn lost(columns: u16, rows: u16) -> State {
    let mut state = live(columns, rows);
    connect(&mut state, 0, "local", false);
    state.connections[0].since = ago(75);
    state
}

/// As [`live`], and one watch is not allowed.
pub fn denied(columns: u16, rows: u16) -> State {
    let mut state = live(columns, rows);
    let denied = LinkState::Denied { verb: "list".into(), resource: "rollouts in shop".into() };
    Hub::new(1, "prod-eu").send(&mut state, Body::Link(denied));
    tell(&mut state, Event::Wake);
    state
}

/// A hub in the cockpit's process over three contexts: one live, one not readable, one lost; and no
/// server.
pub fn contexts(columns: u16, rows: u16) -> State {
    let mut state = empty(columns, rows);
    state.settings.optional = vec![0];
    connect(&mut state, 0, "local", false);
    let actor = Actor { name: "alice".into(), uid: Some(1000), roles: Vec::new() };
    let up = ConnectionState::Up { actor, enforced: false };
    tell(&mut state, Event::Connection { id: 1, name: "prod-eu, prod-us, stage".into(), state: up });
    let mut seq = 0;
    for source in ["prod-eu", "prod-us", "stage"] {
        let row = rollout(source, "checkout", source, "1.9.0", "1.10.0", 25);
        let link = match source {
            "prod-eu" => LinkState::live(now()),
            "prod-us" => LinkState::Denied { verb: "list".into(), resource: "rollouts in shop".into() },
            _ => LinkState::stale(ago(41), "connection refused".into()),
        };
        let mut bodies = vec![Body::SnapshotBegin];
        if source != "prod-us" {
            bodies.push(Body::Upsert(Entity::Rollout(Arc::new(row))));
        }
        for body in bodies.into_iter().chain([Body::SnapshotEnd, Body::Link(link)]) {
            seq += 1;
            let scope = Scope { source: source.into(), part: "rollouts".into() };
            let (hub, scoped) = ("hub-own".into(), Scoped { scope, body });
            let envelope = Box::new(Envelope { hub, epoch: 1, seq, at: now(), scoped });
            tell(&mut state, Event::Update { id: 1, envelope });
        }
    }
    tell(&mut state, Event::Wake);
    state
}

/// As [`live`], and somebody holds the line.
pub fn held(columns: u16, rows: u16) -> State {
    let mut state = live(columns, rows);
    let mut row = rollout("local", "checkout", "production", "1.9.0", "1.10.0", 25);
    row.phase = Phase::Paused;
    row.waits = vec![Wait::Hold("H-3".into())];
    row.message = "held by H-3".into();
    let hold = Hold {
        id: "H-3".into(),
        source: "local".into(),
        selector: Selector { environment: Some("production".into()), ..Selector::default() },
        owner: "bob".into(),
        reason: Some("errors at the edge".into()),
        since: ago(240),
        targets: vec![HoldTarget { run: row.run.clone(), held: true, note: "paused at step 3".into(), undone: false }],
    };
    let mut local = Hub::new(0, "local");
    local.upsert(&mut state, Entity::Hold(hold));
    local.upsert(&mut state, Entity::Rollout(Arc::new(row)));
    tell(&mut state, Event::Wake);
    state
}

/// Presses a key and answers what it asks the server.
pub fn ask(state: &mut State, key: &str, answer: impl Fn(&Query) -> Reply) {
    let effects = effects_of(state, Event::Key(key.into()));
    for effect in effects {
        if let Effect::Ask { token, query, .. } = effect {
            tell(state, Event::Reply { token, reply: Ok(Box::new(answer(&query))) });
        }
    }
}

/// Says yes: it counts once it is clear that nothing follows it.
pub fn yes(state: &mut State) -> Vec<Effect> {
    drop(effects_of(state, Event::Key("y".into())));
    update(state, Event::Wake, now() + SignedDuration::from_millis(20))
}

/// Long enough after a confirmation opened that it takes keys.
pub fn later(state: &mut State) {
    if let Some(flightdeck::cockpit::app::state::Overlay::Dialog(dialog)) = &mut state.overlay {
        dialog.shown = Some(ago(2));
    }
}

/// What a server answers to the question before a confirmation.
pub fn prepared(query: &Query, friction: Friction) -> Reply {
    let Query::Prepare { action, subject } = query else { panic!("{query:?}") };
    let reduces = action.direction() == Direction::Reduces;
    let lines: &[&str] = if reduces {
        &["route: all traffic to 1.9.0, one switch of the proxy", "way back: retry starts from step 1"]
    } else {
        &[
            "route: 50 % of production to 1.10.0 (600 of 1200 requests/s)",
            "ahead: approval by sre, then 100 %",
            "way back: abort, all traffic to 1.9.0 at once",
        ]
    };
    let warnings = if reduces {
        vec!["stable 2 of 7 ready: it will carry 29 % of the traffic; the rest when scaled, about 40 s".to_owned()]
    } else {
        Vec::new()
    };
    Reply::Prepared(Box::new(Prepared {
        action: *action,
        subject: subject.clone(),
        decision: Decision::Allow { friction },
        direction: action.direction(),
        pin: Some(
            Facts::default()
                .with(Fact::Workload, "checkout")
                .with(Fact::Step, "2")
                .with(Fact::Generation, "31")
                .pin(*action),
        ),
        forecast: Forecast {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            warnings,
            step: Some(4),
            takes: Some(if reduces { SignedDuration::from_millis(11) } else { SignedDuration::from_secs(2) }),
            path: None,
            stale: None,
        },
    }))
}

pub fn detail(state: &State) -> Detail {
    let rollout = state.board.rollouts().find(|row| row.service.as_str() == "checkout").unwrap().clone();
    let raw = serde_json::json!({
        "service": "checkout", "environment": "production", "env": { "DATABASE_URL": "•••" },
        "steps": rollout.steps.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>(),
    });
    Detail {
        rollout,
        instances: Vec::new(),
        notes: Vec::new(),
        evidence: Vec::new(),
        receipts: Vec::new(),
        groups: vec![],
        analyses: vec![],
        history: vec![],
        gaps: vec![],
        raw,
    }
}

/// An instance's output with so many lines.
pub fn followed(columns: u16, rows: u16, lines: usize) -> State {
    let mut state = live(columns, rows);
    press(&mut state, "enter");
    let effects = effects_of(&mut state, Event::Key("l".into()));
    let token = effects.iter().find_map(|effect| match effect {
        Effect::Follow { token, .. } => Some(*token),
        _ => None,
    });
    for n in 0..lines {
        let line = format!("2026-11-21T11:59:{:02}Z GET /cart/{n} 200 {} ms", n % 60, 3 + n % 40);
        tell(&mut state, Event::LogLine { token: token.unwrap(), line });
    }
    state
}
