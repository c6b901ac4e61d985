//! Whose migrations are whose: what a way back takes back, what a release brings, what a person says, what a
//! restored state knows; and the first version of a service.

use super::hooks::{hook, migration, with};
use super::tables::{all_at, parts};
use super::world::*;
use flightdeck::engine::core::{Effect, JobEnd, MigrationState, State, restored};
use flightdeck::model::*;

fn applied(story: &Story) -> Vec<String> {
    let slot = story.slot();
    let applied = slot.migrations.values().filter(|of| of.state == MigrationState::Applied);
    applied.map(|of| of.hook.name.clone()).collect()
}

fn tell(story: &mut Story, names: &[&str], applied: bool) -> Result<(), Refusal> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let (source, service, environment) = ("local".into(), "shop".into(), "production".into());
    let subject = Subject::Migrations { source, service, environment, names, applied };
    story.command_as("ann", Action::Migration, subject, None).map(drop)
}

/// What the board says of production's data.
fn place(story: &Story) -> Place {
    let rows = story.rows();
    let service = rows.iter().find_map(|row| if let Entity::Service(of) = row { Some(of.clone()) } else { None });
    service.unwrap().place(&"production".into()).unwrap().clone()
}

/// 1.0 serves; then m-1 is configured, and 1.1 that brings it serves.
fn brought() -> Story {
    let mut story = Story::serving(spec(&[]));
    story.apply(with(&[migration("m-1", true)])).unwrap();
    story.deploy("production", "1.1").unwrap();
    story.act(Action::PromoteFull).unwrap();
    assert_eq!((story.traffic(), applied(&story)), (all_at("1.1"), vec!["m-1".to_owned()]));
    story.ran.clear();
    story
}

#[test]
fn a_first_version_that_fails_leaves_what_it_applied() {
    let mut story = Story::new(with(&[migration("m-1", true), hook("smoke", HookOn::After)]));
    story.ends.insert("smoke".to_owned(), vec![JobEnd::Exited(1)]);
    story.deploy("production", "1.0").unwrap();
    let row = story.row();
    assert_eq!(
        (row.phase, story.ran.as_slice()),
        (Phase::Failed, ["m-1 run 1.0", "smoke run 1.0"].map(String::from).as_slice())
    );
    assert!(row.message.contains("no version to return to: migration m-1"), "{}", row.message);
    assert!(story.ended.last().unwrap().cause.contains("migration m-1"), "the history says it too");
    assert_eq!(applied(&story), ["m-1"]);
    story.act(Action::Retry).unwrap();
    assert_eq!((story.ran.len(), story.traffic()), (3, all_at("1.0")), "it is there already");
}

#[test]
fn a_service_that_was_removed_and_put_back_keeps_what_earlier_rollouts_applied() {
    let hooks = [migration("m-1", true), hook("smoke", HookOn::After)];
    let mut story = Story::new(with(&hooks));
    story.deploy("production", "1.0").unwrap();
    let mut without = with(&hooks);
    without.services.remove(&"shop".into());
    story.apply(without).unwrap();
    story.pass(1);
    story.ran.clear();
    story.apply(with(&hooks)).unwrap();
    story.pass(1);
    let back = (story.slot().revision, story.traffic(), story.ran.clone());
    assert_eq!(back, (2, all_at("1.0"), Vec::new()), "put back as it ran, and nothing is run");
    // Another version, which did not run it either.
    story.ends.insert("smoke".to_owned(), vec![JobEnd::Exited(1)]);
    story.deploy("production", "1.1").unwrap();
    story.act(Action::Promote).unwrap();
    assert_eq!((story.row().phase, applied(&story)), (Phase::Failed, vec!["m-1".to_owned()]));
    assert!(story.ran.iter().all(|ran| ran.starts_with("smoke")), "{:?}", story.ran);
}

#[test]
fn a_version_that_comes_a_second_time_takes_back_nothing_that_its_first_time_applied() {
    let mut story = brought();
    for version in ["1.2", "1.1"] {
        story.deploy("production", version).unwrap();
        story.act(Action::PromoteFull).unwrap();
    }
    for (back_at, left, ran) in [("1.2", vec!["m-1"], 0), ("1.1", vec!["m-1"], 0), ("1.0", vec![], 1)] {
        let takes_back = story.row().rollback_plan.unwrap().steps.iter().any(|step| step.contains("m-1 is taken back"));
        assert_eq!(takes_back, ran == 1, "back to {back_at}");
        story.act(Action::Rollback).unwrap();
        assert_eq!((story.traffic(), applied(&story)), (all_at(back_at), left.into_iter().map(String::from).collect()));
        assert_eq!(story.ran.len(), ran, "{:?}", story.ran);
    }
}

