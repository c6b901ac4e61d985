//! Lists that are kept in order while rows change say what sorting all rows anew says, and a change
//! that is not drawn could not have been seen.

use super::world::*;
use flightdeck::board::{About, Filter, Order, rank, sort};
use flightdeck::cockpit::app::pages::deck;
use flightdeck::cockpit::app::{Event, State, strip};
use flightdeck::cockpit::view::{Themes, draw};
use flightdeck::model::*;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use std::collections::BTreeMap;
use std::sync::Arc;

const SERVICES: u8 = 24;
const PHASES: [Phase; 8] = [
    Phase::Healthy,
    Phase::Progressing,
    Phase::Paused,
    Phase::RollingBack,
    Phase::Degraded,
    Phase::Aborted,
    Phase::Failed,
    Phase::Superseded,
];
const PLACES: [&str; 3] = ["production", "staging", "dev"];

#[derive(Debug, Clone)]
enum Act {
    Row { service: u8, phase: usize, share: u32, age: i64, place: usize, waits: bool, version: u8, part: u8 },
    Gone(u8),
    Judged { service: u8, id: u8, fails: bool, age: i64 },
    Asked { service: u8, pending: bool },
    Answered(u8),
    Numbers { service: u8, errors: u64 },
    Place { place: usize, order: u32, critical: bool },
    PlaceGone(usize),
    Link { part: u8, live: bool },
    ListBegins(u8),
    ListEnds(u8),
    Held(bool),
    Jobs { service: u8, fail: [bool; 2], age: i64 },
    ServiceGone(u8),
    Keys(&'static str),
    Hours(i64),
}

fn act() -> impl Generator<Value = Act> {
    let service = 0..SERVICES;
    let row = (service.clone(), 0..PHASES.len(), 0..4_u32, 0..9_i64, 0..3_usize, any::<bool>(), 0..4_u8, 0..2_u8);
    let row = row.prop_map(|(service, phase, share, age, place, waits, version, part)| Act::Row {
        service,
        phase,
        share,
        age,
        place,
        waits,
        version,
        part,
    });
    let keys = ["s", "S", "t", "j", "k", "G", "g g", "space", "tab", "2", "1", "/ 1 enter", "/ p r o d enter", "esc"];
    prop_oneof![
        12 => row,
        2 => service.clone().prop_map(Act::Gone),
        2 => (service.clone(), 0..4_u8, any::<bool>(), 0..9_i64)
            .prop_map(|(service, id, fails, age)| Act::Judged { service, id, fails, age }),
        1 => (service.clone(), any::<bool>()).prop_map(|(service, pending)| Act::Asked { service, pending }),
        1 => service.clone().prop_map(Act::Answered),
        2 => (service, 0..50_u64).prop_map(|(service, errors)| Act::Numbers { service, errors }),
        1 => (0..3_usize, 0..4_u32, any::<bool>()).prop_map(|(place, order, critical)| Act::Place { place, order, critical }),
        1 => (0..3_usize).prop_map(Act::PlaceGone),
        1 => (0..2_u8, any::<bool>()).prop_map(|(part, live)| Act::Link { part, live }),
        1 => (0..2_u8).prop_map(Act::ListBegins),
        1 => (0..2_u8).prop_map(Act::ListEnds),
        1 => any::<bool>().prop_map(Act::Held),
        2 => (0..3_u8, any::<[bool; 2]>(), 0..9_i64).prop_map(|(service, fail, age)| Act::Jobs { service, fail, age }),
        1 => (0..3_u8).prop_map(Act::ServiceGone),
        4 => prop::sample::select(keys.to_vec()).prop_map(Act::Keys),
        1 => (0..2_i64).prop_map(Act::Hours),
    ]
}

fn name(service: u8) -> String {
    format!("service-{service:02}")
}

fn told(service: u8, phase: usize, share: u32, age: i64, (place, waits, version): (usize, bool, u8)) -> Rollout {
    let mut row = row(&name(service), PHASES[phase]);
    row.environment = PLACES[place].into();
    row.since = start() - SignedDuration::from_mins(age);
    row.message = format!("told {age}");
    row.arms[1].version = format!("1.{version}.0").as_str().into();
    row.arms[1].traffic.actual = Some(Ppm::percent(share * 25));
    // Columns come and go with what stands in them.
    if share % 2 == 1 {
        row.steps = Arc::from(vec![Step::SetWeight(Ppm::percent(25)), Step::SetWeight(Ppm::ALL)]);
    }
    if version == 0 {
        row.arms.truncate(1);
    }
    row.author = (age % 2 == 1).then(|| "bob".repeat(share as usize));
    if waits {
        row.waits = vec![Wait::Human { what: "promotion".to_owned(), who: None, since: row.since }];
    }
    row
}

fn judged(service: u8, id: u8, fails: bool, age: i64) -> Evidence {
    let at = start() - SignedDuration::from_mins(age);
    let report = AnalysisReport {
        template: "golden".to_owned(),
        from: at,
        to: at,
        candidate_requests: 5,
        stable_requests: 5,
        verdict: if fails { MetricVerdict::Fail } else { MetricVerdict::Pass },
        metrics: Vec::new(),
    };
    let kind = "analysis".to_owned();
    let summary = format!("judged {age}");
    Evidence { id: format!("E-{service}-{id}"), run: run(&name(service)), at, kind, analysis: Some(report), summary }
}

/// A service with two jobs, of which each has failed or not.
fn with_jobs(service: u8, fail: [bool; 2], age: i64) -> Service {
    let ended = start() - SignedDuration::from_mins(age);
    let job = |(number, failed): (usize, bool)| ServiceJob {
        name: format!("job-{number}"),
        spec: JobSpec {
            run: vec!["bin/job".to_owned()],
            schedule: Schedule::Every(SignedDuration::from_hours(1)),
            timeout: SignedDuration::from_hours(1),
        },
        next: start() + SignedDuration::from_mins(age),
        running: None,
        last: Some(JobRun {
            id: format!("job-{age}"),
            version: "1.0.0".into(),
            due: ended,
            began: ended,
            ended: Some((ended, JobEnd::Exited(failed.into()))),
        }),
        missed: (age % 3 == 0).then_some(MissedRun { due: ended, why: Missed::ServerDown }),
    };
    Service {
        source: "local".into(),
        name: name(service).as_str().into(),
        configuration: None,
        kind: fail[0].then_some(ServiceKind::Tcp),
        environments: vec!["production".into()],
        addresses: Vec::new(),
        places: vec![Place {
            environment: "production".into(),
            steps: Arc::default(),
            left_out: Vec::new(),
            migrations: Vec::new(),
            one_offs: Vec::new(),
            jobs: fail.into_iter().enumerate().map(job).collect(),
            user: None,
        }],
    }
}

impl Desk {
    fn act(&mut self, act: &Act, round: i64) {
        let part = |part: &u8| format!("part-{part}");
        match act {
            Act::Row { service, phase, share, age, place, waits, version, part: of } => {
                let row = told(*service, *phase, *share, *age, (*place, *waits, *version));
                self.body(0, "local", &part(of), Body::Upsert(Entity::Rollout(Arc::new(row))));
            }
            Act::Gone(service) => self.remove(EntityRef::Rollout(target(&name(*service)))),
            Act::Judged { service, id, fails, age } => {
                self.upsert(Entity::Evidence(Box::new(judged(*service, *id, *fails, *age))));
            }
            Act::Asked { service, pending } => {
                let mut asked = approval(&format!("A-{service}"), &name(*service));
                asked.state = if *pending { ApprovalState::Pending } else { ApprovalState::Approved };
                self.upsert(Entity::Approval(Box::new(asked)));
            }
            Act::Answered(service) => self.remove(EntityRef::Approval(ApprovalId(format!("A-{service}")))),
            Act::Numbers { service, errors } => {
                let sample = ArmSample {
                    target: target(&name(*service)),
                    role: ArmRole::Candidate,
                    version: "1.1.0".into(),
                    at: start() + SignedDuration::from_secs(round),
                    window_ms: 1000,
                    requests: if *errors < 10 { 0 } else { 100 },
                    errors: *errors,
                    p50_us: None,
                    p95_us: (*errors > 30).then_some(20_000),
                    p99_us: None,
                };
                self.body(0, "local", "", Body::Samples(vec![sample]));
            }
            Act::Place { place, order, critical } => {
                let tier = if *critical { Tier::Critical } else { Tier::Low };
                let environment = Environment { order: *order, ..environment(PLACES[*place], tier) };
                self.upsert(Entity::Environment(environment));
            }
            Act::PlaceGone(place) => self.remove(EntityRef::Environment("local".into(), PLACES[*place].into())),
            Act::Link { part: of, live } => {
                let state = if *live { LinkState::live(start()) } else { LinkState::stale(start(), "cut".to_owned()) };
                self.body(0, "local", &part(of), Body::Link(state));
            }
            Act::ListBegins(of) => self.body(0, "local", &part(of), Body::SnapshotBegin),
            Act::ListEnds(of) => self.body(0, "local", &part(of), Body::SnapshotEnd),
            Act::Held(true) => self.upsert(Entity::Hold(hold("H-1"))),
            Act::Held(false) => self.remove(EntityRef::Hold("local".into(), "H-1".into())),
            Act::Jobs { service, fail, age } => self.upsert(Entity::Service(with_jobs(*service, *fail, *age))),
            Act::ServiceGone(service) => {
                self.remove(EntityRef::Service("local".into(), name(*service).as_str().into()));
            }
            Act::Keys(keys) => self.keys(keys),
            Act::Hours(hours) => {
                self.wait(hours * 3_600_000);
                self.send(Event::Wake);
            }
        }
    }
}

fn in_step(state: &State) {
    let deck = &state.deck;
    let settled = |row: &&Rollout| matches!(row.phase, Phase::Healthy | Phase::Superseded);
    let wanted = state.board.rollouts().filter(|row| !deck.in_flight_only || !settled(row));
    let filter = Filter::parse(&deck.filter, jiff::Timestamp::UNIX_EPOCH);
    let mut sorted = filter.select(wanted);
    sort(&state.board, &mut sorted, deck.order, deck.reverse);
    // What fits the words of the filter best comes first.
    sorted.sort_by_key(|row| filter.fit(row));
    let sorted: Vec<_> = sorted.into_iter().map(|row| &row.run.target).collect();
    let list = deck::list(state);
    assert_eq!(list.from(0).collect::<Vec<_>>(), sorted, "{:?}", deck.order);
    for (at, target) in sorted.iter().enumerate() {
        assert_eq!(list.position(&state.board, target), Some(at));
    }

    let ranked: Vec<_> = rank(&state.board, state.now).into_iter().map(|entry| entry.subject).collect();
    let needs = deck::attention(state);
    assert_eq!(needs.from(0).map(About::subject).collect::<Vec<_>>(), ranked);
    for (at, subject) in ranked.iter().enumerate() {
        assert_eq!(needs.position(&state.board, subject), Some(at));
    }

    let mut counts: BTreeMap<(String, Phase), usize> = BTreeMap::new();
    for row in state.board.rollouts() {
        *counts.entry((row.environment.to_string(), row.phase)).or_default() += 1;
    }
    let strip = strip::environments(state).into_iter();
    let strip =
        strip.flat_map(|place| place.phases.into_iter().map(move |(phase, n)| ((place.name.clone(), phase), n)));
    assert_eq!(strip.collect::<BTreeMap<_, _>>(), counts);
}

fn frame(state: &State) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(state.columns, state.rows)).unwrap();
    let themes = Themes::new(&[], true).unwrap();
    let (now, theme) = (state.now.to_zoned(TimeZone::UTC), themes.get("dark").unwrap());
    terminal.draw(|frame| draw(state, &now, theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

#[test]
fn a_column_that_comes_with_a_row_out_of_sight_is_drawn() {
    let mut desk = Desk::empty();
    desk.state.deck.order = Order::Service;
    let plain = |n: u8| {
        let mut row = row(&name(n), Phase::Progressing);
        row.arms.truncate(1);
        row
    };
    (0..60).for_each(|n| desk.upsert(Entity::Rollout(Arc::new(plain(n)))));
    desk.look();
    let mut drawn = frame(&desk.state);
    let steps = Rollout { steps: Arc::from(vec![Step::SetWeight(Ppm::ALL)]), step: Some(0), ..plain(59) };
    let candidate = Rollout { arms: row(&name(59), Phase::Progressing).arms, ..steps.clone() };
    for row in [steps, candidate, plain(59)] {
        desk.state.visible_changed = false;
        desk.upsert(Entity::Rollout(Arc::new(row)));
        let now = frame(&desk.state);
        assert!(now != drawn && desk.state.visible_changed);
        drawn = now;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn lists_in_step_with_rows_are_the_lists_sorted_anew(acts in prop::collection::vec(act(), 1..90)) {
        let mut desk = Desk::empty();
        for (round, act) in (1..).zip(&acts) {
            desk.act(act, round);
            in_step(&desk.state);
        }
    }

    #[test]
    fn what_is_not_drawn_could_not_be_seen(acts in prop::collection::vec(act(), 1..60)) {
        let mut desk = Desk::empty();
        desk.send(Event::Resize { columns: 100, rows: 18 });
        let mut drawn = frame(&desk.state);
        for (round, act) in (1..).zip(&acts) {
            desk.state.visible_changed = false;
            desk.act(act, round);
            let now = frame(&desk.state);
            // Time that passes is not what this is about.
            if !desk.state.visible_changed && !matches!(act, Act::Hours(_)) {
                prop_assert_eq!(&drawn, &now, "{:?} changed what is seen", act);
            }
            drawn = now;
        }
    }
}
