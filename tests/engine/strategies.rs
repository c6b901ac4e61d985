//! Each strategy's way, there and back, in a world without faults.

use super::tables::{all_at, parts};
use super::world::*;
use flightdeck::engine::core::{Input, InstanceEvent, MigrationState, Progress};
use flightdeck::model::*;

const ALL: Step = Step::SetWeight(Ppm::ALL);

fn by(strategy: Strategy, steps: &[Step]) -> Spec {
    let mut spec = spec(steps);
    let placement = production(&mut spec);
    placement.strategy = strategy;
    if strategy == Strategy::BlueGreen {
        placement.preview = Some(address(99));
    }
    spec
}

fn production(spec: &mut Spec) -> &mut Placement {
    let service = spec.services.get_mut(&"shop".into()).unwrap();
    service.placements.get_mut(&"production".into()).unwrap()
}

fn serving(spec: Spec) -> Story {
    let mut story = Story::serving(spec);
    (story.most, story.fewest) = (0, usize::MAX);
    story
}

#[test]
fn blue_green_is_tried_behind_its_preview_and_switched_at_once() {
    let plan = [Step::SetScale(Ppm::ALL), Step::Preview, Step::Pause { duration: None }, ALL];
    let mut story = serving(by(Strategy::BlueGreen, &plan));
    story.deploy("production", "1.1").unwrap();
    assert_eq!(story.ready_of("1.1").len(), 3, "at full size before anybody gets it");
    assert_eq!(story.traffic(), all_at("1.0"));
    let preview = &story.proxy["shop@production!preview"];
    assert_eq!((preview.listen, preview.pools.len()), (address(99), 1));
    assert_eq!(preview.pools[0].version.as_str(), "1.1");
    assert_eq!((story.row().phase, story.row().strategy), (Phase::Paused, Strategy::BlueGreen));

    story.act(Action::Promote).unwrap();
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.1"), Phase::Healthy));
    assert!(!story.proxy.contains_key("shop@production!preview"), "the preview closes");
    assert_eq!(story.ready_of("1.0").len(), 3, "the old side stays warm");
    assert_eq!(story.row().rollback_plan.unwrap().path, RollbackPath::Warm);
    story.act(Action::Rollback).unwrap();
    assert_eq!((story.traffic(), story.fewest), (all_at("1.0"), 3));
}

#[test]
fn a_preview_that_cannot_be_opened_fails_the_rollout_and_users_notice_nothing() {
    let plan = [Step::SetScale(Ppm::ALL), Step::Preview, ALL];
    let mut story = serving(by(Strategy::BlueGreen, &plan));
    story.routes = false;
    story.deploy("production", "1.1").unwrap();
    for _ in 0..3 {
        let slot = key("shop", "production");
        let version = story.slot().preview.version;
        let why = "127.0.0.1:20099 is in use by another program".to_owned();
        let refused = Input::RouteRefused { slot, preview: true, version, newer: None, why };
        story.input(&refused);
        story.pass(2);
    }
    story.routes = true;
    story.flush();
    let row = story.row();
    assert_eq!((row.phase, story.traffic()), (Phase::Failed, all_at("1.0")), "{}", row.message);
    assert!(row.message.contains("the preview's route") && row.message.contains("in use"), "{}", row.message);
}

#[test]
fn rolling_keeps_to_its_surge_and_to_what_may_be_unavailable() {
    // Surge, unavailable: with 3 replicas.
    for (surge, unavailable) in [(1, 0), (0, 1), (2, 1), (3, 0)] {
        let size = surge + unavailable;
        let steps: Vec<_> =
            (1..=3_u32.div_ceil(size)).map(|n| Step::Batch { instances: (n * size).min(3), unavailable }).collect();
        let mut story = serving(by(Strategy::Rolling, &steps));
        story.deploy("production", "1.1").unwrap();
        assert_eq!((story.row().phase, story.traffic()), (Phase::Healthy, all_at("1.1")), "{}", story.row().message);
        let (most, fewest) = (3 + surge as usize, 3 - unavailable as usize);
        assert!(story.most <= most, "surge {surge}: {} ran at once", story.most);
        assert!(story.fewest >= fewest, "unavailable {unavailable}: {} served", story.fewest);
        assert_eq!(story.ready_of("1.0").len(), 0);
        assert_eq!(story.row().rollback_plan.unwrap().path, RollbackPath::Start);
    }
}