#[test]
fn an_older_version_runs_nothing_and_says_what_stays() {
    let mut story = brought();
    let steps = |story: &Story| story.row().steps.iter().filter(|step| matches!(step, Step::Hook { .. })).count();
    story.deploy("production", "1.0").unwrap();
    assert_eq!((steps(&story), story.ran.len()), (0, 0), "1.0 succeeded before m-1 was configured");
    story.act(Action::Abort).unwrap();
    assert_eq!((applied(&story), story.ran.len()), (vec!["m-1".to_owned()], 0));
    // Where m-1 is not there yet, 1.0 does not need it either.
    let mut staging = with(&[migration("m-1", true)]);
    let production = staging.services[&"shop".into()].placements[&"production".into()].clone();
    let shop = staging.services.get_mut(&"shop".into()).unwrap();
    let placement = shop.placements.get_mut(&"staging".into()).unwrap();
    (placement.hooks, placement.steps) = (production.hooks, production.steps);
    story.apply(staging).unwrap();
    story.deploy("staging", "1.2").unwrap();
    assert_eq!(story.ran, ["m-1 run 1.2"]);
    story.command_as("bob", Action::Abort, Subject::Run(story.row_of("staging").run), None).unwrap();
    story.ran.clear();
    story.deploy("staging", "1.1").unwrap();
    assert_eq!(story.ran, ["m-1 run 1.1"], "1.1 brings it everywhere");
}

#[test]
fn one_that_is_configured_later_belongs_to_the_versions_that_come_later() {
    let mut story = brought();
    story.apply(with(&[migration("m-1", true), migration("m-2", true)])).unwrap();
    story.deploy("production", "1.2").unwrap();
    assert_eq!(story.ran, ["m-2 run 1.2"]);
    story.act(Action::PromoteFull).unwrap();
    story.act(Action::Rollback).unwrap();
    assert_eq!((story.traffic(), applied(&story)), (all_at("1.1"), vec!["m-1".to_owned()]));
    story.deploy("production", "1.0").unwrap();
    story.act(Action::PromoteFull).unwrap();
    story.deploy("production", "1.1").unwrap();
    assert_eq!(story.ran, ["m-2 run 1.2", "m-2 back 1.2"], "neither needs it");
}

#[test]
fn a_release_says_itself_what_it_brings_where_it_knows_better() {
    let mut story = brought();
    story.apply(with(&[migration("m-1", true), migration("m-2", true)])).unwrap();
    let fix = |brings: &[&str]| {
        let migrations = Some(brings.iter().map(|name| (*name).to_owned()).collect());
        flightdeck::engine::core::Input::ReleaseAdded(Release { migrations, ..release("shop", "1.1.1") })
    };
    assert!(story.input(&fix(&["m-1"])).refused.is_none());
    let other = story.input(&fix(&[])).refused.unwrap();
    assert!(other.why.contains("brings m-1"), "{other}");
    story.deploy("production", "1.1.1").unwrap();
    assert!(story.ran.is_empty(), "m-2 is not for it: {:?}", story.ran);
    story.act(Action::PromoteFull).unwrap();
    // What is brought must be there or be configured.
    story.apply(with(&[])).unwrap();
    tell(&mut story, &["m-1"], false).unwrap();
    let refused = story.deploy("production", "1.1").unwrap_err();
    assert!(refused.why.contains("migration m-1, which is neither applied in production nor configured"), "{refused}");
}

#[test]
fn a_database_that_was_there_before_is_told_of_and_nothing_is_run() {
    let mut story = Story::new(with(&[migration("m-1", true), migration("m-2", true)]));
    let unknown = tell(&mut story, &["m-3"], true).unwrap_err();
    assert!(unknown.why.contains("no migration m-3; known: m-1, m-2"), "{unknown}");
    tell(&mut story, &[], true).unwrap();
    story.deploy("production", "1.0").unwrap();
    assert_eq!((story.traffic(), story.ran.len()), (all_at("1.0"), 0));
    let rows = place(&story).migrations;
    assert!(rows.iter().all(|row| row.state == MigrationStanding::Applied && row.version.is_none()), "{rows:?}");
    tell(&mut story, &["m-2"], false).unwrap();
    story.deploy("production", "1.1").unwrap();
    assert_eq!(story.ran, ["m-2 run 1.1"]);
    story.act(Action::Abort).unwrap();
    assert_eq!(applied(&story), ["m-1"], "only what 1.1 applied");
    let none = tell(&mut story, &[], false).unwrap_err();
    assert!(none.why.contains("say which"), "{none}");
}

