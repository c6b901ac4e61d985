//! Hooks and migrations: when they run, how often, and what their ends mean.

use super::tables::{all_at, parts};
use super::world::*;
use flightdeck::engine::core::{JobEnd, MigrationState};
use flightdeck::model::*;

pub fn hook(name: &str, on: HookOn) -> HookSpec {
    HookSpec {
        name: name.to_owned(),
        run: vec!["run".to_owned()],
        on,
        timeout: seconds(5),
        retries: 0,
        backoff: seconds(1),
        transient: vec![75],
        migration: None,
        irreversible: None,
    }
}

pub fn migration(name: &str, back: bool) -> HookSpec {
    let back = if back { vec!["back".to_owned()] } else { Vec::new() };
    HookSpec { migration: Some(Migration { back }), ..hook(name, HookOn::Before) }
}

/// Before, the plan, after: as a preset puts them.
pub fn with(hooks: &[HookSpec]) -> Spec {
    let named = |on: HookOn| {
        let of = hooks.iter().filter(move |hook| hook.on == on);
        of.map(|hook| Step::Hook { name: hook.name.clone() }).collect::<Vec<_>>()
    };
    let mut steps = named(HookOn::Before);
    steps.push(Step::SetWeight(Ppm::percent(10)));
    steps.extend(named(HookOn::Step));
    steps.push(Step::Pause { duration: None });
    steps.push(Step::SetWeight(Ppm::ALL));
    steps.extend(named(HookOn::After));
    let mut spec = spec(&steps);
    let service = spec.services.get_mut(&"shop".into()).unwrap();
    service.placements.get_mut(&"production".into()).unwrap().hooks = hooks.to_vec().into();
    spec
}

fn story(hooks: &[HookSpec]) -> Story {
    let mut story = Story::serving(with(hooks));
    story.ran.clear();
    story
}

fn notes(story: &Story) -> Vec<String> {
    story.slot().notes.iter().map(|note| note.text.clone()).collect()
}

#[test]
fn a_hook_before_runs_before_anything_of_the_candidate_is_started() {
    let mut story = story(&[hook("ask", HookOn::Before)]);
    story.hanging.insert("ask".to_owned());
    let started = story.started.len();
    story.deploy("production", "1.1").unwrap();
    assert_eq!((story.ran.as_slice(), story.started.len()), (["ask run 1.1".to_owned()].as_slice(), started));
    assert!(story.row().waits.contains(&Wait::Gate("hook ask".to_owned())), "{:?}", story.row().waits);
    story.pass(200);
    assert_eq!(story.row().phase, Phase::Progressing, "its own bound counts, not the deadline of instances");
    story.end_hook("ask", JobEnd::Exited(0));
    assert_eq!(story.traffic(), parts(&[("1.0", 90), ("1.1", 10)]));
}

#[test]
fn what_its_end_means_is_told_by_the_exit_status() {
    // Ends of the runs, retries → how often it ran, and how the rollout stands.
    let cases = [
        (vec![JobEnd::Exited(0)], 0, 1, Phase::Paused),
        (vec![JobEnd::Exited(1)], 5, 1, Phase::Failed),
        (vec![JobEnd::Exited(75), JobEnd::Exited(75), JobEnd::Exited(0)], 2, 3, Phase::Paused),
        (vec![JobEnd::Exited(75), JobEnd::Exited(75)], 1, 2, Phase::Failed),
        (vec![JobEnd::TimedOut], 3, 1, Phase::Failed),
        (vec![JobEnd::Killed(11)], 3, 1, Phase::Failed),
        (vec![JobEnd::Lost, JobEnd::Exited(0)], 0, 2, Phase::Paused),
        (vec![JobEnd::Lost, JobEnd::Lost], 0, 2, Phase::Failed),
        (vec![JobEnd::NotStarted("no such command: bin/x".to_owned())], 0, 1, Phase::Failed),
    ];
    for (ends, retries, runs, phase) in cases {
        let mut story = story(&[HookSpec { retries, ..hook("ask", HookOn::Before) }]);
        story.ends.insert("ask".to_owned(), ends.clone());
        story.deploy("production", "1.1").unwrap();
        story.pass(20);
        assert_eq!((story.ran.len(), story.row().phase), (runs, phase), "{ends:?}: {}", story.row().message);
        assert_eq!(story.traffic().first().map(|(version, _)| version.as_str()), Some("1.0"));
        if phase == Phase::Failed {
            assert!(story.row().message.contains("hook ask"), "{}", story.row().message);
            assert!(story.ready_of("1.1").is_empty());
        }
    }
}

#[test]
fn a_transient_failure_is_tried_again_after_a_growing_pause() {
    let mut story = story(&[HookSpec { retries: 3, ..hook("ask", HookOn::Before) }]);
    story.ends.insert("ask".to_owned(), vec![JobEnd::Exited(75); 3]);
    story.deploy("production", "1.1").unwrap();
    for (seconds, runs) in [(1, 2), (1, 2), (1, 3), (3, 3), (1, 4)] {
        story.pass(seconds);
        assert_eq!(story.ran.len(), runs, "{}", story.row().message);
    }
}