#[test]
fn a_batch_counts_once_it_is_ready_and_an_abort_brings_the_old_ones_back() {
    let steps = [1, 2, 3].map(|instances| Step::Batch { instances, unavailable: 0 });
    let mut story = serving(by(Strategy::Rolling, &steps));
    story.ready = false;
    story.deploy("production", "1.1").unwrap();
    assert_eq!((story.ready_of("1.0").len(), story.traffic()), (3, all_at("1.0")), "nothing goes before");
    let first = story.started.last().unwrap().clone();
    story.event(&first, InstanceEvent::Ready);
    assert_eq!(story.ready_of("1.0").len(), 2);
    assert_eq!(story.traffic(), parts(&[("1.0", 66), ("1.1", 33)]));
    assert!(story.row().message.contains("1.1"), "{}", story.row().message);

    story.ready = true;
    story.act(Action::Abort).unwrap();
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Aborted));
    assert_eq!(story.ready_of("1.0").len(), 3);
}

fn recreate() -> Spec {
    by(Strategy::Recreate, &[Step::TakeDown, Step::SetScale(Ppm::ALL), ALL])
}

#[test]
fn recreate_never_runs_both_and_says_how_long_it_is_down() {
    let mut story = serving(recreate());
    story.ready = false;
    story.deploy("production", "1.1").unwrap();
    assert_eq!((story.ready_of("1.0").len(), story.most), (0, 3), "the old ones end first");
    story.pass(4);
    story.ready = true;
    for id in story.running.clone() {
        story.event(&id, InstanceEvent::Ready);
    }
    assert_eq!((story.row().phase, story.traffic()), (Phase::Healthy, all_at("1.1")), "{}", story.row().message);
    assert_eq!(story.slot().timings.down.len(), 1, "how long it was down is kept");
    let way = story.row().rollback_plan.unwrap();
    assert_eq!((way.path, way.estimate, way.measured), (RollbackPath::Recreate, Some(seconds(4)), 1));

    story.routes = false;
    story.deploy("production", "1.2").unwrap();
    let said = story.row().message;
    assert!(said.contains("down for about 4 s, as measured once"), "{said}");
    story.routes = true;
    story.flush();
    assert_eq!(story.row().phase, Phase::Healthy);
}

#[test]
fn an_aborted_recreate_ends_the_candidate_before_the_old_version_starts_again() {
    let mut story = serving(recreate());
    story.ready = false;
    story.deploy("production", "1.1").unwrap();
    (story.most, story.ready) = (0, true);
    story.act(Action::Abort).unwrap();
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Aborted), "{}", story.row().message);
    assert_eq!((story.ready_of("1.0").len(), story.most), (3, 3));
    let refused = story.act(Action::PromoteFull).unwrap_err();
    assert!(refused.why.contains("nothing to promote full"), "{refused}");
}

#[test]
fn a_restart_under_recreate_ends_all_before_the_first_starts() {
    let mut story = serving(recreate());
    story.act(Action::Restart).unwrap();
    assert_eq!((story.row().phase, story.most), (Phase::Healthy, 3), "{}", story.row().message);
    assert_eq!(story.started.iter().filter(|id| id.starts_with("shop-production")).count(), 6);
}

#[test]
fn users_stay_on_their_side_while_two_sides_are_there() {
    let mut spec = spec(&canary_steps());
    production(&mut spec).sticky = Some(StickyKey::Cookie("uid".to_owned()));
    let mut story = Story::serving(spec);
    assert_eq!(story.proxy["shop@production"].sticky, None);
    story.deploy("production", "1.1").unwrap();
    let sticky = story.proxy["shop@production"].sticky.clone().unwrap();
    assert_eq!(Some(sticky.salt), story.slot().candidate, "other users go first in the next rollout");
}

