//! A board, a cockpit and a hub with ten thousand rows: what one change costs.
//!
//! `cargo bench --bench board_10k`; with `ROWS=100000` ten times as many rows.
#![allow(clippy::indexing_slicing, reason = "a bench that fails may panic")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use flightdeck::board::{Board, Filter, Order, rank, sort};
use flightdeck::cockpit::app::{ConnectionState, Event, Key, Keymap, Settings, State, update};
use flightdeck::cockpit::view::{Themes, draw};
use flightdeck::model::{
    Action, Actor, Arm, ArmRole, Body, Entity, Envelope, Environment, EnvironmentName, Fact, Facts, HubId, LinkState,
    Phase, Ppm, Replicas, Rollout, Run, Scope, Scoped, Step, Strategy, Target, Tier, Traffic, TrafficSource, Wait,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::hint::black_box;
use std::sync::Arc;

fn rows() -> u32 {
    std::env::var("ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(10_000)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_790_000_000 + seconds)
}

fn scope() -> Scope {
    Scope { source: "cluster".into(), part: "rollouts".to_owned() }
}

fn steps() -> Arc<[Step]> {
    let weights = [5, 25, 50].into_iter();
    weights.flat_map(|weight| [Step::SetWeight(Ppm::percent(weight)), Step::Pause { duration: None }]).collect()
}

/// A canary; a tenth of them is in flight, a twentieth waits for a person.
fn rollout(index: u32, round: u32) -> Rollout {
    let moving = index.is_multiple_of(10);
    let paused = index.is_multiple_of(20);
    let step = if moving { (index / 10 + round) % 6 } else { 6 };
    let environment = ["production", "staging", "dev"][index as usize % 3];
    let share = if moving { Ppm::percent([5, 5, 25, 25, 50, 50][step as usize]) } else { Ppm::ZERO };
    let target = Target {
        source: "cluster".into(),
        kind: "Rollout".to_owned(),
        namespace: Some(format!("team-{:03}", index % 100)),
        name: format!("service-{index:06}"),
        uid: format!("0b9f5a3c-7d1e-4f60-8a2b-{index:012}"),
        first_name: None,
    };
    let arm = |role, version: String, ready, share| Arm {
        role,
        version: version.as_str().into(),
        digest: None,
        replicas: Replicas { ready, desired: ready },
        traffic: Traffic { desired: share, actual: Some(share), how: TrafficSource::Replicas },
        pods: None,
        service: None,
    };
    let mut arms = vec![arm(ArmRole::Stable, format!("1.{}.0", index % 40), 4, share.rest())];
    if moving {
        arms.push(arm(ArmRole::Candidate, format!("1.{}.0", index % 40 + 1), 1, share));
    }
    let facts = Facts::default()
        .with(Fact::Workload, target.uid.clone())
        .with(Fact::Revision, "7")
        .with(Fact::Candidate, format!("{:08x}", index ^ 0x5bd1_e995))
        .with(Fact::Stable, format!("{index:08x}"))
        .with(Fact::Step, step.to_string());
    Rollout {
        analyses: Vec::new(),
        run: Run { target, revision: "7".to_owned() },
        service: format!("service-{index:06}").as_str().into(),
        environment: EnvironmentName(environment.to_owned()),
        strategy: Strategy::Canary,
        steps: steps(),
        step: Some(step),
        arms,
        phase: match (moving, paused) {
            (_, true) => Phase::Paused,
            (true, _) => Phase::Progressing,
            _ => Phase::Healthy,
        },
        waits: if paused {
            vec![Wait::Human { what: "promotion".to_owned(), who: None, since: at(i64::from(index)) }]
        } else {
            Vec::new()
        },
        message: if moving { "CanaryPauseStep".to_owned() } else { String::new() },
        started: at(i64::from(index)),
        since: at(i64::from(index) + i64::from(round)),
        author: None,
        facts,
        offers: [Action::Promote, Action::Pause, Action::Abort, Action::Restart].into_iter().collect(),
        denied: Arc::default(),
        managed_by: None,
        rollback_plan: None,
        objectives: Vec::new(),
        listening: None,
        in_flight: None,
        failing: Vec::new(),
        still_asked: false,
        diagnosis: None,
        watchdog: None,
    }
}

fn upsert(index: u32, round: u32) -> Scoped {
    Scoped { scope: scope(), body: Body::Upsert(Entity::Rollout(Arc::new(rollout(index, round)))) }
}

fn environments() -> impl Iterator<Item = Scoped> {
    let all = [("dev", 0, Tier::Low), ("staging", 1, Tier::Standard), ("production", 2, Tier::Critical)];
    all.into_iter().map(|(name, order, tier)| {
        let environment = Environment { source: "cluster".into(), name: name.into(), order, tier, allow_self: false };
        Scoped { scope: scope(), body: Body::Upsert(Entity::Environment(environment)) }
    })
}

/// A whole list, as a watch tells it.
fn snapshot() -> Vec<Scoped> {
    let told = |body| Scoped { scope: scope(), body };
    let live = Body::Link(LinkState::live(at(0)));
    [told(Body::SnapshotBegin)]
        .into_iter()
        .chain(environments())
        .chain((0..rows()).map(|index| upsert(index, 0)))
        .chain([told(Body::SnapshotEnd), told(live)])
        .collect()
}

fn board() -> Board {
    let mut board = Board::default();
    for told in snapshot() {
        board.apply(&told);
    }
    board
}

fn event(seq: u64, scoped: Scoped) -> Event {
    let envelope = Envelope { hub: HubId("hub".to_owned()), epoch: 1, seq, at: at(0), scoped };
    Event::Update { id: 0, envelope: Box::new(envelope) }
}

fn empty() -> State {
    let settings = Settings {
        keymap: Keymap::built_in().unwrap_or_else(|error| unreachable!("{error}")),
        theme: "dark".to_owned(),
        themes: vec!["dark".to_owned()],
        session: "s1".to_owned(),
        read_only: false,
        found: Vec::new(),
        optional: Vec::new(),
        watched: Vec::new(),
    };
    let mut state = State::new(120, 36, settings);
    let actor = Actor { name: "alice".to_owned(), uid: Some(1000), roles: Vec::new() };
    let up = ConnectionState::Up { actor, enforced: false };
    update(&mut state, Event::Connection { id: 0, name: "cluster".to_owned(), state: up }, at(20_000));
    state
}

fn cockpit() -> State {
    let mut state = empty();
    for (seq, told) in (1..).zip(snapshot()) {
        update(&mut state, event(seq, told), at(20_000));
    }
    update(&mut state, Event::Wake, at(20_001));
    state
}

/// A terminal of the usual size.
struct Desk {
    terminal: Terminal<TestBackend>,
    themes: Themes,
}

impl Desk {
    fn new() -> Desk {
        let terminal = Terminal::new(TestBackend::new(120, 36)).unwrap_or_else(|error| unreachable!("{error}"));
        let themes = Themes::new(&[], true).unwrap_or_else(|error| unreachable!("{error}"));
        Desk { terminal, themes }
    }

    fn draw(&mut self, state: &mut State) {
        let now = state.now.to_zoned(TimeZone::UTC);
        let theme = self.themes.get("dark").unwrap_or_else(|error| unreachable!("{error}"));
        let drawn = self.terminal.draw(|frame| draw(state, &now, theme, frame));
        assert!(drawn.is_ok());
        state.visible_changed = false;
    }
}

fn boards(c: &mut Criterion) {
    let full = board();
    let mut changed = full.clone();
    let mut round = 0;
    c.bench_function("board: one row changes", |b| {
        b.iter_batched(
            || {
                round += 1;
                upsert(round * 7919 % rows(), round)
            },
            |told| changed.apply(&told),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("board: rank all", |b| b.iter(|| black_box(rank(&full, at(20_000))).len()));
    for order in [Order::Risk, Order::Service] {
        c.bench_function(&format!("board: sort all by {}", order.word()), |b| {
            b.iter(|| {
                let mut rows: Vec<_> = full.rollouts().collect();
                sort(&full, &mut rows, order, false);
                black_box(rows).len()
            });
        });
    }
    let filter = Filter::parse("srv12 env:prod", Timestamp::UNIX_EPOCH);
    c.bench_function("board: filter all", |b| b.iter(|| black_box(filter.select(full.rollouts())).len()));
}

fn cockpits(c: &mut Criterion) {
    let mut desk = Desk::new();
    let mut state = cockpit();
    desk.draw(&mut state);
    let mut round: u32 = 0;
    for (what, stride) in [("a settled row", 10 * 7919 + 1), ("a row in flight", 10 * 7919)] {
        c.bench_function(&format!("cockpit: {what} changes, then a frame if it is seen"), |b| {
            b.iter_batched(
                || {
                    round += 1;
                    event(1_000_000 + u64::from(round), upsert(round.wrapping_mul(stride) % rows(), round))
                },
                |event| {
                    update(&mut state, event, at(20_002));
                    if state.visible_changed {
                        desk.draw(&mut state);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    c.bench_function("cockpit: a frame", |b| b.iter(|| desk.draw(&mut state)));
    c.bench_function("cockpit: a key and its frame", |b| {
        b.iter(|| {
            update(&mut state, Event::Key(Key::from("j")), at(20_003));
            desk.draw(&mut state);
        });
    });
    let mut all = c.benchmark_group("whole");
    all.sample_size(10);
    all.bench_function("cockpit: a snapshot of all rows, a frame each 300 events", |b| {
        b.iter_batched(
            || (empty(), (1..).zip(snapshot()).map(|(seq, told)| event(seq, told)).collect::<Vec<_>>()),
            |(mut state, events)| {
                for (index, event) in events.into_iter().enumerate() {
                    update(&mut state, event, at(20_000));
                    if index % 300 == 0 {
                        desk.draw(&mut state);
                    }
                }
                state
            },
            BatchSize::PerIteration,
        );
    });
    all.bench_function("cockpit: another order and its frame", |b| {
        b.iter(|| {
            update(&mut state, Event::Key(Key::from("s")), at(20_003));
            desk.draw(&mut state);
        });
    });
    all.finish();
}

criterion_group!(benches, boards, cockpits);
criterion_main!(benches);