#[test]
fn a_persons_word_ends_the_wait_for_it_and_none_is_taken_while_it_runs() {
    for (applied_is, runs) in [(true, 1), (false, 2)] {
        let mut story = Story::serving(spec(&[]));
        story.apply(with(&[migration("m-1", true)])).unwrap();
        story.hanging.insert("m-1".to_owned());
        story.deploy("production", "1.1").unwrap();
        let busy = tell(&mut story, &["m-1"], applied_is).unwrap_err();
        assert!(busy.why.contains("m-1 runs"), "{busy}");
        story.end_hook("m-1", JobEnd::Exited(1));
        story.hanging.clear();
        story.act(Action::Retry).unwrap();
        assert!(story.row().awaits_human());
        tell(&mut story, &["m-1"], applied_is).unwrap();
        assert_eq!((story.traffic(), story.ran.len()), (parts(&[("1.0", 90), ("1.1", 10)]), runs));
    }
}

/// The server dies for good, and a backup of that state is all there is.
fn restore(story: &mut Story, backup: State) {
    story.state = backup;
    restored(&mut story.state, story.now);
    story.ran.clear();
}

#[test]
fn a_restored_backup_runs_nothing_that_may_have_run_and_takes_nothing_back() {
    // Before it ran: nobody knows whether it did meanwhile.
    for (answer, runs) in [(Action::Promote, 0), (Action::Resume, 1)] {
        let mut story = Story::serving(spec(&[]));
        story.apply(with(&[migration("m-1", true)])).unwrap();
        let backup = story.state.clone();
        story.deploy("production", "1.1").unwrap();
        restore(&mut story, backup);
        story.deploy("production", "1.1").unwrap();
        let row = story.row();
        assert!(row.awaits_human() && row.message.contains("ran is not known"), "{}", row.message);
        assert!(story.ran.is_empty());
        story.act(answer).unwrap();
        assert_eq!((story.ran.len(), applied(&story)), (runs, vec!["m-1".to_owned()]));
    }
    // While it ran: what was asked for is not asked for again.
    let mut story = Story::serving(spec(&[]));
    story.apply(with(&[migration("m-1", true)])).unwrap();
    story.hanging.insert("m-1".to_owned());
    story.deploy("production", "1.1").unwrap();
    let backup = story.state.clone();
    restore(&mut story, backup);
    assert!(
        !story.state.pending.iter().any(|of| matches!(of.effect, Effect::StartJob(_))),
        "{:?}",
        story.state.pending
    );
    story.pass(1);
    assert_eq!((story.row().phase, story.ran.len()), (Phase::Failed, 0), "{}", story.row().message);
    assert!(story.row().message.contains("nobody knows"), "{}", story.row().message);
    // After it ran: it stays, whatever happened since.
    let mut story = brought();
    let backup = story.state.clone();
    restore(&mut story, backup);
    let way = story.row().rollback_plan.unwrap();
    assert_eq!(way.cannot_undo, ["migration m-1: which rollout ran it is not recorded"]);
    story.act(Action::Rollback).unwrap();
    assert_eq!((story.traffic(), applied(&story)), (all_at("1.0"), vec!["m-1".to_owned()]));
}

#[test]
fn what_is_configured_again_after_a_restore_may_have_run_too() {
    let mut story = Story::serving(spec(&[]));
    let backup = story.state.clone();
    let with_it = with(&[migration("m-1", true)]);
    story.apply(with_it.clone()).unwrap();
    story.deploy("production", "1.1").unwrap();
    restore(&mut story, backup);
    story.apply(with_it).unwrap();
    story.deploy("production", "1.1").unwrap();
    assert!(story.row().message.contains("ran is not known"), "{}", story.row().message);
    // What comes with a later configuration is new.
    story.act(Action::Abort).unwrap();
    story.apply(with(&[migration("m-1", true), migration("m-2", true)])).unwrap();
    tell(&mut story, &["m-1"], true).unwrap();
    story.deploy("production", "1.1").unwrap();
    assert_eq!(story.ran, ["m-2 run 1.1"]);
}