#[test]
fn a_paused_rollout_stays_where_it_is_when_its_hook_ends() {
    let mut story = story(&[hook("ask", HookOn::Before)]);
    story.hanging.insert("ask".to_owned());
    story.deploy("production", "1.1").unwrap();
    story.act(Action::Pause).unwrap();
    story.end_hook("ask", JobEnd::Exited(0));
    assert_eq!((story.row().step, story.row().phase), (Some(0), Phase::Paused));
    story.act(Action::Resume).unwrap();
    assert_eq!((story.row().step, story.ran.len()), (Some(2), 1));
}

#[test]
fn a_failing_check_after_the_switch_takes_all_traffic_back() {
    let mut story = story(&[hook("smoke", HookOn::After), hook("tidy", HookOn::Rollback)]);
    story.ends.insert("smoke".to_owned(), vec![JobEnd::Exited(1)]);
    story.deploy("production", "1.1").unwrap();
    story.act(Action::Promote).unwrap();
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Failed), "{}", story.row().message);
    assert_eq!(story.ran, ["smoke run 1.1", "tidy run 1.1"]);
    assert!(notes(&story).iter().any(|note| note == "smoke: its last line"), "{:?}", notes(&story));
}

#[test]
fn a_synthetic_transaction_is_repeated_while_users_are_there_and_its_failure_takes_them_back() {
    let mut story = story(&[hook("buy", HookOn::While { every: seconds(3) })]);
    story.deploy("production", "1.1").unwrap();
    story.act(Action::Pause).unwrap();
    story.pass(10);
    assert_eq!(story.ran.len(), 4, "also while it is paused");
    story.ends.insert("buy".to_owned(), vec![JobEnd::Exited(2)]);
    story.pass(3);
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Aborted), "{}", story.row().message);
    let runs = story.ran.len();
    story.pass(30);
    assert_eq!(story.ran.len(), runs, "nobody is there any more");
}

#[test]
fn a_hook_that_runs_when_the_rollout_is_aborted_is_ended_and_its_late_end_means_nothing() {
    let mut story = story(&[hook("check", HookOn::Step)]);
    story.hanging.insert("check".to_owned());
    story.deploy("production", "1.1").unwrap();
    story.act(Action::Abort).unwrap();
    assert_eq!((story.row().phase, story.traffic()), (Phase::Aborted, all_at("1.0")));
    story.end_hook("check", JobEnd::Exited(0));
    assert_eq!(story.row().phase, Phase::Aborted);
    assert!(story.state.pending.is_empty(), "{:?}", story.state.pending);
}

#[test]
fn a_migration_runs_once_an_environment_and_is_taken_back_newest_first_after_the_traffic() {
    let hooks = [migration("m-1", true), migration("m-2", true), migration("m-3", false)];
    let mut story = Story::new(with(&hooks));
    story.deploy("production", "1.0").unwrap();
    assert_eq!(story.ran, ["m-1 run 1.0", "m-2 run 1.0", "m-3 run 1.0"], "for the first version too");
    story.ran.clear();
    story.deploy("production", "1.1").unwrap();
    assert!(story.ran.is_empty(), "once: {:?}", story.ran);
    story.act(Action::Abort).unwrap();
    assert!(story.ran.is_empty(), "what another rollout applied stays");

    let mut story = Story::serving(spec(&canary_steps()));
    story.apply(with(&hooks)).unwrap();
    story.deploy("production", "1.1").unwrap();
    let way = story.row().rollback_plan.unwrap();
    assert_eq!(way.cannot_undo, ["migration m-3: it has no way back"]);
    assert!(way.steps.iter().any(|step| step.contains("m-2 is taken back")), "{:?}", way.steps);
    story.ran.clear();
    story.act(Action::Abort).unwrap();
    assert_eq!(story.ran, ["m-2 back 1.1", "m-1 back 1.1"]);
    let left: Vec<_> = story.slot().migrations.into_keys().collect();
    assert_eq!((left, story.row().phase), (vec!["m-3".to_owned()], Phase::Aborted));
}

#[test]
fn a_settled_version_is_rolled_back_with_its_migrations() {
    let mut story = Story::serving(spec(&[]));
    story.apply(with(&[migration("m-1", true), hook("tidy", HookOn::Rollback)])).unwrap();
    story.deploy("production", "1.1").unwrap();
    story.act(Action::Promote).unwrap();
    story.ran.clear();
    story.act(Action::Rollback).unwrap();
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Healthy));
    assert_eq!(story.ran, ["tidy run 1.1", "m-1 back 1.1"]);
    assert!(story.slot().migrations.is_empty());
}