#[test]
fn a_drill_goes_back_and_returns_and_both_are_measured() {
    for warm in [true, false] {
        let mut story = Story::serving(spec(&[]));
        story.deploy("production", "1.1").unwrap();
        if !warm {
            story.pass(130);
        }
        story.act(Action::Drill).unwrap();
        assert_eq!((story.traffic(), story.row().phase), (all_at("1.1"), Phase::Healthy), "{}", story.row().message);
        let ended = story.ended.last().unwrap();
        assert_eq!((ended.kind, ended.to.as_str()), (DeploymentKind::Drill, "1.0"));
        assert_eq!(ended.outcome, DeploymentOutcome::Succeeded);
        assert!(ended.rollback.is_some() && ended.cause.contains("1.1 serves again"), "{}", ended.cause);
        let way = story.row().rollback_plan.unwrap();
        let path = if warm { RollbackPath::Warm } else { RollbackPath::Start };
        assert_eq!((way.path, way.measured, way.drilled.is_some()), (path, 1, true), "{way:?}");
        assert_eq!(story.ready_of("1.0").len(), if warm { 3 } else { 0 });
        story.act(Action::Rollback).unwrap();
        assert_eq!(story.traffic(), all_at("1.0"), "the way back is still there");
    }
}

#[test]
fn the_time_of_a_way_back_counts_from_its_decision_and_so_does_its_estimate() {
    let mut story = Story::serving(spec(&[]));
    let subject = deployment("shop", "production", "1.1");
    let decided_before = |story: &mut Story, action: Action, subject, wait| {
        let command = Command { id: CommandId::from(action.name()), action, subject, pin: None, reason: None };
        let decided = story.now - seconds(wait);
        assert_eq!(story.input(&Input::Command { command, actor: actor("bob"), decided }).refused, None);
    };
    decided_before(&mut story, Action::Deploy, subject, 2);
    let way = story.row().rollback_plan.unwrap();
    assert_eq!((way.path, way.estimate), (RollbackPath::Warm, Some(seconds(2))), "{way:?}");
    let run = Subject::Run(story.row().run);
    decided_before(&mut story, Action::Rollback, run, 3);
    assert_eq!((story.traffic(), story.ended.last().unwrap().rollback), (all_at("1.0"), Some(seconds(3))));
}

#[test]
fn a_drill_is_refused_where_it_is_critical_and_while_something_flies() {
    let mut critical = spec(&[]);
    critical.environments.get_mut(&"production".into()).unwrap().tier = Tier::Critical;
    let mut story = Story::serving(critical);
    story.deploy("production", "1.1").unwrap();
    let refused = story.act(Action::Drill).unwrap_err();
    assert!(refused.why.contains("critical") && !story.row().offers.contains(Action::Drill), "{refused}");

    let mut story = Story::serving(spec(&canary_steps()));
    story.deploy("production", "1.1").unwrap();
    assert!(story.act(Action::Drill).unwrap_err().why.contains("in flight"));
}

#[test]
fn only_what_succeeded_below_and_soaked_there_comes_in() {
    let mut gated = spec(&[]);
    let production = gated.environments.get_mut(&"production".into()).unwrap();
    (production.promote_from, production.soak) = (Some("staging".into()), seconds(60));
    let mut story = Story::new(gated);
    let refused = story.deploy("production", "1.0").unwrap_err();
    assert!(refused.why.contains("takes only what succeeded in staging"), "{refused}");
    story.deploy("staging", "1.0").unwrap();
    story.pass(20);
    let refused = story.deploy("production", "1.0").unwrap_err();
    assert!(refused.why.contains("served there for 1 m") && refused.why.contains("40 s are left"), "{refused}");
    assert!(flightdeck::engine::core::soaking(&story.state));
    story.now += seconds(3600);
    story.pass(1);
    assert!(story.deploy("production", "1.0").is_err(), "a jump of the clock is no soaking");
    story.pass(40);
    story.deploy("production", "1.0").unwrap();
    assert!(!flightdeck::engine::core::soaking(&story.state));

    story.deploy("staging", "1.1").unwrap();
    story.pass(70);
    let subject = Subject::Run(story.row_of("staging").run);
    story.command_as("bob", Action::Rollback, subject, None).unwrap();
    let refused = story.deploy("production", "1.1").unwrap_err();
    assert!(refused.why.contains("was rolled back"), "{refused}");
}