#[test]
fn after_a_restore_a_place_that_is_put_back_later_may_have_run_too() {
    let named = |name: &str, spec: Spec| Spec { name: name.into(), ..spec };
    let bare = |mut spec: Spec| {
        spec.services.clear();
        spec
    };
    // By another configuration, of which the backup knows nothing; and by the same one, which had left it out.
    for (first, left) in [("other", false), ("default", true)] {
        let mut story = Story::serving(spec(&[]));
        let with_it = with(&[migration("m-1", true)]);
        if left {
            let place =
                |environment: &str| ServicePlace { service: "shop".into(), environment: Some(environment.into()) };
            story.apply_with(bare(spec(&[])), vec![place("staging"), place("production")]).unwrap();
            story.pass(30);
        }
        let backup = story.state.clone();
        restore(&mut story, backup);
        story.apply_with(named(first, bare(spec(&[]))), Vec::new()).unwrap();
        story.apply(with_it).unwrap();
        story.pass(30);
        if let Err(refusal) = story.deploy("production", "1.1") {
            panic!("{first}: {refusal}");
        }
        assert!(story.row().message.contains("ran is not known"), "{first}: {}", story.row().message);
        assert!(story.ran.is_empty(), "{first}: {:?}", story.ran);
    }
}

#[test]
fn a_state_of_before_is_read_and_what_it_does_not_know_is_not_taken_back() {
    let mut story = brought();
    let mut old = serde_json::to_value(&story.state).unwrap();
    for slot in old["slots"].as_array_mut().unwrap() {
        for of in slot["lineage"].as_array_mut().unwrap() {
            of.as_object_mut().unwrap().remove("number");
        }
        for (_, of) in slot["migrations"].as_object_mut().unwrap() {
            of.as_object_mut().unwrap().remove("number");
        }
    }
    for (_, release) in old["releases"]["shop"].as_object_mut().unwrap() {
        release.as_object_mut().unwrap().remove("migrations");
    }
    old.as_object_mut().unwrap().remove("restored");
    story.state = serde_json::from_value(old).unwrap();
    // What succeeded before lists were kept brings what was configured until then.
    story.apply(with(&[migration("m-1", true), migration("m-2", true)])).unwrap();
    assert_eq!(story.row().rollback_plan.unwrap().cannot_undo, ["migration m-1: which rollout ran it is not recorded"]);
    story.act(Action::Rollback).unwrap();
    assert_eq!((story.traffic(), applied(&story)), (all_at("1.0"), vec!["m-1".to_owned()]));
    story.deploy("production", "1.1").unwrap();
    assert!(story.ran.is_empty(), "{:?}", story.ran);
}

#[test]
fn the_first_version_waits_for_its_approvals_before_anybody_gets_it() {
    let approval = Step::Approval { count: 1, from: Vec::new(), expires: None };
    let mut spec = with(&[hook("ask", HookOn::Before), hook("check", HookOn::Step), hook("smoke", HookOn::After)]);
    let placement = spec.services.get_mut(&"shop".into()).unwrap().placements.get_mut(&"production".into()).unwrap();
    let mut steps = placement.steps.to_vec();
    steps.insert(4, approval.clone());
    placement.steps = steps.into();
    let mut story = Story::new(spec);
    let skipped = place(&story).left_out;
    assert_eq!(skipped, [Step::SetWeight(Ppm::percent(10)), Step::Pause { duration: None }]);
    story.deploy("production", "1.0").unwrap();
    let row = story.row();
    assert_eq!((row.phase, story.traffic(), story.ran.len()), (Phase::Paused, Vec::new(), 1), "{}", row.message);
    assert_eq!(story.ready_of("1.0").len(), 3, "it is up at its full size, and nobody gets it yet");
    assert!(row.offers.contains(Action::Approve) && !row.offers.contains(Action::PromoteFull), "{:?}", row.offers);
    story.vote("bob", Action::Approve).unwrap();
    assert_eq!((story.traffic(), story.ran.len()), (all_at("1.0"), 3), "{:?}", story.ran);
    assert_eq!(story.row().phase, Phase::Healthy);
}

#[test]
fn the_first_version_is_up_behind_its_preview_when_it_is_checked_there() {
    let mut spec = with(&[hook("try", HookOn::Step)]);
    let placement = spec.services.get_mut(&"shop".into()).unwrap().placements.get_mut(&"production".into()).unwrap();
    placement.strategy = Strategy::BlueGreen;
    placement.preview = Some(address(9));
    let check = Step::Hook { name: "try".to_owned() };
    placement.steps = vec![Step::SetScale(Ppm::ALL), Step::Preview, check, Step::SetWeight(Ppm::ALL)].into();
    let mut story = Story::new(spec);
    story.hanging.insert("try".to_owned());
    story.deploy("production", "1.0").unwrap();
    let preview = &story.proxy["shop@production!preview"];
    let endpoints = preview.pools.iter().map(|pool| pool.endpoints.len()).sum::<usize>();
    assert_eq!((endpoints, story.traffic()), (3, Vec::new()), "the check can pass, and users wait");
    story.end_hook("try", JobEnd::Exited(0));
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Healthy));
}