#[test]
fn a_migration_that_failed_stands_half_way_until_a_person_has_looked_and_is_not_taken_back() {
    // How it ended → what it says.
    let ends = [
        (JobEnd::Exited(1), "exit status 1"),
        (JobEnd::Killed(9), "killed by signal 9"),
        (JobEnd::TimedOut, "longer than 5 s"),
        (JobEnd::Lost, "nobody knows"),
    ];
    for ((end, words), (answer, runs)) in ends.into_iter().zip([(Action::Promote, 1), (Action::Resume, 2)].repeat(2)) {
        let mut story = Story::serving(spec(&[]));
        story.apply(with(&[migration("m-1", true)])).unwrap();
        story.ran.clear();
        story.ends.insert("m-1".to_owned(), vec![end.clone()]);
        story.deploy("production", "1.1").unwrap();
        let row = story.row();
        assert_eq!((row.phase, story.ran.as_slice()), (Phase::Failed, ["m-1 run 1.1".to_owned()].as_slice()));
        assert!(row.message.contains("failed half way") && row.message.contains(words), "{}", row.message);
        let half = story.slot().migrations["m-1"].state.clone();
        assert!(matches!(&half, MigrationState::Half { .. }), "{end:?}: {half:?}");
        story.act(Action::Retry).unwrap();
        let row = story.row();
        assert_eq!((row.phase, story.ran.len()), (Phase::Paused, 1), "it is not run over itself: {}", row.message);
        assert!(row.message.contains("stands half way") && row.awaits_human(), "{}", row.message);
        story.act(answer).unwrap();
        assert_eq!((story.ran.len(), story.traffic()), (runs, parts(&[("1.0", 90), ("1.1", 10)])));
        assert_eq!(story.slot().migrations["m-1"].state, MigrationState::Applied);
    }
}

#[test]
fn one_that_could_not_be_started_has_done_nothing() {
    let mut story = Story::serving(spec(&[]));
    story.apply(with(&[migration("m-1", true)])).unwrap();
    story.ends.insert("m-1".to_owned(), vec![JobEnd::NotStarted("no such command".to_owned())]);
    story.deploy("production", "1.1").unwrap();
    assert!(story.slot().migrations.is_empty(), "{}", story.row().message);
    story.act(Action::Retry).unwrap();
    assert_eq!(story.slot().migrations["m-1"].state, MigrationState::Applied, "it is simply run");
}

#[test]
fn an_abort_while_a_migration_runs_ends_it_and_leaves_it_half_way() {
    let mut story = Story::serving(spec(&[]));
    story.apply(with(&[migration("m-1", true), migration("m-2", true)])).unwrap();
    story.hanging.insert("m-2".to_owned());
    story.deploy("production", "1.1").unwrap();
    assert!(story.row().rollback_plan.unwrap().cannot_undo.iter().any(|what| what.contains("m-2: it runs")));
    story.ran.clear();
    story.act(Action::Abort).unwrap();
    assert_eq!((story.ran.as_slice(), story.row().phase), (["m-1 back 1.1".to_owned()].as_slice(), Phase::Aborted));
    let message = story.row().message;
    assert!(message.contains("m-2 is cut off half way") && message.contains("m-1 is taken back"), "{message}");
    assert_eq!(story.slot().migrations.keys().collect::<Vec<_>>(), ["m-2"]);
}

#[test]
fn one_that_had_ended_while_the_rollout_stood_still_is_taken_back_with_it() {
    let mut story = Story::serving(spec(&[]));
    story.apply(with(&[migration("m-1", true)])).unwrap();
    story.hanging.insert("m-1".to_owned());
    story.deploy("production", "1.1").unwrap();
    story.act(Action::Pause).unwrap();
    story.end_hook("m-1", JobEnd::Exited(0));
    story.hanging.clear();
    story.act(Action::Abort).unwrap();
    assert_eq!(story.ran, ["m-1 run 1.1", "m-1 back 1.1"]);
    assert!(story.slot().migrations.is_empty(), "{}", story.row().message);
}

#[test]
fn promote_full_skips_checks_but_no_migration() {
    let mut story = story(&[hook("smoke", HookOn::After)]);
    story.deploy("production", "1.1").unwrap();
    story.act(Action::PromoteFull).unwrap();
    assert_eq!((story.row().phase, story.ran.len()), (Phase::Healthy, 0));

    let mut story = Story::serving(spec(&[]));
    story.apply(with(&[migration("m-1", true)])).unwrap();
    story.hanging.insert("m-1".to_owned());
    story.deploy("production", "1.1").unwrap();
    let refused = story.act(Action::PromoteFull).unwrap_err();
    assert!(refused.why.contains("migration m-1"), "{refused}");
    let refused = story.act(Action::Promote).unwrap_err();
    assert!(refused.why.contains("does not skip"), "{refused}");
}

#[test]
fn what_cannot_be_taken_back_is_said_before_and_in_the_plan() {
    let drops = HookSpec { irreversible: Some("drops a column".to_owned()), ..hook("drop", HookOn::Before) };
    let mut story = story(&[drops]);
    story.deploy("production", "1.1").unwrap();
    assert!(notes(&story).iter().any(|note| note.contains("can't be taken back: drops a column")));
    assert_eq!(story.row().rollback_plan.unwrap().cannot_undo, ["drop: drops a column"]);
}