#[test]
fn a_service_waits_for_those_that_it_builds_on() {
    let mut both = spec(&canary_steps());
    let mut cart = both.services[&ServiceName::from("shop")].clone();
    cart.depends_on = vec!["shop".into()];
    cart.placements.remove(&EnvironmentName::from("staging"));
    for placement in cart.placements.values_mut() {
        (placement.listen, placement.steps) = (Some(address(50)), std::sync::Arc::from(Vec::new()));
    }
    both.services.insert("cart".into(), cart);
    let mut story = Story::new(both);
    story.input(&Input::ReleaseAdded(release("cart", "1.0")));
    let subject = deployment("cart", "production", "1.0");
    story.command_as("ann", Action::Deploy, subject, None).unwrap();
    let cart = |story: &Story| story.state.slots[&key("cart", "production")].clone();
    assert!(cart(&story).run.is_none(), "shop does not serve yet");
    let said = story.rows().into_iter().find_map(|row| match row {
        Entity::Rollout(of) if of.service.as_str() == "cart" => Some(of.message.clone()),
        _ => None,
    });
    assert!(said.as_ref().unwrap().contains("shop: nothing of it serves"), "{said:?}");
    story.deploy("production", "1.0").unwrap();
    let run = cart(&story).run.clone().unwrap();
    assert!(matches!(run.progress, Progress::Ended(DeploymentOutcome::Succeeded)), "{run:?}");
    assert_eq!(cart(&story).migrations.values().filter(|of| of.state != MigrationState::Applied).count(), 0);
}

#[test]
fn what_is_over_leaves_the_row() {
    let mut story = Story::serving(spec(&canary_steps()));
    story.deploy("production", "1.1").unwrap();
    story.act(Action::PromoteFull).unwrap();
    assert_eq!(story.row().message, "all traffic is at 1.1; 1.0 stays up for 2 m");
    story.pass(121);
    assert_eq!(story.row().message, "all traffic is at 1.1");

    story.ready = false;
    story.act(Action::Rollback).unwrap();
    let said = story.row().message;
    assert!(said.contains("back to 1.0") && said.contains("; it is started first"), "{said}");
    story.ready = true;
    for id in story.running.clone() {
        story.event(&id, InstanceEvent::Ready);
    }
    let row = story.row();
    assert!(row.message.starts_with("back to 1.0") && !row.message.contains("started first"), "{}", row.message);
    assert_eq!(story.traffic(), all_at("1.0"));
}

#[test]
fn a_record_tells_when_each_step_began_and_ended_and_what_its_release_came_from() {
    let plan = [10, 50].map(|share| [Step::SetWeight(Ppm::percent(share)), Step::Pause { duration: None }]).concat();
    let mut story = serving(spec(&plan));
    let (commit, pipeline_run) = (Some("3fe1c2a".to_owned()), Some("https://ci.example/shop/runs/7".to_owned()));
    let built = Release { commit: commit.clone(), pipeline_run: pipeline_run.clone(), ..release("shop", "1.4") };
    story.input(&Input::ReleaseAdded(built));
    story.deploy("production", "1.4").unwrap();
    story.pass(60);
    story.act(Action::Promote).unwrap();
    story.pass(30);
    story.act(Action::Abort).unwrap();
    let ended = story.ended.last().unwrap();
    assert_eq!((&ended.commit, &ended.pipeline_run), (&commit, &pipeline_run));
    let times = |of: &StepRecord| (of.index, of.step.clone(), of.ended.duration_since(of.began).as_secs(), of.done);
    let plan = plan.iter().cloned();
    let expected: Vec<_> = plan.zip([(0, true), (60, true), (0, true), (30, false)]).zip(0_u32..).collect();
    let expected: Vec<_> = expected.into_iter().map(|((step, (took, done)), at)| (at, step, took, done)).collect();
    assert_eq!(ended.step_times.iter().map(times).collect::<Vec<_>>(), expected);
    assert!(ended.step_times.windows(2).all(|pair| pair[0].ended == pair[1].began), "one follows the other");
    // What is skipped says so, and what was never come to has no times.
    story.deploy("production", "1.4").unwrap();
    story.act(Action::PromoteFull).unwrap();
    let ended = story.ended.last().unwrap();
    assert_eq!(ended.outcome, DeploymentOutcome::Succeeded);
    let times: Vec<_> = ended.step_times.iter().map(|of| (of.index, of.done)).collect();
    assert_eq!(times, [(0, true), (1, false)]);
}
